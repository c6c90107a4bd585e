//! Workers as a router has them: they open a source, deliver its batches to a list, settle, and can be killed.

use aws_sdk_dynamodb::types::AttributeValue;
use esclusa_aws::client::Clients;
use esclusa_aws::lease;
use esclusa_aws::progress::ProgressStore;
use esclusa_aws::shards::{ShardCoordination, ShardReader, Sharing, SoleReader, SourceWithProgress};
use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::engine::Progress;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::settings::ServiceLocation;
use esclusa_flow::source::{Lane, Limit, Positions, Pull, Settled};
use esclusa_flow::verdict::Verdict;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
pub(crate) const LIMIT: Limit = Limit { events: 10, bytes: 1 << 20, window: Duration::ZERO };
/// How long leases last in tests.
pub(crate) const DURATION: Duration = Duration::from_millis(1500);

/// The endpoint of a service, as `AWS_ENDPOINT_URL_<service>` names it.
pub(crate) fn endpoint(service: &str) -> String {
    let name = format!("AWS_ENDPOINT_URL_{service}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: start the servers that these tests run against"))
}

pub(crate) fn place(service: &str) -> ServiceLocation {
    ServiceLocation { region: Some("us-east-1".into()), endpoint_url: Some(endpoint(service)) }
}

pub(crate) async fn clients() -> Clients {
    Clients::load(&ServiceLocation { region: Some("us-east-1".into()), endpoint_url: None }).await
}

/// A name that no other test has.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4().simple())
}

pub(crate) fn leases(table: &str, worker: &str) -> Sharing {
    sharing(ShardCoordination::Leases(lease::LeaseSettings {
        table: table.to_owned(),
        place: place("DYNAMODB"),
        worker: worker.to_owned(),
        duration: DURATION,
    }))
}

pub(crate) fn alone(positions: Positions) -> Sharing {
    sharing(ShardCoordination::Alone(SoleReader::new(positions)))
}

pub(crate) fn sharing(coordination: ShardCoordination) -> Sharing {
    Sharing {
        routes: 1,
        coordination,
        ordered: true,
        read_ahead: 64 << 20,
        discovery: Duration::from_secs(1),
        lag: Arc::new(Lag::default()),
    }
}

pub(crate) fn reader(route: &str) -> ShardReader {
    ShardReader { route: route.into(), source: "source".into() }
}

/// An event as a worker delivered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub worker: String,
    pub lane: String,
    pub id: String,
    pub key: String,
    pub data: String,
}

/// All events that the workers of a test delivered, in order.
#[derive(Clone)]
pub(crate) struct Sink(Arc<watch::Sender<Vec<Seen>>>);

impl Sink {
    pub(crate) fn new() -> Self {
        Sink(Arc::new(watch::Sender::new(Vec::new())))
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.borrow().clone()
    }

    pub(crate) fn add(&self, worker: &str, batch: &Batch) {
        let events = batch.columns.iter().map(|event| Seen {
            worker: worker.to_owned(),
            lane: batch.origin.lane.to_string(),
            id: event.id().to_owned(),
            key: event.key().to_owned(),
            data: String::from_utf8_lossy(event.data()).into_owned(),
        });
        self.0.send_modify(|seen| seen.extend(events));
    }

    /// Waits until `done` is true of the delivered events.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let mut receiver = self.0.subscribe();
        match timeout(PATIENCE, receiver.wait_for(|seen| done(seen))).await {
            Ok(seen) => seen.unwrap().clone(),
            Err(_) => panic!("{what}: only this was delivered: {:#?}", self.seen()),
        }
    }

    /// Waits until each of these payloads was delivered.
    pub(crate) async fn until_all(&self, payloads: &[String]) -> Vec<Seen> {
        self.until("every payload", |seen| payloads.iter().all(|p| seen.iter().any(|s| s.data == *p))).await
    }
}

/// Says that a batch is settled up to and including its event number `count`.
pub(crate) fn tell(lane: &mut dyn Lane, batch: &Batch, count: usize) {
    let settled: Vec<_> = batch
        .claims
        .iter()
        .take(count)
        .map(|c| Settled { token: c.token(), verdict: &Verdict::Done, reply: None })
        .collect();
    lane.settled(&settled);
}

pub(crate) fn progress(batch: &Batch, count: usize) -> Progress {
    Progress::Position { from: batch.previous.clone(), to: batch.claims[count - 1].token().clone() }
}

