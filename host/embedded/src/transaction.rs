//! The writes of a group of commits: later commits of the group see them, a refused commit's are undone, and all are
//! written as one batch. Each key is in it once.

use crate::codec::{ByteReader, Damaged, trailing_number};
use crate::disk::{Disk, Space, describe, read_fault};
use esclusa_flow::fault::Fault;
use fjall::{PersistMode, Readable, Slice};
use std::collections::HashMap;

/// Entries that a change of the schema holds in memory before it writes them.
const SPILL_ENTRIES: usize = 50_000;

/// Key of the record that holds the numbers of [`Sequences`], and the number of the batch.
pub(crate) const SEQUENCES: &[u8] = b"n";
/// Key of the last number that [`Transaction::next_number`] gave.
pub(crate) const NAMES: &[u8] = b"N";

/// Writes that are not on disk yet.
#[derive(Default)]
struct PendingWrites {
    state: HashMap<Slice, Option<Slice>>,
    items: HashMap<Slice, Option<Slice>>,
    queue: HashMap<Slice, Option<Slice>>,
    /// Appended records: their keys are new, so nobody looks for them here.
    log: Vec<(Slice, Slice)>,
    trimmed: Vec<Slice>,
}

impl PendingWrites {
    fn map(&mut self, space: Space) -> Option<&mut HashMap<Slice, Option<Slice>>> {
        match space {
            Space::State => Some(&mut self.state),
            Space::Items => Some(&mut self.items),
            Space::Queue => Some(&mut self.queue),
            Space::Log => None,
        }
    }

    fn len(&self) -> usize {
        self.state.len() + self.items.len() + self.queue.len() + self.log.len() + self.trimmed.len()
    }
}

/// Numbers that only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sequences {
    /// Commits so far.
    pub version: u64,
    /// The last number given to a dead letter, outbox or manifest.
    pub id: u64,
}

/// State that the writer keeps in memory between groups.
#[derive(Default)]
pub(crate) struct WriterMemory {
    /// See [`Sequences`].
    pub sequences: Sequences,
    /// Number of the last batch that was written to the database.
    pub batch: u64,
    /// The last sequence of each partition of a log that was written to.
    pub heads: HashMap<(u32, u32), u64>,
}

/// The earlier value of a key, for undoing; `before` is `None` if the group had not written the key.
struct Undo {
    space: Space,
    key: Slice,
    before: Option<Option<Slice>>,
}

/// A point of a transaction to which [`Transaction::rollback`] goes back.
pub(crate) struct Savepoint {
    undo: usize,
    after: usize,
    sequences: Sequences,
}

/// A group of commits in the making.
pub(crate) struct Transaction<'a> {
    /// For reads.
    pub disk: &'a Disk,
    /// See [`WriterMemory`].
    pub memory: &'a mut WriterMemory,
    /// Milliseconds since the Unix epoch, the same for the whole group.
    pub now: u64,
    /// Dead letters that the commits of the group have added so far, and their bytes.
    pub letters: (u64, u64),
    /// Steps that the commits of the group have taken so far, those that were refused included.
    pub spent: u64,
    pending: PendingWrites,
    undo: Vec<Undo>,
    recording: bool,
    after: Vec<Box<dyn FnOnce() + Send>>,
}

impl<'a> Transaction<'a> {
    /// An empty one.
    pub(crate) fn new(disk: &'a Disk, memory: &'a mut WriterMemory, now: u64) -> Self {
        Transaction {
            disk,
            memory,
            now,
            letters: (0, 0),
            spent: 0,
            pending: PendingWrites::default(),
            undo: Vec::new(),
            recording: true,
            after: Vec::new(),
        }
    }

    /// The value of a key, as the commits before left it.
    pub(crate) fn get(&mut self, space: Space, key: &[u8]) -> Result<Option<Slice>, Fault> {
        if let Some(value) = self.pending.map(space).and_then(|map| map.get(key)) {
            return Ok(value.clone());
        }
        self.disk.space(space).get(key).map_err(|e| read_fault(&e))
    }

    /// Writes a key. Not for the log, see [`Self::append`].
    pub(crate) fn put(&mut self, space: Space, key: impl Into<Slice>, value: impl Into<Slice>) {
        self.set(space, key.into(), Some(value.into()));
    }

    /// Deletes a key. Not for the log, see [`Self::trim`].
    pub(crate) fn delete(&mut self, space: Space, key: impl Into<Slice>) {
        self.set(space, key.into(), None);
    }

    fn set(&mut self, space: Space, key: Slice, value: Option<Slice>) {
        let Some(map) = self.pending.map(space) else { return };
        if self.recording {
            let before = map.insert(key.clone(), value);
            self.undo.push(Undo { space, key, before });
        } else {
            map.insert(key, value);
        }
    }

    /// Appends a record to a log. Only once the commit cannot be refused any more: an append is not undone.
    pub(crate) fn append(&mut self, key: Slice, value: Slice) {
        self.pending.log.push((key, value));
    }

    /// Deletes a record of a log.
    pub(crate) fn trim(&mut self, key: Slice) {
        self.pending.trimmed.push(key);
    }

    /// The next sequence of a partition; the head of the log or queue was loaded before.
    pub(crate) fn next_sequence(&mut self, log: u32, partition: u32) -> u64 {
        let head = self.memory.heads.entry((log, partition)).or_default();
        *head += 1;
        *head
    }

