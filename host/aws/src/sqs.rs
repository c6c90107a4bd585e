//! SQS queues as sources, standard and FIFO.
//!
//! Workers receive messages, keep them invisible while they are in hand, and hand out batches; the keeper deletes what
//! is done and shows again what is given back. Nothing is deleted before its effects are confirmed (invariant 1), and
//! a message that is lost track of is shown again by the queue when its visibility timeout passes (invariant 2).
//!
//! A FIFO queue's batch holds messages of one group, in order. SQS gives out nothing of a group that has messages in
//! flight, so groups need no coordination among processes; a group that fails is given back as a whole and holds up no
//! other.

mod backlog;
mod event;
mod hand;
mod keeper;
mod queue;
mod source;

use crate::client::{Clients, Place};
use crate::progress::Keeper;
use esclusa_flow::fault::Fault;
use esclusa_flow::source::Source;
use std::sync::Arc;
use std::time::Duration;

/// A queue to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Name, URL or ARN. A name ending in `.fifo` is a FIFO queue.
    pub queue: String,
    /// Where it is.
    pub place: Place,
    /// How long a received message stays invisible, in whole seconds, rounded up; it is extended while the message is in
    /// work. `None`: as the queue says.
    pub visibility_timeout: Option<Duration>,
}

/// Who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Route name in routes.toml.
    pub route: Arc<str>,
    /// Source name in routes.toml.
    pub source: Arc<str>,
    /// Batches in work at once (Lambda's `MaximumConcurrency`); at least one.
    pub workers: usize,
}

/// Opens a queue for a route; finds it and reads its visibility timeout. Both results belong together.
///
/// # Errors
/// A [`Fault`] that names the queue: it does not exist, may not be read, or does not answer.
pub async fn open(
    clients: &Clients,
    settings: &Settings,
    reader: Reader,
) -> Result<(Box<dyn Source>, Arc<dyn Keeper>), Fault> {
    let queue = Arc::new(queue::Queue::find(clients.sqs(&settings.place), settings).await?);
    let source = source::QueueSource::new(queue.clone(), reader);
    Ok((Box::new(source), Arc::new(keeper::Receipts(queue))))
}
