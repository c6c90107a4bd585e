//! From a schema to a catalog: ids for new names, new indexes, and refusals of changes that do not fit the stored
//! data.

use super::Catalog;
use super::names::{ExpiryRecord, IndexRecord, QueueRecord, StreamRecord, TableRecord, load, store};
use crate::codec::read_item;
use crate::disk::{Space, read_fault};
use crate::error::SchemaError;
use crate::queues::MessageQueue;
use crate::schema::{OutputTarget, QueueSchema, StoreSchema, StreamSchema};
use crate::streams::{CHANGES_RETENTION, Log};
use crate::tables::expiry_index::ExpiryIndex;
use crate::tables::{ItemTable, SecondaryIndex, entry_key};
use crate::transaction::Transaction;
use esclusa_flow::fault::Fault;
use esclusa_flow::item::Item;
use esclusa_flow::settings::TableSchema;
use fjall::Readable;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes the catalog of `schema`, keeps the readers and queue states of `old`, and records it. Also gives the ids of
/// removed indexes: once the catalog is durable, their entries can be [dropped](drop_entries). A failure writes
/// nothing, except entries of an index that no catalog names.
pub(crate) fn apply(
    schema: &StoreSchema,
    old: &Catalog,
    tx: &mut Transaction<'_>,
) -> Result<(Catalog, Vec<u32>), SchemaError> {
    check_outputs(schema)?;
    let mut dropped = Vec::new();
    let mut new = Catalog {
        generation: old.generation + 1,
        objects: schema.objects.clone(),
        outputs: schema.outputs.clone(),
        limits: schema.limits,
        ..Catalog::default()
    };
    for (name, wanted) in &schema.streams {
        let log = stream(name, wanted, old.streams.get(name), tx)?;
        new.streams.insert(name.clone(), Arc::new(log));
    }
    for (name, wanted) in &schema.tables {
        let table = table(name, wanted, old.tables.get(name), &mut dropped, tx)?;
        new.tables.insert(name.clone(), Arc::new(table));
    }
    // Last: consumers and messages are deleted here, which an index that cannot be built must not leave half done.
    for (name, wanted) in &schema.queues {
        let queue = queue(name, wanted, old.queues.get(name), tx)?;
        new.queues.insert(name.clone(), Arc::new(queue));
    }
    Ok((new, dropped))
}

fn check_outputs(schema: &StoreSchema) -> Result<(), SchemaError> {
    for (output, target) in &schema.outputs {
        let (kind, name, known) = match target {
            OutputTarget::Stream(name) => ("stream", name, schema.streams.contains_key(name)),
            OutputTarget::Queue(name) => ("queue", name, schema.queues.contains_key(name)),
        };
        if !known {
            return Err(SchemaError::Invalid(format!(
                "output {output:?} leads to {kind} {name:?}, which the schema does not have"
            )));
        }
    }
    match schema.streams.iter().find(|(_, s)| s.partitions == 0) {
        Some((name, _)) => {
            Err(SchemaError::Invalid(format!("stream {name:?} has no partitions: it needs at least one")))
        }
        None => Ok(()),
    }
}

fn stream(
    name: &str,
    wanted: &StreamSchema,
    old: Option<&Arc<Log>>,
    tx: &mut Transaction<'_>,
) -> Result<Log, SchemaError> {
    let stored: Option<StreamRecord> = load("stream", name, tx)?;
    let id = stored.as_ref().map_or_else(|| tx.next_number(), |s| Ok(s.id))?;
    // Partitions are never forgotten: routes may still have to read records of those that were taken away.
    let lanes = stored.as_ref().map_or(0, |s| s.lanes).max(wanted.partitions);
    store("stream", name, &StreamRecord { id, lanes }, tx)?;
    let log = Log::new(name, id, wanted.partitions, lanes, wanted.retention);
    Ok(match old {
        Some(old) => log.keeping_readers_of(old),
        None => log,
    })
}

fn queue(
    name: &str,
    wanted: &QueueSchema,
    old: Option<&Arc<MessageQueue>>,
    tx: &mut Transaction<'_>,
) -> Result<MessageQueue, SchemaError> {
    let stored: Option<QueueRecord> = load("queue", name, tx)?;
    let id = stored.map_or_else(|| tx.next_number(), |s| Ok(s.id))?;
    store("queue", name, &QueueRecord { id }, tx)?;
    Ok(MessageQueue::load(name, id, wanted, old, tx)?)
}

