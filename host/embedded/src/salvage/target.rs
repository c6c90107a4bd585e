//! The new store that a salvage writes.

use crate::catalog::names::TableRecord;
use crate::codec::trailing_number;
use crate::disk::mark::{Mark, MarkFile};
use crate::disk::{self, Disk, Space, format};
use crate::transaction::{self, NAMES, SEQUENCES, Sequences, read_sequences};
use fjall::{OwnedWriteBatch, PersistMode, Slice};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Entries that are written at once.
const CHUNK: usize = 1000;

/// A store in the making.
pub(crate) struct Target {
    path: PathBuf,
    disk: Disk,
    batch: OwnedWriteBatch,
    /// Ids of the tables, streams, feeds and queues whose names are there.
    known: BTreeSet<u32>,
    /// Ids of index entries, which are left out.
    entries: BTreeSet<u32>,
    sequences: Sequences,
    /// The last number given to a name, and the highest id in use.
    names: u64,
    /// Entries that belong to no name.
    pub nameless: u64,
}

impl Target {
    /// Makes an empty store.
    pub(crate) fn create(path: &Path) -> std::io::Result<Self> {
        drop(MarkFile::open(path, Mark::default())?);
        let disk = disk::database(path).map_err(|e| failed(&e))?;
        let batch = OwnedWriteBatch::with_capacity(disk.database.clone(), CHUNK);
        let (known, entries) = (BTreeSet::new(), BTreeSet::new());
        let sequences = Sequences::default();
        Ok(Target { path: path.to_owned(), disk, batch, known, entries, sequences, names: 0, nameless: 0 })
    }

    /// Writes an entry. Those of [`Space::State`] come first, because the names of the others are among them.
    pub(crate) fn put(&mut self, space: Space, key: Slice, value: Slice) -> std::io::Result<()> {
        match space {
            Space::State => self.state(key, value),
            _ => {
                let id = key.first_chunk::<4>().map(|id| u32::from_be_bytes(*id)).unwrap_or_default();
                self.names = self.names.max(u64::from(id));
                if self.known.contains(&id) {
                    self.batch.insert(self.disk.space(space), key, value);
                } else if !self.entries.contains(&id) {
                    self.nameless += 1;
                }
            }
        }
        if self.batch.len() >= CHUNK {
            self.write(None)?;
        }
        Ok(())
    }

    fn state(&mut self, key: Slice, value: Slice) {
        match key.first() {
            _ if *key == *SEQUENCES => {
                let stored = read_sequences(&value).unwrap_or_default().0;
                self.sequences.version = stored.version;
                self.sequences.id = self.sequences.id.max(stored.id);
                return;
            }
            _ if *key == *NAMES => {
                self.names = self.names.max(trailing_number(&value).unwrap_or_default());
                return;
            }
            Some(b'd' | b'x' | b'o') => {
                self.sequences.id = self.sequences.id.max(trailing_number(&key).unwrap_or_default());
            }
            Some(b'k') => {
                let value = self.name(&key, &value).map_or(value, Slice::from);
                self.batch.insert(self.disk.space(Space::State), key, value);
                return;
            }
            _ => {}
        }
        self.batch.insert(self.disk.space(Space::State), key, value);
    }

    /// Notes the ids of a name; gives the record of a table without its indexes.
    fn name(&mut self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        #[derive(serde::Deserialize)]
        struct Id {
            id: u32,
        }
        if !key.starts_with(b"ktable:") {
            self.known.insert(serde_json::from_slice::<Id>(value).ok()?.id);
            return None;
        }
        let mut table: TableRecord = serde_json::from_slice(value).ok()?;
        self.known.extend([Some(table.id), table.feed].into_iter().flatten());
        self.entries.extend(table.indexes.values().map(|index| index.id));
        self.entries.extend(table.expiry.take().map(|expiry| expiry.id));
        table.indexes.clear();
        serde_json::to_vec(&table).ok()
    }

    fn write(&mut self, mode: Option<PersistMode>) -> std::io::Result<()> {
        let next = OwnedWriteBatch::with_capacity(self.disk.database.clone(), CHUNK);
        std::mem::replace(&mut self.batch, next).durability(mode).commit().map_err(|e| failed(&e))
    }

    /// Writes the numbers and closes the store; `batch` is the last number of a batch of the old one.
    pub(crate) fn finish(mut self, batch: u64) -> std::io::Result<()> {
        let batch = batch + 1;
        let names = self.names.max(self.entries.last().copied().unwrap_or_default().into());
        let state = self.disk.space(Space::State).clone();
        self.batch.insert(&state, SEQUENCES, transaction::sequences_bytes(self.sequences, batch));
        self.batch.insert(&state, NAMES, names.to_be_bytes());
        self.write(Some(PersistMode::SyncAll))?;
        disk::sync_folders(&self.path)?;
        let mark = Mark { batch, seqno: self.disk.database.visible_seqno(), closed: true };
        drop(MarkFile::open(&self.path, mark)?);
        format::write(&self.path)
    }
}

fn failed(error: &fjall::Error) -> std::io::Error {
    std::io::Error::other(disk::describe(error))
}
