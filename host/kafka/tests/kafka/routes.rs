//! A route of a test: a reader, its engine, and a store of what was committed.

use crate::cluster::{Cluster, PATIENCE, unique};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::{DeadLetter, Handler};
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages, Progress, Sink};
use esclusa_flow::event::BatchOrigin;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::reads::Reads;
use esclusa_flow::settings::Start;
use esclusa_flow::source::{Lane, Limit, Positions, Pull, Source};
use esclusa_kafka::engine::{KafkaEngineSettings, of_group};
use esclusa_kafka::reader::{KafkaGroup, KafkaReader, KafkaSourceSettings, Positioning};
use esclusa_testkit::sender::sender;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

/// A limit that does not wait.
pub(crate) const LIMIT: Limit = Limit { events: 100, bytes: 1 << 20, window: Duration::ZERO };

/// Keeps positions, and only says that it keeps messages: the store of a process, or one that all share. Without room for dead letters if the flag
/// is set.
#[derive(Clone, Default)]
pub(crate) struct Kept(pub Arc<Mutex<BTreeMap<(String, String), Token>>>, pub Arc<AtomicBool>);

impl Kept {
    /// The positions of a route.
    pub(crate) fn positions(&self, route: &str) -> Positions {
        let (kept, route) = (self.clone(), route.to_owned());
        Arc::new(move |lane| {
            let position = kept.0.lock().unwrap().get(&(route.clone(), lane.to_owned())).cloned();
            Box::pin(std::future::ready(Ok(position)))
        })
    }

    fn room(&self, commit: &Commit) -> Result<(), CommitError> {
        if commit.dead.is_empty() || !self.1.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Fault::Refused { code: "store.dead-letters-full", reason: "no room".into() }.into())
    }
}

impl Engine for Kept {
    fn reads(&self) -> Arc<dyn Reads> {
        panic!("no test reads")
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        if let Err(full) = self.room(&commit) {
            return Box::pin(std::future::ready(Err(full)));
        }
        if let Progress::Position { from, to } = commit.progress {
            let mut kept = self.0.lock().unwrap();
            let key = (commit.route.to_string(), commit.lane.to_string());
            if kept.get(&key) != from.as_ref() {
                return Box::pin(std::future::ready(Err(Fault::LeaseLost("it has moved".into()).into())));
            }
            kept.insert(key, to);
        }
        let outbox = (!commit.outbox.is_empty()).then_some(7);
        Box::pin(std::future::ready(Ok(Committed { skipped: Vec::new(), outbox })))
    }

    fn check(&self, commit: Commit) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(std::future::ready(self.room(&commit)))
    }

    fn pending<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn confirm<'a>(&'a self, _: &'a str, _: u64, _: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A route that reads.
pub(crate) struct Route {
    /// The reader.
    pub reader: Arc<KafkaReader>,
    /// Its engine.
    pub engine: Arc<dyn Engine>,
    /// What it shows.
    pub lag: Arc<Lag>,
}

/// Settings of a reader: of a group with members of its own.
pub(crate) fn settings(cluster: &Cluster, topic: &str, group: &str) -> KafkaSourceSettings {
    let client = [
        ("topic.metadata.refresh.interval.ms", "500"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "500"),
        ("fetch.wait.max.ms", "50"),
    ];
    KafkaSourceSettings {
        route: group.into(),
        source: "s".into(),
        connection: cluster.connection(&client),
        topics: vec![topic.to_owned()],
        start: Start::TrimHorizon,
        group: Some(KafkaGroup { id: group.to_owned(), instance: None }),
        positioning: Positioning::Group,
        read_ahead: 4 << 20,
        revoke_timeout: Duration::from_secs(5),
        lag: Arc::default(),
    }
}

impl Route {
    /// A route with these settings, whose outputs are `sinks`.
    pub(crate) fn new(settings: KafkaSourceSettings, kept: &Kept, sinks: BTreeMap<String, Arc<dyn Sink>>) -> Self {
        let lag = settings.lag.clone();
        let reader = KafkaReader::new(settings);
        let local: Arc<dyn Engine> = Arc::new(kept.clone());
        let parts = KafkaEngineSettings { reader: reader.clone(), local, sender: sender(sinks) };
        Route { reader, engine: of_group(parts), lag }
    }

    /// A route that reads a topic in a group of its own.
    pub(crate) fn reading(cluster: &Cluster, topic: &str) -> Self {
        Self::new(settings(cluster, topic, &unique("group")), &Kept::default(), BTreeMap::new())
    }

    /// Its source.
    pub(crate) async fn open(&self) -> Box<dyn Source> {
        timeout(PATIENCE, self.reader.open()).await.expect("the brokers answer").unwrap()
    }
}

/// The next lane.
pub(crate) async fn lane(source: &mut dyn Source) -> Box<dyn Lane> {
    timeout(PATIENCE, async {
        loop {
            match source.next_lane().await {
                Ok(lane) => return lane.expect("a group never ends"),
                Err(Fault::Refused { code, reason }) => panic!("{code}: {reason}"),
                Err(fault) => eprintln!("no lane yet: {fault}"),
            }
        }
    })
    .await
    .expect("a lane comes")
}

/// The next batch of a lane.
pub(crate) async fn batch(lane: &mut dyn Lane, limit: Limit) -> Batch {
    timeout(PATIENCE, async {
        loop {
            match lane.pull(limit).await {
                Ok(Pull::Batch(batch)) => return batch,
                Ok(Pull::Empty { .. }) => lane.ready().await,
                Ok(Pull::Ended) => panic!("a partition does not end"),
                Err(fault @ Fault::LeaseLost(_)) => panic!("{fault}"),
                Err(fault) => {
                    eprintln!("no batch yet: {fault}");
                    lane.ready().await;
                }
            }
        }
    })
    .await
    .expect("a batch comes")
}

/// Exactly so many events, in as many batches as they come; each is committed.
pub(crate) async fn take(route: &Route, lane: &mut dyn Lane, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        let pulled = batch(lane, Limit { events: count - values.len(), ..LIMIT }).await;
        values.extend(payloads(&pulled));
        route.engine.commit(settle(&pulled, pulled.len())).await.unwrap();
    }
    values
}

/// Waits until the lane has drained.
pub(crate) async fn drained(lane: &mut dyn Lane) {
    timeout(PATIENCE, async {
        while lane.pull(LIMIT).await.unwrap() != (Pull::Empty { drained: true }) {
            lane.ready().await;
        }
    })
    .await
    .expect("the lane drains");
}

/// The payloads of a batch as text.
pub(crate) fn payloads(batch: &Batch) -> Vec<String> {
    batch.columns.iter().map(|event| String::from_utf8(event.data().to_vec()).unwrap()).collect()
}

/// A commit of the first `count` events.
pub(crate) fn settle(batch: &Batch, count: usize) -> Commit {
    let BatchOrigin { route, source, lane, .. } = batch.origin.clone();
    Commit {
        progress: Progress::Position { from: batch.previous.clone(), to: batch.claims[count - 1].token().clone() },
        counts: Counts { done: count as u64, ..Counts::default() },
        ..Commit::empty(route, source, lane, Handler::default())
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}"));
}
