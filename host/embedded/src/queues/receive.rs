//! Receiving: messages become invisible, their counts are written, those received too often go to the dead letters.

use super::settle::ReceiptSettlement;
use super::{MessageQueue, keys};
use crate::clock;
use crate::codec::Damaged;
use crate::dead_letters;
use crate::disk::{Space, read_fault};
use crate::progress::{self, SourceSpec};
use crate::records::StoredRecord;
use crate::store::Store;
use crate::transaction::Transaction;
use crate::writer::Demand;
use esclusa_flow::batch::{Claim, Token};
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::event::Columns;
use esclusa_flow::fault::Fault;
use esclusa_flow::source::Limit;
use esclusa_flow::timestamp::Timestamp;
use fjall::{Readable, Slice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a receive found.
pub(crate) enum ReceiveOutcome {
    /// Messages of one group, or without a group.
    Messages {
        /// Their group.
        group: Option<Arc<str>>,
        /// The messages.
        columns: Columns,
        /// Their receipts.
        claims: Vec<Claim>,
    },
    /// None at present.
    Nothing {
        /// True if messages are hidden.
        hidden: bool,
    },
}

/// Messages that were taken and not delivered yet. Dropped, it releases them and restores their receive counts.
struct UndeliveredMessages {
    store: Store,
    queue: Arc<MessageQueue>,
    consumer: u32,
    nonce: u64,
    sequences: Vec<u64>,
    /// Messages whose new receive count is on its way to the disk, with that count.
    counted: Vec<(u64, u32)>,
}

impl Drop for UndeliveredMessages {
    fn drop(&mut self) {
        let (sequences, counted) = (std::mem::take(&mut self.sequences), std::mem::take(&mut self.counted));
        if sequences.is_empty() {
            return;
        }
        let (queue, number, nonce) = (Arc::clone(&self.queue), self.consumer, self.nonce);
        let before: Vec<_> = counted.into_iter().map(|(sequence, count)| (sequence, count.saturating_sub(1))).collect();
        let counts = before.clone();
        let release_undelivered = move || {
            if let Some(consumer) = queue.state().consumer(number) {
                consumer.counts.extend(counts);
                sequences.iter().for_each(|sequence| consumer.release_undelivered(*sequence, nonce));
            }
            queue.notify();
        };
        if before.is_empty() {
            return release_undelivered();
        }
        // The job that counts these receives may still wait for the writer: this one runs after it.
        let queue = self.queue.id;
        let work = move |tx: &mut Transaction<'_>| {
            write_counts(queue, number, &before, tx);
            tx.after(release_undelivered);
            Ok::<_, Fault>(())
        };
        // If the store is closed, no consumer receives them any more: the error is of no interest.
        self.store.writer().submit(0, Demand::Written, work, drop);
    }
}

fn write_counts(queue: u32, consumer: u32, counts: &[(u64, u32)], tx: &mut Transaction<'_>) {
    for (sequence, count) in counts {
        tx.put(Space::Queue, keys::received(queue, *sequence, consumer), u64::from(*count).to_be_bytes());
    }
}

struct CountedMessage {
    sequence: u64,
    /// Receives, this one included.
    count: u32,
    body: Slice,
}

/// Receives the oldest messages. Cancel-safe: a dropped receive releases its messages. `given_up` counts the messages
/// that were received too often.
pub(crate) async fn receive(
    store: &Store,
    queue: &Arc<MessageQueue>,
    number: u32,
    spec: &SourceSpec,
    limit: Limit,
    given_up: &Arc<AtomicU64>,
) -> Result<ReceiveOutcome, Fault> {
    loop {
        let (mut taken, group) = match take(store, queue, number, limit.events)? {
            Ok(taken) => taken,
            Err(hidden) => return Ok(ReceiveOutcome::Nothing { hidden }),
        };
        let messages = read(&mut taken, limit.bytes)?;
        let (alive, dead): (Vec<_>, Vec<_>) = messages.into_iter().partition(|m| m.count <= queue.max_receives);
        move_to_dead_letters(&taken, spec, group.as_deref(), dead, given_up).await?;
        count(&mut taken, &alive).await?;
        if alive.is_empty() {
            continue;
        }
        let mut columns = Columns::default();
        let mut claims = Vec::with_capacity(alive.len());
        for message in &alive {
            let id = message.sequence.to_string();
            let record = StoredRecord::read(&message.body).map_err(Fault::from)?;
            record.push(&id, message.count, &mut columns).map_err(|e| Fault::Permanent(e.to_string()))?;
            let receipt = receipt(queue.id, number, message.sequence, taken.nonce);
            claims.push(Claim::new(receipt).with_hops(record.hops));
        }
        // Delivered: dropping `taken` must not release them any more.
        taken.sequences.clear();
        return Ok(ReceiveOutcome::Messages { group, columns, claims });
    }
}

/// A receipt as it leaves the queue.
fn receipt(queue: u32, consumer: u32, sequence: u64, nonce: u64) -> Token {
    Token::Text(format!("{queue}.{consumer}.{sequence}.{nonce}").into())
}

type GroupedMessages = (UndeliveredMessages, Option<Arc<str>>);

