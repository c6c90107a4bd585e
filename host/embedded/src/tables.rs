//! Writes to tables: prepared in the caller's task, evaluated by the writer against what is there.

use crate::catalog::{Catalog, Index, Table};
use crate::codec::{push_item, read_item};
use crate::disk::Space;
use crate::json;
use crate::key::KeyError;
use crate::transaction::Transaction;
use esclusa_flow::effect::{Change, DeleteItem, PutItem, UpdateItem};
use esclusa_flow::engine::CommitError;
use esclusa_flow::fault::Fault;
use esclusa_flow::item::{Guard, Item, Otherwise, Value, number};
use fjall::Slice;
use std::collections::HashSet;
use std::sync::Arc;

/// A write to an item.
pub struct TableWrite {
    /// Index of the action in its commit.
    action: usize,
    table: Arc<Table>,
    key: Slice,
    guard: Option<Guard>,
    change: ItemChange,
}

enum ItemChange {
    /// The stored bytes, and the entry of each index.
    Put(Slice, Vec<Option<Vec<u8>>>),
    /// The key, for an item that is absent, and what changes.
    Update(Item, Vec<(String, Change)>),
    Delete,
}

/// An item as it is stored, and as it is.
struct Stored {
    bytes: Slice,
    item: Item,
}

impl TableWrite {
    /// A put; `scratch` is a buffer to encode in.
    pub fn put(action: usize, put: &PutItem, catalog: &Catalog, scratch: &mut Vec<u8>) -> Result<Self, String> {
        let table = find(catalog, &put.table)?;
        let context = |why: String| format!("an item for table {:?}: {why}", table.name);
        let key = item_key(table, &put.item, scratch).map_err(|e| context(e.to_string()))?;
        let item = normal(&put.item).map_err(context)?;
        scratch.clear();
        push_item(item.as_ref().unwrap_or(&put.item), scratch);
        let change = ItemChange::Put(Slice::from(&scratch[..]), entries(table, &put.item, &key).map_err(context)?);
        Ok(TableWrite { action, table: Arc::clone(table), key, guard: put.guard.clone(), change })
    }

    /// An update.
    pub fn update(action: usize, update: &UpdateItem, catalog: &Catalog) -> Result<Self, String> {
        let table = find(catalog, &update.table)?;
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
        Ok(TableWrite { action, table: Arc::clone(table), key, guard: update.guard.clone(), change })
    }

    /// A delete.
    pub fn delete(action: usize, delete: &DeleteItem, catalog: &Catalog) -> Result<Self, String> {
        let table = find(catalog, &delete.table)?;
        let key = exact_key(table, &delete.key).map_err(|why| format!("a delete in table {:?}: {why}", table.name))?;
        Ok(TableWrite {
            action,
            table: Arc::clone(table),
            key,
            guard: delete.guard.clone(),
            change: ItemChange::Delete,
        })
    }

    /// Index of the action in its commit.
    pub fn action(&self) -> usize {
        self.action
    }

    /// Bytes that it writes, about.
    pub fn size(&self) -> usize {
        let value = match &self.change {
            ItemChange::Put(bytes, entries) => bytes.len() + entries.iter().flatten().map(Vec::len).sum::<usize>(),
            ItemChange::Update(..) => 1024,
            ItemChange::Delete => 0,
        };
        self.key.len() + value
    }

    /// True where nothing that is stored decides about it.
    pub fn is_blind(&self) -> bool {
        self.guard.is_none() && !self.table.needs_old_item() && !matches!(self.change, ItemChange::Update(..))
    }

    /// Carries it out in `tx`; false where its guard said skip. `changed` is told what a change feed records.
    pub fn evaluate(self, tx: &mut Transaction<'_>, changed: &mut Vec<Changed>) -> Result<bool, CommitError> {
        if self.is_blind() {
            match self.change {
                ItemChange::Put(bytes, _) => tx.put(Space::Items, self.key, bytes),
                _ => tx.delete(Space::Items, self.key),
            }
            return Ok(true);
        }
        let old = tx.get(Space::Items, &self.key)?;
        let old =
            old.map(|bytes| read_item(&bytes).map(|item| Stored { item, bytes })).transpose().map_err(Fault::from)?;
        if let Some(guard) = &self.guard
            && !guard.condition.holds(old.as_ref().map(|o| &o.item))
        {
            return match guard.otherwise {
                Otherwise::Rerun => Err(CommitError::Conflict),
                Otherwise::Skip => Ok(false),
            };
        }
        self.write(old, tx, changed).map(|()| true)
    }

