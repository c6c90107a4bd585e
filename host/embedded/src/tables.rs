//! Writes to tables: prepared in the caller's task, evaluated by the writer against the stored items.

pub(crate) mod drafts;
pub(crate) mod expiry_index;
mod normal;

use crate::codec::push_item;
use crate::disk::Space;
use crate::key::{self, KeyError};
use crate::streams::Log;
use crate::transaction::Transaction;
use esclusa_flow::effect::{AttributeChange, DeleteItem, PutItem, UpdateItem};
use esclusa_flow::item::{Comparison, Condition, Guard, Item, Otherwise, Value};
use esclusa_flow::settings::KeySchema;
use expiry_index::ExpiryIndex;
use fjall::Slice;
use normal::{normal, normalize_change};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tables of a catalog, by name.
pub(crate) type TablesByName = BTreeMap<String, Arc<ItemTable>>;

/// A table.
#[derive(Debug)]
pub(crate) struct ItemTable {
    /// Name in routes.toml.
    pub name: String,
    /// First four bytes of the keys of its items.
    pub id: u32,
    /// Its key.
    pub key: KeySchema,
    /// Its indexes.
    pub indexes: Vec<SecondaryIndex>,
    /// Its change feed.
    pub feed: Option<Arc<Log>>,
    /// When its items expire; `None`: never.
    pub expiry: Option<ExpiryIndex>,
}

/// A secondary index: entries that lead to the key of the item.
#[derive(Debug)]
pub(crate) struct SecondaryIndex {
    /// Name in routes.toml.
    pub name: String,
    /// First four bytes of the keys of its entries.
    pub id: u32,
    /// Its key.
    pub key: KeySchema,
}

impl ItemTable {
    /// True if a write needs the old item: to move its index entries or to record it in the change feed.
    pub(crate) fn needs_old_item(&self) -> bool {
        self.has_entries() || self.feed.is_some()
    }

    /// True if entries lead to its items.
    fn has_entries(&self) -> bool {
        !self.indexes.is_empty() || self.expiry.is_some()
    }
}

/// A write to an item.
pub(crate) struct TableWrite {
    /// Index of the action in its commit.
    action: usize,
    table: Arc<ItemTable>,
    key: Slice,
    guard: Option<Guard>,
    change: ItemChange,
    /// The store deletes it, because it has expired.
    expires: bool,
    /// How many routes the change has come by.
    hops: u32,
}

enum ItemChange {
    /// The stored bytes, and the entry of each index.
    Put(Slice, Vec<Option<Vec<u8>>>),
    /// The key, for an item that is absent, and the changes of its attributes.
    Update(Item, Vec<(String, AttributeChange)>),
    Delete,
}

impl TableWrite {
    /// A put; `scratch` is a buffer to encode in.
    pub(crate) fn put(
        action: usize,
        put: &PutItem,
        tables: &TablesByName,
        scratch: &mut Vec<u8>,
    ) -> Result<Self, String> {
        let table = find(tables, &put.table)?;
        let context = |why: String| format!("an item for table {:?}: {why}", table.name);
        let key = item_key(table, &put.item, scratch).map_err(|e| context(e.to_string()))?;
        let item = normal(&put.item).map_err(context)?;
        scratch.clear();
        push_item(item.as_ref().unwrap_or(&put.item), scratch);
        let change = ItemChange::Put(Slice::from(&scratch[..]), entries(table, &put.item, &key).map_err(context)?);
        Ok(TableWrite {
            action,
            table: Arc::clone(table),
            key,
            guard: put.guard.clone(),
            change,
            expires: false,
            hops: 0,
        })
    }

    /// An update.
    pub(crate) fn update(action: usize, update: &UpdateItem, tables: &TablesByName) -> Result<Self, String> {
        let table = find(tables, &update.table)?;
        let context = |why: String| format!("an update of table {:?}: {why}", table.name);
        let key = exact_key(table, &update.key).map_err(context)?;
        let mut changes = update.changes.clone();
        for (name, change) in &mut changes {
            if table.key.contains(name) {
                return Err(context(format!(
                    "the key attribute {name:?} cannot be changed: delete the item and put another one"
                )));
            }
            normalize_change(name, change).map_err(context)?;
        }
        let change = ItemChange::Update(update.key.clone(), changes);
        Ok(TableWrite {
            action,
            table: Arc::clone(table),
            key,
            guard: update.guard.clone(),
            change,
            expires: false,
            hops: 0,
        })
    }

    /// A delete.
    pub(crate) fn delete(action: usize, delete: &DeleteItem, tables: &TablesByName) -> Result<Self, String> {
        let table = find(tables, &delete.table)?;
        let key = exact_key(table, &delete.key).map_err(|why| format!("a delete in table {:?}: {why}", table.name))?;
        Ok(TableWrite {
            action,
            table: Arc::clone(table),
            key,
            guard: delete.guard.clone(),
            change: ItemChange::Delete,
            expires: false,
            hops: 0,
        })
    }

