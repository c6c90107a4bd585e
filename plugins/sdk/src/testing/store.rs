//! Tables and objects for tests: they answer reads, and carry out effects.

use super::rules;
use crate::condition::{Comparison, Guard, Otherwise};
use crate::effect::{Action, AttributeChange};
use crate::effects::Effects;
use crate::item::{Item, Value};
use crate::objects::{self, ObjectError, ObjectReader};
use crate::tables::{KeyAttributes, Page, Selection, TableError, TableReader};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Tables and objects by name. Conditions and sums are those of the router.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    tables: BTreeMap<String, StoredTable>,
    /// Objects by store and path.
    objects: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

/// Longest partition key and longest sort key, bytes: those of every engine.
const KEY_LIMITS: [usize; 2] = [2048, 1024];

#[derive(Debug, Clone, Default)]
struct StoredTable {
    key: Vec<String>,
    indexes: BTreeMap<String, Vec<String>>,
    items: Vec<Item<'static>>,
}

impl Tables {
    /// No tables.
    #[must_use]
    pub fn new() -> Self {
        Tables::default()
    }

    /// With a table more, that has these key attributes.
    #[must_use]
    pub fn table(mut self, name: &str, key: &[&str]) -> Self {
        let key = key.iter().map(|k| (*k).to_owned()).collect();
        self.tables.insert(name.to_owned(), StoredTable { key, ..StoredTable::default() });
        self
    }

    /// With an index more.
    #[must_use]
    pub fn index(mut self, table: &str, index: &str, key: &[&str]) -> Self {
        if let Some(table) = self.tables.get_mut(table) {
            table.indexes.insert(index.to_owned(), key.iter().map(|k| (*k).to_owned()).collect());
        }
        self
    }

    /// With an item more.
    #[must_use]
    pub fn item(mut self, table: &str, item: Item<'static>) -> Self {
        if let Some(table) = self.tables.get_mut(table) {
            table.put(item);
        }
        self
    }

    /// With an object more, in a store that the route may read.
    #[must_use]
    pub fn object(mut self, store: &str, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.objects.entry(store.to_owned()).or_default().insert(path.to_owned(), bytes.into());
        self
    }

    /// The items of a table.
    #[must_use]
    pub fn items(&self, table: &str) -> &[Item<'static>] {
        self.tables.get(table).map(|t| t.items.as_slice()).unwrap_or_default()
    }

    /// Carries out the writes of an output, in order.
    ///
    /// # Errors
    /// If a guard that asks for a rerun does not hold, a number cannot be added, or a key is too long: nothing is carried out then.
    pub fn apply(&mut self, out: &Effects<'_>) -> Result<(), String> {
        // On a copy: an error must leave the tables as they were, as a transaction does.
        let mut next = self.clone();
        for effect in out.effects() {
            next.write(&effect.action)?;
        }
        *self = next;
        Ok(())
    }

    fn write(&mut self, action: &Action<'_>) -> Result<(), String> {
        let (name, key, guard) = match action {
            Action::Put(put) => (&put.table, &put.item, &put.guard),
            Action::Update(update) => (&update.table, &update.key, &update.guard),
            Action::Delete(delete) => (&delete.table, &delete.key, &delete.guard),
            Action::Object(_) | Action::Send(_) => return Ok(()),
        };
        let table = self.tables.get_mut(name.as_ref()).ok_or_else(|| format!("there is no table {name:?}"))?;
        check_key(&table.key, key.0.iter().map(|(name, value)| (name.as_ref(), value)))?;
        let stored = table.position(key).and_then(|at| table.items.get(at));
        if let Some(Guard { condition, otherwise }) = guard
            && !rules::holds(condition, stored)
        {
            return match otherwise {
                Otherwise::Skip => Ok(()),
                Otherwise::Rerun => Err(format!("a guard on table {name:?} does not hold")),
            };
        }
        match action {
            Action::Put(put) => table.put(own(&put.item)),
            Action::Update(update) => {
                let mut item = stored.cloned().unwrap_or_else(|| own(&update.key));
                for (name, change) in &update.changes {
                    change_attribute(&mut item, name, change)?;
                }
                table.put(item);
            }
            _ => {
                if let Some(at) = table.position(key) {
                    table.items.remove(at);
                }
            }
        }
        Ok(())
    }
}

