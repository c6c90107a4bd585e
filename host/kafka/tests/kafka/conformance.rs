//! A partition is a retained source, whichever store keeps its position.

use crate::cluster::{Cluster, unique};
use crate::routes::{Kept, Route, settings};
use esclusa_flow::BoxFuture;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages};
use esclusa_flow::fault::Fault;
use esclusa_flow::reads::Reads;
use esclusa_flow::source::{Lane, Limit, Pull, Source};
use esclusa_kafka::reader::{KafkaGroup, Positioning};
use esclusa_testkit::conformance::{LogUnderTest, log_source};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

fn now<T>(future: impl Future<Output = T>) -> T {
    block_in_place(|| Handle::current().block_on(future))
}

/// The routes of a suite, each with its group and its engine. They stay members while the suite drops and opens sources.
#[derive(Clone, Default)]
struct Routes(Arc<Mutex<BTreeMap<String, Arc<Route>>>>, Arc<Mutex<Vec<Box<dyn Source>>>>);

impl Routes {
    fn of(&self, commit: &Commit) -> Arc<Route> {
        self.0.lock().unwrap()[&*commit.route].clone()
    }
}

impl Engine for Routes {
    fn reads(&self) -> Arc<dyn Reads> {
        panic!("no suite of sources reads")
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        let route = self.of(&commit);
        Box::pin(async move { route.engine.commit(commit).await })
    }

    fn pending<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn confirm<'a>(&'a self, _: &'a str, _: u64, _: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Waits for records that were appended just before: the suite pulls at once, and a fetch takes a moment.
struct Patient<T: ?Sized>(Box<T>, Arc<Mutex<usize>>);

impl Source for Patient<dyn Source> {
    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async {
            Ok(self.0.next_lane().await?.map(|lane| Box::new(Patient(lane, self.1.clone())) as Box<dyn Lane>))
        })
    }

    fn caught_up(&self) -> bool {
        self.0.caught_up()
    }
}

impl Lane for Patient<dyn Lane> {
    fn id(&self) -> &str {
        self.0.id()
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(async move {
            let due = std::mem::take(&mut *self.1.lock().unwrap());
            if due > 0 {
                // Until they have come to the process. A pull that is dropped loses nothing.
                tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            }
            loop {
                match self.0.pull(limit).await? {
                    Pull::Empty { drained: false } => self.0.ready().await,
                    pulled => return Ok(pulled),
                }
            }
        })
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        self.0.ready()
    }
}

fn under_test(cluster: &Cluster, own: bool) -> LogUnderTest {
    let topic = now(cluster.topic(1));
    let (routes, kept, appended) = (Routes::default(), Kept::default(), Arc::new(Mutex::new(0)));
    let prefix = unique("suite");
    let (opener, due) = (routes.clone(), appended.clone());
    let template = settings(cluster, &topic, "suite");
    let feed = cluster.brokers.clone();
    LogUnderTest {
        engine: Arc::new(routes),
        open: Box::new(move |name| {
            let mut routes = opener.0.lock().unwrap();
            let route = routes.entry(name.to_owned()).or_insert_with(|| {
                let mut settings = template.clone();
                settings.route = name.into();
                settings.lag = Arc::default();
                settings.group = Some(KafkaGroup { id: format!("{prefix}-{name}"), instance: None });
                if own {
                    settings.positioning = Positioning::Shared(kept.positions(name));
                }
                Arc::new(Route::new(settings, &kept, BTreeMap::new()))
            });
            let route = route.clone();
            drop(routes);
            opener.1.lock().unwrap().push(now(route.open()));
            Box::new(Patient(now(route.open()), due.clone()))
        }),
        append: Box::new(move |values| {
            let (feed, topic, appended) = (feed.clone(), topic.clone(), appended.clone());
            Box::pin(async move {
                let count = values.len();
                block_in_place(|| feed.put(&topic, 0, values.iter().map(String::as_str)));
                *appended.lock().unwrap() += count;
            })
        }),
        keep: Box::new(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_a_retained_source() {
    let cluster = Cluster::any();
    log_source(|| under_test(&cluster, false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_a_retained_source_also_if_its_position_is_in_another_store() {
    let cluster = Cluster::any();
    log_source(|| under_test(&cluster, true)).await;
}
