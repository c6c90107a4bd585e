//! A consumer as a member of a route's group, and the thread that polls it: partitions that come and go, offsets that are owed
//! to the group, and how far the reader is behind.
//!
//! Callbacks of librdkafka run only while its queue is polled, so one thread does nothing but that, whatever the route does.
//! Every partition has a queue of its own from the moment when it comes: records of several partitions never wait for each other.

mod events;
mod offsets;
mod questions;

use crate::beginning::{self, Beginnings, Place};
use crate::client;
use crate::context::{GroupConsumer, GroupEvents};
use crate::lanes::Lanes;
use crate::partition::{Beginning, Partition, lane_id};
use esclusa_flow::batch::Token;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::settings::Start;
use esclusa_flow::source::Positions;
use parking_lot::Mutex;
use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

/// The longest that a poll waits.
const TICK: Duration = Duration::from_millis(100);
/// How often the group is told of offsets.
const COMMIT: Duration = Duration::from_millis(250);
/// How often the ends of partitions are asked for, and the members of a group that may have one only.
const MEASURE: Duration = Duration::from_secs(2);
/// How long the start of a group may be left to the member that has the first partition.
const FIRST_MEMBER: Duration = Duration::from_secs(10);
/// Waits between tries to find out where partitions begin.
const PAUSE: Duration = Duration::from_millis(200);

/// The rules of a member.
pub(crate) struct Rules {
    /// Names the route in the log.
    pub route: Arc<str>,
    /// The group's id; `None`: there is no group.
    pub group: Option<String>,
    /// The topics that are read.
    pub topics: Vec<String>,
    /// All partitions, if there is no group.
    pub all: Vec<Place>,
    /// Where a group starts.
    pub start: Start,
    /// The store of positions; `None`: the group.
    pub positions: Option<Positions>,
    /// A second member is refused.
    pub sole: bool,
    /// How long a partition that goes waits for the batch in work.
    pub revoke_timeout: Duration,
    /// The lanes of the route, also those of earlier members.
    pub lanes: Arc<Lanes>,
    /// Called with the lane of each partition that comes, before its offset is read.
    pub fence: Option<Fence>,
    /// Shows the state of the partitions.
    pub lag: Arc<Lag>,
}

/// Ends what an earlier owner of a lane has begun.
pub(crate) type Fence = Arc<dyn Fn(&str) -> Result<(), Fault> + Send + Sync>;

/// A consumer, and the partitions that it has at present.
pub(crate) struct Member {
    rules: Rules,
    runtime: Handle,
    consumer: OnceLock<Weak<GroupConsumer>>,
    partitions: Mutex<BTreeMap<String, Arc<Partition>>>,
    /// A partition may have become free, or a fault was noted.
    changed: Notify,
    /// Something was settled, or a lane has ended.
    released: Arc<Notify>,
    state: Mutex<State>,
    stopping: AtomicBool,
    /// True once the thread has ended.
    ended: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// Partitions have come, or the member knows that it gets none.
    joined: bool,
    /// What the route's operator has to know, until the member is in the group and the brokers show all topics. librdkafka tells of it once.
    fault: Option<Fault>,
    /// Why it is not known where partitions begin.
    beginless: Option<Fault>,
    /// The brokers do not answer.
    outage: Option<Fault>,
    /// For how long the group has refused offsets.
    refusals: offsets::Refusals,
    /// Why no lane of this member may go on.
    refused: Option<Fault>,
    /// Lanes that this process has had: the group loses its offsets together with a topic, which may be made again.
    seen: BTreeSet<String>,
}

impl Member {
    /// A member that has not begun.
    pub(crate) fn new(rules: Rules, runtime: Handle) -> Arc<Self> {
        Arc::new(Member {
            rules,
            runtime,
            consumer: OnceLock::new(),
            partitions: Mutex::default(),
            changed: Notify::new(),
            released: Arc::default(),
            state: Mutex::default(),
            stopping: AtomicBool::new(false),
            ended: watch::Sender::new(false),
        })
    }

    /// Starts the thread that polls the consumer until [`Member::stop`].
    ///
    /// # Errors
    /// [`Fault::Transient`] if the system has no thread left.
    pub(crate) fn start(self: &Arc<Self>, consumer: Arc<GroupConsumer>) -> Result<(), Fault> {
        let _ = self.consumer.set(Arc::downgrade(&consumer));
        let events: Arc<dyn GroupEvents> = self.clone();
        consumer.context().tell(Arc::downgrade(&events));
        let member = self.clone();
        let thread = std::thread::Builder::new().name("kafka".to_owned()).spawn(move || member.run(consumer));
        thread.map(drop).map_err(|e| Fault::Transient(format!("start a thread for the consumer: {e}")))
    }