impl TableReader for Tables {
    fn key_of(&self, table: &str) -> Result<KeyAttributes, TableError> {
        let table = self.tables.get(table).ok_or_else(|| TableError::NotGranted(table.to_owned()))?;
        let mut key = table.key.iter().cloned();
        Ok(KeyAttributes { partition: key.next().unwrap_or_default(), sort: key.next() })
    }

    fn scan(&self, table: &str, token: Option<&str>, limit: Option<u32>) -> Result<Page, TableError> {
        let stored = self.tables.get(table).ok_or_else(|| TableError::NotGranted(table.to_owned()))?;
        // The router's tokens are opaque; this one is the place of the next item.
        let unknown = |_| TableError::Invalid(format!("a scan of table {table:?}: unknown token"));
        let from: usize = token.map_or(Ok(0), str::parse).map_err(unknown)?;
        let most = limit.map_or(1_000, |limit| limit as usize);
        if most == 0 || most > 1_000 {
            return Err(TableError::Invalid(format!("a scan of table {table:?}: its limit is not within 1 to 1,000")));
        }
        let items: Vec<_> = stored.items.iter().skip(from).take(most).cloned().collect();
        let next = from.saturating_add(items.len());
        Ok(Page { items, next: (next < stored.items.len()).then(|| next.to_string()) })
    }

