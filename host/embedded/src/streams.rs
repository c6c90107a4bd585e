//! Logs: streams and change feeds. A key is log, partition and sequence; sequences start at 1 and have no gaps, except in a salvaged store.

use crate::codec::{ByteReader, push_number, trailing_number};
use crate::disk::{Disk, Space, read_fault};
use crate::records::{self, NewRecord};
use crate::transaction::{Transaction, last_key, stored_number};
use esclusa_flow::fault::Fault;
use esclusa_flow::retry::mix;
use fjall::Slice;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How long a change feed keeps its records. Longer than DynamoDB's 24 hours: a router that stood still over a
/// weekend shall not lose changes, and the disk is the owner's.
pub(crate) const CHANGES_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// A stream or a change feed.
#[derive(Debug)]
pub(crate) struct Log {
    /// Name of the stream, or of the table whose changes it holds.
    pub name: String,
    /// First four bytes of its keys.
    pub id: u32,
    /// Partitions that new records go to.
    pub partitions: u32,
    /// Partitions that there have ever been.
    pub lanes: u32,
    /// How long records are kept.
    pub retention: Duration,
    live: Arc<SharedLogState>,
}

#[derive(Debug, Default)]
struct SharedLogState {
    grown: watch::Sender<u64>,
    turn: AtomicU32,
    /// First sequence that is kept, by partition; absent: not known yet.
    first: Mutex<BTreeMap<u32, u64>>,
}

impl Log {
    /// A log that nobody reads yet.
    pub(crate) fn new(name: &str, id: u32, partitions: u32, lanes: u32, retention: Duration) -> Self {
        Log { name: name.to_owned(), id, partitions, lanes, retention, live: Arc::default() }
    }

    /// The same log under a new schema: its readers stay.
    pub(crate) fn keeping_readers_of(mut self, old: &Log) -> Self {
        if self.id == old.id {
            self.live = Arc::clone(&old.live);
        }
        self
    }

    /// Changes when a record was appended.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.live.grown.subscribe()
    }

    /// Wakes the readers.
    pub(crate) fn notify(&self) {
        self.live.grown.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// The partition of a record with this key; records without a key go to the partitions in turn.
    pub(crate) fn partition(&self, key: &str) -> u32 {
        if self.partitions <= 1 {
            return 0;
        }
        if key.is_empty() {
            return self.live.turn.fetch_add(1, Ordering::Relaxed) % self.partitions;
        }
        (hash(key.as_bytes()) % u64::from(self.partitions)) as u32
    }

    /// The first sequence of a partition that is kept.
    pub(crate) fn first(&self, partition: u32, disk: &Disk) -> Result<u64, Fault> {
        let mut first = self.live.first.lock();
        if let Some(first) = first.get(&partition) {
            return Ok(*first);
        }
        let stored = stored_first(disk, self.id, partition)?;
        first.insert(partition, stored);
        Ok(stored)
    }

    /// Loads the last sequence of a partition from the disk, unless the writer has it.
    pub(crate) fn load_head(&self, partition: u32, tx: &mut Transaction<'_>) -> Result<(), Fault> {
        if !tx.memory.heads.contains_key(&(self.id, partition)) {
            let given = stored_number(tx.disk, given_key(self.id, partition))?.unwrap_or_default();
            let head = stored_head(tx.disk, self.id, partition)?.max(given);
            tx.memory.heads.insert((self.id, partition), head);
        }
        Ok(())
    }

    /// Records that everything before `sequence` was trimmed.
    pub(crate) fn set_first(&self, partition: u32, sequence: u64) {
        self.live.first.lock().insert(partition, sequence);
    }
}

/// FNV-1a, spread. Stable across versions, because it decides in which partition the records of a key are.
fn hash(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3)))
}

/// The key of a record.
pub(crate) fn record_key(log: u32, partition: u32, sequence: u64) -> Slice {
    let mut key = [0; 16];
    let (head, tail) = key.split_at_mut(8);
    head.copy_from_slice(&prefix(log, partition));
    tail.copy_from_slice(&sequence.to_be_bytes());
    Slice::from(&key[..])
}

/// Prefix of the keys of a partition.
pub(crate) fn prefix(log: u32, partition: u32) -> [u8; 8] {
    ((u64::from(log) << 32) | u64::from(partition)).to_be_bytes()
}

/// Key of the record that holds a partition's first kept sequence.
pub(crate) fn first_key(log: u32, partition: u32) -> Vec<u8> {
    [b"t".as_slice(), &prefix(log, partition)].concat()
}

/// Key of the record that holds a sequence which the next one of a partition comes after, whatever there is. Salvage writes it: records
/// may be lost that a route has read, and new ones with their sequences would be before its position.
pub(crate) fn given_key(log: u32, partition: u32) -> Vec<u8> {
    [b"g".as_slice(), &prefix(log, partition)].concat()
}