    /// The delete of an item that has expired: it stays if its attribute `ttl` is not before `now` any more, in seconds since
    /// the Unix epoch.
    pub(crate) fn expiry(table: &Arc<ItemTable>, ttl: &str, key: Slice, now: u64) -> Self {
        let past = Comparison::Less(Value::Number(now.to_string()));
        let guard = Guard { condition: Condition(vec![(ttl.to_owned(), past)]), otherwise: Otherwise::Skip };
        let (table, guard) = (Arc::clone(table), Some(guard));
        TableWrite { action: 0, table, key, guard, change: ItemChange::Delete, expires: true, hops: 0 }
    }

    /// The same write, whose change has come by so many routes.
    pub(crate) fn with_hops(self, hops: u32) -> Self {
        TableWrite { hops, ..self }
    }

    /// Index of the action in its commit.
    pub(crate) fn action(&self) -> usize {
        self.action
    }

    /// Bytes that it writes, about.
    pub(crate) fn size(&self) -> usize {
        let value = match &self.change {
            ItemChange::Put(bytes, entries) => bytes.len() + entries.iter().flatten().map(Vec::len).sum::<usize>(),
            ItemChange::Update(_, changes) => changes.iter().map(|(name, c)| name.len() + c.size() + 8).sum(),
            ItemChange::Delete => 0,
        };
        self.key.len() + value
    }

    /// True if the write neither reads nor depends on the stored item.
    pub(crate) fn is_blind(&self) -> bool {
        self.guard.is_none() && !self.table.needs_old_item() && !matches!(self.change, ItemChange::Update(..))
    }
}

fn find<'a>(tables: &'a TablesByName, name: &str) -> Result<&'a Arc<ItemTable>, String> {
    tables.get(name).ok_or_else(|| format!("there is no table {name:?}"))
}

/// The key of an item in its space.
fn item_key(table: &ItemTable, item: &Item, scratch: &mut Vec<u8>) -> Result<Slice, KeyError> {
    scratch.clear();
    scratch.extend_from_slice(&table.id.to_be_bytes());
    key::encode(&table.key, item, scratch)?;
    Ok(Slice::from(&scratch[..]))
}

/// Likewise, for an item that consists of the key attributes only.
pub(crate) fn exact_key(table: &ItemTable, key: &Item) -> Result<Slice, String> {
    match key.0.iter().find(|(name, _)| !table.key.contains(name)) {
        Some((name, _)) => Err(format!("{name:?} is no attribute of its key {}", table.key.describe())),
        None if key.0.len() > table.key.width() => Err("a key attribute is given twice".to_owned()),
        None => item_key(table, key, &mut Vec::with_capacity(64)).map_err(|e| e.to_string()),
    }
}

/// The key of the entry that leads to `item` in an index; `None` if the item lacks an attribute of the index key.
pub(crate) fn entry_key(index: &SecondaryIndex, item: &Item, key: &[u8]) -> Result<Option<Vec<u8>>, KeyError> {
    let mut entry = Vec::with_capacity(96);
    entry.extend_from_slice(&index.id.to_be_bytes());
    if !key::encode_if_present(&index.key, item, &mut entry)? {
        return Ok(None);
    }
    // The key of the item follows, without its table: entries of equal keys are different keys.
    entry.extend_from_slice(key.get(4..).unwrap_or_default());
    Ok(Some(entry))
}

fn entries(table: &ItemTable, item: &Item, key: &[u8]) -> Result<Vec<Option<Vec<u8>>>, String> {
    if !table.has_entries() {
        return Ok(Vec::new());
    }
    let entry =
        |index: &SecondaryIndex| entry_key(index, item, key).map_err(|e| format!("for index {:?}: {e}", index.name));
    let expiry = table.expiry.iter().map(|expiry| Ok(expiry.entry_key(item, key)));
    table.indexes.iter().map(entry).chain(expiry).collect()
}

fn move_entries(old: Vec<Option<Vec<u8>>>, new: Vec<Option<Vec<u8>>>, key: &Slice, tx: &mut Transaction<'_>) {
    let count = old.len().max(new.len());
    let (mut old, mut new) = (old.into_iter(), new.into_iter());
    for _ in 0..count {
        let (old, new) = (old.next().flatten(), new.next().flatten());
        if old == new {
            continue;
        }
        if let Some(old) = old {
            tx.delete(Space::Items, old);
        }
        if let Some(new) = new {
            tx.put(Space::Items, new, key.clone());
        }
    }
}
