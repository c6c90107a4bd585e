//! A partition while this process owns it: what was read, given and settled of it, and what the group has yet to be told.

mod arrival;
mod lag;

use crate::context::GroupContext;
use crate::gathered::Gathered;
use crate::record::Record;
use arrival::Arrival;
use esclusa_flow::batch::Token;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::source::Limit;
use esclusa_flow::timestamp::Timestamp;
use parking_lot::Mutex;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// Where the reading of a partition begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// The offset of the first record to read.
    pub next: i64,
    /// The position as its store has it.
    pub settled: Option<Token>,
    /// The offset behind the last record, if it is known.
    pub end: Option<i64>,
}

/// Who may settle records of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ownership {
    /// This process, and it may read on.
    Owned,
    /// This process may still settle what is in work.
    Leaving,
    /// Another one, or nobody.
    Gone(&'static str),
}

/// A partition that this process owns.
pub(crate) struct Partition {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub number: i32,
    /// Its name as a lane.
    pub id: String,
    state: Mutex<State>,
    /// A record may have come, or the ownership has changed.
    stirred: Notify,
    /// Something was settled, or a lane has ended.
    released: Arc<Notify>,
    lag: Arc<Lag>,
}

struct State {
    queue: Option<PartitionQueue<GroupContext>>,
    ownership: Ownership,
    /// A lane reads it.
    given: bool,
    /// A lane has read it since it came: the next one has to go back to what is settled.
    used: bool,
    /// The offset of the next record to read.
    next: i64,
    /// A record that was read, and was too large for the batch before.
    held: Option<Record<'static>>,
    /// The offset behind the last record, as the broker told last.
    end: Option<i64>,
    /// The reader has seen the end, and no record since.
    at_end: bool,
    /// What the broker said last instead of a record, and the end at that time. librdkafka tells of it once, however long it lasts.
    fault: Option<(Fault, Option<i64>)>,
    /// Records are missing from this offset on: compacted, or lost. The next look at the oldest record tells.
    jumped: Option<i64>,
    settled: Option<Token>,
    /// The last record that a lane was given; at first what is settled. The commit of the next batch continues from it, so it is
    /// refused if this one was dropped.
    handed: Option<Token>,
    /// The offset of the next record to settle.
    unsettled: i64,
    /// The last record of the batch in work.
    in_work: Option<Token>,
    /// The offset that the group has yet to be told.
    owed: Option<i64>,
    /// This member as it was when the batch in work was pulled.
    member: Option<Arc<ConsumerGroupMetadata>>,
}

/// The name of a partition as a lane.
pub(crate) fn lane_id(topic: &str, number: i32) -> String {
    format!("{topic}-{number}")
}

impl Partition {
    /// A partition that has just come. `released` is told of everything that a revocation may wait for.
    pub(crate) fn new(
        (topic, number): (&str, i32),
        queue: Option<PartitionQueue<GroupContext>>,
        begin: Beginning,
        released: Arc<Notify>,
        lag: Arc<Lag>,
    ) -> Arc<Self> {
        let state = State {
            queue: None,
            ownership: Ownership::Owned,
            given: false,
            used: false,
            next: begin.next,
            held: None,
            end: begin.end,
            at_end: begin.end == Some(begin.next),
            fault: None,
            jumped: None,
            handed: begin.settled.clone(),
            settled: begin.settled,
            unsettled: begin.next,
            in_work: None,
            owed: None,
            member: None,
        };
        let id = lane_id(topic, number);
        let partition = Arc::new(Partition {
            topic: topic.to_owned(),
            number,
            id,
            state: Mutex::new(state),
            stirred: Notify::new(),
            released,
            lag,
        });
        if let Some(mut queue) = queue {
            let stirred = Arc::downgrade(&partition);
            queue.set_nonempty_callback(move || {
                if let Some(partition) = stirred.upgrade() {
                    partition.stirred.notify_one();
                }
            });
            partition.state.lock().queue = Some(queue);
        }
        partition.show(&partition.state.lock(), |_| {});
        partition
    }