/// The first sequence of a partition that is kept, as it is stored.
pub(crate) fn stored_first(disk: &Disk, log: u32, partition: u32) -> Result<u64, Fault> {
    match disk.space(Space::State).get(first_key(log, partition)).map_err(|e| read_fault(&e))? {
        Some(bytes) => Ok(ByteReader(&bytes).fixed_number()?),
        None => Ok(1),
    }
}

/// The last sequence of a partition; 0: nothing was ever appended.
pub(crate) fn stored_head(disk: &Disk, log: u32, partition: u32) -> Result<u64, Fault> {
    let before_first = stored_first(disk, log, partition)?.saturating_sub(1);
    match last_key(disk, Space::Log, &prefix(log, partition))? {
        Some(key) => Ok(trailing_number(&key)?.max(before_first)),
        None => Ok(before_first),
    }
}

/// A record on its way into a stream.
pub(crate) struct Append {
    /// The stream.
    pub log: Arc<Log>,
    /// The partition.
    pub partition: u32,
    /// The value, without its time.
    pub body: Vec<u8>,
}

impl Append {
    /// A record of `log`.
    pub(crate) fn new(log: &Arc<Log>, record: &NewRecord) -> Self {
        Append {
            log: Arc::clone(log),
            partition: log.partition(&record.key),
            body: records::body(&record.key, &record.attributes, &record.data),
        }
    }

    /// Appends records of one log, which nothing refuses any more, and wakes its readers once they are durable. Gives their ids.
    pub(crate) fn write_all(
        appends: Vec<Self>,
        log: &Arc<Log>,
        tx: &mut Transaction<'_>,
    ) -> Result<Vec<String>, Fault> {
        for append in &appends {
            append.log.load_head(append.partition, tx)?;
        }
        tx.irrevocable();
        let ids = appends.into_iter().map(|append| {
            let partition = append.partition;
            format!("{partition}-{}", append.write(tx))
        });
        let ids = ids.collect();
        let log = Arc::clone(log);
        tx.after(move || log.notify());
        Ok(ids)
    }

    /// Appends it; the head of its partition is loaded. Gives its sequence.
    pub(crate) fn write(mut self, tx: &mut Transaction<'_>) -> u64 {
        records::stamp(&mut self.body, tx.now);
        let sequence = tx.next_sequence(self.log.id, self.partition);
        tx.append(record_key(self.log.id, self.partition, sequence), self.body.into());
        sequence
    }
}

/// A change that a change feed is to record.
pub(crate) struct FeedChange {
    /// The feed.
    pub feed: Arc<Log>,
    /// The item before.
    pub old: Option<Slice>,
    /// The item after.
    pub new: Option<Slice>,
    /// The store deleted it, because it had expired.
    pub expired: bool,
    /// How many routes it has come by.
    pub hops: u32,
}

/// Stands behind the images of an item that has expired.
const EXPIRED: u8 = 1;
/// Stands behind the images of a change that a route made; the count of its hops follows.
const HOPS: u8 = 2;

/// Appends a change to its feed, whose head is loaded: its time, the image before and the image after, and what there is to say of
/// it besides.
pub(crate) fn append_change(change: &FeedChange, tx: &mut Transaction<'_>) {
    let FeedChange { feed, old, new, expired, hops } = change;
    let (old, new) = (old.as_deref(), new.as_deref());
    let mut value = Vec::with_capacity(28 + old.map_or(0, <[u8]>::len) + new.map_or(0, <[u8]>::len));
    value.extend_from_slice(&tx.now.to_be_bytes());
    for image in [old, new] {
        // One more than the length, so that 0 says that there is none.
        push_number(image.map_or(0, |i| i.len() as u64 + 1), &mut value);
        value.extend_from_slice(image.unwrap_or_default());
    }
    if *expired {
        value.push(EXPIRED);
    } else if *hops > 0 {
        value.push(HOPS);
        push_number(u64::from(*hops), &mut value);
    }
    let sequence = tx.next_sequence(feed.id, 0);
    tx.append(record_key(feed.id, 0, sequence), value.into());
}

/// The change that [`append_change`] wrote. A store of an earlier version has no hops in it.
pub(crate) fn read_change(value: &[u8]) -> Result<Images<'_>, crate::codec::Damaged> {
    let mut reader = ByteReader(value);
    let timestamp = reader.fixed_number()?;
    let mut image = || -> Result<Option<&[u8]>, crate::codec::Damaged> {
        match reader.number()? {
            0 => Ok(None),
            n => reader.fixed((n - 1) as usize).map(Some),
        }
    };
    let (old, new) = (image()?, image()?);
    let hops = match reader.0.split_first() {
        Some((&HOPS, count)) => u32::try_from(ByteReader(count).number()?).unwrap_or(u32::MAX),
        _ => 0,
    };
    Ok(Images { timestamp, old, new, expired: reader.0 == [EXPIRED], hops })
}

/// A change of an item.
pub(crate) struct Images<'a> {
    /// When it happened, milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// The item before.
    pub old: Option<&'a [u8]>,
    /// The item after.
    pub new: Option<&'a [u8]>,
    /// The store deleted it, because it had expired.
    pub expired: bool,
    /// How many routes it has come by.
    pub hops: u32,
}
