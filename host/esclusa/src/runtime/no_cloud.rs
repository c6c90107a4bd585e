//! AWS in a build without it: nothing. [`configuration`](crate::configuration) refuses a plan that names AWS, so there is
//! never a [`Cloud`], and none of its methods runs.

use super::reachable::Unreachable;
use esclusa_config::plan::{self, Output, Plan};
use esclusa_flow::engine::{Engine, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::outbox::SendObserver;
use esclusa_flow::source::{Positions, Source};
use std::collections::BTreeMap;
use std::sync::Arc;

/// No value of it can be made.
#[derive(Clone)]
pub enum Cloud {}

/// The same: it opens a source on AWS.
pub type Opener = Cloud;

/// The routes that read each queue of SQS: none.
#[derive(Debug, PartialEq, Eq)]
pub struct Readers(());

/// Queues of SQS: none are read.
#[derive(Debug, Default)]
pub struct Queues(());

/// Keeps the progress of a source on AWS: there is none.
#[derive(Debug, Default)]
pub struct Slot(());

impl Queues {
    /// Does nothing.
    pub fn set_routes(&self, _: Readers) {}
}

impl Slot {
    /// Never called: only a source on AWS keeps its progress.
    pub fn set(&self, (): ()) {}
}

/// No routes.
#[must_use]
pub fn readers(_: &Plan) -> Readers {
    Readers(())
}

/// A plan without AWS needs no policy there.
#[must_use]
pub fn policy(_: &Plan) -> Option<serde_json::Value> {
    None
}

impl Cloud {
    /// Always `None`.
    pub async fn of(_: &Plan) -> Option<Self> {
        None
    }

    /// Never called, like all that follow.
    #[must_use]
    pub fn sharing(self, _: &Queues) -> Self {
        self
    }

    /// The sink of an output.
    #[must_use]
    pub fn sink(&self, _: &Output) -> Option<Arc<dyn Sink>> {
        match *self {}
    }

    /// The engine of a route.
    #[must_use]
    pub fn engine(
        &self,
        _: &Plan,
        _: &plan::Route,
        _: Arc<dyn Engine>,
        _: (BTreeMap<String, Arc<dyn Sink>>, Arc<dyn SendObserver>),
        _: Option<Arc<Slot>>,
    ) -> Option<Arc<dyn Engine>> {
        match *self {}
    }

    /// What opens a source.
    #[must_use]
    pub fn opener(&self, _: &plan::Route, _: &plan::Source, _: u32, _: Positions) -> Opener {
        match *self {}
    }

    /// How far a route is behind.
    #[must_use]
    pub fn lag(&self) -> Option<Arc<Lag>> {
        match *self {}
    }

    /// Opens a source.
    ///
    /// # Errors
    /// Never returns.
    pub async fn open(&self) -> Result<(Box<dyn Source>, ()), Fault> {
        match *self {}
    }

    /// What cannot be used.
    pub async fn check(&self, _: &Plan) -> Vec<Unreachable> {
        match *self {}
    }

    /// True if a table holds anything.
    ///
    /// # Errors
    /// Never returns.
    pub async fn holds_items(&self, _: &str, _: &str, _: &plan::Place) -> Result<bool, String> {
        match *self {}
    }

    /// The time from which on a stream keeps its records.
    ///
    /// # Errors
    /// Never returns.
    pub async fn keeps_from(&self, _: &str, _: &plan::Place, _: u64) -> Result<Option<u64>, String> {
        match *self {}
    }
}
