//! One route's view of a queue: the messages it may receive, those in flight with their deadlines, and their order.
//!
//! Of a long queue only the head is in memory. A message with a group is received only when nothing of its group
//! is in flight and everything before it in the group is finished.

use super::keys;
use crate::codec::{ByteReader, trailing_number};
use crate::disk::{Disk, Space, read_fault};
use esclusa_flow::fault::Fault;
use fjall::Readable;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// Messages that a consumer holds in memory. If so many are in flight or blocked by their group, later ones wait, as
/// with SQS, whose limit is 20,000 (developer guide, "Quotas", November 2026).
const WINDOW: usize = 20_000;

/// A route that reads a queue.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// Finished messages that are still there for other consumers.
    pub done: BTreeSet<u64>,
    /// How often messages were received.
    pub counts: HashMap<u64, u32>,
    cursor: u64,
    loose: BTreeSet<u64>,
    groups: HashMap<Arc<str>, MessageGroup>,
    open: BTreeSet<(u64, Arc<str>)>,
    waiting: usize,
    flights: HashMap<u64, Flight>,
    deadlines: BTreeSet<(Instant, u64)>,
}

#[derive(Debug, Default)]
struct MessageGroup {
    waiting: BTreeSet<u64>,
    busy: usize,
    open: Option<u64>,
}

#[derive(Debug)]
struct Flight {
    nonce: Option<u64>,
    deadline: Instant,
    settling: bool,
    group: Option<Arc<str>>,
}

/// Messages chosen to be received together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageChoice {
    /// Their group.
    pub group: Option<Arc<str>>,
    /// Their sequences, in order.
    pub sequences: Vec<u64>,
}

impl Consumer {
    /// A consumer whose messages begin at sequence `cursor`.
    pub(crate) fn new(cursor: u64) -> Self {
        Consumer {
            done: BTreeSet::new(),
            counts: HashMap::new(),
            cursor,
            loose: BTreeSet::new(),
            groups: HashMap::new(),
            open: BTreeSet::new(),
            waiting: 0,
            flights: HashMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Loads further messages from the disk, until [`WINDOW`] is full.
    pub(crate) fn load(&mut self, queue: u32, disk: &Disk) -> Result<(), Fault> {
        if self.waiting + self.flights.len() >= WINDOW {
            return Ok(());
        }
        let end = crate::key::after_prefix(&keys::messages(queue)).unwrap_or_default();
        for guard in disk.snapshot().range(disk.space(Space::Queue), keys::message(queue, self.cursor)..end) {
            let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
            let sequence = trailing_number(&key)?;
            self.cursor = sequence + 1;
            if self.done.contains(&sequence) {
                continue;
            }
            let mut reader = ByteReader(value.get(8..).unwrap_or_default());
            let group = reader.text()?;
            self.wait(sequence, (!group.is_empty()).then(|| self.group_name(group)));
            if self.waiting + self.flights.len() >= WINDOW {
                break;
            }
        }
        Ok(())
    }

    fn group_name(&self, name: &str) -> Arc<str> {
        self.groups.get_key_value(name).map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name))
    }

    fn wait(&mut self, sequence: u64, group: Option<Arc<str>>) {
        self.waiting += 1;
        match group {
            None => {
                self.loose.insert(sequence);
            }
            Some(name) => {
                self.groups.entry(Arc::clone(&name)).or_default().waiting.insert(sequence);
                self.update_open(&name);
            }
        }
    }