    /// A number for a dead letter, outbox or manifest that none of them ever had.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.memory.sequences.id += 1;
        self.memory.sequences.id
    }

    /// A number for a name or a consumer that none of them ever had. They are few: the numbers of [`Self::next_id`] would
    /// not stay within 32 bits.
    pub(crate) fn next_number(&mut self) -> Result<u32, Fault> {
        let next = match self.get(Space::State, NAMES)? {
            Some(bytes) => u32::try_from(trailing_number(&bytes)?).ok().and_then(|n| n.checked_add(1)),
            None => Some(1),
        };
        let next = next.ok_or_else(|| Fault::Permanent("the store has no numbers left for names".to_owned()))?;
        self.put(Space::State, NAMES, u64::from(next).to_be_bytes());
        Ok(next)
    }

    /// Runs `work` once the group is durable, before it is answered.
    pub(crate) fn after(&mut self, work: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(work));
    }

    /// Stops recording for [`Self::rollback`]: the commit cannot be refused any more.
    pub(crate) fn irrevocable(&mut self) {
        self.recording = false;
    }

    /// Marks this point for [`Self::rollback`].
    pub(crate) fn mark(&mut self) -> Savepoint {
        self.undo.clear();
        self.recording = true;
        Savepoint { undo: 0, after: self.after.len(), sequences: self.memory.sequences }
    }

    /// Undoes every write since `mark`.
    pub(crate) fn rollback(&mut self, mark: &Savepoint) {
        for undo in self.undo.drain(mark.undo..).rev() {
            let Some(map) = self.pending.map(undo.space) else { continue };
            match undo.before {
                Some(value) => map.insert(undo.key, value),
                None => map.remove(&undo.key),
            };
        }
        // Heads of logs stay as they are: nothing is appended before a commit can no longer be refused.
        self.after.truncate(mark.after);
        self.memory.sequences = mark.sequences;
    }

    /// True if there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.len() == 0
    }

    /// Writes the gathered entries if they are many. Only for work that may stop halfway: building an index that no
    /// catalog names yet.
    pub(crate) fn spill(&mut self) -> Result<(), Fault> {
        if self.pending.len() < SPILL_ENTRIES {
            return Ok(());
        }
        self.undo.clear();
        self.write(None).map_err(|e| Fault::Permanent(format!("the store cannot be written: {}", describe(&e))))
    }

    /// Writes everything as one batch; `mode` says how durable it is afterwards.
    pub(crate) fn write(&mut self, mode: Option<PersistMode>) -> fjall::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let mut batch =
            fjall::OwnedWriteBatch::with_capacity(self.disk.database.clone(), pending.len() + 1).durability(mode);
        // In every batch, so that a number given in it is never given again after a crash.
        self.memory.batch += 1;
        let numbers = sequences_bytes(self.memory.sequences, self.memory.batch);
        batch.insert(self.disk.space(Space::State), SEQUENCES, numbers);
        for (space, map) in
            [(Space::State, pending.state), (Space::Items, pending.items), (Space::Queue, pending.queue)]
        {
            let space = self.disk.space(space);
            // Neighbours are inserted after each other: their way into the memtable is in the processor's cache.
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            for (key, value) in entries {
                match value {
                    Some(value) => batch.insert(space, key, value),
                    None => batch.remove(space, key),
                }
            }
        }
        let log = self.disk.space(Space::Log);
        pending.log.into_iter().for_each(|(key, value)| batch.insert(log, key, value));
        pending.trimmed.into_iter().for_each(|key| batch.remove(log, key));
        batch.commit()
    }

    /// Takes the work that [`Self::after`] gathered, now that the group is durable.
    pub(crate) fn take_after(&mut self) -> Vec<Box<dyn FnOnce() + Send>> {
        std::mem::take(&mut self.after)
    }
}

/// The numbers as they are on disk, and the number of the last batch, which format 1 does not have.
pub(crate) fn stored_sequences(disk: &Disk) -> Result<(Sequences, u64), Fault> {
    let Some(bytes) = disk.space(Space::State).get(SEQUENCES).map_err(|e| read_fault(&e))? else {
        return Ok((Sequences::default(), 0));
    };
    read_sequences(&bytes).map_err(Fault::from)
}

/// The numbers as they are stored.
pub(crate) fn sequences_bytes(sequences: Sequences, batch: u64) -> Vec<u8> {
    [sequences.version, sequences.id, batch].map(u64::to_be_bytes).concat()
}

/// The numbers that [`sequences_bytes`] made.
pub(crate) fn read_sequences(bytes: &[u8]) -> Result<(Sequences, u64), Damaged> {
    let mut reader = ByteReader(bytes);
    let sequences = Sequences { version: reader.fixed_number()?, id: reader.fixed_number()? };
    let batch = if reader.0.is_empty() { 0 } else { reader.fixed_number()? };
    Ok((sequences, batch))
}

/// The number that is stored at a key of [`Space::State`], if there is one.
pub(crate) fn stored_number(disk: &Disk, key: impl AsRef<[u8]>) -> Result<Option<u64>, Fault> {
    let value = disk.space(Space::State).get(key).map_err(|e| read_fault(&e))?;
    Ok(value.map(|bytes| trailing_number(&bytes)).transpose()?)
}

/// The last key that begins with `prefix`, as a snapshot sees it.
pub(crate) fn last_key(disk: &Disk, space: Space, prefix: &[u8]) -> Result<Option<Slice>, Fault> {
    match disk.snapshot().prefix(disk.space(space), prefix).next_back() {
        Some(guard) => guard.key().map(Some).map_err(|e| read_fault(&e)),
        None => Ok(None),
    }
}
