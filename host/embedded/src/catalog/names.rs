//! The records of names on disk: which id stands for which table, stream or queue, whether the schema in force has it or not.

use crate::disk::{Disk, Space, read_fault};
use crate::transaction::Transaction;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::KeySchema;
use fjall::Readable;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// A table.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TableRecord {
    /// First four bytes of the keys of its items.
    pub id: u32,
    /// Its key.
    pub key: KeySchema,
    /// Its indexes, by name.
    pub indexes: BTreeMap<String, IndexRecord>,
    /// Id of its change feed.
    pub feed: Option<u32>,
    /// The entries by which its items expire.
    #[serde(default)]
    pub expiry: Option<ExpiryRecord>,
}

/// The entries by which items expire.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExpiryRecord {
    /// First four bytes of their keys.
    pub id: u32,
    /// The attribute with the time.
    pub attribute: String,
}

/// An index.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IndexRecord {
    /// First four bytes of the keys of its entries.
    pub id: u32,
    /// Its key.
    pub key: KeySchema,
}

/// A stream.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StreamRecord {
    /// First four bytes of the keys of its records.
    pub id: u32,
    /// Partitions that there have ever been.
    pub lanes: u32,
}

/// A queue.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct QueueRecord {
    /// First four bytes of the keys of its messages.
    pub id: u32,
}

/// All names that a store has records of.
#[derive(Debug, Default)]
pub(crate) struct StoredNames {
    /// Tables.
    pub tables: BTreeMap<String, TableRecord>,
    /// Streams.
    pub streams: BTreeMap<String, StreamRecord>,
    /// Queues.
    pub queues: BTreeMap<String, QueueRecord>,
}

impl StoredNames {
    /// Reads them.
    pub(crate) fn load(disk: &Disk) -> Result<Self, Fault> {
        let mut names = StoredNames::default();
        for guard in disk.snapshot().prefix(disk.space(Space::State), b"k") {
            let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
            let text = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            match text.split_once(':') {
                Some(("table", name)) => drop(names.tables.insert(name.to_owned(), read("table", name, &value)?)),
                Some(("stream", name)) => drop(names.streams.insert(name.to_owned(), read("stream", name, &value)?)),
                Some(("queue", name)) => drop(names.queues.insert(name.to_owned(), read("queue", name, &value)?)),
                _ => {
                    return Err(Fault::Permanent(format!(
                        "the store has a record of {text:?}, which is no kind of name"
                    )));
                }
            }
        }
        Ok(names)
    }

    /// The first four bytes of the keys of each, as a number, and whose they are.
    pub(crate) fn ids(&self) -> Vec<(String, u32)> {
        let mut ids = Vec::new();
        for (name, table) in &self.tables {
            let what = format!("table {name:?}");
            let own = [Some(table.id), table.feed, table.expiry.as_ref().map(|expiry| expiry.id)];
            let all = own.into_iter().flatten().chain(table.indexes.values().map(|index| index.id));
            ids.extend(all.map(|id| (what.clone(), id)));
        }
        ids.extend(self.streams.iter().map(|(name, stream)| (format!("stream {name:?}"), stream.id)));
        ids.extend(self.queues.iter().map(|(name, queue)| (format!("queue {name:?}"), queue.id)));
        ids
    }
}

/// Key of the record of a name.
pub(crate) fn record_key(kind: &str, name: &str) -> Vec<u8> {
    format!("k{kind}:{name}").into_bytes()
}

fn read<T: DeserializeOwned>(kind: &str, name: &str, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|e| bug(kind, name, &e))
}

/// The record of a name, as the commits before left it.
pub(crate) fn load<T: DeserializeOwned>(kind: &str, name: &str, tx: &mut Transaction<'_>) -> Result<Option<T>, Fault> {
    let stored = tx.get(Space::State, &record_key(kind, name))?;
    stored.map(|bytes| read(kind, name, &bytes)).transpose()
}

/// Stores the record of a name.
pub(crate) fn store<T: Serialize>(kind: &str, name: &str, value: &T, tx: &mut Transaction<'_>) -> Result<(), Fault> {
    let bytes = serde_json::to_vec(value).map_err(|e| bug(kind, name, &e))?;
    tx.put(Space::State, record_key(kind, name), bytes);
    Ok(())
}

fn bug(kind: &str, name: &str, error: &serde_json::Error) -> Fault {
    Fault::Bug(format!("the record of {kind} {name:?}: {error}"))
}
