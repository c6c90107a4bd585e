//! The reader of one route: what a route knows of its topics for as long as it runs, also while its source is closed.

use crate::check;
use crate::client;
use crate::context::{GroupConsumer, GroupContext};
use crate::lane::{KafkaLane, LaneOwner};
use crate::lanes::Lanes;
use crate::member::{Fence, Member, Rules};
use crate::partition::Partition;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::engine::Progress;
use esclusa_flow::event::BatchOrigin;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::lane_progress::LaneProgress;
use esclusa_flow::settings::{KafkaConnection, Start};
use esclusa_flow::source::{Lane, Positions, Source};
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long the brokers may take to describe the topics.
const DESCRIBE: Duration = Duration::from_secs(10);
/// How long the last offsets of partitions that go may take, after the batches in work have had their time.
const AFTER_BATCHES: Duration = Duration::from_secs(15);
/// Bytes that a record takes in librdkafka's queue beside its own.
const OVERHEAD: usize = 256;

/// Topics as one route reads them.
#[derive(Clone)]
pub struct KafkaSourceSettings {
    /// Route name.
    pub route: Arc<str>,
    /// Source name.
    pub source: Arc<str>,
    /// The brokers.
    pub connection: KafkaConnection,
    /// Topics to read, at least one.
    pub topics: Vec<String>,
    /// Where partitions start that exist when the group starts for the first time.
    pub start: Start,
    /// The group, and how its members share the partitions; `None`: this process reads all partitions by itself, and
    /// commits to no group (replay).
    pub group: Option<KafkaGroup>,
    /// The store that keeps the positions.
    pub positioning: Positioning,
    /// Most bytes that are read ahead, in all partitions together.
    pub read_ahead: usize,
    /// How long a partition that goes to another member waits for the batch in work.
    pub revoke_timeout: Duration,
    /// Shows the state of the partitions.
    pub lag: Arc<Lag>,
}

/// A group of consumers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaGroup {
    /// Its id.
    pub id: String,
    /// The id of a static member, of its own in each process; `None`: members are dynamic.
    pub instance: Option<String>,
}

/// The store that keeps the positions of a route's partitions. The group's offsets follow it, for tools that show the lag.
#[derive(Clone)]
pub enum Positioning {
    /// The group.
    Group,
    /// A store that all members share, such as a table in DynamoDB. It wins over the group.
    Shared(Positions),
    /// The store of this process. It wins over the group, and a second member of the group is refused.
    Own(Positions),
}

/// Reads the topics of one route, in one source after the other.
pub struct KafkaReader {
    settings: KafkaSourceSettings,
    membership: Mutex<Weak<Membership>>,
    lanes: Arc<Lanes>,
    fence: OnceLock<Fence>,
}

/// A member of the group, which leaves it when the source and all lanes are gone.
struct Membership {
    member: Arc<Member>,
}

impl LaneOwner for Membership {
    fn outage(&self) -> Option<Fault> {
        self.member.outage()
    }

    fn refusal(&self) -> Option<Fault> {
        self.member.refusal()
    }

    fn pulls(&self, partition: &Partition) {
        if self.member.is_transactional() {
            partition.pulled_by(self.member.metadata());
        }
    }

    fn ended(&self, partition: &Partition) {
        self.member.lane_ended(partition);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.member.stop();
    }
}

impl KafkaReader {
    /// A reader that has not connected yet.
    #[must_use]
    pub fn new(settings: KafkaSourceSettings) -> Arc<Self> {
        Arc::new(KafkaReader { settings, membership: Mutex::default(), lanes: Arc::default(), fence: OnceLock::new() })
    }

