//! What the group is told: offsets, as they are settled, and of partitions that go.

use super::{Member, PAUSE};
use crate::beginning::{self, Place};
use crate::context::{GroupConsumer, GroupEvents};
use crate::partition::Partition;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a group may refuse offsets before that is worth a line in the log, and between two lines. Longer than a rebalance
/// with the usual session time-out of 45 s.
const WORTH_A_LINE: Duration = Duration::from_secs(60);

/// For how long a group has refused offsets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Refusals {
    /// The group has refused offsets. `Some`: it has done so for so long, and that is to be said now.
    pub(super) fn refused(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let last = self.said.unwrap_or(since);
        if now.duration_since(last) < WORTH_A_LINE {
            return None;
        }
        self.said = Some(now);
        Some(now.duration_since(since))
    }
}

impl Member {
    /// Tells the group of what is settled and it does not know. Its answer comes to [`GroupEvents::committed`].
    pub(super) fn pay(&self, consumer: &GroupConsumer) {
        if !self.tells_group() {
            return;
        }
        let partitions: Vec<_> = self.partitions.lock().values().cloned().collect();
        let Some(owed) = owed(&partitions) else { return self.offsets_taken() };
        if let Err(error) = consumer.commit(&owed, CommitMode::Async) {
            self.offsets_refused(&error);
        }
    }

    /// Not if a transaction does it: an older offset could come after a newer one.
    fn tells_group(&self) -> bool {
        self.rules.group.is_some() && self.rules.fence.is_none()
    }

    /// The group has taken offsets, or is owed none.
    pub(super) fn offsets_taken(&self) {
        self.state.lock().refusals = Refusals::default();
    }

    /// The group has refused offsets. Normal after a partition was lost, and while the group rebalances: what is owed is told again.
    pub(super) fn offsets_refused(&self, error: &KafkaError) {
        let route = &*self.rules.route;
        tracing::debug!(route, %error, "offsets are not committed");
        let Some(long) = self.state.lock().refusals.refused(Instant::now()) else { return };
        let (seconds, means) = (long.as_secs(), self.untold_means());
        tracing::warn!(route, seconds, %error, "the group refuses offsets: {means}");
    }

    /// What follows if the group does not get offsets.
    fn untold_means(&self) -> &'static str {
        match &self.rules.positions {
            None => "after a restart their records come again",
            Some(_) => "tools that ask it see older ones",
        }
    }

    /// Lets partitions go. `lost`: another member may have them, and nothing is committed.
    pub(super) fn let_go(&self, consumer: &GroupConsumer, partitions: &[Arc<Partition>], lost: bool) {
        if lost {
            partitions.iter().for_each(|partition| partition.end("another member of the group may have it"));
            return;
        }
        partitions.iter().for_each(|partition| partition.leave());
        let deadline = Instant::now() + self.rules.revoke_timeout;
        self.runtime.block_on(async {
            let idle = async {
                loop {
                    let released = self.released.notified();
                    tokio::pin!(released);
                    released.as_mut().enable();
                    if partitions.iter().all(|partition| partition.is_idle()) {
                        return;
                    }
                    released.await;
                }
            };
            drop(tokio::time::timeout(self.rules.revoke_timeout, idle).await);
        });
        if self.tells_group() {
            // The group may be between two generations: an offset that is refused for that is told again.
            while let Some(owed) = owed(partitions) {
                let done = consumer.commit(&owed, CommitMode::Sync);
                self.committed(done.clone(), &owed);
                let Err(error) = done else { break };
                if Instant::now() >= deadline {
                    let (route, means) = (&*self.rules.route, self.untold_means());
                    tracing::warn!(route, %error, "partitions go, and the group has not taken their last offsets: {means}");
                    break;
                }
                std::thread::sleep(PAUSE);
            }
        }
        partitions.iter().for_each(|partition| partition.end("it was let go"));
    }
}

/// The offsets that the group has not taken yet; `None`: it has taken all.
fn owed(partitions: &[Arc<Partition>]) -> Option<TopicPartitionList> {
    let owed: Vec<(Place, i64)> = partitions
        .iter()
        .filter_map(|partition| Some(((partition.topic.clone(), partition.number), partition.owed()?)))
        .collect();
    (!owed.is_empty()).then(|| beginning::list(owed.iter().map(|(place, offset)| (place, *offset))))
}
