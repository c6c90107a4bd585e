//! What the engines of a route are made of.

use crate::reader::KafkaReader;
use esclusa_flow::engine::Engine;
use esclusa_flow::outbox::CommitSender;
use std::sync::Arc;

/// The parts of an engine.
pub struct KafkaEngineSettings {
    /// The reader of the route.
    pub reader: Arc<KafkaReader>,
    /// The embedded engine: dead letters, counters, and embedded targets.
    pub local: Arc<dyn Engine>,
    /// Sends messages to outputs outside of the embedded engine.
    pub sender: CommitSender,
}
