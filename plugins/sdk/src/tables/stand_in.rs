//! Reads of tables and objects in a native build. It has no router, so a test says who answers.

use super::{KeyAttributes, Page, Selection, TableError};
use crate::item::Item;
use std::cell::RefCell;
use std::rc::Rc;

/// Answers reads in place of the router.
pub(crate) trait TableReader {
    /// The names of the key attributes of a table.
    fn key_of(&self, table: &str) -> Result<KeyAttributes, TableError>;

    /// A page of all items of a table.
    fn scan(&self, table: &str, token: Option<&str>, limit: Option<u32>) -> Result<Page, TableError>;

    /// The item with this key.
    fn get(&self, table: &str, key: &Item<'_>) -> Result<Option<Item<'static>>, TableError>;

    /// The selected items, in the order of the sort key.
    fn query(&self, selection: &Selection<'_>) -> Result<Vec<Item<'static>>, TableError>;
}

/// See [`super::get`].
pub(super) fn get(table: &str, key: &Item<'_>) -> Result<Option<Item<'static>>, TableError> {
    reader()?.get(table, key)
}

/// See [`super::key_of`].
pub(super) fn key_of(table: &str) -> Result<KeyAttributes, TableError> {
    reader()?.key_of(table)
}

/// See [`super::get_many`].
pub(super) fn get_many(table: &str, keys: &[Item<'_>]) -> Result<Vec<Option<Item<'static>>>, TableError> {
    if keys.len() > 100 {
        return Err(TableError::Invalid(format!("{} keys, at most 100 are taken", keys.len())));
    }
    let reader = reader()?;
    keys.iter().map(|key| reader.get(table, key)).collect()
}

/// See [`super::scan`].
pub(super) fn scan(table: &str, token: Option<&str>, limit: Option<u32>) -> Result<Page, TableError> {
    reader()?.scan(table, token, limit)
}

/// See [`super::query`].
pub(super) fn query(selection: &Selection<'_>) -> Result<Vec<Item<'static>>, TableError> {
    reader()?.query(selection)
}

fn reader() -> Result<Rc<dyn TableReader>, TableError> {
    let outside = || TableError::Unavailable("outside of the router: run this within testing::with_tables".to_owned());
    READER.with_borrow(Option::clone).ok_or_else(outside)
}

thread_local! {
    static READER: RefCell<Option<Rc<dyn TableReader>>> = const { RefCell::new(None) };
}

/// Lets `reader` answer the reads of this thread; `None`: nobody.
pub(crate) fn set_reader(reader: Option<Rc<dyn TableReader>>) {
    READER.set(reader);
}