    fn get(&self, table: &str, key: &Item<'_>) -> Result<Option<Item<'static>>, TableError> {
        let table = self.tables.get(table).ok_or_else(|| TableError::NotGranted(table.to_owned()))?;
        if key.0.len() != table.key.len() || table.key.iter().any(|name| key.get(name).is_none()) {
            return Err(TableError::Invalid(format!("the key of the table is {:?}", table.key)));
        }
        check_key(&table.key, key.0.iter().map(|(name, value)| (name.as_ref(), value))).map_err(TableError::Invalid)?;
        Ok(table.position(key).and_then(|at| table.items.get(at)).cloned())
    }

    fn query(&self, selection: &Selection<'_>) -> Result<Vec<Item<'static>>, TableError> {
        let name = selection.table;
        let table = self.tables.get(name).ok_or_else(|| TableError::NotGranted(name.to_owned()))?;
        let key = match selection.index {
            None => &table.key,
            Some(index) => table
                .indexes
                .get(index)
                .ok_or_else(|| TableError::Invalid(format!("table {name:?} has no index {index:?}")))?,
        };
        // The router refuses a query without equality on the partition key; a test must find that out.
        let partition = key.first().map(String::as_str).unwrap_or_default();
        if !selection.key.0.iter().any(|(name, c)| name == partition && matches!(c, Comparison::Equal(_))) {
            return Err(TableError::Invalid(format!("a query needs equality on {partition:?}")));
        }
        let compared = selection.key.0.iter().filter_map(|(name, comparison)| match comparison {
            Comparison::Equal(value)
            | Comparison::Less(value)
            | Comparison::LessOrEqual(value)
            | Comparison::Greater(value)
            | Comparison::GreaterOrEqual(value) => Some((name.as_ref(), value)),
            _ => None,
        });
        check_key(key, compared).map_err(TableError::Invalid)?;
        let matches = |item: &&Item<'static>| {
            key.iter().all(|name| item.get(name).is_some())
                && rules::holds(&selection.key, Some(item))
                && rules::holds(&selection.filter, Some(item))
        };
        let mut found: Vec<_> = table.items.iter().filter(matches).cloned().collect();
        if let Some(sort) = key.get(1) {
            found.sort_by(|a, b| {
                a.get(sort).zip(b.get(sort)).and_then(|(a, b)| rules::order(a, b)).unwrap_or(Ordering::Equal)
            });
        }
        if selection.descending {
            found.reverse();
        }
        found.truncate(selection.limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(found)
    }
}

impl ObjectReader for Tables {
    fn object(
        &self,
        store: &str,
        path: &str,
        range: Option<(u64, u32)>,
    ) -> Result<Option<objects::Object>, ObjectError> {
        let stored = self.objects.get(store).ok_or_else(|| ObjectError::NotGranted(store.to_owned()))?;
        let Some(all) = stored.get(path) else { return Ok(None) };
        let (offset, length) = range.map_or((0, usize::MAX), |(offset, length)| (offset, length as usize));
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(Some(objects::Object {
            size: all.len() as u64,
            bytes: all.iter().skip(offset).take(length).copied().collect(),
        }))
    }

    fn objects(&self, store: &str, prefix: &str, token: Option<&str>) -> Result<objects::Page, ObjectError> {
        let stored = self.objects.get(store).ok_or_else(|| ObjectError::NotGranted(store.to_owned()))?;
        let after = |path: &str| token.is_none_or(|token| path > token);
        let mut found = stored.iter().filter(|(path, _)| path.starts_with(prefix) && after(path));
        let entries: Vec<_> = found
            .by_ref()
            .take(1_000)
            .map(|(path, bytes)| objects::Entry { path: path.clone(), size: bytes.len() as u64 })
            .collect();
        let next = found.next().and_then(|_| entries.last()).map(|entry| entry.path.clone());
        Ok(objects::Page { entries, next })
    }
}

impl StoredTable {
    fn position(&self, key: &Item<'_>) -> Option<usize> {
        self.items
            .iter()
            .position(|item| self.key.iter().all(|name| item.get(name).is_some_and(|v| Some(v) == key.get(name))))
    }

    fn put(&mut self, item: Item<'static>) {
        let at = self.position(&item);
        match at.and_then(|at| self.items.get_mut(at)) {
            Some(stored) => *stored = item,
            None => self.items.push(item),
        }
    }
}

/// Checks the length of the values that an item or a query has for the attributes of a key.
///
/// # Errors
/// In the words of the router.
fn check_key<'v>(key: &[String], values: impl Iterator<Item = (&'v str, &'v Value<'v>)>) -> Result<(), String> {
    for (name, value) in values {
        let Some((_, limit)) = key.iter().zip(KEY_LIMITS).find(|(attribute, _)| *attribute == name) else { continue };
        let length = match value {
            Value::Text(text) => text.len(),
            Value::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        if length > limit {
            return Err(format!("the key attribute {name:?} has {length} bytes, more than {limit}"));
        }
    }
    Ok(())
}

fn change_attribute(item: &mut Item<'static>, name: &str, change: &AttributeChange<'_>) -> Result<(), String> {
    match change {
        AttributeChange::Set(value) => item.set(name.to_owned(), own_value(value)),
        AttributeChange::Remove => item.0.retain(|(n, _)| n != name),
        AttributeChange::Add(amount) => {
            let sum = rules::add(item.get(name), amount).map_err(|why| format!("adding to {name:?}: {why}"))?;
            item.set(name.to_owned(), Value::Number(Cow::Owned(sum)));
        }
    }
    Ok(())
}

fn own(item: &Item<'_>) -> Item<'static> {
    Item(item.0.iter().map(|(name, value)| (Cow::Owned(name.to_string()), own_value(value))).collect())
}

fn own_value(value: &Value<'_>) -> Value<'static> {
    match value.clone() {
        Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
        Value::Number(text) => Value::Number(Cow::Owned(text.into_owned())),
        Value::Binary(bytes) => Value::Binary(Cow::Owned(bytes.into_owned())),
        Value::Boolean(value) => Value::Boolean(value),
        Value::Null => Value::Null,
        Value::TextSet(texts) => Value::TextSet(texts),
        Value::NumberSet(texts) => Value::NumberSet(texts),
        Value::Document(text) => Value::Document(Cow::Owned(text.into_owned())),
    }
}