    /// Updates after a change whether a group is open: it has waiting messages and none in flight.
    fn update_open(&mut self, name: &Arc<str>) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let open = if group.busy == 0 { group.waiting.first().copied() } else { None };
        if open != group.open {
            if let Some(before) = group.open {
                self.open.remove(&(before, Arc::clone(name)));
            }
            group.open = open;
            self.open.extend(open.map(|first| (first, Arc::clone(name))));
        }
        // Group names come from producers without bound: an idle group takes no memory.
        if group.busy == 0 && group.waiting.is_empty() {
            self.groups.remove(name);
        }
    }

    /// Messages that could be received now, at most `enough`.
    pub(crate) fn available(&self, enough: usize) -> usize {
        let grouped =
            self.open.first().and_then(|(_, name)| self.groups.get(name)).map_or(0, |group| group.waiting.len());
        match (self.open.first(), self.loose.first()) {
            (Some((group, _)), Some(loose)) if group < loose => grouped,
            (Some(_), None) => grouped,
            _ => self.loose.len(),
        }
        .min(enough)
    }

    /// Takes the oldest messages that can be received together, invisible until `deadline`.
    pub(crate) fn take(&mut self, most: usize, deadline: Instant, nonce: u64) -> Option<MessageChoice> {
        let group = match (self.open.first(), self.loose.first()) {
            (None, None) => return None,
            // Groups and loose messages share one order of age, so that neither starves the other.
            (Some((first, name)), loose) if loose.is_none_or(|loose| first < loose) => Some(Arc::clone(name)),
            _ => None,
        };
        let waiting = match &group {
            Some(name) => &mut self.groups.get_mut(name)?.waiting,
            None => &mut self.loose,
        };
        let sequences: Vec<u64> = std::iter::from_fn(|| waiting.pop_first()).take(most.max(1)).collect();
        self.waiting -= sequences.len();
        if let Some(name) = &group {
            if let Some(group) = self.groups.get_mut(name) {
                group.busy += sequences.len();
            }
            self.update_open(name);
        }
        for sequence in &sequences {
            let flight = Flight { nonce: Some(nonce), deadline, settling: false, group: group.clone() };
            self.flights.insert(*sequence, flight);
            self.deadlines.insert((deadline, *sequence));
        }
        Some(MessageChoice { group, sequences })
    }

    /// Releases the messages whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((deadline, sequence)) = self.deadlines.first().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            // A message that is being settled stays in flight; if its commit is refused, `cancel_settling` sets the
            // deadline again.
            if self.flights.get(&sequence).is_some_and(|flight| !flight.settling) {
                self.end_flight(sequence, true);
            }
        }
    }

    /// Ends a flight. `again`: the message waits to be received again, otherwise it is finished.
    fn end_flight(&mut self, sequence: u64, again: bool) {
        let Some(flight) = self.flights.remove(&sequence) else { return };
        self.deadlines.remove(&(flight.deadline, sequence));
        if let Some(name) = &flight.group {
            if let Some(group) = self.groups.get_mut(name) {
                group.busy = group.busy.saturating_sub(1);
            }
            if !again {
                self.update_open(name);
            }
        }
        if again {
            self.wait(sequence, flight.group);
        } else {
            self.counts.remove(&sequence);
        }
    }

    /// True if this receipt is the newest one of a message in flight.
    pub(crate) fn holds(&self, sequence: u64, nonce: u64) -> bool {
        self.flights.get(&sequence).is_some_and(|flight| flight.nonce == Some(nonce) && !flight.settling)
    }

    /// Keeps a message in flight while a commit settles it, beyond its deadline.
    pub(crate) fn begin_settling(&mut self, sequence: u64) {
        if let Some(flight) = self.flights.get_mut(&sequence) {
            flight.settling = true;
        }
    }

    /// The commit did not happen: the deadline of the message is in force again.
    pub(crate) fn cancel_settling(&mut self, sequence: u64) {
        if let Some(flight) = self.flights.get_mut(&sequence) {
            flight.settling = false;
            self.deadlines.insert((flight.deadline, sequence));
        }
    }

    /// A message is finished.
    pub(crate) fn finished(&mut self, sequence: u64) {
        self.end_flight(sequence, false);
    }

    /// Releases a message, hidden until `at`; its receipt is void.
    pub(crate) fn release(&mut self, sequence: u64, at: Instant) {
        if let Some(flight) = self.flights.get_mut(&sequence) {
            flight.nonce = None;
            flight.settling = false;
        }
        self.set_deadline(sequence, at);
    }

    /// Moves the time at which a message in flight is released.
    pub(crate) fn set_deadline(&mut self, sequence: u64, at: Instant) {
        if let Some(flight) = self.flights.get_mut(&sequence) {
            self.deadlines.remove(&(flight.deadline, sequence));
            flight.deadline = at;
            self.deadlines.insert((at, sequence));
        }
    }

    /// Releases a message that was taken and not delivered.
    pub(crate) fn release_undelivered(&mut self, sequence: u64, nonce: u64) {
        if self.holds(sequence, nonce) {
            self.end_flight(sequence, true);
        }
    }

    /// The earliest time at which a hidden message is released.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// True if messages are in flight or hidden.
    pub(crate) fn is_busy(&self) -> bool {
        !self.flights.is_empty()
    }

    /// A lower bound of the sequences of unfinished messages.
    pub(crate) fn lowest(&self) -> u64 {
        let flying = self.flights.keys().min().copied();
        let grouped = self.groups.values().filter_map(|group| group.waiting.first().copied()).min();
        [self.loose.first().copied(), flying, grouped]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.cursor)
            .min(self.cursor)
    }
}
