//! Exactly-once from topic to topic: messages and offsets in one transaction of Kafka, by one producer for each lane.
//!
//! docs/decisions/0007-kafka-transactions.md says why the outbox does not serve here.

use super::parts::KafkaEngineSettings;
use super::transaction::{NotDone, SourceOffset, TransactionRecord, TransactionalProducer};
use crate::reader::KafkaReader;
use crate::sink::{KafkaSinkSettings, outgoing};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::lane_progress::LaneProgress;
use esclusa_flow::outbox::{SendAttempt, SendObserver};
use esclusa_flow::reads::Reads;
use esclusa_flow::settings::KafkaConnection;
use esclusa_flow::timestamp::Timestamp;
use parking_lot::Mutex;
use rdkafka::consumer::ConsumerGroupMetadata;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

/// The engine of a route with `delivery = "exactly-once"` that writes to topics alone: messages and offsets in one transaction.
/// `topics`: the outputs of the route, by their name; all of them are topics of the brokers that the route reads from. The reader is
/// not open yet.
#[must_use]
pub fn of_transactions(settings: KafkaEngineSettings, topics: BTreeMap<String, KafkaSinkSettings>) -> Arc<dyn Engine> {
    let reader = settings.reader.clone();
    let source = reader.settings();
    // An output's section may have settings of producers; that of the source has those of consumers.
    let connection = topics.values().next().map_or_else(|| source.connection.clone(), |topic| topic.connection.clone());
    let group = source.group.as_ref().map_or_else(|| source.route.to_string(), |group| group.id.clone());
    let producers = Arc::new(Producers { connection, group, open: Mutex::default() });
    let fenced = producers.clone();
    reader.fence_with(Arc::new(move |lane| fenced.begin(lane)));
    Arc::new(TransactionsEngine {
        topics: Arc::new(topics.into_iter().map(|(name, topic)| (name, topic.topic)).collect()),
        local: settings.local.clone(),
        observer: settings.sender.observer.clone(),
        progress: reader.progress(),
        reader,
        producers,
        kept: Mutex::default(),
    })
}

/// The producers of the lanes of this process.
struct Producers {
    connection: KafkaConnection,
    group: String,
    open: Mutex<BTreeMap<String, Arc<TransactionalProducer>>>,
}

impl Producers {
    /// A producer for a lane that has come, in the place of any earlier one.
    fn begin(&self, lane: &str) -> Result<(), Fault> {
        let earlier = self.open.lock().remove(lane);
        // Its drop waits for its thread.
        drop(earlier);
        let begun = TransactionalProducer::begin(&self.connection, &format!("esclusa-{}-{lane}", self.group))?;
        self.open.lock().insert(lane.to_owned(), Arc::new(begun));
        Ok(())
    }

    /// The producer of a lane: a new one, if the last one has failed.
    fn get(&self, lane: &str) -> Result<Arc<TransactionalProducer>, Fault> {
        let open = |producers: &Self| producers.open.lock().get(lane).cloned();
        match open(self) {
            Some(producer) => Ok(producer),
            None => {
                self.begin(lane)?;
                open(self).ok_or_else(|| Fault::Bug(format!("the producer of {lane} has gone")))
            }
        }
    }

    /// Drops the producer of a lane.
    fn end(&self, lane: &str) {
        let ended = self.open.lock().remove(lane);
        drop(ended);
    }
}

struct TransactionsEngine {
    /// Topics by the names of outputs.
    topics: Arc<BTreeMap<String, String>>,
    local: Arc<dyn Engine>,
    observer: Arc<dyn SendObserver>,
    progress: Arc<dyn LaneProgress>,
    reader: Arc<KafkaReader>,
    producers: Arc<Producers>,
    /// Lane and event of dead letters that are kept, and whose transaction has not happened yet.
    kept: Mutex<BTreeSet<(Arc<str>, String)>>,
}