    /// Has the thread leave the group, and end.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.released.notify_waiters();
    }

    /// True once the thread has ended, by itself or because it was told to.
    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until the thread has ended.
    pub(crate) async fn ended(&self) {
        // An error: the sender is gone, and it is part of this.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn run(&self, consumer: Arc<GroupConsumer>) {
        if self.rules.group.is_none() {
            self.take_all(&consumer);
        }
        let (mut told, mut measured) = (Instant::now(), Instant::now());
        while !self.is_stopping() {
            match consumer.poll(TICK) {
                None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                // Every partition has a queue of its own, so this cannot be: it would be lost. The lane is lost instead.
                Some(Ok(message)) => {
                    use rdkafka::message::Message;
                    let lane = lane_id(message.topic(), message.partition());
                    tracing::error!(
                        route = &*self.rules.route,
                        lane,
                        "bug: a record came outside of its partition's queue"
                    );
                    if let Some(partition) = self.partition(&lane) {
                        partition.end("a record came outside of its queue");
                    }
                }
                Some(Err(error)) => self.failed(&error, ""),
            }
            if told.elapsed() >= COMMIT {
                self.pay(&consumer);
                told = Instant::now();
            }
            if measured.elapsed() >= MEASURE {
                self.measure(&consumer);
                measured = Instant::now();
            }
        }
        let all: Vec<Arc<Partition>> = self.partitions.lock().values().cloned().collect();
        self.let_go(&consumer, &all, false);
        self.partitions.lock().clear();
        // Leaves the group. The lanes hold no queue any more, so this is the last one to hold the consumer, or a short request is.
        drop(consumer);
        self.ended.send_replace(true);
        self.changed.notify_waiters();
    }

    /// Without a group every partition is this member's.
    fn take_all(&self, consumer: &GroupConsumer) {
        let mut all = TopicPartitionList::new();
        for (topic, partition) in &self.rules.all {
            all.add_partition(topic, *partition);
        }
        let starts = self.assigning(consumer, &all);
        if let Err(error) = consumer.assign(&starts) {
            self.failed(&error, "assign all partitions");
        }
        self.assigned(&all);
    }

    /// Partitions that this process owns.
    pub(crate) fn partition(&self, lane: &str) -> Option<Arc<Partition>> {
        self.partitions.lock().get(lane).cloned()
    }

    /// Waits for a partition that no lane reads. `true`: a lane has read it before.
    ///
    /// # Errors
    /// A [`Fault`] that the operator has to know; the call may be repeated.
    pub(crate) async fn free_partition(&self) -> Result<(Arc<Partition>, bool), Fault> {
        loop {
            let lanes = &self.rules.lanes;
            let (changed, released, ended) = (self.changed.notified(), self.released.notified(), lanes.ended());
            tokio::pin!(changed, released, ended);
            changed.as_mut().enable();
            released.as_mut().enable();
            // A lane of an earlier member keeps its partition, too.
            ended.as_mut().enable();
            if let Some(refusal) = self.refusal() {
                return Err(refusal);
            }
            let fault = {
                let state = self.state.lock();
                state.fault.clone().or_else(|| state.beginless.clone())
            };
            if self.has_ended() {
                let ended = || Fault::Transient("the consumer has ended: it joins the group again".to_owned());
                return Err(fault.unwrap_or_else(ended));
            }
            let partitions: Vec<_> = self.partitions.lock().values().cloned().collect();
            if let Some(taken) = partitions.into_iter().find_map(|p| lanes.begin(&p).map(|used| (p, used))) {
                return Ok(taken);
            }
            if let Some(fault) = fault {
                return Err(fault);
            }
            tokio::select! {
                () = changed => {}
                () = released => {}
                () = ended => {}
            }
        }
    }

    /// The lane of a partition is gone: the next one may begin.
    pub(crate) fn lane_ended(&self, partition: &Partition) {
        self.rules.lanes.end(partition);
    }

    /// True if every partition that this process owns is read by a lane.
    pub(crate) fn caught_up(&self) -> bool {
        // One lock after the other: a lane that reads holds that of its partition, while librdkafka may call `failed`.
        let joined = self.state.lock().joined;
        let partitions: Vec<_> = self.partitions.lock().values().cloned().collect();
        joined && !partitions.iter().any(|partition| partition.is_free())
    }

    /// Why lanes get nothing at present: the brokers do not answer, or this member is refused.
    pub(crate) fn outage(&self) -> Option<Fault> {
        self.state.lock().outage.clone()
    }

    /// Why this member may settle nothing; `None`: it may.
    pub(crate) fn refusal(&self) -> Option<Fault> {
        self.state.lock().refused.clone()
    }

    /// Goes back to what is settled, for a partition whose lane has ended.
    ///
    /// # Errors
    /// A [`Fault`] if its position cannot be read, or the consumer does not go there.
    pub(crate) async fn go_back(&self, partition: &Arc<Partition>) -> Result<(), Fault> {
        let (settled, unsettled) = match &self.rules.positions {
            // Another process may have moved it meanwhile.
            Some(positions) => (positions(&partition.id).await?, partition.settled().1),
            None => partition.settled(),
        };
        let next = match settled {
            Some(Token::Offset(offset)) => i64::try_from(offset).unwrap_or(i64::MAX).saturating_add(1),
            _ => unsettled,
        };
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else {
            return Err(Fault::Transient("the consumer has ended".to_owned()));
        };
        let (place, fence) = (partition.clone(), self.rules.fence.clone());
        let sought = tokio::task::spawn_blocking(move || {
            let mut next = next;
            if let Some(fence) = fence {
                // A transaction whose end is not known has one after this, and the group knows which.
                fence(&place.id)?;
                next = beginning::committed(&consumer, &(place.topic.clone(), place.number))?.unwrap_or(next);
            }
            let offset = rdkafka::topic_partition_list::Offset::Offset(next);
            let sought = consumer.seek(&place.topic, place.number, offset, Duration::from_secs(5));
            sought.map_err(|e| client::fault(&format!("go back to offset {next} of {}", place.id), &e)).map(|()| next)
        });
        let next = sought.await.map_err(|e| Fault::Bug(format!("a seek: {e}")))??;
        partition.begin(Beginning { next, settled, end: None });
        Ok(())
    }

    /// This member in the group, as it is now; `None`: it has ended.
    pub(crate) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.get()?.upgrade()?.group_metadata()
    }

    /// True if offsets are committed with the messages of a transaction.
    pub(crate) fn is_transactional(&self) -> bool {
        self.rules.fence.is_some()
    }

    /// Finds out where partitions begin, and tries until it knows or the member stops.
    fn begin(&self, consumer: &GroupConsumer, places: &[Place]) -> BTreeMap<Place, Beginning> {
        let since = Instant::now();
        let (mut said, mut fenced) = (false, BTreeSet::new());
        while !self.is_stopping() {
            match self.try_begin(consumer, places, &mut fenced, since.elapsed() > FIRST_MEMBER) {
                Ok(Some(begin)) => {
                    self.state.lock().beginless = None;
                    return begin;
                }
                Ok(None) => {}
                Err(fault) => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!(route = &*self.rules.route, error = %fault, "cannot find out where to read; trying again");
                    }
                    self.state.lock().beginless = Some(fault);
                    self.changed.notify_waiters();
                }
            }
            std::thread::sleep(PAUSE);
        }
        BTreeMap::new()
    }

    fn try_begin(
        &self,
        consumer: &GroupConsumer,
        places: &[Place],
        fenced: &mut BTreeSet<String>,
        alone: bool,
    ) -> Result<Option<BTreeMap<Place, Beginning>>, Fault> {
        let mut stored = BTreeMap::new();
        for lane in places.iter().map(|(topic, partition)| lane_id(topic, *partition)) {
            // First: what an earlier owner has begun must have ended before its position is read.
            if let Some(fence) = &self.rules.fence
                && !fenced.contains(&lane)
            {
                fence(&lane)?;
                fenced.insert(lane.clone());
            }
            if let Some(positions) = &self.rules.positions
                && let Some(token) = self.runtime.block_on(positions(&lane))?
            {
                stored.insert(lane, token);
            }
        }
        let grouped = self.rules.group.is_some();
        let seen = &self.state.lock().seen.clone();
        Beginnings { consumer, start: self.rules.start, grouped, seen }.find(places, &stored, alone)
    }
}

#[cfg(test)]
mod tests;
