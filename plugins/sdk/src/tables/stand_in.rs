//! Reads of tables in a native build. It has no router, so a test says who answers.

use super::{Selection, TableError};
use crate::item::Item;
use std::cell::RefCell;
use std::rc::Rc;

/// Answers reads in place of the router.
pub(crate) trait TableReader {
    /// The item with this key.
    fn get(&self, table: &str, key: &Item<'_>) -> Result<Option<Item<'static>>, TableError>;

    /// The selected items, in the order of the sort key.
    fn query(&self, selection: &Selection<'_>) -> Result<Vec<Item<'static>>, TableError>;
}

thread_local! {
    static READER: RefCell<Option<Rc<dyn TableReader>>> = const { RefCell::new(None) };
}

/// Runs `test` while `reader` answers the reads of this thread.
pub(crate) fn with_reader<T>(reader: Rc<dyn TableReader>, test: impl FnOnce() -> T) -> T {
    READER.with_borrow_mut(|current| *current = Some(reader));
    let result = test();
    READER.with_borrow_mut(|current| *current = None);
    result
}

/// See [`super::get`].
pub(super) fn get(table: &str, key: &Item<'_>) -> Result<Option<Item<'static>>, TableError> {
    reader()?.get(table, key)
}

/// See [`super::query`].
pub(super) fn query(selection: &Selection<'_>) -> Result<Vec<Item<'static>>, TableError> {
    reader()?.query(selection)
}

fn reader() -> Result<Rc<dyn TableReader>, TableError> {
    let outside = || TableError::Unavailable("outside of the router: run this within testing::with_tables".to_owned());
    READER.with_borrow(Option::clone).ok_or_else(outside)
}