/// A transaction to be carried out, on a thread that may block.
struct Work {
    producers: Arc<Producers>,
    lane: Arc<str>,
    member: Arc<ConsumerGroupMetadata>,
    topics: Arc<BTreeMap<String, String>>,
    messages: Arc<Vec<OutboxMessage>>,
    topic: String,
    partition: i32,
    next: i64,
    /// Each message in a request of its own.
    alone: bool,
}

impl Work {
    fn carry_out(&self) -> Result<(), NotDone> {
        let mut records = Vec::with_capacity(self.messages.len());
        for message in self.messages.iter() {
            let Some(topic) = self.topics.get(&message.send.output) else {
                let why = format!("output {:?} is no topic: a transaction cannot hold it", message.send.output);
                return Err(NotDone::Aborted(Fault::Bug(why)));
            };
            records.push(TransactionRecord { topic, record: Box::new(move || outgoing(message)) });
        }
        let offset =
            SourceOffset { topic: &self.topic, partition: self.partition, next: self.next, member: &self.member };
        let producer = self.producers.get(&self.lane).map_err(NotDone::Aborted)?;
        let done = producer.transact(&records, &offset, self.alone);
        drop(producer);
        if done.is_err() {
            self.producers.end(&self.lane);
        }
        done
    }
}

impl TransactionsEngine {
    async fn carry_out(&self, mut commit: Commit) -> Result<Committed, CommitError> {
        self.progress.check(&commit.lane, &commit.progress)?;
        // A redrive: the embedded engine records its messages.
        let Progress::Position { to, .. } = &commit.progress else { return self.local.commit(commit).await };
        let to = to.clone();
        if !commit.actions.is_empty() {
            let why = "the route writes to topics alone: with exactly-once nothing else is in their transaction";
            let refused = (0..commit.actions.len()).map(|index| (index, why.to_owned())).collect();
            return Err(CommitError::Refused(refused));
        }
        commit.progress = Progress::None;
        let mut messages = std::mem::take(&mut commit.outbox);
        let counts = std::mem::take(&mut commit.counts);
        // What comes before the transaction and after it is committed here. If the disk is full, neither happens.
        self.local.check(Commit { dead: Vec::new(), ..commit.clone() }).await?;
        let watch = Watch::new(&*self.observer, &messages);
        let mut alone = false;
        loop {
            // Before the transaction: once that holds the offset, a crash would lose these.
            self.keep(&mut commit).await?;
            let done = self.transact(&commit.lane, messages.clone(), &to, alone).await;
            match done {
                Ok(()) => break,
                // Perhaps only one of them is too large, or only all of them together.
                Err(NotDone::Refused(refused)) if refused.len() > 1 && !alone => alone = true,
                Err(NotDone::Refused(refused)) => {
                    watch.failed(&messages, &refused);
                    let mut refused: BTreeMap<usize, Fault> = refused.into_iter().collect();
                    let mut left = Vec::with_capacity(messages.len());
                    for (index, message) in Arc::unwrap_or_clone(messages).into_iter().enumerate() {
                        match refused.remove(&index) {
                            Some(fault) => commit.dead.push(letter(&commit, message, &fault)),
                            None => left.push(message),
                        }
                    }
                    messages = Arc::new(left);
                }
                Err(NotDone::Aborted(fault)) => return Err(fault.into()),
                Err(NotDone::Over(why)) => return Err(Fault::LeaseLost(why).into()),
            }
        }
        watch.sent(&messages);
        self.kept.lock().retain(|(lane, _)| *lane != commit.lane);
        // It has happened: if the partition has left meanwhile, its next reader goes on behind it.
        let _ = self.progress.settled(&commit.lane, &to);
        if counts != Counts::default() {
            self.local.commit(Commit { counts, dead: Vec::new(), ..commit }).await?;
        }
        Ok(Committed::default())
    }

