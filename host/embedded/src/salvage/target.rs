//! The new store that a salvage writes.

use crate::catalog::names::TableRecord;
use crate::codec::{ByteReader, read_token, trailing_number};
use crate::disk::mark::{Mark, MarkFile};
use crate::disk::{self, Disk, Space, format};
use crate::streams::given_key;
use crate::transaction::{self, NAMES, SEQUENCES, Sequences, read_sequences};
use esclusa_flow::batch::Token;
use fjall::{OwnedWriteBatch, PersistMode, Slice};
use std::collections::{BTreeMap, BTreeSet};
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
    /// Streams and feeds, and how many partitions each has.
    logs: BTreeMap<u32, u32>,
    /// By partition: the highest number that a route has read there, of whatever stream, or that was given before an earlier salvage.
    read: BTreeMap<u32, u64>,
    sequences: Sequences,
    /// The last number given to a name or a consumer, and the highest id in use.
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
        Ok(Target {
            path: path.to_owned(),
            disk,
            batch,
            known: BTreeSet::new(),
            entries: BTreeSet::new(),
            logs: BTreeMap::new(),
            read: BTreeMap::new(),
            sequences: Sequences::default(),
            names: 0,
            nameless: 0,
        })
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
            Some(b'q') => self.names = self.names.max(trailing_number(&value).unwrap_or_default()),
            Some(b'p' | b'g') => self.note_given(&key, &value),
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

    /// Notes how far a route has read, or what an earlier salvage noted.
    fn note_given(&mut self, key: &[u8], value: &[u8]) {
        if let Some((partition, number)) = given(key, value) {
            let read = self.read.entry(partition).or_default();
            *read = number.max(*read);
        }
    }

    /// Notes the ids of a name; gives the record of a table without its indexes.
    fn name(&mut self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        #[derive(serde::Deserialize)]
        struct Record {
            id: u32,
            /// Only streams have it.
            #[serde(default)]
            lanes: u32,
        }
        if !key.starts_with(b"ktable:") {
            let Record { id, lanes } = serde_json::from_slice(value).ok()?;
            self.known.insert(id);
            self.logs.insert(id, lanes);
            return None;
        }
        let mut table: TableRecord = serde_json::from_slice(value).ok()?;
        self.known.extend([Some(table.id), table.feed].into_iter().flatten());
        self.logs.extend(table.feed.map(|feed| (feed, 1)));
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
        let ids = self.entries.last().max(self.known.last()).copied().unwrap_or_default();
        let names = self.names.max(ids.into());
        let state = self.disk.space(Space::State).clone();
        for (log, partitions) in &self.logs {
            for (partition, number) in self.read.range(..partitions) {
                self.batch.insert(&state, given_key(*log, *partition), number.to_be_bytes());
            }
        }
        self.batch.insert(&state, SEQUENCES, transaction::sequences_bytes(self.sequences, batch));
        self.batch.insert(&state, NAMES, names.to_be_bytes());
        self.write(Some(PersistMode::SyncAll))?;
        disk::sync_folders(&self.path)?;
        let mark = Mark { batch, seqno: self.disk.database.visible_seqno(), closed: true };
        drop(MarkFile::open(&self.path, mark)?);
        format::write(&self.path)
    }
}

/// Partition and number of a route's position, or of the record that [`given_key`] names.
fn given(key: &[u8], value: &[u8]) -> Option<(u32, u64)> {
    if key.starts_with(b"g") {
        let partition = key.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))?;
        return Some((partition, trailing_number(value).ok()?));
    }
    let mut names = ByteReader(key.get(1..)?);
    let (_route, _source, lane) = (names.text().ok()?, names.text().ok()?, names.text().ok()?);
    match read_token(value).ok()? {
        Token::Offset(number) => Some((lane.parse().ok()?, number)),
        Token::Text(_) => None,
    }
}

fn failed(error: &fjall::Error) -> std::io::Error {
    std::io::Error::other(disk::describe(error))
}
