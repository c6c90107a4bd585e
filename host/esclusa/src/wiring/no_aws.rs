//! The stand-in for `wiring/aws.rs` in a build without AWS. [`configuration`](crate::configuration) refuses a plan
//! that names AWS, so no [`Cloud`] is ever made, and none of its methods runs.

use super::Unreachable;
use esclusa_config::plan::{self, Output, Plan};
use esclusa_flow::engine::{Engine, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::lane_progress::LaneProgress;
use esclusa_flow::outbox::CommitSender;
use esclusa_flow::source::{Positions, Source};
use std::sync::Arc;

/// Has no values.
#[derive(Clone)]
pub(crate) enum Cloud {}

/// Has no values, either.
pub(crate) type AwsSourceOpener = Cloud;

/// Nor has this.
pub(crate) type OwnProgress = Cloud;

/// Nor this.
pub(crate) type PositionItems = Cloud;

/// Answers in DynamoDB: none are kept there.
pub(crate) enum KeptAnswers {}

impl KeptAnswers {
    /// Always `None`.
    #[must_use]
    pub(crate) fn of(_: &Plan, _: &str) -> Option<Self> {
        None
    }

    /// Never called.
    ///
    /// # Errors
    /// Never returns.
    pub(crate) async fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match *self {}
    }
}

/// The routes that read each queue of SQS: none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueReaders(());

/// Queues of SQS: none are read.
#[derive(Debug, Default)]
pub(crate) struct SqsQueues(());

/// The progress store of a source on AWS: never set.
#[derive(Debug, Default)]
pub(crate) struct LateProgressStore(());

impl SqsQueues {
    /// Does nothing: there are no queues.
    pub(crate) fn set_routes(&self, _: QueueReaders) {}

    /// Does nothing, either.
    pub(crate) async fn measure(&self) {}

    /// Always `None`.
    pub(crate) fn waiting(&self, _: &str) -> Option<u64> {
        None
    }
}

impl LateProgressStore {
    /// Never called: only a source on AWS keeps its progress.
    pub(crate) fn set(&self, (): ()) {}
}

/// There is no progress on AWS.
#[must_use]
pub(crate) fn late_progress(_: Arc<LateProgressStore>) -> Option<OwnProgress> {
    None
}

/// Nor for lanes of Kafka.
#[must_use]
pub(crate) fn lane_progress(_: Option<&PositionItems>, _: Arc<dyn LaneProgress>) -> Option<OwnProgress> {
    None
}

/// No routes.
#[must_use]
pub(crate) fn queue_readers(_: &Plan) -> QueueReaders {
    QueueReaders(())
}

/// A plan without AWS needs no policy there.
#[must_use]
pub(crate) fn policy(_: &Plan) -> Option<serde_json::Value> {
    None
}

impl Cloud {
    /// Always `None`.
    pub(crate) async fn of(_: &Plan) -> Option<Self> {
        None
    }

    /// Never called, like all that follow.
    #[must_use]
    pub(crate) fn sharing(self, _: &SqsQueues) -> Self {
        self
    }

    /// The sink of an output.
    #[must_use]
    pub(crate) fn sink(&self, _: &Output) -> Option<Arc<dyn Sink>> {
        match *self {}
    }

    /// The engine of a route.
    #[must_use]
    pub(crate) fn engine(
        &self,
        _: &Plan,
        _: &plan::RouteSpec,
        _: Arc<dyn Engine>,
        _: CommitSender,
        _: Option<OwnProgress>,
    ) -> Option<Arc<dyn Engine>> {
        match *self {}
    }

    /// The items that keep positions.
    #[must_use]
    pub(crate) fn position_items(&self, _: &plan::RouteSpec) -> PositionItems {
        match *self {}
    }

    /// The positions in them.
    #[must_use]
    pub(crate) fn positions(&self) -> Positions {
        match *self {}
    }

    /// The opener of a source.
    #[must_use]
    pub(crate) fn opener(&self, _: &plan::RouteSpec, _: &plan::Source, _: u32, _: Positions) -> AwsSourceOpener {
        match *self {}
    }

    /// How far a route is behind.
    #[must_use]
    pub(crate) fn lag(&self) -> Option<Arc<Lag>> {
        match *self {}
    }

    /// Opens a source.
    ///
    /// # Errors
    /// Never returns.
    pub(crate) async fn open(&self) -> Result<(Box<dyn Source>, ()), Fault> {
        match *self {}
    }

    /// The resources that cannot be used.
    pub(crate) async fn check(&self, _: &Plan) -> Vec<Unreachable> {
        match *self {}
    }

    /// True if a table holds anything.
    ///
    /// # Errors
    /// Never returns.
    pub(crate) async fn holds_items(&self, _: &str, _: &str, _: &plan::ServiceLocation) -> Result<bool, String> {
        match *self {}
    }

    /// The time from which on a stream keeps its records.
    ///
    /// # Errors
    /// Never returns.
    pub(crate) async fn keeps_from(&self, _: &str, _: &plan::ServiceLocation, _: u64) -> Result<Option<u64>, String> {
        match *self {}
    }
}
