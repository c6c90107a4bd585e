//! The dead letters: kept until somebody removes them, in the order in which they died.

use crate::codec::{ByteReader, push_bytes, trailing_number};
use crate::disk::{Disk, Space, read_fault};
use crate::transaction::Transaction;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::fault::Fault;
use fjall::Readable;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const PREFIX: u8 = b'd';

/// Bytes of letters that are read at once; the letter that passes it is the last one.
const PAGE_BYTES: usize = 4 << 20;

/// How many dead letters each route has.
#[derive(Debug, Default)]
pub(crate) struct DeadCounts(Mutex<HashMap<String, u64>>);

impl DeadCounts {
    /// Counts the letters on disk.
    pub(crate) fn load(disk: &Disk) -> Result<Self, Fault> {
        let mut counts: HashMap<String, u64> = HashMap::new();
        for guard in disk.snapshot().prefix(disk.space(Space::State), [PREFIX]) {
            let value = guard.value().map_err(|e| read_fault(&e))?;
            *counts.entry(ByteReader(&value).text()?.to_owned()).or_default() += 1;
        }
        Ok(DeadCounts(Mutex::new(counts)))
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

    fn change(&self, route: String, by: i64) {
        let mut counts = self.0.lock();
        let count = counts.entry(route).or_default();
        *count = count.saturating_add_signed(by);
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
        let id = tx.next_id();
        tx.put(Space::State, key(id), self.bytes);
        let counts = Arc::clone(counts);
        // After the sync: the count in memory never runs ahead of the disk.
        tx.after(move || counts.change(self.route, 1));
    }

    /// Stores it in place of the letter with this number; false if that has been removed.
    pub(crate) fn replace(self, id: u64, tx: &mut Transaction<'_>) -> Result<bool, Fault> {
        let there = tx.get(Space::State, &key(id))?.is_some();
        if there {
            tx.put(Space::State, key(id), self.bytes);
        }
        Ok(there)
    }
}

fn key(id: u64) -> Vec<u8> {
    [&[PREFIX][..], &id.to_be_bytes()].concat()
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
        let mut reader = ByteReader(&value);
        let owner = reader.text()?;
        if route.is_some_and(|route| route != owner) {
            continue;
        }
        let letter =
            serde_json::from_slice(reader.0).map_err(|e| Fault::Permanent(format!("a dead letter is damaged: {e}")))?;
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
        let route = ByteReader(&value).text()?.to_owned();
        tx.delete(Space::State, key(*id));
        let counts = Arc::clone(counts);
        tx.after(move || counts.change(route, -1));
        removed += 1;
    }
    Ok(removed)
}