fn table(
    name: &str,
    wanted: &TableSchema,
    old: Option<&Arc<ItemTable>>,
    dropped: &mut Vec<u32>,
    tx: &mut Transaction<'_>,
) -> Result<ItemTable, SchemaError> {
    let stored: Option<TableRecord> = load("table", name, tx)?;
    let mut stored = match stored {
        Some(stored) if stored.key == wanted.key => stored,
        Some(stored) if holds_items(stored.id, tx)? => {
            let (stored, wanted) = (stored.key.describe(), wanted.key.describe());
            return Err(SchemaError::KeyChanged { table: name.to_owned(), stored, wanted });
        }
        // An empty table starts again under another number, with another feed.
        _ => TableRecord {
            id: tx.next_number()?,
            key: wanted.key.clone(),
            indexes: BTreeMap::new(),
            feed: None,
            expiry: None,
        },
    };
    if wanted.changes && stored.feed.is_none() {
        stored.feed = Some(tx.next_number()?);
    }
    let indexes = indexes(name, wanted, &mut stored, dropped, tx)?;
    let expiry = expiry(wanted, &mut stored, dropped, tx)?;
    store("table", name, &stored, tx)?;
    let feed = stored.feed.filter(|_| wanted.changes).map(|id| {
        let log = Log::new(name, id, 1, 1, CHANGES_RETENTION);
        Arc::new(match old.and_then(|old| old.feed.as_ref()) {
            Some(old) => log.keeping_readers_of(old),
            None => log,
        })
    });
    Ok(ItemTable { name: name.to_owned(), id: stored.id, key: stored.key, indexes, feed, expiry })
}

fn indexes(
    table: &str,
    wanted: &TableSchema,
    stored: &mut TableRecord,
    dropped: &mut Vec<u32>,
    tx: &mut Transaction<'_>,
) -> Result<Vec<SecondaryIndex>, SchemaError> {
    let before = std::mem::take(&mut stored.indexes);
    let gone = before.iter().filter(|(name, index)| wanted.indexes.get(*name) != Some(&index.key));
    dropped.extend(gone.map(|(_, index)| index.id));
    let mut indexes = Vec::with_capacity(wanted.indexes.len());
    for (name, key) in &wanted.indexes {
        let kept = before.get(name).filter(|index| &index.key == key);
        let index = SecondaryIndex {
            name: name.clone(),
            id: kept.map_or_else(|| tx.next_number(), |i| Ok(i.id))?,
            key: key.clone(),
        };
        if kept.is_none() {
            let entry = |item: &Item, key: &[u8]| {
                entry_key(&index, item, key).map_err(|error| SchemaError::Index {
                    table: table.to_owned(),
                    index: name.clone(),
                    reason: format!("an item does not fit: {error}"),
                })
            };
            build_index(stored.id, entry, tx)?;
        }
        stored.indexes.insert(name.clone(), IndexRecord { id: index.id, key: key.clone() });
        indexes.push(index);
    }
    Ok(indexes)
}

/// The entries by which items expire: none, those that there are, or new ones.
fn expiry(
    wanted: &TableSchema,
    stored: &mut TableRecord,
    dropped: &mut Vec<u32>,
    tx: &mut Transaction<'_>,
) -> Result<Option<ExpiryIndex>, SchemaError> {
    let before = stored.expiry.take();
    if let (Some(attribute), Some(before)) = (&wanted.ttl, &before)
        && *attribute == before.attribute
    {
        stored.expiry = Some(ExpiryRecord { id: before.id, attribute: attribute.clone() });
        return Ok(Some(ExpiryIndex { id: before.id, attribute: attribute.clone() }));
    }
    dropped.extend(before.map(|before| before.id));
    let Some(attribute) = &wanted.ttl else { return Ok(None) };
    let index = ExpiryIndex { id: tx.next_number()?, attribute: attribute.clone() };
    build_index(stored.id, |item, key| Ok(index.entry_key(item, key)), tx)?;
    stored.expiry = Some(ExpiryRecord { id: index.id, attribute: attribute.clone() });
    Ok(Some(index))
}

/// Writes the entries of a new index of table `id`.
fn build_index(
    id: u32,
    entry: impl Fn(&Item, &[u8]) -> Result<Option<Vec<u8>>, SchemaError>,
    tx: &mut Transaction<'_>,
) -> Result<(), SchemaError> {
    let snapshot = tx.disk.snapshot();
    for guard in snapshot.prefix(tx.disk.space(Space::Items), id.to_be_bytes()) {
        let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
        let item = read_item(&value).map_err(Fault::from)?;
        if let Some(entry) = entry(&item, &key)? {
            tx.put(Space::Items, entry, key);
            tx.spill()?;
        }
    }
    Ok(())
}

/// Deletes the entries of an index.
pub(crate) fn drop_entries(id: u32, tx: &mut Transaction<'_>) -> Result<(), Fault> {
    let snapshot = tx.disk.snapshot();
    for guard in snapshot.prefix(tx.disk.space(Space::Items), id.to_be_bytes()) {
        let key = guard.key().map_err(|e| read_fault(&e))?;
        tx.delete(Space::Items, key);
        tx.spill()?;
    }
    Ok(())
}

fn holds_items(id: u32, tx: &Transaction<'_>) -> Result<bool, Fault> {
    match tx.disk.snapshot().prefix(tx.disk.space(Space::Items), id.to_be_bytes()).next() {
        Some(guard) => guard.key().map(|_| true).map_err(|e| read_fault(&e)),
        None => Ok(false),
    }
}
