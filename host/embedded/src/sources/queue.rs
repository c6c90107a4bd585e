//! A queue as a source: workers that each receive batches of one group, or of messages without a group.

use super::SourceSpec;
use crate::queues::{Queue, Received, receive};
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

/// See the module.
pub struct QueueSource {
    store: Store,
    spec: SourceSpec,
    queue: String,
    /// The route's number as a consumer, once it is registered.
    consumer: Option<u32>,
    given: usize,
    given_up: Arc<AtomicU64>,
}

impl QueueSource {
    /// A source of the queue with this name.
    pub fn new(store: Store, spec: SourceSpec, queue: &str) -> Self {
        QueueSource { store, spec, queue: queue.to_owned(), consumer: None, given: 0, given_up: Arc::default() }
    }

    /// The route's number as a consumer of `queue`. The writer's thread registers the route; this task waits for it
    /// without holding up the thread that it runs on.
    async fn register(&mut self, queue: &Arc<Queue>) -> Result<u32, Fault> {
        if let Some(number) = self.consumer {
            return Ok(number);
        }
        let (queue, route) = (Arc::clone(queue), Arc::clone(&self.spec.route));
        let number = self.store.writer().perform(0, Demand::Alone, move |tx| queue.register(&route, tx)).await?;
        self.consumer = Some(number);
        Ok(number)
    }
}

impl Source for QueueSource {
    fn caught_up(&self) -> bool {
        self.given >= self.spec.workers.max(1)
    }

    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async move {
            if self.given >= self.spec.workers.max(1) {
                return std::future::pending().await;
            }
            let queue = find(&self.store, &self.queue)?;
            let consumer = self.register(&queue).await?;
            let lane = QueueLane {
                store: self.store.clone(),
                spec: self.spec.clone(),
                queue: self.queue.clone(),
                consumer,
                changed: queue.subscribe(),
                held: Vec::new(),
                given_up: Arc::clone(&self.given_up),
            };
            self.given += 1;
            Ok(Some(Box::new(lane) as Box<dyn Lane>))
        })
    }
}

fn find(store: &Store, queue: &str) -> Result<Arc<Queue>, Fault> {
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
    /// Messages that were received too often, for whichever lane is asked next.
    given_up: Arc<AtomicU64>,
}

impl QueueLane {
    async fn pull_batch(&mut self, limit: Limit) -> Result<Pull, Fault> {
        let queue = find(&self.store, &self.queue)?;
        self.changed.mark_unchanged();
        let end = Instant::now() + limit.window;
        // Nothing is taken while this waits, so a cancelled pull loses nothing.
        loop {
            let available = queue.available(&self.store, self.consumer, limit.events)?;
            if available == 0 || available >= limit.events || Instant::now() >= end {
                break;
            }
            if !matches!(timeout_at(end, self.changed.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        match receive(&self.store, &queue, self.consumer, &self.spec, limit, &self.given_up).await? {
            Received::Nothing { hidden } => Ok(Pull::Empty { drained: !hidden }),
            Received::Messages { group, columns, claims } => {
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
            // A receipt that is not valid any more was settled, or shows when its commit is refused.
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
    use crate::schema::{QueueSchema, Schema};
    use crate::sources::SourceSpec;
    use crate::store::Store;
    use crate::writer::Demand;
    use esclusa_flow::fault::Fault;
    use std::time::Duration;

    /// The runtime has one thread, and the writer is busy until a task of that runtime says so: if opening the queue
    /// blocked the thread, that task would never run.
    #[tokio::test]
    async fn other_tasks_run_while_a_queue_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let mut schema = Schema::default();
        let jobs = QueueSchema {
            visibility_timeout: Duration::from_secs(30),
            max_receive_count: 3,
            consumers: Default::default(),
        };
        schema.queues.insert("jobs".to_owned(), jobs);
        let store = Store::open(dir.path().join("store"), schema).unwrap();
        let (let_go, busy) = std::sync::mpsc::channel();
        let (reply, replied) = tokio::sync::oneshot::channel();
        let wait = move |_: &mut crate::transaction::Transaction<'_>| {
            Ok::<_, Fault>(busy.recv_timeout(Duration::from_secs(10)).is_ok())
        };
        store.writer().submit(0, Demand::Written, wait, move |result| reply.send(result).unwrap());
        let opened = async {
            let spec = SourceSpec { route: "r".into(), source: "src".into(), kind: "queue".into(), workers: 1 };
            store.queue_source(spec, "jobs").unwrap().next_lane().await.unwrap().unwrap()
        };
        let (_lane, ()) = tokio::join!(opened, async { let_go.send(()).unwrap_or_default() });
        assert!(replied.await.unwrap().unwrap(), "no other task ran until the queue was open");
    }
}
