//! Reads of tables at one moment: single items, queries on a key, and scans. Objects are read as they are now.

mod pages;

use crate::catalog::Catalog;
use crate::codec::read_item;
use crate::disk::{Disk, Space, read_fault};
use crate::key::{after_prefix, push_partition, push_sort, push_text_prefix, type_bounds};
use crate::objects::{list, read};
use crate::tables::{ItemTable, exact_key};
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use esclusa_flow::item::{Comparison, Item, Value};
use esclusa_flow::reads::{
    ItemPage, ObjectBytes, ObjectList, ObjectPage, ObjectRead, QueryResult, ReadError, Reads, Selection, TableScan,
};
use esclusa_flow::settings::KeySchema;
use esclusa_flow::step_budget::StepBudget;
use fjall::{Guard, Readable, Snapshot};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Entries of a query that are read without a pause.
const YIELD: usize = 256;
/// Bytes of items that are read without a pause.
const YIELD_BYTES: usize = 1 << 20;
/// Steps that comparing one item with the filter of a query may take.
const STEPS: u64 = 64 << 20;

/// The tables as they were when it was made.
pub(crate) struct SnapshotReads {
    disk: Disk,
    snapshot: Snapshot,
    catalog: Arc<Catalog>,
}

/// Keys from `start` up to `end`, which is not included; `None`: to the last one.
type KeyRange = (Vec<u8>, Option<Vec<u8>>);

impl SnapshotReads {
    /// Reads at this moment.
    pub(crate) fn new(disk: &Disk, catalog: Arc<Catalog>) -> Self {
        SnapshotReads { snapshot: disk.snapshot(), disk: disk.clone(), catalog }
    }

    fn table(&self, name: &str) -> Result<&Arc<ItemTable>, ReadError> {
        self.catalog.tables.get(name).ok_or_else(|| ReadError::Invalid(format!("there is no table {name:?}")))
    }

    /// The item with this key.
    pub(crate) fn item(&self, table: &str, key: &Item) -> Result<Option<Item>, ReadError> {
        let table = self.table(table)?;
        let key = exact_key(table, key)
            .map_err(|why| ReadError::Invalid(format!("a key of table {:?}: {why}", table.name)))?;
        self.load(&key)
    }

    fn load(&self, key: &[u8]) -> Result<Option<Item>, ReadError> {
        let stored = self.snapshot.get(self.disk.space(Space::Items), key).map_err(|e| unavailable(read_fault(&e)))?;
        stored.map(|bytes| read_item(&bytes).map_err(|e| unavailable(e.into()))).transpose()
    }

    /// Reads in the directory of an object store.
    async fn on_disk<T: Send + 'static>(
        &self,
        store: &str,
        read: impl FnOnce(&Path) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let root = self.catalog.objects.get(store);
        let root = root.ok_or_else(|| ReadError::Invalid(format!("there is no object store {store:?}")))?.clone();
        read::on_disk(move || read(&root)).await
    }

    /// The items that a selection finds.
    async fn select(&self, selection: &Selection) -> Result<Vec<Item>, ReadError> {
        let table = self.table(&selection.table)?;
        let (id, key) = match &selection.index {
            None => (table.id, &table.key),
            Some(name) => {
                let index = table.indexes.iter().find(|i| &i.name == name);
                let index =
                    index.ok_or_else(|| ReadError::Invalid(format!("table {:?} has no index {name:?}", table.name)))?;
                (index.id, &index.key)
            }
        };
        let range = key_range(id, key, selection)
            .map_err(|why| ReadError::Invalid(format!("a query of table {:?}: {why}", table.name)))?;
        let Some((start, end)) = range else { return Ok(Vec::new()) };
        let space = self.disk.space(Space::Items);
        let entries = match end {
            Some(end) if start >= end => return Ok(Vec::new()),
            Some(end) => self.snapshot.range(space, start..end),
            None => self.snapshot.range(space, start..),
        };
        let limit = selection.limit.map_or(usize::MAX, |limit| limit as usize);
        if selection.descending {
            self.collect(entries.rev(), selection, limit).await
        } else {
            self.collect(entries, selection, limit).await
        }
    }

    async fn collect(
        &self,
        entries: impl Iterator<Item = Guard>,
        selection: &Selection,
        limit: usize,
    ) -> Result<Vec<Item>, ReadError> {
        let (mut found, mut passed, mut bytes) = (QueryResult::default(), 0, 0);
        for entry in entries {
            if found.len() >= limit {
                break;
            }
            if passed >= YIELD || bytes >= YIELD_BYTES {
                (passed, bytes) = (0, 0);
                // The caller may give up, and others have their turn.
                tokio::task::yield_now().await;
            }
            let value = entry.value().map_err(|e| unavailable(read_fault(&e)))?;
            let item = match selection.index {
                None => Some(read_item(&value).map_err(|e| unavailable(e.into()))?),
                Some(_) => self.load(&value)?,
            };
            let Some(item) = item else { continue };
            let mut work = StepBudget::of(STEPS);
            let holds = holds(&item, selection, &mut work)?;
            (passed, bytes) = (passed + 1, bytes + item.size() + usize::try_from(work.spent()).unwrap_or(usize::MAX));
            if holds {
                found.push(&selection.table, item)?;
            }
        }
        Ok(found.into_items())
    }
}

