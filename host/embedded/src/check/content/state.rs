//! Positions, counts, dead letters, outboxes, kept answers and numbers.

use super::Content;
use crate::codec::{read_token, trailing_number};
use crate::disk::{Disk, Space, read_fault};
use crate::transaction::{Sequences, read_sequences};
use crate::{dead_letters, kept_answers, objects, outbox};
use esclusa_flow::fault::Fault;
use fjall::Readable;
use std::collections::BTreeMap;

impl Content {
    /// Checks the records of the space; gives the number of the last batch.
    pub(super) fn state(&mut self, disk: &Disk) -> Result<u64, Fault> {
        let snapshot = disk.snapshot();
        let (mut numbers, mut highest, mut batch) = (Sequences::default(), 0, 0);
        let mut unreadable: BTreeMap<&str, u64> = BTreeMap::new();
        for guard in snapshot.iter(disk.space(Space::State)) {
            let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
            let (what, readable) = match key.first() {
                Some(b'n') => {
                    let read = read_sequences(&value);
                    (numbers, batch) = read.unwrap_or_default();
                    ("numbers of commits", read.is_ok())
                }
                Some(b'N' | b'l' | b'f' | b't' | b'q' | b'g') => ("numbers", trailing_number(&value).is_ok()),
                Some(b'p') => {
                    self.counts.positions += 1;
                    ("positions of routes", read_token(&value).is_ok())
                }
                Some(b'c') => ("counts of routes", value.len() == 32),
                Some(b'x') => {
                    highest = highest.max(trailing_number(&key)?);
                    let messages = outbox::read(0, &value).map(|pending| pending.messages.len() as u64);
                    self.counts.undelivered += messages.unwrap_or_default();
                    ("undelivered messages", messages.is_ok())
                }
                Some(b'd') => {
                    highest = highest.max(trailing_number(&key)?);
                    self.counts.dead_letters += 1;
                    ("dead letters", dead_letters::read(&value).is_ok())
                }
                Some(b'o') => {
                    highest = highest.max(trailing_number(&key)?);
                    ("names of objects", objects::read_manifest(&value).is_ok())
                }
                Some(b'a') => {
                    self.counts.kept_answers += 1;
                    let entry = kept_answers::entry(&key, &value);
                    let entry = entry.map(|entry| snapshot.contains_key(disk.space(Space::State), entry)).transpose();
                    ("kept answers", entry.map_err(|e| read_fault(&e))? == Some(true))
                }
                Some(b'k' | b'm' | b'h' | b'e') => continue,
                _ => ("the records", false),
            };
            *unreadable.entry(what).or_default() += u64::from(!readable);
        }
        for (what, count) in unreadable {
            self.count(what, count, "of them cannot be read");
        }
        if highest > numbers.id {
            self.found("numbers of commits", "the last number that was given is below one that is in use");
        }
        Ok(batch)
    }
}
