//! The stand-in for `wiring/kafka.rs` in a build without Kafka. [`configuration`](crate::configuration) refuses a plan
//! that names Kafka, so there are never any [`KafkaTopics`], and none of their methods runs.

use super::{PositionStore, Unreachable};
use esclusa_config::plan::{Output, Plan, RouteSpec, Source};
use esclusa_flow::engine::{Engine, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::lane_progress::LaneProgress;
use esclusa_flow::outbox::CommitSender;
use esclusa_flow::{BoxFuture, source};
use std::sync::Arc;

/// Has no values.
#[derive(Clone)]
pub(crate) enum KafkaTopics {}

impl KafkaTopics {
    /// Always `None`.
    pub(crate) fn of(_: &RouteSpec, _: &Source, positions_in: PositionStore) -> Option<Self> {
        match positions_in {
            PositionStore::Group => {}
            PositionStore::Shared(positions) | PositionStore::Own(positions) => drop(positions),
        }
        None
    }

    /// Never called, like all that follow.
    #[must_use]
    pub(crate) fn lag(&self) -> Arc<Lag> {
        match *self {}
    }

    /// The progress of the lanes.
    #[must_use]
    pub(crate) fn progress(&self) -> Arc<dyn LaneProgress> {
        match *self {}
    }

    /// Opens the source.
    pub(crate) fn open(&self) -> BoxFuture<'static, Result<Box<dyn source::Source>, Fault>> {
        match *self {}
    }

    /// The engine of a route.
    #[must_use]
    pub(crate) fn engine(&self, _: &Plan, _: &RouteSpec, _: Arc<dyn Engine>, _: CommitSender) -> Arc<dyn Engine> {
        match *self {}
    }
}

/// No output is Kafka.
#[must_use]
pub(crate) fn sink(_: &Output) -> Option<Arc<dyn Sink>> {
    None
}

/// There is nothing to check.
pub(crate) async fn check(_: &Plan) -> Vec<Unreachable> {
    Vec::new()
}