    fn write(
        self,
        old: Option<Stored>,
        tx: &mut Transaction<'_>,
        changed: &mut Vec<Changed>,
    ) -> Result<(), CommitError> {
        let refuse = |why: String| {
            CommitError::Refused(vec![(self.action, format!("an item of table {:?}: {why}", self.table.name))])
        };
        let (new, new_entries) = match self.change {
            ItemChange::Put(bytes, entries) => (Some(bytes), entries),
            ItemChange::Update(key, changes) => {
                let item = updated(old.as_ref().map_or(key, |o| o.item.clone()), changes).map_err(refuse)?;
                let mut bytes = Vec::with_capacity(256);
                push_item(&item, &mut bytes);
                (Some(bytes.into()), entries(&self.table, &item, &self.key).map_err(refuse)?)
            }
            ItemChange::Delete => (None, Vec::new()),
        };
        if old.as_ref().map(|o| &o.bytes) == new.as_ref() {
            return Ok(());
        }
        let old_entries = match &old {
            Some(old) => entries(&self.table, &old.item, &self.key).map_err(refuse)?,
            None => Vec::new(),
        };
        move_entries(old_entries, new_entries, &self.key, tx);
        if let Some(feed) = &self.table.feed
            && !same(old.as_ref(), new.as_ref())?
        {
            changed.push(Changed { feed: Arc::clone(feed), old: old.map(|o| o.bytes), new: new.clone() });
        }
        match new {
            Some(bytes) => tx.put(Space::Items, self.key, bytes),
            None => tx.delete(Space::Items, self.key),
        }
        Ok(())
    }
}

/// What a change feed is to record.
pub struct Changed {
    /// The feed.
    pub feed: Arc<crate::streams::Log>,
    /// The item before.
    pub old: Option<Slice>,
    /// The item after.
    pub new: Option<Slice>,
}

fn find<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a Arc<Table>, String> {
    catalog.tables.get(name).ok_or_else(|| format!("there is no table {name:?}"))
}

/// The key of an item in its space.
fn item_key(table: &Table, item: &Item, scratch: &mut Vec<u8>) -> Result<Slice, KeyError> {
    scratch.clear();
    scratch.extend_from_slice(&table.id.to_be_bytes());
    table.key.encode(item, scratch)?;
    Ok(Slice::from(&scratch[..]))
}

/// Likewise, for an item that consists of the key attributes only.
pub fn exact_key(table: &Table, key: &Item) -> Result<Slice, String> {
    match key.0.iter().find(|(name, _)| !table.key.contains(name)) {
        Some((name, _)) => Err(format!("{name:?} is no attribute of its key {}", table.key.describe())),
        None if key.0.len() > table.key.width() => Err("a key attribute is given twice".to_owned()),
        None => item_key(table, key, &mut Vec::with_capacity(64)).map_err(|e| e.to_string()),
    }
}

/// The key of the entry that leads to `item` in an index; `None` where the item is not in it.
pub fn entry_key(index: &Index, item: &Item, key: &[u8]) -> Result<Option<Vec<u8>>, KeyError> {
    let mut entry = Vec::with_capacity(96);
    entry.extend_from_slice(&index.id.to_be_bytes());
    if !index.key.encode_where_present(item, &mut entry)? {
        return Ok(None);
    }
    // The key of the item follows, without its table: entries of equal keys are different keys.
    entry.extend_from_slice(key.get(4..).unwrap_or_default());
    Ok(Some(entry))
}

fn entries(table: &Table, item: &Item, key: &[u8]) -> Result<Vec<Option<Vec<u8>>>, String> {
    if table.indexes.is_empty() {
        return Ok(Vec::new());
    }
    let entry = |index: &Index| entry_key(index, item, key).map_err(|e| format!("for index {:?}: {e}", index.name));
    table.indexes.iter().map(entry).collect()
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

/// True where both are the same item: the order of attributes and of the members of sets carries no meaning.
fn same(old: Option<&Stored>, new: Option<&Slice>) -> Result<bool, Fault> {
    let (Some(old), Some(new)) = (old, new) else { return Ok(old.is_none() && new.is_none()) };
    let new = read_item(new)?;
    Ok(old.item.0.len() == new.0.len()
        && old.item.0.iter().all(|(name, value)| new.get(name).is_some_and(|other| same_value(value, other))))
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::TextSet(a), Value::TextSet(b)) | (Value::NumberSet(a), Value::NumberSet(b)) => {
            a.len() == b.len() && a.iter().collect::<HashSet<_>>() == b.iter().collect::<HashSet<_>>()
        }
        _ => a == b,
    }
}