    /// Keeps the dead letters of a commit, those of a commit that is tried again only once.
    async fn keep(&self, commit: &mut Commit) -> Result<(), CommitError> {
        let mut dead = std::mem::take(&mut commit.dead);
        let name = |letter: &DeadLetter| (commit.lane.clone(), letter.event.clone());
        dead.retain(|letter| !self.kept.lock().contains(&name(letter)));
        if dead.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = dead.iter().map(name).collect();
        self.local.commit(Commit { dead, ..commit.clone() }).await?;
        self.kept.lock().extend(names);
        Ok(())
    }

    async fn transact(
        &self,
        lane: &Arc<str>,
        messages: Arc<Vec<OutboxMessage>>,
        to: &Token,
        alone: bool,
    ) -> Result<(), NotDone> {
        let gone = || NotDone::Over(format!("partition {lane} is not this process'"));
        let partition = self.reader.partition(lane).ok_or_else(gone)?;
        if let Some(Fault::LeaseLost(why)) = partition.gone() {
            return Err(NotDone::Over(why));
        }
        let member = partition.puller().ok_or_else(gone)?;
        let Token::Offset(last) = to else { return Err(NotDone::Over(format!("{to:?} is no offset"))) };
        let next = i64::try_from(*last).unwrap_or(i64::MAX).saturating_add(1);
        let (topic, number) = (partition.topic.clone(), partition.number);
        let (producers, topics, lane) = (self.producers.clone(), self.topics.clone(), lane.clone());
        let work = Work { producers, lane, member, topics, messages, topic, partition: number, next, alone };
        // To its end, also if nobody waits any more: a transaction that is left open holds back everybody who reads the topics.
        let done = tokio::task::spawn_blocking(move || work.carry_out()).await;
        done.unwrap_or_else(|error| Err(NotDone::Over(format!("a transaction broke: {error}"))))
    }
}

/// The dead letter of a message that its topic does not take.
fn letter(commit: &Commit, message: OutboxMessage, fault: &Fault) -> DeadLetter {
    DeadLetter::of_message(&commit.sender(Timestamp::from(SystemTime::now())), message, fault, 1)
}

/// Tells the observer of the messages of a commit.
struct Watch<'a> {
    observer: &'a dyn SendObserver,
    numbers: BTreeMap<String, u64>,
}

impl<'a> Watch<'a> {
    fn new(observer: &'a dyn SendObserver, messages: &[OutboxMessage]) -> Self {
        let counts = by_output(messages.iter());
        let number = |(output, count): (&str, usize)| (output.to_owned(), observer.waiting(output, count));
        Watch { observer, numbers: counts.into_iter().map(number).collect() }
    }

    fn sent(&self, messages: &[OutboxMessage]) {
        for (output, sent) in by_output(messages.iter()) {
            self.tried(output, &SendAttempt { sent, failed: 0, given_up: 0, fault: None });
        }
    }

    fn failed(&self, messages: &[OutboxMessage], refused: &[(usize, Fault)]) {
        let given_up = by_output(refused.iter().filter_map(|(index, _)| messages.get(*index)));
        let fault = refused.first().map(|(_, fault)| fault);
        for (output, failed) in given_up {
            self.tried(output, &SendAttempt { sent: 0, failed, given_up: failed, fault });
        }
    }

    fn tried(&self, output: &str, attempt: &SendAttempt<'_>) {
        if let Some(number) = self.numbers.get(output) {
            self.observer.tried(output, *number, attempt);
        }
    }
}

/// However the commit ends: what was not sent is not on its way any more.
impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.numbers.iter().for_each(|(output, number)| self.observer.forgotten(output, *number));
    }
}

fn by_output<'m>(messages: impl Iterator<Item = &'m OutboxMessage>) -> BTreeMap<&'m str, usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        let count: &mut usize = counts.entry(message.send.output.as_str()).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

impl Engine for TransactionsEngine {
    fn reads(&self) -> Arc<dyn Reads> {
        self.local.reads()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(self.carry_out(commit))
    }

    fn pending<'a>(&'a self, route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        self.local.pending(route)
    }

    fn confirm<'a>(&'a self, route: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        self.local.confirm(route, outbox, dead)
    }
}