/// Takes messages; `Err` if there are none: true if some are hidden.
fn take(
    store: &Store,
    queue: &Arc<MessageQueue>,
    number: u32,
    most: usize,
) -> Result<Result<GroupedMessages, bool>, Fault> {
    let now = clock::monotonic();
    let mut state = queue.state();
    let nonce = state.next_nonce();
    let Some(consumer) = state.consumer(number) else {
        return Err(Fault::LeaseLost(format!("the route does not read queue {:?} any more", queue.name)));
    };
    consumer.expire(now);
    consumer.load(queue.id, store.disk())?;
    let Some(choice) = consumer.take(most, now + queue.visibility, nonce) else { return Ok(Err(consumer.is_busy())) };
    // The guard below locks the state again if it is dropped.
    drop(state);
    let taken = UndeliveredMessages {
        store: store.clone(),
        queue: Arc::clone(queue),
        consumer: number,
        nonce,
        sequences: choice.sequences,
        counted: Vec::new(),
    };
    Ok(Ok((taken, choice.group)))
}

/// Reads the taken messages up to `bytes` and releases the others.
fn read(taken: &mut UndeliveredMessages, bytes: usize) -> Result<Vec<CountedMessage>, Fault> {
    let disk = taken.store.disk();
    let snapshot = disk.snapshot();
    let mut messages = Vec::with_capacity(taken.sequences.len());
    let mut size = 0;
    for sequence in &taken.sequences {
        let key = keys::message(taken.queue.id, *sequence);
        let body = snapshot.get(disk.space(Space::Queue), key).map_err(|e| read_fault(&e))?.ok_or(Damaged)?;
        size += StoredRecord::read(&body).map_err(Fault::from)?.size(&sequence.to_string());
        // The first message always comes, even if it alone is larger than the limit.
        if size > bytes && !messages.is_empty() {
            break;
        }
        messages.push(CountedMessage { sequence: *sequence, count: 0, body });
    }
    let rest = taken.sequences.split_off(messages.len());
    let mut state = taken.queue.state();
    if let Some(consumer) = state.consumer(taken.consumer) {
        rest.iter().for_each(|sequence| consumer.release_undelivered(*sequence, taken.nonce));
        for message in &mut messages {
            message.count = consumer.counts.get(&message.sequence).copied().unwrap_or_default().saturating_add(1);
        }
    }
    Ok(messages)
}

/// Writes how often the messages were received. Not synced: after a power failure a count may be too low.
async fn count(taken: &mut UndeliveredMessages, messages: &[CountedMessage]) -> Result<(), Fault> {
    if messages.is_empty() {
        return Ok(());
    }
    let counts: Vec<_> = messages.iter().map(|m| (m.sequence, m.count)).collect();
    taken.counted.clone_from(&counts);
    let (queue, number) = (Arc::clone(&taken.queue), taken.consumer);
    let work = move |tx: &mut Transaction<'_>| {
        write_counts(queue.id, number, &counts, tx);
        tx.after(move || {
            if let Some(consumer) = queue.state().consumer(number) {
                consumer.counts.extend(counts);
            }
        });
        Ok(())
    };
    taken.store.writer().perform(messages.len() * 32, Demand::Written, work).await
}

/// Moves messages that were received too often to the dead letters of the route.
async fn move_to_dead_letters(
    taken: &UndeliveredMessages,
    spec: &SourceSpec,
    group: Option<&str>,
    messages: Vec<CountedMessage>,
    given_up: &Arc<AtomicU64>,
) -> Result<(), Fault> {
    if messages.is_empty() {
        return Ok(());
    }
    let letters = messages.iter().map(|m| letter(&taken.queue, spec, group.unwrap_or_default(), m));
    let entries: Vec<_> =
        letters.map(|l| l.and_then(|l| dead_letters::DeadLetterEntry::new(&l))).collect::<Result<_, _>>()?;
    let sequences = messages.iter().map(|message| message.sequence);
    let mut settlement = ReceiptSettlement::of(&taken.queue, taken.consumer, taken.nonce, sequences);
    // From here on they are not released: the writer finishes them even if the receiving task is dropped.
    settlement.begin()?;
    let (route, shared, given_up) = (spec.route.to_string(), Arc::clone(taken.store.shared()), Arc::clone(given_up));
    let bytes = entries.iter().map(dead_letters::DeadLetterEntry::size).sum();
    let work = move |tx: &mut Transaction<'_>| {
        shared.dead.room(&entries, &shared.catalog().limits, tx)?;
        let many = entries.len() as u64;
        let added = Counts { dead: many, ..Counts::default() };
        let (key, sum) = progress::sum(&route, &added, tx)?;
        // Nothing below can be refused: letter, counter and deletion are in one batch.
        tx.irrevocable();
        tx.put(Space::State, key, sum);
        entries.into_iter().for_each(|entry| entry.write(&shared.dead, tx));
        tx.after(move || {
            given_up.fetch_add(many, Ordering::Relaxed);
        });
        settlement.write(tx);
        Ok(())
    };
    taken.store.writer().perform(bytes, Demand::Durable, work).await
}

fn letter(queue: &MessageQueue, spec: &SourceSpec, group: &str, message: &CountedMessage) -> Result<DeadLetter, Fault> {
    let record = StoredRecord::read(&message.body).map_err(Fault::from)?;
    Ok(DeadLetter {
        route: spec.route.to_string(),
        source: spec.source.to_string(),
        kind: spec.kind.to_string(),
        lane: group.to_owned(),
        event: message.sequence.to_string(),
        key: record.key.to_owned(),
        data: record.data.to_vec(),
        attributes: record.attributes.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        timestamp: Timestamp::from_millis(record.timestamp),
        died: Timestamp::from_millis(clock::wall_millis()),
        attempts: message.count.saturating_sub(1),
        code: "max-receives".to_owned(),
        reason: format!(
            "received {} times without success, max_receive_count of queue {:?}",
            queue.max_receives, queue.name
        ),
        backtrace: None,
        logs: Vec::new(),
        plugin: String::new(),
        digest: String::new(),
        output: None,
        last_redrive: None,
    })
}
