//! SQS queues as sources, standard and FIFO.
//!
//! Pollers receive messages, keep them invisible while they have them, and give batches. No message is deleted before
//! its effects are confirmed (invariant 1). A message that this process loses comes again when its visibility timeout
//! passes (invariant 2).
//!
//! All routes of this process that read a source share its messages: each message is for each route, and is deleted
//! when all have finished it ([`ack_tracker`], [`shared_receiver`]). Other processes do not know which routes have: a
//! message that one route released may come to another process, and all routes there handle it again.
//!
//! A FIFO queue's batch holds messages of one group, in order. SQS gives out nothing of a group that has messages in
//! flight, so groups need no coordination among processes; a group that fails is released as a whole and holds up no
//! other.

mod ack_tracker;
mod drained;
mod poller_buffer;
mod queue_poller;
mod queue_requests;
mod received_message;
mod shared_receiver;

use crate::client::Clients;
use crate::progress::ProgressStore;
use aws_sdk_dynamodb::types::Update;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::engine::Progress;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use esclusa_flow::source::Source;
use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use queue_poller::SqsSource;
use queue_requests::SqsQueue;
pub use shared_receiver::Routes;
use shared_receiver::SharedReceiver;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A queue to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqsSettings {
    /// Name, URL or ARN. A name ending in `.fifo` is a FIFO queue.
    pub queue: String,
    /// Where it is.
    pub place: ServiceLocation,
    /// How long a received message stays invisible, in whole seconds, rounded up; it is extended while the message is
    /// in
    /// work. `None`: as the queue says.
    pub visibility_timeout: Option<Duration>,
}

/// The reader of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueReader {
    /// Route name in routes.toml.
    pub route: Arc<str>,
    /// Source name in routes.toml.
    pub source: Arc<str>,
    /// Batches in work at once (Lambda's `MaximumConcurrency`); at least one.
    pub pollers: usize,
}

/// The queues that routes of this process read. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct SqsQueues(Arc<Mutex<QueueRegistry>>);

#[derive(Debug, Default)]
struct QueueRegistry {
    routes: BTreeMap<Arc<str>, Routes>,
    receivers: BTreeMap<Arc<str>, (SqsSettings, Arc<SharedReceiver>)>,
}

impl SqsQueues {
    fn known(&self) -> MutexGuard<'_, QueueRegistry> {
        self.0.lock()
    }

    /// Sets the routes that read each source from now on, paused ones included. A message is deleted when all of them
    /// have finished it. A source that is missing from `routes` is read only by the route that opens it.
    pub fn set_routes(&self, routes: BTreeMap<Arc<str>, Routes>) {
        let mut known = self.known();
        known
            .receivers
            .retain(|source, (_, receiver)| routes.get(source).map(|routes| receiver.set_routes(routes)).is_some());
        known.routes = routes;
    }

    /// Opens a queue for a route; finds it and reads its visibility timeout. Both results belong together.
    ///
    /// # Errors
    /// A [`Fault`] that names the queue: it does not exist, may not be read, or does not answer.
    pub async fn open(
        &self,
        clients: &Clients,
        settings: &SqsSettings,
        reader: QueueReader,
    ) -> Result<(Box<dyn Source>, Arc<dyn ProgressStore>), Fault> {
        let queue = SqsQueue::find(clients.sqs(&settings.place), settings).await?;
        let receiver = self.receiver(queue, settings, &reader);
        let progress_store = ReceiptStore { receiver: receiver.clone(), route: reader.route.clone() };
        Ok((Box::new(SqsSource::new(receiver, reader)), Arc::new(progress_store)))
    }

    /// Asks each queue that is read how much waits. A queue that does not answer keeps its last number.
    pub async fn measure(&self) {
        let receivers: Vec<_> = self.known().receivers.values().map(|(_, receiver)| receiver.clone()).collect();
        join_all(receivers.iter().filter(|receiver| receiver.in_use()).map(|receiver| receiver.measure())).await;
    }

    /// The messages that wait in the queue of a source, as far as SQS knew when it was last asked.
    #[must_use]
    pub fn waiting(&self, source: &str) -> Option<u64> {
        let known = self.known();
        let (_, receiver) = known.receivers.get(source)?;
        receiver.waiting()
    }

    fn receiver(&self, queue: SqsQueue, settings: &SqsSettings, reader: &QueueReader) -> Arc<SharedReceiver> {
        let mut known = self.known();
        if let Some((of, receiver)) = known.receivers.get(&reader.source)
            && of == settings
            && (receiver.in_use() || receiver.queue.is(&queue))
        {
            return receiver.clone();
        }
        let alone = || Routes::from([(reader.route.clone(), usize::MAX)]);
        let routes = known.routes.get(&reader.source).cloned().unwrap_or_else(alone);
        let receiver = Arc::new(SharedReceiver::new(queue, reader.source.clone(), &routes));
        known.receivers.insert(reader.source.clone(), (settings.clone(), receiver.clone()));
        receiver
    }
}

/// Settles the messages of a route. A receipt that is not valid any more is no error: the effects are written, and
/// another consumer has the message now and will handle it once more (failures.md Q1).
pub struct ReceiptStore {
    /// The receiver that the routes of the source share.
    pub receiver: Arc<SharedReceiver>,
    /// The route.
    pub route: Arc<str>,
}

impl ProgressStore for ReceiptStore {
    fn lost<'a>(&'a self, _lane: &'a str) -> BoxFuture<'a, Fault> {
        Box::pin(std::future::pending())
    }

    fn settle<'a>(&'a self, _lane: &'a str, progress: &'a Progress) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let Progress::Receipts { delete, release } = progress else { return Ok(()) };
            let done = delete.iter().filter_map(|token| Some((receipt(token)?, None)));
            let released = release.iter().filter_map(|(token, wait)| Some((receipt(token)?, Some(*wait))));
            self.receiver.settle(&self.route, done.chain(released).collect()).await
        })
    }

    fn write(&self, _lane: &str, _progress: &Progress) -> Result<Option<Update>, Fault> {
        Ok(None)
    }

    fn prepare<'a>(&'a self, _lane: &'a str, _to: &'a Token) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn receipt(token: &Token) -> Option<Box<str>> {
    match token {
        Token::Text(receipt) => Some(receipt.clone()),
        Token::Offset(_) => None,
    }
}
