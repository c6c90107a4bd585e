//! The reader of one route: what a route knows of its topics for as long as it runs, also while its source is closed.

use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::lane_progress::LaneProgress;
use esclusa_flow::settings::{KafkaConnection, Start};
use esclusa_flow::source::{Positions, Source};
use std::sync::Arc;
use std::time::Duration;

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

/// See the module.
pub struct KafkaReader {
    settings: KafkaSourceSettings,
}

impl KafkaReader {
    /// A reader that has not connected yet.
    #[must_use]
    pub fn new(settings: KafkaSourceSettings) -> Arc<Self> {
        Arc::new(KafkaReader { settings })
    }

    /// Joins the group, and gives the source. One source at a time.
    ///
    /// # Errors
    /// A [`Fault`] of the client's settings.
    pub fn open(self: &Arc<Self>) -> BoxFuture<'static, Result<Box<dyn Source>, Fault>> {
        let route = self.settings.route.clone();
        Box::pin(async move { Err(Fault::Bug(format!("not written yet: {route}"))) })
    }

    /// The progress of its lanes.
    #[must_use]
    pub fn progress(self: &Arc<Self>) -> Option<Arc<dyn LaneProgress>> {
        None
    }
}