    /// Takes it for a lane; `None`: another lane reads it, or it leaves. `Some(true)`: the reader has to go back to what is settled.
    pub(crate) fn take(&self) -> Option<bool> {
        let mut state = self.state.lock();
        if state.given || state.ownership != Ownership::Owned {
            return None;
        }
        state.given = true;
        Some(std::mem::replace(&mut state.used, true))
    }

    /// True if a lane could take it.
    pub(crate) fn is_free(&self) -> bool {
        let state = self.state.lock();
        !state.given && state.ownership == Ownership::Owned
    }

    /// Its lane has ended: what it was given and has not settled comes again.
    pub(crate) fn give_back(&self) {
        let mut state = self.state.lock();
        (state.given, state.in_work, state.held) = (false, None, None);
        self.show(&state, |lag| lag.oldest_unfinished = None);
        drop(state);
        self.released.notify_waiters();
    }

    /// Reading begins anew here.
    pub(crate) fn begin(&self, begin: Beginning) {
        let mut state = self.state.lock();
        (state.next, state.unsettled, state.held, state.jumped) = (begin.next, begin.next, None, None);
        state.fault = None;
        state.handed = begin.settled.clone();
        state.settled = begin.settled;
        // What was settled was there: the end is not before it, whatever was told last.
        state.end = begin.end.or(state.end.max(Some(begin.next)));
        state.at_end = begin.end == Some(begin.next);
        self.show(&state, |_| {});
    }

    /// What is settled, and the offset of the next record to settle.
    pub(crate) fn settled(&self) -> (Option<Token>, i64) {
        let state = self.state.lock();
        (state.settled.clone(), state.unsettled)
    }