    /// Joins the group, and gives the source.
    ///
    /// # Errors
    /// A [`Fault`] if the brokers do not answer or do not let the client in, or if a topic is missing.
    pub fn open(self: &Arc<Self>) -> BoxFuture<'static, Result<Box<dyn Source>, Fault>> {
        let reader = self.clone();
        Box::pin(async move {
            let membership = reader.join().await?;
            Ok(Box::new(KafkaSource { reader, membership }) as Box<dyn Source>)
        })
    }

    /// The progress of its lanes.
    #[must_use]
    pub fn progress(self: &Arc<Self>) -> Arc<dyn LaneProgress> {
        Arc::new(ReaderProgress(self.clone()))
    }

    /// Has `fence` called for each partition that comes, before its offset is read. Only before the first [`KafkaReader::open`].
    pub(crate) fn fence_with(&self, fence: Fence) {
        let _ = self.fence.set(fence);
    }

    /// Its settings.
    pub(crate) fn settings(&self) -> &KafkaSourceSettings {
        &self.settings
    }

    /// The partition of a lane, which this process owns or has owned.
    pub(crate) fn partition(&self, lane: &str) -> Option<Arc<Partition>> {
        self.lanes.partition(lane)
    }

    /// True if the store of this process has the positions.
    pub(crate) fn keeps_own_positions(&self) -> bool {
        matches!(self.settings.positioning, Positioning::Own(_))
    }

    fn current(&self) -> Option<Arc<Membership>> {
        self.membership.lock().upgrade().filter(|membership| !membership.member.has_ended())
    }

    async fn join(&self) -> Result<Arc<Membership>, Fault> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let settings = &self.settings;
        let facts = check::topics(&settings.connection, &settings.topics, DESCRIBE).await?;
        if let Some(missing) = facts.iter().find(|topic| topic.partitions == 0) {
            return Err(check::missing(&missing.topic));
        }
        let all: Vec<_> = facts
            .iter()
            .flat_map(|topic| {
                (0..topic.partitions).map(|number| (topic.topic.clone(), i32::try_from(number).unwrap_or_default()))
            })
            .collect();
        let consumer = self.consumer(all.len())?;
        let (positions, sole) = match &settings.positioning {
            Positioning::Group => (None, false),
            Positioning::Shared(positions) => (Some(positions.clone()), false),
            Positioning::Own(positions) => (Some(positions.clone()), settings.group.is_some()),
        };
        let rules = Rules {
            route: settings.route.clone(),
            group: settings.group.as_ref().map(|group| group.id.clone()),
            topics: settings.topics.clone(),
            all,
            start: settings.start,
            positions,
            sole,
            revoke_timeout: settings.revoke_timeout,
            lanes: self.lanes.clone(),
            fence: self.fence.get().cloned(),
            lag: settings.lag.clone(),
        };
        let member = Member::new(rules, Handle::current());
        member.start(Arc::new(consumer))?;
        let membership = Arc::new(Membership { member });
        *self.membership.lock() = Arc::downgrade(&membership);
        Ok(membership)
    }

    /// A consumer that reads ahead within the limit, if all of that many partitions come to it.
    fn consumer(&self, partitions: usize) -> Result<GroupConsumer, Fault> {
        let settings = &self.settings;
        let share = settings.read_ahead.checked_div(partitions).unwrap_or(settings.read_ahead);
        let (bytes, records) =
            (share.clamp(64 << 10, 1 << 30), share.checked_div(OVERHEAD).unwrap_or_default().max(100));
        let (kilobytes, records) = ((bytes >> 10).to_string(), records.to_string());
        let fetch = bytes.min(1 << 20).to_string();
        let replay = format!("esclusa-replay-{}", settings.route);
        let group = settings.group.as_ref().map_or(replay.as_str(), |group| &group.id);
        let mut own = vec![
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // Offsets that are in no range: the reader sees that the records do not follow, and counts a gap.
            ("auto.offset.reset", "earliest"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("queued.max.messages.kbytes", &kilobytes),
            ("queued.min.messages", &records),
        ];
        if let Some(instance) = settings.group.as_ref().and_then(|group| group.instance.as_deref()) {
            own.push(("group.instance.id", instance));
        }
        // Small queues are empty soon: the next fetch must not wait for the second that is librdkafka's default.
        let says = |name: &str| settings.connection.client.contains_key(name);
        if !says("fetch.queue.backoff.ms") {
            own.push(("fetch.queue.backoff.ms", "50"));
        }
        if !says("fetch.message.max.bytes") && !says("max.partition.fetch.bytes") {
            own.push(("fetch.message.max.bytes", &fetch));
        }
        let rebalance = rebalance_millis(&settings.connection.client, settings.revoke_timeout);
        if !says("max.poll.interval.ms") {
            own.push(("max.poll.interval.ms", &rebalance));
        }
        let config = client::config(&settings.connection, &own);
        let doing = format!("read {:?}", settings.topics);
        let consumer = GroupConsumer::from_config_and_context(&config, GroupContext::default())
            .map_err(|e| client::fault(&doing, &e))?;
        if settings.group.is_some() {
            let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
            consumer.subscribe(&topics).map_err(|e| client::fault(&doing, &e))?;
        }
        Ok(consumer)
    }
}

