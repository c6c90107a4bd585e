//! The consumers of a queue in memory, and which messages they are done with.

use super::consumer::Consumer;
use super::keys;
use crate::codec::{Damaged, trailing_number};
use crate::disk::{Disk, Space, read_fault};
use crate::transaction::stored_number;
use esclusa_flow::fault::Fault;
use fjall::Readable;
use std::collections::{BTreeMap, BTreeSet};

/// The consumers of one queue, behind its lock.
#[derive(Debug)]
pub(crate) struct QueueState {
    first: u64,
    consumers: BTreeMap<u32, Consumer>,
    routes: BTreeMap<String, u32>,
    nonce: u64,
}

impl QueueState {
    /// Loads consumers, finished messages and receive counts from the disk.
    pub(crate) fn load(queue: u32, disk: &Disk) -> Result<QueueState, Fault> {
        // Receipts of an earlier run are never valid: numbers start with the time.
        let nonce = crate::clock::wall_millis() << 16;
        let first = stored_number(disk, keys::first(queue))?.unwrap_or(1);
        let mut state = QueueState { first, consumers: BTreeMap::new(), routes: BTreeMap::new(), nonce };
        let snapshot = disk.snapshot();
        let prefix = keys::consumers(queue);
        for guard in snapshot.prefix(disk.space(Space::State), &prefix) {
            let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
            let route = crate::codec::ByteReader(key.get(prefix.len()..).unwrap_or_default()).text()?.to_owned();
            state.add_consumer(&route, u32::try_from(trailing_number(&value)?).map_err(|_| Damaged)?);
        }
        for guard in snapshot.prefix(disk.space(Space::Queue), keys::all_done(queue)) {
            let (sequence, number) = keys::parts(&guard.key().map_err(|e| read_fault(&e))?).ok_or(Damaged)?;
            if let Some(consumer) = state.consumers.get_mut(&number) {
                consumer.done.insert(sequence);
            }
        }
        for guard in snapshot.prefix(disk.space(Space::Queue), keys::all_received(queue)) {
            let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
            let (sequence, number) = keys::parts(&key).ok_or(Damaged)?;
            if let Some(consumer) = state.consumers.get_mut(&number) {
                consumer.counts.insert(sequence, trailing_number(&value)?.try_into().unwrap_or(u32::MAX));
            }
        }
        Ok(state)
    }

    /// The number of a route.
    pub(crate) fn consumer_of(&self, route: &str) -> Option<u32> {
        self.routes.get(route).copied()
    }

    /// A consumer.
    pub(crate) fn consumer(&mut self, number: u32) -> Option<&mut Consumer> {
        self.consumers.get_mut(&number)
    }

    /// Numbers of all consumers.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.consumers.keys().copied().collect()
    }

    /// Routes of consumers that are not in `kept`.
    pub(crate) fn routes_except(&self, kept: &BTreeSet<String>) -> Vec<String> {
        self.routes.keys().filter(|route| !kept.contains(*route)).cloned().collect()
    }

    /// Adds a consumer that has seen nothing yet.
    pub(crate) fn add_consumer(&mut self, route: &str, number: u32) {
        self.routes.insert(route.to_owned(), number);
        self.consumers.entry(number).or_insert_with(|| Consumer::new(self.first));
    }

    /// Forgets a consumer.
    pub(crate) fn remove_consumer(&mut self, route: &str) {
        if let Some(number) = self.routes.remove(route) {
            self.consumers.remove(&number);
        }
    }

    /// Records that a consumer is done with a message; true if all are.
    pub(crate) fn finish(&mut self, sequence: u64, number: u32) -> bool {
        if let Some(consumer) = self.consumers.get_mut(&number) {
            consumer.done.insert(sequence);
        }
        let all = self.consumers.values().all(|consumer| consumer.done.contains(&sequence));
        if all {
            self.forget(sequence);
        }
        all
    }

    /// True if there are other consumers and all of them are done with a message.
    pub(crate) fn all_done_but(&self, sequence: u64, numbers: &[u32]) -> bool {
        let mut others = self.consumers.iter().filter(|(n, _)| !numbers.contains(n)).peekable();
        others.peek().is_some() && others.all(|(_, consumer)| consumer.done.contains(&sequence))
    }

    /// Forgets that consumers were done with a message, because it is deleted.
    pub(crate) fn forget(&mut self, sequence: u64) {
        self.consumers.values_mut().for_each(|consumer| {
            consumer.done.remove(&sequence);
        });
    }

    /// A number that no receipt had before.
    pub(crate) fn next_nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    /// The first sequence that a message may have.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// A lower bound of the queue's sequences, if it has risen since the last call.
    pub(crate) fn first_to_remember(&mut self) -> Option<u64> {
        let first = self.consumers.values().map(Consumer::lowest).min()?;
        (first > self.first).then(|| {
            self.first = first;
            first
        })
    }
}