/// Pulls until there is a batch.
pub(crate) async fn next_batch(lane: &mut dyn Lane, limit: Limit) -> Batch {
    let pulled = async {
        loop {
            match lane.pull(limit).await.unwrap() {
                Pull::Batch(batch) => return batch,
                Pull::Empty { .. } => lane.ready().await,
                Pull::Ended => panic!("the lane has ended"),
            }
        }
    };
    timeout(PATIENCE, pulled).await.expect("a batch comes")
}

/// A router process that runs one route.
pub(crate) struct Worker {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Worker {
    pub(crate) fn start(name: &str, opened: SourceWithProgress, sink: Sink) -> Self {
        let (stop, stopped) = watch::channel(false);
        Worker { task: tokio::spawn(serve(name.to_owned(), opened, sink, stopped)), stop }
    }

    /// As SIGKILL does: nothing is handed over.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// As SIGTERM does.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        timeout(PATIENCE, self.task).await.expect("it stops").unwrap();
    }
}

async fn serve(
    name: String,
    (mut source, progress_store): SourceWithProgress,
    sink: Sink,
    mut stopped: watch::Receiver<bool>,
) {
    let mut lanes = JoinSet::new();
    loop {
        tokio::select! {
            lane = source.next_lane() => {
                if let Ok(Some(lane)) = lane {
                    lanes.spawn(work(name.clone(), lane, progress_store.clone(), sink.clone(), stopped.clone()));
                }
            }
            Some(done) = lanes.join_next(), if !lanes.is_empty() => done.unwrap(),
            _ = stopped.changed() => break,
        }
    }
    lanes.join_all().await;
    source.close().await;
}

async fn work(
    worker: String,
    mut lane: Box<dyn Lane>,
    progress_store: Option<Arc<dyn ProgressStore>>,
    sink: Sink,
    mut stopped: watch::Receiver<bool>,
) {
    while !*stopped.borrow() {
        match lane.pull(LIMIT).await {
            Ok(Pull::Batch(batch)) => {
                sink.add(&worker, &batch);
                if let Some(progress_store) = &progress_store {
                    let settled = progress_store.settle(lane.id(), &progress(&batch, batch.len())).await;
                    if matches!(settled, Err(Fault::LeaseLost(_))) {
                        return;
                    }
                    settled.unwrap();
                }
                tell(&mut *lane, &batch, batch.len());
            }
            Ok(Pull::Empty { .. }) => tokio::select! {
                () = lane.ready() => {}
                _ = stopped.changed() => {}
            },
            Ok(Pull::Ended) | Err(Fault::LeaseLost(_)) => return,
            Err(Fault::Transient(why)) => {
                eprintln!("{worker}: {why}; trying again");
                lane.ready().await;
            }
            Err(fault) => panic!("{worker}: {fault}"),
        }
    }
}

/// Positions that a test keeps, for a process that works alone.
#[derive(Clone, Default)]
pub(crate) struct Kept(pub Arc<Mutex<HashMap<String, Token>>>);

impl Kept {
    pub(crate) fn positions(&self) -> Positions {
        let kept = self.clone();
        Arc::new(move |lane: &str| {
            let position = kept.0.lock().unwrap().get(lane).cloned();
            Box::pin(std::future::ready(Ok(position)))
        })
    }
}

/// The rows of a lease table, by shard: owner and checkpoint.
pub(crate) async fn rows(table: &str) -> BTreeMap<String, (Option<String>, String)> {
    let client = clients().await.dynamodb(&place("DYNAMODB"));
    let output = client.scan().table_name(table).consistent_read(true).send().await.unwrap();
    let text = |row: &HashMap<String, AttributeValue>, name: &str| row.get(name).and_then(|v| v.as_s().ok()).cloned();
    let read = |row| Some((text(row, "leaseKey")?, (text(row, "leaseOwner"), text(row, "checkpoint")?)));
    output.items().iter().filter_map(read).collect()
}

/// Waits until the rows of a lease table are as wanted.
pub(crate) async fn until_rows(table: &str, done: impl Fn(&BTreeMap<String, (Option<String>, String)>) -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let waited = timeout(PATIENCE, async {
        while !done(&rows(table).await) {
            tick.tick().await;
        }
    });
    if waited.await.is_err() {
        panic!("the leases stay as they are: {:#?}", rows(table).await);
    }
}
