//! The dead letters: kept until somebody removes them, in the order in which they died.

use crate::codec::{ByteReader, push_bytes, trailing_number};
use crate::disk::{Disk, Space, read_fault};
use crate::quota::StoreFill;
use crate::schema::StoreLimits;
use crate::transaction::Transaction;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::fault::Fault;
use fjall::Readable;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const PREFIX: u8 = b'd';

/// Bytes of letters that are read at once; the letter that passes it is the last one.
const PAGE_BYTES: usize = 4 << 20;

/// How many dead letters each route has, and the bytes of all.
#[derive(Debug, Default)]
pub(crate) struct DeadCounts(Mutex<HashMap<String, u64>>, AtomicU64);

impl DeadCounts {
    /// Counts the letters on disk.
    pub(crate) fn load(disk: &Disk) -> Result<Self, Fault> {
        let (mut counts, mut bytes) = (HashMap::<String, u64>::new(), 0_u64);
        for guard in disk.snapshot().prefix(disk.space(Space::State), [PREFIX]) {
            let value = guard.value().map_err(|e| read_fault(&e))?;
            *counts.entry(ByteReader(&value).text()?.to_owned()).or_default() += 1;
            bytes = bytes.saturating_add(value.len() as u64);
        }
        Ok(DeadCounts(Mutex::new(counts), AtomicU64::new(bytes)))
    }

    /// How many there are of all routes, and their bytes.
    pub(crate) fn sum(&self) -> StoreFill {
        let dead_letters = self.0.lock().values().sum();
        StoreFill { bytes: 0, dead_letters, dead_letter_bytes: self.1.load(Ordering::Relaxed) }
    }

    /// Dead letters of a route.
    pub(crate) fn get(&self, route: &str) -> u64 {
        self.0.lock().get(route).copied().unwrap_or_default()
    }

    /// Routes that have dead letters, and how many.
    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock();
        counts.iter().filter(|(_, count)| **count > 0).map(|(route, count)| (route.clone(), *count)).collect()
    }

    /// Fails if letters do not fit any more, beside those that the commits of the group before have added.
    pub(crate) fn room(
        &self,
        letters: &[DeadLetterEntry],
        limits: &StoreLimits,
        tx: &Transaction<'_>,
    ) -> Result<(), Fault> {
        if letters.is_empty() {
            return Ok(());
        }
        let bytes = letters.iter().map(DeadLetterEntry::size).sum::<usize>() as u64;
        let added = (tx.letters.0 + letters.len() as u64, tx.letters.1.saturating_add(bytes));
        self.sum().take(added, limits)
    }

    fn add(&self, route: String, bytes: u64) {
        *self.0.lock().entry(route).or_default() += 1;
        self.1.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take_away(&self, route: String, bytes: u64) {
        let mut counts = self.0.lock();
        let count = counts.entry(route).or_default();
        *count = count.saturating_sub(1);
        self.resize(bytes, 0);
    }

    /// A letter of `old` bytes has `new` ones now.
    fn resize(&self, old: u64, new: u64) {
        let changed = |bytes: u64| Some(bytes.saturating_sub(old).saturating_add(new));
        // Never fails: there is a value for each.
        let _ = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
    }
}

/// A dead letter as it is stored: its route, then the letter as JSON.
pub(crate) struct DeadLetterEntry {
    route: String,
    bytes: Vec<u8>,
}

impl DeadLetterEntry {
    /// Encodes a letter.
    pub(crate) fn new(letter: &DeadLetter) -> Result<Self, Fault> {
        let mut bytes = Vec::with_capacity(512 + letter.data.len());
        push_bytes(letter.route.as_bytes(), &mut bytes);
        serde_json::to_writer(&mut bytes, letter).map_err(|e| Fault::Bug(format!("a dead letter: {e}")))?;
        Ok(DeadLetterEntry { route: letter.route.clone(), bytes })
    }

    /// Bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Stores it.
    pub(crate) fn write(self, counts: &Arc<DeadCounts>, tx: &mut Transaction<'_>) {
        let (id, bytes) = (tx.next_id(), self.bytes.len() as u64);
        tx.put(Space::State, key(id), self.bytes);
        tx.letters = (tx.letters.0 + 1, tx.letters.1.saturating_add(bytes));
        let counts = Arc::clone(counts);
        // After the sync: the count in memory never runs ahead of the disk.
        tx.after(move || counts.add(self.route, bytes));
    }

    /// Stores it in place of the letter with this number; false if that has been removed.
    pub(crate) fn replace(self, id: u64, counts: &Arc<DeadCounts>, tx: &mut Transaction<'_>) -> Result<bool, Fault> {
        let Some(old) = tx.get(Space::State, &key(id))? else { return Ok(false) };
        let (old, new) = (old.len() as u64, self.bytes.len() as u64);
        tx.put(Space::State, key(id), self.bytes);
        let counts = Arc::clone(counts);
        tx.after(move || counts.resize(old, new));
        Ok(true)
    }
}

fn key(id: u64) -> Vec<u8> {
    [&[PREFIX][..], &id.to_be_bytes()].concat()
}

/// The dead letter that [`DeadLetterEntry::new`] wrote.
pub(crate) fn read(value: &[u8]) -> Result<DeadLetter, Fault> {
    let mut reader = ByteReader(value);
    reader.text()?;
    serde_json::from_slice(reader.0).map_err(|e| Fault::Permanent(format!("a dead letter is damaged: {e}")))
}

/// Dead letters after `after`, of one route or of all, at most `limit`; fewer when they are large, but one at least.
pub(crate) fn list(
    disk: &Disk,
    route: Option<&str>,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, DeadLetter)>, Fault> {
    let start = key(after.map_or(0, |id| id.saturating_add(1)));
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    for guard in disk.snapshot().range(disk.space(Space::State), start..vec![PREFIX + 1]) {
        if found.len() >= limit || bytes >= PAGE_BYTES {
            break;
        }
        let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
        let owner = ByteReader(&value).text()?;
        if route.is_some_and(|route| route != owner) {
            continue;
        }
        let letter = read(&value)?;
        bytes = bytes.saturating_add(value.len());
        found.push((trailing_number(&key)?, letter));
    }
    Ok(found)
}

/// Removes dead letters; those that are not there are passed over. Gives how many were removed.
pub(crate) fn remove(ids: &[u64], counts: &Arc<DeadCounts>, tx: &mut Transaction<'_>) -> Result<usize, Fault> {
    let mut removed = 0;
    for id in ids {
        let Some(value) = tx.get(Space::State, &key(*id))? else { continue };
        let (route, bytes) = (ByteReader(&value).text()?.to_owned(), value.len() as u64);
        tx.delete(Space::State, key(*id));
        let counts = Arc::clone(counts);
        tx.after(move || counts.take_away(route, bytes));
        removed += 1;
    }
    Ok(removed)
}
