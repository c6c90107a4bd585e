//! A queue as a source: workers that each receive batches of one group, or of messages without a group.

use crate::progress::SourceSpec;
use crate::queues::{MessageQueue, ReceiveOutcome, receive};
use crate::store::Store;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// A queue as a source: as many lanes as the route has workers.
pub(crate) struct EmbeddedQueueSource {
    store: Store,
    spec: SourceSpec,
    queue: String,
    consumer: u32,
    given: usize,
    given_up: Arc<AtomicU64>,
}

impl EmbeddedQueueSource {
    /// A source for a registered consumer.
    pub(crate) fn new(store: Store, spec: SourceSpec, queue: &str, consumer: u32) -> Self {
        EmbeddedQueueSource { store, spec, queue: queue.to_owned(), consumer, given: 0, given_up: Arc::default() }
    }
}

impl Source for EmbeddedQueueSource {
    fn caught_up(&self) -> bool {
        self.given >= self.spec.workers.max(1)
    }

    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async move {
            if self.given >= self.spec.workers.max(1) {
                return std::future::pending().await;
            }
            let lane = QueueLane {
                store: self.store.clone(),
                spec: self.spec.clone(),
                queue: self.queue.clone(),
                consumer: self.consumer,
                changed: find(&self.store, &self.queue)?.subscribe(),
                held: Vec::new(),
                given_up: Arc::clone(&self.given_up),
            };
            self.given += 1;
            Ok(Some(Box::new(lane) as Box<dyn Lane>))
        })
    }
}

fn find(store: &Store, queue: &str) -> Result<Arc<MessageQueue>, Fault> {
    let found = store.shared().catalog().queues.get(queue).cloned();
    found.ok_or_else(|| Fault::LeaseLost(format!("queue {queue:?} is not in the schema any more")))
}

struct QueueLane {
    store: Store,
    spec: SourceSpec,
    queue: String,
    consumer: u32,
    changed: watch::Receiver<u64>,
    /// Receipts of the batch pulled last.
    held: Vec<Token>,
    /// Messages that were received too often and that no lane has reported yet.
    given_up: Arc<AtomicU64>,
}

impl QueueLane {
    async fn pull_batch(&mut self, limit: Limit) -> Result<Pull, Fault> {
        let queue = find(&self.store, &self.queue)?;
        self.changed.mark_unchanged();
        let end = Instant::now() + limit.window;
        // Nothing is taken while this waits, so a cancelled pull loses nothing.
        loop {
            let available = queue.available(self.store.disk(), self.consumer, limit.events)?;
            if available == 0 || available >= limit.events || Instant::now() >= end {
                break;
            }
            if !matches!(timeout_at(end, self.changed.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        match receive(&self.store, &queue, self.consumer, &self.spec, limit, &self.given_up).await? {
            ReceiveOutcome::Nothing { hidden } => Ok(Pull::Empty { drained: !hidden }),
            ReceiveOutcome::Messages { group, columns, claims } => {
                self.held = claims.iter().map(|claim| claim.token().clone()).collect();
                let lane = group.as_deref().unwrap_or_default();
                let origin = self.spec.origin(lane, group.is_some());
                Ok(Pull::Batch(Batch { origin, columns: columns.into(), claims, previous: None }))
            }
        }
    }

    async fn extend(&self) {
        loop {
            let Ok(queue) = find(&self.store, &self.queue) else { return std::future::pending().await };
            sleep(queue.visibility / 2).await;
            // A void receipt is no error here: its message was settled, or its commit will be refused.
            let _ = self.store.extend(&self.held, queue.visibility);
        }
    }

    async fn wait(&mut self) {
        let Ok(queue) = find(&self.store, &self.queue) else { return };
        let shown_again = queue.next_deadline(self.consumer);
        let hidden = async {
            match shown_again {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = self.changed.changed() => {}
            () = hidden => {}
        }
    }
}

impl Lane for QueueLane {
    fn given_up(&mut self) -> u64 {
        self.given_up.swap(0, Ordering::Relaxed)
    }

    fn id(&self) -> &str {
        ""
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(self.pull_batch(limit))
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.wait())
    }

    fn keep(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.extend())
    }
}
