//! Messages as records of a topic.

use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::SendError;
use esclusa_flow::engine::Sink;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::KafkaConnection;
use std::sync::Arc;

/// A topic to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSinkSettings {
    /// The brokers.
    pub connection: KafkaConnection,
    /// The topic.
    pub topic: String,
}

/// A sink to a topic; it connects with its first message.
#[must_use]
pub fn open(settings: KafkaSinkSettings) -> Arc<dyn Sink> {
    Arc::new(KafkaSink { settings })
}

struct KafkaSink {
    settings: KafkaSinkSettings,
}

impl Sink for KafkaSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        let fault = Fault::Bug(format!("not written yet: {}", self.settings.topic));
        Box::pin(std::future::ready(vec![Err(fault.into()); messages.len()]))
    }
}
