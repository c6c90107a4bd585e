//! What an engine is made from; the wiring makes it from the checked plan.

use crate::objects::Store;
use crate::progress::ProgressStore;
use crate::tables::Table;
use esclusa_flow::engine::{Engine, Sink};
use esclusa_flow::outbox::SendObserver;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The engine of one route.
pub struct EngineSettings {
    /// Tables in DynamoDB, by their name in routes.toml.
    pub tables: BTreeMap<String, Table>,
    /// Object stores in S3, likewise.
    pub stores: BTreeMap<String, Store>,
    /// Outputs outside of the local engine, likewise. Used with a keeper only: else the local engine records the messages,
    /// and whoever commits sends them.
    pub sinks: BTreeMap<String, Arc<dyn Sink>>,
    /// Hears what becomes of their messages.
    pub witness: Arc<dyn SendObserver>,
    /// Everything else: its tables, streams and queues, dead letters, counters, and progress where there is no keeper.
    pub local: Arc<dyn Engine>,
    /// Where the progress of the source is kept, if not in the local engine.
    pub keeper: Option<Arc<dyn ProgressStore>>,
    /// What the route promises of its tables.
    pub delivery: Delivery,
}

/// What a route promises of the tables that it writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// A batch that is delivered again is written again.
    AtLeastOnce,
    /// Writes are in one transaction with the progress of the lane, or else with a mark for each event.
    ExactlyOnce {
        /// Table of the marks, in the place of the first table; created where it is missing. One table serves all routes.
        marks_table: String,
    },
}