    /// Reads records up to a limit, without waiting; true if the limit is reached.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] if the partition leaves; else what the broker says.
    pub(crate) fn read(&self, limit: Limit, gathered: &mut Gathered) -> Result<bool, Fault> {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.ownership != Ownership::Owned {
            return Err(lost(&self.id, "it goes to another member of the group"));
        }
        if let Some(held) = state.held.take()
            && let Some(held) = gathered.add(&self.id, held, limit)?
        {
            state.held = Some(held);
            return Ok(true);
        }
        while gathered.claims.len() < limit.events.max(1) {
            let Some(queue) = &state.queue else { return Err(lost(&self.id, "it has left")) };
            match queue.poll(Duration::ZERO) {
                None => return state.lasting_fault(gathered).map_or(Ok(false), Err),
                Some(Ok(message)) => {
                    state.fault = None;
                    let record = Record::of(&message);
                    let offset = record.offset;
                    let arrival = Arrival::of(offset, state.next, state.end);
                    if arrival == Arrival::Stale {
                        return Err(lost(&self.id, "a record came from before the place that it went back to"));
                    }
                    let left = gathered.add(&self.id, record, limit)?.map(Record::into_owned);
                    drop(message);
                    if arrival == Arrival::Anew {
                        self.lag.add_gap();
                        tracing::warn!(
                            lane = self.id,
                            offset,
                            expected = state.next,
                            "the offset before was out of range: the topic was made again, or cut; reading from its oldest record"
                        );
                    } else if arrival == Arrival::Behind {
                        state.jumped.get_or_insert(state.next);
                    }
                    (state.next, state.at_end) = (offset.saturating_add(1), false);
                    state.end = state.end.max(Some(state.next));
                    if left.is_some() {
                        state.held = left;
                        return Ok(true);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    (state.at_end, state.fault) = (true, None);
                    self.show(state, |_| {});
                }
                Some(Err(error)) => {
                    let fault = crate::client::fault(&format!("read {}", self.id), &error);
                    state.fault = Some((fault.clone(), state.end));
                    return Err(fault);
                }
            }
        }
        Ok(true)
    }

    /// True if the reader has seen the end.
    pub(crate) fn at_end(&self) -> bool {
        self.state.lock().at_end
    }

    /// The events were given to a plugin; gives the position before the first.
    pub(crate) fn gave(&self, gathered: &Gathered) -> Option<Token> {
        let mut state = self.state.lock();
        let last = gathered.claims.last().map(|claim| claim.token().clone());
        state.in_work.clone_from(&last);
        let behind = wall_millis().saturating_sub(gathered.newest);
        let at_end = state.at_end;
        self.show(&state, |lag| {
            lag.oldest_unfinished = gathered.oldest;
            lag.behind_millis = Some(if at_end { 0 } else { behind });
        });
        std::mem::replace(&mut state.handed, last)
    }

    /// Notes the member that pulls: what it commits counts only as long as it is in the group as that.
    pub(crate) fn pulled_by(&self, member: Option<ConsumerGroupMetadata>) {
        self.state.lock().member = member.map(Arc::new);
    }

    /// The member that pulled the batch in work.
    pub(crate) fn puller(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        self.state.lock().member.clone()
    }

    /// Waits until a record may have come, or the ownership has changed. Cancel-safe.
    pub(crate) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Wakes its lane.
    pub(crate) fn stir(&self) {
        self.stirred.notify_one();
    }

    /// Checks that a commit that continues from `from` may happen.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] otherwise.
    pub(crate) fn check(&self, from: Option<&Token>) -> Result<(), Fault> {
        let state = self.state.lock();
        if let Ownership::Gone(why) = state.ownership {
            return Err(lost(&self.id, why));
        }
        if state.settled.as_ref() != from {
            return Err(lost(&self.id, "its position has moved"));
        }
        Ok(())
    }

    /// The effects up to `to` are durable.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] if another process owns the partition.
    pub(crate) fn settle(&self, to: &Token) -> Result<(), Fault> {
        let Token::Offset(offset) = to else {
            return Err(Fault::Bug(format!("{to:?} is no offset of partition {}", self.id)));
        };
        let mut state = self.state.lock();
        if let Ownership::Gone(why) = state.ownership {
            return Err(lost(&self.id, why));
        }
        let next = i64::try_from(*offset).unwrap_or(i64::MAX).saturating_add(1);
        (state.settled, state.unsettled, state.owed) = (Some(to.clone()), next, Some(next));
        if state.in_work.as_ref() == Some(to) {
            state.in_work = None;
            self.show(&state, |lag| lag.oldest_unfinished = None);
            drop(state);
            self.released.notify_waiters();
        }
        Ok(())
    }

    /// The offset that the group has yet to be told.
    pub(crate) fn owed(&self) -> Option<i64> {
        self.state.lock().owed
    }

    /// The group knows this offset.
    pub(crate) fn paid(&self, offset: i64) {
        self.state.lock().owed.take_if(|owed| *owed == offset);
    }

    /// The reader stops; what is in work may be finished.
    pub(crate) fn leave(&self) {
        let mut state = self.state.lock();
        if state.ownership == Ownership::Owned {
            state.ownership = Ownership::Leaving;
        }
        drop(state);
        self.stirred.notify_one();
    }

    /// True if no batch of it is in work.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.lock().in_work.is_none()
    }

    /// Nothing more of it may be settled. Its queue ends here, on the thread that polls the consumer.
    pub(crate) fn end(&self, why: &'static str) {
        let mut state = self.state.lock();
        state.ownership = Ownership::Gone(why);
        let queue = state.queue.take();
        drop(state);
        drop(queue);
        self.lag.forget(&self.id);
        self.stirred.notify_one();
        self.released.notify_waiters();
    }

    /// Why nothing more of it may be settled; `None`: it may.
    pub(crate) fn gone(&self) -> Option<Fault> {
        match self.state.lock().ownership {
            Ownership::Gone(why) => Some(lost(&self.id, why)),
            _ => None,
        }
    }

    /// Waits until nothing more of it may be settled. Cancel-safe.
    pub(crate) async fn ended(&self) -> Fault {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if let Some(fault) = self.gone() {
                return fault;
            }
            released.await;
        }
    }
}

fn lost(lane: &str, why: &str) -> Fault {
    Fault::LeaseLost(format!("partition {lane}: {why}"))
}

/// Milliseconds since the Unix epoch, by this machine's clock.
fn wall_millis() -> u64 {
    Timestamp::from(SystemTime::now()).millis()
}
