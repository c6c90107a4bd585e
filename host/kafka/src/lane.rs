//! A partition as a lane.

use crate::gathered::Gathered;
use crate::partition::Partition;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Batch;
use esclusa_flow::event::BatchOrigin;
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The longest that a lane waits before it looks again whether the brokers answer.
const LOOK: Duration = Duration::from_secs(1);

/// What a lane asks of the member that it belongs to.
pub(crate) trait LaneOwner: Send + Sync {
    /// Why the brokers do not answer at present; `None`: they do.
    fn outage(&self) -> Option<Fault>;

    /// Why no lane may go on; `None`: they may.
    fn refusal(&self) -> Option<Fault>;

    /// Notes the member that pulls, if its commits have to name it.
    fn pulls(&self, partition: &Partition);

    /// The lane of a partition is gone.
    fn ended(&self, partition: &Partition);
}

/// A partition, read by one task.
pub(crate) struct KafkaLane {
    partition: Arc<Partition>,
    origin: BatchOrigin,
    gathered: Gathered,
    /// The consumer goes on as long as a lane of it lives.
    owner: Arc<dyn LaneOwner>,
}

impl KafkaLane {
    /// A lane on a partition that was taken for it.
    pub(crate) fn new(partition: Arc<Partition>, origin: BatchOrigin, owner: Arc<dyn LaneOwner>) -> Self {
        KafkaLane { partition, origin, gathered: Gathered::default(), owner }
    }

    async fn pull_batch(&mut self, limit: Limit) -> Result<Pull, Fault> {
        let mut end = None;
        self.owner.pulls(&self.partition);
        loop {
            if let Some(refusal) = self.owner.refusal() {
                return Err(Fault::LeaseLost(refusal.to_string()));
            }
            if self.partition.read(limit, &mut self.gathered)? {
                break;
            }
            if self.gathered.claims.is_empty() {
                if let Some(fault) = self.owner.outage() {
                    return Err(fault);
                }
                return Ok(Pull::Empty { drained: self.partition.at_end() });
            }
            let end = *end.get_or_insert_with(|| Instant::now() + limit.window);
            if timeout_at(end, self.partition.stirred()).await.is_err() {
                break;
            }
        }
        let gathered = std::mem::take(&mut self.gathered);
        let previous = self.partition.gave(&gathered);
        let Gathered { columns, claims, .. } = gathered;
        Ok(Pull::Batch(Batch { origin: self.origin.clone(), columns: columns.into(), claims, previous }))
    }
}

impl Lane for KafkaLane {
    fn id(&self) -> &str {
        &self.partition.id
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(self.pull_batch(limit))
    }

    fn lost(&self) -> Option<Fault> {
        self.partition.gone()
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.gathered.claims.is_empty() {
                drop(timeout(LOOK, self.partition.stirred()).await);
            }
        })
    }
}

impl Drop for KafkaLane {
    fn drop(&mut self) {
        self.owner.ended(&self.partition);
    }
}
