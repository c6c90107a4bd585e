//! Sends the messages of commits in the test of an engine.

use esclusa_flow::engine::Sink;
use esclusa_flow::outbox::CommitSender;
use esclusa_flow::retry::Backoff;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Sends to these outputs, and soon again after a failure.
#[must_use]
pub fn sender(sinks: BTreeMap<String, Arc<dyn Sink>>) -> CommitSender {
    let backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_secs(1) };
    CommitSender { sinks, observer: Arc::new(()), backoff }
}
