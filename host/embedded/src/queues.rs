//! Queues: each consuming route receives and finishes messages on its own. A message is deleted when all consumers
//! are done with it.
//!
//! On disk are the messages, which consumer is done with which (only while another one is not), and how often each
//! was received. Everything else, visibility above all, is in memory: a restart releases the messages in flight.

mod consumer;
mod consumers;
pub(crate) mod keys;
mod receive;
mod settle;

pub(crate) use receive::{ReceiveOutcome, receive};
pub(crate) use settle::{ReceiptSettlement, extend};

use crate::clock;
use crate::codec::Damaged;
use crate::disk::{Disk, Space, read_fault};
use crate::records::{self, NewRecord};
use crate::schema::QueueSchema;
use crate::transaction::{Transaction, last_key, stored_number};
use consumers::QueueState;
use esclusa_flow::fault::Fault;
use fjall::Readable;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The queues of a catalog, by name.
pub(crate) type QueuesByName = BTreeMap<String, Arc<MessageQueue>>;

/// A queue.
#[derive(Debug)]
pub(crate) struct MessageQueue {
    /// Its name.
    pub name: String,
    /// First four bytes of its keys.
    pub id: u32,
    /// How long a received message stays invisible.
    pub visibility: Duration,
    /// Receives after which a message is dead.
    pub max_receives: u32,
    live: Arc<SharedQueueState>,
}

#[derive(Debug)]
struct SharedQueueState {
    state: Mutex<QueueState>,
    changed: watch::Sender<u64>,
}

impl MessageQueue {
    /// The queue as `wanted` describes it: consumers are registered and removed, the state of `old` is kept.
    pub(crate) fn load(
        name: &str,
        id: u32,
        wanted: &QueueSchema,
        old: Option<&Arc<MessageQueue>>,
        tx: &mut Transaction<'_>,
    ) -> Result<MessageQueue, Fault> {
        let live = match old.filter(|old| old.id == id) {
            Some(old) => Arc::clone(&old.live),
            None => Arc::new(SharedQueueState {
                state: Mutex::new(QueueState::load(id, tx.disk)?),
                changed: watch::channel(0).0,
            }),
        };
        let queue = MessageQueue {
            name: name.to_owned(),
            id,
            visibility: wanted.visibility_timeout,
            max_receives: wanted.max_receive_count.max(1),
            live,
        };
        for route in &wanted.consumers {
            queue.register(route, tx)?;
        }
        let gone =
            if wanted.consumers.is_empty() { Vec::new() } else { queue.state().routes_except(&wanted.consumers) };
        queue.remove_consumers(&gone, tx)?;
        Ok(queue)
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.live.state.lock()
    }