/// How long a rebalance waits for a member that does not join again, in milliseconds: librdkafka takes `max.poll.interval.ms` for it, whose
/// default of five minutes would hold up the whole group. The consumer is polled by a thread of its own whatever the route does,
/// so a member that is alive needs less. It may not be shorter than the session. That thread polls nothing while it waits for the batches of
/// partitions that go: a shorter one would throw the member out meanwhile.
fn rebalance_millis(client: &BTreeMap<String, String>, revoke_timeout: Duration) -> String {
    let session = client.get("session.timeout.ms").and_then(|millis| millis.parse().ok()).unwrap_or(45_000_u64);
    let session = Duration::from_millis(session);
    session.max(Duration::from_secs(60)).max(revoke_timeout.saturating_add(AFTER_BATCHES)).as_millis().to_string()
}

/// The topics of a route as its source.
struct KafkaSource {
    reader: Arc<KafkaReader>,
    membership: Arc<Membership>,
}

impl KafkaSource {
    async fn next(&mut self) -> Result<Box<dyn Lane>, Fault> {
        if self.membership.member.has_ended() {
            // A fatal error, such as another process with the same instance id: as a new member.
            self.membership = self.reader.join().await?;
        }
        let member = &self.membership.member;
        let (partition, used) = member.free_partition().await?;
        let settings = &self.reader.settings;
        let origin = BatchOrigin {
            route: settings.route.clone(),
            source: settings.source.clone(),
            kind: "kafka".into(),
            lane: partition.id.as_str().into(),
            ordered: true,
        };
        // A lane from here on: if the next step fails or is dropped, the partition is free again.
        let lane = KafkaLane::new(partition.clone(), origin, self.membership.clone());
        if used {
            member.go_back(&partition).await?;
        }
        Ok(Box::new(lane))
    }
}

impl Source for KafkaSource {
    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async move { self.next().await.map(Some) })
    }

    fn caught_up(&self) -> bool {
        self.membership.member.caught_up()
    }

    fn leased(&self) -> bool {
        true
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.membership.member.stop();
            self.membership.member.ended().await;
        })
    }
}

struct ReaderProgress(Arc<KafkaReader>);

impl ReaderProgress {
    fn with<T>(&self, lane: &str, ask: impl FnOnce(&Partition) -> Result<T, Fault>) -> Result<T, Fault> {
        let lost = || Fault::LeaseLost(format!("partition {lane} is not this process'"));
        let current = self.0.current().ok_or_else(lost)?;
        if let Some(refusal) = current.member.refusal() {
            return Err(Fault::LeaseLost(refusal.to_string()));
        }
        ask(&*self.0.partition(lane).ok_or_else(lost)?)
    }
}

impl LaneProgress for ReaderProgress {
    fn lost<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Fault> {
        Box::pin(async move {
            match self.0.partition(lane) {
                Some(partition) => partition.ended().await,
                None => Fault::LeaseLost(format!("partition {lane} is not this process'")),
            }
        })
    }

    fn check(&self, lane: &str, progress: &Progress) -> Result<(), Fault> {
        match progress {
            Progress::Position { from, .. } => self.with(lane, |partition| partition.check(from.as_ref())),
            Progress::None => Ok(()),
            Progress::Receipts { .. } => Err(Fault::Bug("a partition is settled by position".to_owned())),
        }
    }

    fn settled(&self, lane: &str, to: &Token) -> Result<(), Fault> {
        self.with(lane, |partition| partition.settle(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebalance_waits_for_a_member_longer_than_that_one_waits_for_its_batches() {
        let client = |millis: &str| BTreeMap::from([("session.timeout.ms".to_owned(), millis.to_owned())]);
        let waits = |client: &BTreeMap<String, String>, revoke| rebalance_millis(client, Duration::from_secs(revoke));
        assert_eq!(waits(&BTreeMap::new(), 10), "60000");
        assert_eq!(waits(&BTreeMap::new(), 50), "65000");
        assert_eq!(waits(&BTreeMap::new(), 300), "315000", "the longest revoke_timeout");
        assert_eq!((waits(&client("120000"), 60), waits(&client("120000"), 300)), ("120000".into(), "315000".into()));
    }
}
