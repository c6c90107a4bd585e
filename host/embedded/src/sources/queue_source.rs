//! A queue as a source: pollers that each receive batches of one group, or of messages without a group.

use crate::progress::SourceSpec;
use crate::queues::{MessageQueue, ReceiveOutcome, receive};
use crate::store::Store;
use crate::writer::Demand;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// A queue as a source: as many lanes as the route has pollers.
pub(crate) struct EmbeddedQueueSource {
    store: Store,
    spec: SourceSpec,
    queue: String,
    /// Number of the route among the consumers; `None`: not registered yet.
    consumer: Option<u32>,
    given: usize,
    given_up: Arc<AtomicU64>,
}

impl EmbeddedQueueSource {
    /// A source of a queue of the schema.
    pub(crate) fn new(store: Store, spec: SourceSpec, queue: &str) -> Self {
        EmbeddedQueueSource { store, spec, queue: queue.to_owned(), consumer: None, given: 0, given_up: Arc::default() }
    }

    /// The number of the route among the consumers of the queue. Registers it first, which waits for the writer and so is
    /// not for [`Store::queue_source`], which runs on a runtime thread. Cancel-safe: a route is registered once.
    async fn consumer(&mut self) -> Result<u32, Fault> {
        if let Some(number) = self.consumer {
            return Ok(number);
        }
        let (queue, route) = (find(&self.store, &self.queue)?, self.spec.route.to_string());
        let number = self.store.writer().perform(0, Demand::Alone, move |tx| queue.register(&route, tx)).await?;
        self.consumer = Some(number);
        Ok(number)
    }
}

impl Source for EmbeddedQueueSource {
    fn caught_up(&self) -> bool {
        self.given >= self.spec.pollers.max(1)
    }

    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async move {
            if self.given >= self.spec.pollers.max(1) {
                return std::future::pending().await;
            }
            let consumer = self.consumer().await?;
            let lane = QueueLane {
                store: self.store.clone(),
                spec: self.spec.clone(),
                queue: self.queue.clone(),
                consumer,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{QueueSchema, StoreSchema};
    use std::time::Duration;
    use tokio::sync::oneshot;

    /// Longest that the writer stays busy if the opening blocks the only thread: the test fails then.
    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn opening_a_queue_leaves_the_thread_to_other_tasks() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = QueueSchema {
            visibility_timeout: Duration::from_secs(30),
            max_receive_count: 3,
            consumers: Default::default(),
        };
        let schema = StoreSchema { queues: [("jobs".to_owned(), jobs)].into(), ..StoreSchema::default() };
        let store = Store::open(dir.path(), schema).unwrap();
        // The writer is busy until another task of this thread frees it.
        let (free, freed) = std::sync::mpsc::channel::<()>();
        let (report, was_freed) = oneshot::channel();
        let busy = move |_: &mut crate::transaction::Transaction<'_>| Ok(freed.recv_timeout(PATIENCE).is_ok());
        store.writer().submit(0, Demand::Alone, busy, move |result: Result<bool, Fault>| drop(report.send(result)));
        let spec = SourceSpec { route: "r".into(), source: "jobs".into(), kind: "queue".into(), pollers: 1 };
        let mut source = store.queue_source(spec, "jobs").unwrap();
        // If the writer has given up waiting, the assertion below says so.
        let other = async { free.send(()).unwrap_or_default() };
        let (lane, ()) = tokio::join!(source.next_lane(), other);
        assert_eq!(was_freed.await.unwrap(), Ok(true), "the other task ran while the queue was being opened");
        assert!(lane.unwrap().is_some());
    }
}