/// The item in the form that is stored, where it is not in it already.
fn normal(item: &Item) -> Result<Option<Item>, String> {
    check_names(item)?;
    let mut copy: Option<Item> = None;
    for (i, (name, value)) in item.0.iter().enumerate() {
        if is_normal(value) {
            continue;
        }
        let mut value = value.clone();
        normalize(name, &mut value)?;
        let copy = copy.get_or_insert_with(|| item.clone());
        if let Some(slot) = copy.0.get_mut(i) {
            slot.1 = value;
        }
    }
    Ok(copy)
}

fn check_names(item: &Item) -> Result<(), String> {
    let twice = if item.0.len() <= 32 {
        item.0.iter().enumerate().find(|(i, (name, _))| item.0.iter().take(*i).any(|(n, _)| n == name)).map(|(_, a)| a)
    } else {
        let mut seen = HashSet::with_capacity(item.0.len());
        item.0.iter().find(|(name, _)| !seen.insert(name))
    };
    match twice {
        Some((name, _)) => Err(format!("the attribute {name:?} is given twice")),
        None if item.0.iter().any(|(name, _)| name.is_empty()) => Err("an attribute has no name".to_owned()),
        None => Ok(()),
    }
}

fn is_normal(value: &Value) -> bool {
    match value {
        Value::Number(text) => number::is_canonical(text),
        Value::Text(_) | Value::Binary(_) | Value::Boolean(_) | Value::Null => true,
        Value::TextSet(_) | Value::NumberSet(_) | Value::Document(_) => false,
    }
}

fn normalize(name: &str, value: &mut Value) -> Result<(), String> {
    let wrong = |e: number::Error| format!("the attribute {name:?}: {e}");
    match value {
        Value::Number(text) => *text = number::canonical(text).map_err(wrong)?,
        Value::NumberSet(texts) => {
            for text in texts.iter_mut() {
                *text = number::canonical(text).map_err(wrong)?;
            }
            deduplicate(name, texts)?;
        }
        Value::TextSet(texts) => deduplicate(name, texts)?,
        Value::Document(text) => json::check_document(text).map_err(|e| format!("the attribute {name:?}: {e}"))?,
        Value::Text(_) | Value::Binary(_) | Value::Boolean(_) | Value::Null => {}
    }
    Ok(())
}

fn deduplicate(name: &str, texts: &mut Vec<String>) -> Result<(), String> {
    if texts.is_empty() {
        return Err(format!("the attribute {name:?} is an empty set: leave it out"));
    }
    let mut seen = HashSet::with_capacity(texts.len());
    texts.retain(|text| seen.insert(text.clone()));
    Ok(())
}

fn normalize_change(name: &str, change: &mut Change) -> Result<(), String> {
    match change {
        _ if name.is_empty() => Err("an attribute has no name".to_owned()),
        Change::Set(value) => normalize(name, value),
        Change::Add(text) => {
            *text = number::canonical(text).map_err(|e| format!("the attribute {name:?}: {e}"))?;
            Ok(())
        }
        Change::Remove => Ok(()),
    }
}

fn updated(mut item: Item, changes: Vec<(String, Change)>) -> Result<Item, String> {
    for (name, change) in changes {
        match change {
            Change::Set(value) => item.set(&name, value),
            Change::Remove => item.remove(&name),
            Change::Add(amount) => {
                let sum = match item.get(&name) {
                    None => amount,
                    Some(Value::Number(stored)) => {
                        number::add(stored, &amount).map_err(|e| format!("adding to the attribute {name:?}: {e}"))?
                    }
                    Some(other) => {
                        return Err(format!(
                            "the attribute {name:?} has type {}, a number cannot be added to it",
                            other.type_name()
                        ));
                    }
                };
                item.set(&name, Value::Number(sum));
            }
        }
    }
    Ok(item)
}
