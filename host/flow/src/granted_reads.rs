//! Reads that answer for what a route was granted, and for nothing else (invariant 6).

use crate::BoxFuture;
use crate::bounds;
use crate::grants::Grants;
use crate::item::Item;
use crate::reads::{ItemPage, ObjectBytes, ObjectList, ObjectPage, ObjectRead, ReadError, Reads, Selection, TableScan};
use crate::settings::KeySchema;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads that answer for granted tables and object stores only, and only to questions within the limits of [`bounds`].
pub struct GrantedReads {
    tables: BTreeSet<String>,
    stores: BTreeSet<String>,
    inner: Arc<dyn Reads>,
    asked: AtomicBool,
}

impl GrantedReads {
    /// `inner`, limited to the tables and object stores of `grants`.
    #[must_use]
    pub fn new(grants: &Grants, inner: Arc<dyn Reads>) -> Self {
        let (tables, stores) = (grants.tables.clone(), grants.read_objects.clone());
        GrantedReads { tables, stores, inner, asked: AtomicBool::new(false) }
    }

    /// True if the plugin has asked for a read so far, granted or not.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    fn table(&self, table: &str) -> Result<(), ReadError> {
        self.asked.store(true, Ordering::Relaxed);
        if self.tables.contains(table) { Ok(()) } else { Err(ReadError::NotGranted(table.to_owned())) }
    }

    fn store(&self, store: &str) -> Result<(), ReadError> {
        self.asked.store(true, Ordering::Relaxed);
        if self.stores.contains(store) { Ok(()) } else { Err(ReadError::NotGranted(store.to_owned())) }
    }
}

/// Asks if the question may be asked.
fn granted<'a, T: Send + 'a>(
    check: Result<(), ReadError>,
    ask: impl FnOnce() -> BoxFuture<'a, Result<T, ReadError>>,
) -> BoxFuture<'a, Result<T, ReadError>> {
    match check {
        Ok(()) => ask(),
        Err(error) => Box::pin(std::future::ready(Err(error))),
    }
}

/// Names the read that is refused.
fn within(read: &str, name: &str, check: Result<(), String>) -> Result<(), ReadError> {
    check.map_err(|why| ReadError::Invalid(format!("{read} {name:?}: {why}")))
}

impl Reads for GrantedReads {
    fn key_of<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<KeySchema, ReadError>> {
        granted(self.table(table), || self.inner.key_of(table))
    }

    fn get<'a>(&'a self, table: &'a str, key: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        granted(self.table(table), || self.inner.get(table, key))
    }

    fn get_many<'a>(&'a self, table: &'a str, keys: &'a [Item]) -> BoxFuture<'a, Result<Vec<Option<Item>>, ReadError>> {
        let small = || within("a read of many items of table", table, bounds::keys(keys));
        granted(self.table(table).and_then(|()| small()), || self.inner.get_many(table, keys))
    }

    fn query<'a>(&'a self, selection: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        let small = || within("a query of table", &selection.table, bounds::selection(selection));
        granted(self.table(&selection.table).and_then(|()| small()), || self.inner.query(selection))
    }

    fn scan<'a>(&'a self, scan: &'a TableScan) -> BoxFuture<'a, Result<ItemPage, ReadError>> {
        let small = || within("a scan of table", &scan.table, bounds::scan(scan));
        granted(self.table(&scan.table).and_then(|()| small()), || self.inner.scan(scan))
    }

    fn object<'a>(&'a self, read: &'a ObjectRead) -> BoxFuture<'a, Result<Option<ObjectBytes>, ReadError>> {
        let small = || within("a read of object store", &read.store, bounds::object(read));
        granted(self.store(&read.store).and_then(|()| small()), || self.inner.object(read))
    }

    fn objects<'a>(&'a self, list: &'a ObjectList) -> BoxFuture<'a, Result<ObjectPage, ReadError>> {
        let small = || within("a list of object store", &list.store, bounds::object_list(list));
        granted(self.store(&list.store).and_then(|()| small()), || self.inner.objects(list))
    }
}