/// True if an item passes the filter of a query.
fn holds(item: &Item, selection: &Selection, work: &mut StepBudget) -> Result<bool, ReadError> {
    if selection.filter.0.is_empty() {
        return Ok(true);
    }
    let places: Option<HashMap<&str, &Value>> =
        (selection.filter.0.len() > 8).then(|| item.0.iter().map(|(name, value)| (name.as_str(), value)).collect());
    let get = |name: &str| match &places {
        Some(places) => places.get(name).copied(),
        None => item.get(name),
    };
    selection.filter.holds_within(get, work).map_err(|exhausted| {
        let table = &selection.table;
        ReadError::Invalid(format!("a query of table {table:?}: comparing one item with its filter: {exhausted}"))
    })
}

fn unavailable(fault: Fault) -> ReadError {
    ReadError::Unavailable(fault.to_string())
}

/// The keys that a selection is about; `None`: none can match.
fn key_range(id: u32, key: &KeySchema, selection: &Selection) -> Result<Option<KeyRange>, String> {
    let mut partition = None;
    let mut sort = None;
    for (name, comparison) in &selection.key.0 {
        if *name == key.partition {
            let Comparison::Equal(value) = comparison else {
                return Err(format!("the partition key {name:?} must be compared for equality"));
            };
            if partition.replace(value).is_some() {
                return Err(format!("the partition key {name:?} is compared twice"));
            }
        } else if Some(name) == key.sort.as_ref() {
            if sort.replace((name, comparison)).is_some() {
                return Err(format!("the sort key {name:?} is compared twice: move one comparison to the filter"));
            }
        } else {
            return Err(format!("{name:?} is no attribute of the key {}: move it to the filter", key.describe()));
        }
    }
    let partition = partition.ok_or_else(|| format!("the partition key {:?} is not given", key.partition))?;
    let mut prefix = id.to_be_bytes().to_vec();
    push_partition(&key.partition, partition, &mut prefix).map_err(|e| e.to_string())?;
    match sort {
        None => Ok(Some((prefix.clone(), after_prefix(&prefix)))),
        Some((name, comparison)) => sort_range(prefix, name, comparison).map(Some),
    }
}

fn sort_range(prefix: Vec<u8>, name: &str, comparison: &Comparison) -> Result<KeyRange, String> {
    let part = |value: &Value| -> Result<Vec<u8>, String> {
        let mut key = prefix.clone();
        push_sort(name, value, &mut key).map_err(|e| e.to_string())?;
        Ok(key)
    };
    let bounds = |value: &Value| -> Result<(Vec<u8>, Vec<u8>), String> {
        let (first, last) =
            type_bounds(value).ok_or_else(|| format!("the sort key {name:?} cannot be a {}", value.type_name()))?;
        Ok(([&prefix[..], &[first]].concat(), [&prefix[..], &[last]].concat()))
    };
    Ok(match comparison {
        Comparison::Equal(value) => {
            let key = part(value)?;
            let end = after_prefix(&key);
            (key, end)
        }
        Comparison::Less(value) => (bounds(value)?.0, Some(part(value)?)),
        Comparison::LessOrEqual(value) => (bounds(value)?.0, after_prefix(&part(value)?)),
        Comparison::Greater(value) => (after_prefix(&part(value)?).unwrap_or_default(), Some(bounds(value)?.1)),
        Comparison::GreaterOrEqual(value) => (part(value)?, Some(bounds(value)?.1)),
        Comparison::BeginsWith(text) => {
            let mut key = prefix.clone();
            push_text_prefix(text, &mut key);
            let end = after_prefix(&key);
            (key, end)
        }
        Comparison::Exists | Comparison::Absent | Comparison::NotEqual(_) => {
            return Err(format!(
                "the sort key {name:?} can be compared by order or beginning only: move this comparison to the filter"
            ));
        }
    })
}

impl Reads for SnapshotReads {
    fn key_of<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<KeySchema, ReadError>> {
        Box::pin(std::future::ready(self.table(table).map(|table| table.key.clone())))
    }

    fn get<'a>(&'a self, table: &'a str, key: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        Box::pin(std::future::ready(self.item(table, key)))
    }

    fn get_many<'a>(&'a self, table: &'a str, keys: &'a [Item]) -> BoxFuture<'a, Result<Vec<Option<Item>>, ReadError>> {
        Box::pin(self.items(table, keys))
    }

    fn query<'a>(&'a self, selection: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        Box::pin(self.select(selection))
    }

    fn scan<'a>(&'a self, scan: &'a TableScan) -> BoxFuture<'a, Result<ItemPage, ReadError>> {
        Box::pin(self.page(scan))
    }

    fn object<'a>(&'a self, read: &'a ObjectRead) -> BoxFuture<'a, Result<Option<ObjectBytes>, ReadError>> {
        let asked = read.clone();
        Box::pin(self.on_disk(&read.store, move |root| read::object(root, &asked)))
    }

    fn objects<'a>(&'a self, list: &'a ObjectList) -> BoxFuture<'a, Result<ObjectPage, ReadError>> {
        let asked = list.clone();
        Box::pin(self.on_disk(&list.store, move |root| list::page(root, &asked)))
    }
}
