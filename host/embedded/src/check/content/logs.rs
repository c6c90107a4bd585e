//! Records of logs, which have no gaps, and messages of queues.

use super::Content;
use crate::codec::trailing_number;
use crate::disk::{Disk, Space, read_fault};
use crate::queues::keys;
use crate::records::StoredRecord;
use crate::streams::{prefix, read_change, stored_first};
use crate::transaction::stored_number;
use esclusa_flow::fault::Fault;
use fjall::Readable;
use std::collections::BTreeSet;

impl Content {
    /// Checks a stream or a change feed, with its number of partitions; gives how many records it has.
    pub(super) fn log(
        &mut self,
        what: &str,
        (id, lanes): (u32, u32),
        changes: bool,
        disk: &Disk,
    ) -> Result<u64, Fault> {
        let (mut records, mut missing, mut unreadable) = (0, 0, 0);
        for partition in 0..lanes {
            let mut next = stored_first(disk, id, partition)?;
            for guard in disk.snapshot().prefix(disk.space(Space::Log), prefix(id, partition)) {
                let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
                let sequence = trailing_number(&key)?;
                missing += sequence.saturating_sub(next);
                next = sequence + 1;
                records += 1;
                let readable = if changes { read_change(&value).is_ok() } else { StoredRecord::read(&value).is_ok() };
                unreadable += u64::from(!readable);
            }
        }
        self.count(what, missing, "records are missing");
        self.count(what, unreadable, "records cannot be read");
        Ok(records)
    }

    /// Checks a queue.
    pub(super) fn queue(&mut self, name: &str, id: u32, disk: &Disk) -> Result<(), Fault> {
        let (what, snapshot, space) = (format!("queue {name:?}"), disk.snapshot(), disk.space(Space::Queue));
        let (mut messages, mut unreadable) = (BTreeSet::new(), 0);
        for guard in snapshot.prefix(space, keys::messages(id)) {
            let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
            messages.insert(trailing_number(&key)?);
            unreadable += u64::from(StoredRecord::read(&value).is_err());
        }
        let mut left = 0;
        for marks in [keys::all_done(id), keys::all_received(id)] {
            for guard in snapshot.prefix(space, marks) {
                let key = guard.key().map_err(|e| read_fault(&e))?;
                left += u64::from(!keys::parts(&key).is_some_and(|(sequence, _)| messages.contains(&sequence)));
            }
        }
        let given = stored_number(disk, keys::last(id))?.unwrap_or_default();
        if messages.last().is_some_and(|last| *last > given) {
            self.found(&what, "the last number that was given is below those of its messages");
        }
        self.count(&what, unreadable, "messages cannot be read");
        if left > 0 {
            self.notes.push(format!("{what}: {left} marks of messages that are gone; they take space and do no harm"));
        }
        self.counts.queues.insert(name.to_owned(), messages.len() as u64);
        Ok(())
    }
}
