//! The boundary to reads: the tables as a plugin sees them.

use crate::BoxFuture;
use crate::item::{Condition, Item};

/// Reads of granted tables, at one moment.
pub trait Reads: Send + Sync {
    /// The item with this key.
    fn get<'a>(&'a self, table: &'a str, key: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>>;

    /// The items that a selection finds, in the order of the sort key. Implementations gather
    /// them in a [`QueryResult`], which limits their bytes.
    fn query<'a>(&'a self, selection: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>>;
}

/// A query of a table or of an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Table name in routes.toml.
    pub table: String,
    /// A secondary index; `None`: the table itself.
    pub index: Option<String>,
    /// Equality on the partition key, and at most one comparison on the sort key.
    pub key: Condition,
    /// Further comparisons on the items found.
    pub filter: Condition,
    /// Most items to return, after the filter.
    pub limit: Option<u32>,
    /// Descending order of the sort key.
    pub descending: bool,
}

/// A read that gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The route was not granted the table.
    #[error("table {0:?} is not granted to this route")]
    NotGranted(String),
    /// The table cannot answer this: an unknown index, a missing key attribute.
    #[error("{0}")]
    Invalid(String),
    /// The table does not answer.
    #[error("{0}")]
    Unavailable(String),
}

/// The items that a query has found so far. Limited in bytes, since they are held in the router's memory.
#[derive(Debug, Default)]
pub struct QueryResult {
    items: Vec<Item>,
    bytes: usize,
}

impl QueryResult {
    /// Most bytes of names and values of one query's items.
    pub const MOST: usize = 16 << 20;

    /// Adds an item of `table`.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] if the items become larger than [`QueryResult::MOST`].
    pub fn push(&mut self, table: &str, item: Item) -> Result<(), ReadError> {
        self.bytes = self.bytes.saturating_add(item.size());
        if self.bytes > Self::MOST {
            return Err(ReadError::Invalid(format!(
                "a query of table {table:?} finds more than {} MiB: give it a limit, or compare more of the key",
                Self::MOST >> 20
            )));
        }
        self.items.push(item);
        Ok(())
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items.
    #[must_use]
    pub fn into_items(self) -> Vec<Item> {
        self.items
    }
}
