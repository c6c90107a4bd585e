//! What the engines of a route are made of.

use crate::reader::KafkaReader;
use esclusa_flow::engine::{Engine, Sink};
use esclusa_flow::outbox::SendObserver;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The parts of an engine.
pub struct KafkaEngineSettings {
    /// The reader of the route.
    pub reader: Arc<KafkaReader>,
    /// The embedded engine: dead letters, counters, and embedded targets.
    pub local: Arc<dyn Engine>,
    /// Outputs outside of the embedded engine, by their name in routes.toml.
    pub sinks: BTreeMap<String, Arc<dyn Sink>>,
    /// Is notified of the results of their messages.
    pub observer: Arc<dyn SendObserver>,
}