    /// Changes when a message may have become visible by anything but time: sent, released or unblocked.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.live.changed.subscribe()
    }

    /// Wakes the readers.
    pub(crate) fn notify(&self) {
        self.live.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Messages that a consumer could receive at once now, at most `enough`.
    pub(crate) fn available(&self, disk: &Disk, number: u32, enough: usize) -> Result<usize, Fault> {
        let mut state = self.state();
        let Some(consumer) = state.consumer(number) else { return Ok(0) };
        consumer.expire(clock::monotonic());
        consumer.load(self.id, disk)?;
        Ok(consumer.available(enough))
    }

    /// The earliest time at which a hidden message of a consumer is released.
    pub(crate) fn next_deadline(&self, number: u32) -> Option<Instant> {
        self.state().consumer(number).and_then(|consumer| consumer.next_deadline())
    }

    /// Messages that a consumer is not done with, and the time of the oldest.
    pub(crate) fn backlog(&self, route: &str, disk: &Disk) -> Result<(u64, Option<u64>), Fault> {
        let (first, done) = {
            let mut state = self.state();
            let number = state.consumer_of(route);
            let done = number.and_then(|number| state.consumer(number)).map(|consumer| consumer.done.clone());
            (state.first(), done.unwrap_or_default())
        };
        let end = crate::key::after_prefix(&keys::messages(self.id)).unwrap_or_default();
        let (mut count, mut oldest) = (0, None);
        for guard in disk.snapshot().range(disk.space(Space::Queue), keys::message(self.id, first)..end) {
            let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
            if !done.contains(&crate::codec::trailing_number(&key)?) {
                count += 1;
                oldest = oldest.or(Some(records::timestamp(&value)?));
            }
        }
        Ok((count, oldest))
    }

    /// Makes `route` a consumer if it is none yet. A new consumer gets every message that is stored.
    pub(crate) fn register(&self, route: &str, tx: &mut Transaction<'_>) -> Result<u32, Fault> {
        if let Some(known) = self.state().consumer_of(route) {
            return Ok(known);
        }
        let key = keys::consumer(self.id, route);
        let number = match tx.get(Space::State, &key)? {
            Some(bytes) => u32::try_from(crate::codec::trailing_number(&bytes)?).map_err(|_| Damaged)?,
            None => tx.next_number()?,
        };
        tx.put(Space::State, key, u64::from(number).to_be_bytes());
        let (live, route) = (Arc::clone(&self.live), route.to_owned());
        tx.after(move || live.state.lock().add_consumer(&route, number));
        Ok(number)
    }

    /// Forgets consumers, and deletes the messages that only they were not done with.
    fn remove_consumers(&self, gone: &[String], tx: &mut Transaction<'_>) -> Result<(), Fault> {
        let state = self.state();
        let numbers: Vec<u32> = gone.iter().filter_map(|route| state.consumer_of(route)).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        gone.iter().for_each(|route| tx.delete(Space::State, keys::consumer(self.id, route)));
        let mut finished = Vec::new();
        for guard in tx.disk.snapshot().prefix(tx.disk.space(Space::Queue), keys::messages(self.id)) {
            let sequence = crate::codec::trailing_number(&guard.key().map_err(|e| read_fault(&e))?)?;
            for number in &numbers {
                tx.delete(Space::Queue, keys::done(self.id, sequence, *number));
                tx.delete(Space::Queue, keys::received(self.id, sequence, *number));
            }
            if state.all_done_but(sequence, &numbers) {
                keys::delete_message(self.id, sequence, &state.numbers(), tx);
                finished.push(sequence);
            }
        }
        drop(state);
        let (live, gone) = (Arc::clone(&self.live), gone.to_owned());
        tx.after(move || {
            let mut state = live.state.lock();
            gone.iter().for_each(|route| state.remove_consumer(route));
            finished.iter().for_each(|sequence| state.forget(*sequence));
        });
        Ok(())
    }

    /// Loads the last sequence from the disk, unless the writer has it.
    pub(crate) fn load_head(&self, tx: &mut Transaction<'_>) -> Result<(), Fault> {
        if !tx.memory.heads.contains_key(&(self.id, 0)) {
            let head = stored_head(self.id, tx.disk)?;
            tx.memory.heads.insert((self.id, 0), head);
        }
        Ok(())
    }

    /// Stores a lower bound of the sequences, so that opening the queue need not pass over deleted messages.
    pub(crate) fn remember_first(&self, tx: &mut Transaction<'_>) {
        let mut state = self.state();
        if let Some(first) = state.first_to_remember() {
            tx.put(Space::State, keys::first(self.id), first.to_be_bytes());
        }
    }
}

/// The highest sequence that a queue has given. In a salvaged store the record of it may be lost: a new message must not have the
/// sequence of one that is marked as done, or that is below the first.
fn stored_head(queue: u32, disk: &Disk) -> Result<u64, Fault> {
    let given = stored_number(disk, keys::last(queue))?.unwrap_or_default();
    let first = stored_number(disk, keys::first(queue))?.unwrap_or_default();
    let mut head = given.max(first.saturating_sub(1));
    if let Some(key) = last_key(disk, Space::Queue, &keys::messages(queue))? {
        head = head.max(crate::codec::trailing_number(&key)?);
    }
    for marks in [keys::all_done(queue), keys::all_received(queue)] {
        if let Some((sequence, _)) = last_key(disk, Space::Queue, &marks)?.and_then(|key| keys::parts(&key)) {
            head = head.max(sequence);
        }
    }
    Ok(head)
}

/// A message on its way into a queue.
pub(crate) struct Enqueue {
    /// The queue.
    pub queue: Arc<MessageQueue>,
    /// The value, without its time.
    pub body: Vec<u8>,
}

impl Enqueue {
    /// A message of `queue`.
    pub(crate) fn new(queue: &Arc<MessageQueue>, message: &NewRecord) -> Self {
        Enqueue { queue: Arc::clone(queue), body: records::body(&message.key, &message.attributes, &message.data) }
    }

    /// Stores it; the head of the queue is loaded. Gives its sequence.
    pub(crate) fn write(mut self, tx: &mut Transaction<'_>) -> u64 {
        records::stamp(&mut self.body, tx.now);
        let sequence = tx.next_sequence(self.queue.id, 0);
        tx.put(Space::Queue, keys::message(self.queue.id, sequence), self.body);
        tx.put(Space::State, keys::last(self.queue.id), sequence.to_be_bytes());
        tx.after(move || self.queue.notify());
        sequence
    }
}
