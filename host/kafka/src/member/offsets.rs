//! What the group is told: offsets, as they are settled, and of partitions that go.

use super::{Member, PAUSE};
use crate::beginning::{self, Place};
use crate::context::{GroupConsumer, GroupEvents};
use crate::partition::Partition;
use rdkafka::consumer::{CommitMode, Consumer};
use std::sync::Arc;
use std::time::Instant;

impl Member {
    /// Tells the group of what is settled and it does not know.
    pub(super) fn pay(&self, consumer: &GroupConsumer, mode: CommitMode) {
        if !self.tells_group() {
            return;
        }
        let partitions: Vec<_> = self.partitions.lock().values().cloned().collect();
        self.pay_for(consumer, &partitions, mode);
    }

    /// Not if a transaction does it: an older offset could come after a newer one.
    fn tells_group(&self) -> bool {
        self.rules.group.is_some() && self.rules.fence.is_none()
    }

    fn pay_for(&self, consumer: &GroupConsumer, partitions: &[Arc<Partition>], mode: CommitMode) -> bool {
        let owed: Vec<(Place, i64)> = partitions
            .iter()
            .filter_map(|partition| Some(((partition.topic.clone(), partition.number), partition.owed()?)))
            .collect();
        if owed.is_empty() {
            return true;
        }
        let list = beginning::list(owed.iter().map(|(place, offset)| (place, *offset)));
        let done = consumer.commit(&list, mode);
        if matches!(mode, CommitMode::Sync) {
            let failed = done.is_err();
            self.committed(done, &list);
            return !failed;
        }
        if let Err(error) = done {
            tracing::debug!(route = &*self.rules.route, %error, "an offset is not committed yet");
        }
        true
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
            while !self.pay_for(consumer, partitions, CommitMode::Sync) && Instant::now() < deadline {
                std::thread::sleep(PAUSE);
            }
        }
        partitions.iter().for_each(|partition| partition.end("it was let go"));
    }
}
