//! Reads of the tables that the route grants. A read sees everything that was committed before the batch, and none of the
//! effects that the plugin is about to return.
//!
//! In tests, [`crate::testing::Tables`] answers.

#[cfg(target_family = "wasm")]
#[path = "tables/imports.rs"]
mod reader;
#[cfg(not(target_family = "wasm"))]
#[path = "tables/stand_in.rs"]
mod reader;

use crate::condition::Condition;
use crate::item::Item;
#[cfg(not(target_family = "wasm"))]
pub(crate) use reader::{TableReader, set_reader};
use std::fmt;

/// A read that failed. With `?` it becomes a retry of the batch if the table did not answer, and a stop of the route if the
/// table is not granted. A wrong read of an event rejects that event; outside of an event it stops the route, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableError {
    /// The route does not grant the table of this name.
    NotGranted(String),
    /// The read is wrong: an unknown index, a key that is not the table's or is too long, a result of more than 16 MiB.
    Invalid(String),
    /// The table did not answer.
    Unavailable(String),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableError::NotGranted(table) => write!(f, "table {table:?} is not granted: add it to the route's tables"),
            TableError::Invalid(reason) | TableError::Unavailable(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for TableError {}

/// A query: `Selection::of("inventario", Condition::new().equal("Evento", name)).index("evento-email")`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection<'a> {
    /// The table.
    pub table: &'a str,
    /// A secondary index; `None`: the table itself.
    pub index: Option<&'a str>,
    /// Equality on the partition key, and at most one comparison on the sort key.
    pub key: Condition<'a>,
    /// Further comparisons on the items found.
    pub filter: Condition<'a>,
    /// At most so many items, counted after the filter.
    pub limit: Option<u32>,
    /// From the greatest sort key to the least.
    pub descending: bool,
}

impl<'a> Selection<'a> {
    /// The items of `table` with this key.
    #[must_use]
    pub fn of(table: &'a str, key: Condition<'a>) -> Self {
        Selection { table, index: None, key, filter: Condition::new(), limit: None, descending: false }
    }

    /// Through a secondary index.
    #[must_use]
    pub fn index(mut self, index: &'a str) -> Self {
        self.index = Some(index);
        self
    }

    /// Only items for which this holds too.
    #[must_use]
    pub fn filter(mut self, filter: Condition<'a>) -> Self {
        self.filter = filter;
        self
    }

    /// At most so many items.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }
}

/// The names of the key attributes of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAttributes {
    /// The partition key.
    pub partition: String,
    /// The sort key, if the table has one.
    pub sort: Option<String>,
}

/// A page of all items of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its items; a page may be empty and not the last.
    pub items: Vec<Item<'static>>,
    /// Token of the next page; `None`: this is the last one.
    pub next: Option<String>,
}

/// The names of the key attributes of a table.
///
/// # Errors
/// [`TableError`].
pub fn key_of(table: &str) -> Result<KeyAttributes, TableError> {
    reader::key_of(table)
}

/// The items with these keys, in the order of the keys; `None` for a key that no item has. At most 100 keys.
///
/// # Errors
/// [`TableError`].
pub fn get_many(table: &str, keys: &[Item<'_>]) -> Result<Vec<Option<Item<'static>>>, TableError> {
    reader::get_many(table, keys)
}

/// A page of all items of a table, in no order to rely on: at most `limit` items (1,000 if there is none), or about 1 MiB. The token
/// is that of the page before.
///
/// # Errors
/// [`TableError`].
pub fn scan(table: &str, token: Option<&str>, limit: Option<u32>) -> Result<Page, TableError> {
    reader::scan(table, token, limit)
}

/// The item with this key, which is exactly the key attributes.
///
/// # Errors
/// [`TableError`].
pub fn get(table: &str, key: &Item<'_>) -> Result<Option<Item<'static>>, TableError> {
    reader::get(table, key)
}

/// The selected items, in the order of the sort key.
///
/// # Errors
/// [`TableError`].
pub fn query(selection: &Selection<'_>) -> Result<Vec<Item<'static>>, TableError> {
    reader::query(selection)
}
