//! The SQS source against a server. Rows Q1 to Q6 of the catalogue of failures are named at their tests.

mod hops;
mod shared;

use crate::{behind, clients, endpoint, unique};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use esclusa_aws::progress::ProgressStore;
use esclusa_aws::sqs::{QueueReader, Routes, SqsQueues, SqsSettings};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::reads::Reads;
use esclusa_flow::settings::ServiceLocation;
use esclusa_flow::source::{Lane, Limit, Pull, Settled, Source};
use esclusa_flow::verdict::Verdict;
use esclusa_testkit::conformance::{self, QueueUnderTest};
use esclusa_testkit::faults::{FaultProxy, InjectedFailure};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const LIMIT: Limit = Limit { events: 100, bytes: 1 << 20, window: Duration::ZERO };
const PATIENCE: Duration = Duration::from_secs(60);

async fn make(fifo: bool) -> (Client, String) {
    let client = clients().await.sqs(&ServiceLocation::default());
    let name = unique("queue") + if fifo { ".fifo" } else { "" };
    let mut request = client.create_queue().queue_name(&name);
    if fifo {
        request = request.attributes(QueueAttributeName::FifoQueue, "true");
    }
    request.send().await.unwrap();
    (client, name)
}

/// Sends messages: group (empty: none) and payload.
async fn send(client: &Client, queue: &str, messages: &[(String, String)]) {
    let url = client.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
    for ten in messages.chunks(10) {
        let entry = |(index, (group, payload)): (usize, &(String, String))| {
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(payload);
            let group = (!group.is_empty()).then(|| group.clone());
            let id = group.is_some().then(|| unique("message"));
            entry.set_message_group_id(group).set_message_deduplication_id(id).build().unwrap()
        };
        let entries = ten.iter().enumerate().map(entry).collect();
        let sent = client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send().await.unwrap();
        assert!(sent.failed.is_empty(), "{:?}", sent.failed);
    }
}

async fn open_at(place: ServiceLocation, queue: &str, pollers: usize) -> (Box<dyn Source>, Arc<dyn ProgressStore>) {
    let settings = SqsSettings { queue: queue.to_owned(), place, visibility_timeout: Some(Duration::from_secs(1)) };
    SqsQueues::default().open(&clients().await, &settings, reader("route", pollers)).await.unwrap()
}

fn reader(route: &str, pollers: usize) -> QueueReader {
    QueueReader { route: route.into(), source: "jobs".into(), pollers }
}

async fn open(queue: &str) -> (Box<dyn Source>, Arc<dyn ProgressStore>) {
    open_at(ServiceLocation::default(), queue, 1).await
}

async fn lane(source: &mut dyn Source) -> Box<dyn Lane> {
    source.next_lane().await.unwrap().unwrap()
}

async fn next(lane: &mut dyn Lane) -> Batch {
    let pull = async {
        loop {
            match lane.pull(LIMIT).await.unwrap() {
                Pull::Batch(batch) => return batch,
                _ => lane.ready().await,
            }
        }
    };
    timeout(PATIENCE, pull).await.expect("a message comes")
}

fn tokens(batch: &Batch) -> Vec<Token> {
    batch.claims.iter().map(|claim| claim.token().clone()).collect()
}

fn payloads(batch: &Batch) -> Vec<String> {
    batch.columns.iter().map(|event| String::from_utf8(event.data().to_vec()).unwrap()).collect()
}

fn loose(payloads: impl IntoIterator<Item = impl ToString>) -> Vec<(String, String)> {
    payloads.into_iter().map(|payload| (String::new(), payload.to_string())).collect()
}

/// The queue for routes of one process.
fn shared(routes: &[&str]) -> SqsQueues {
    let queues = SqsQueues::default();
    let routes: Routes = routes.iter().map(|route| (Arc::from(*route), 1 << 20)).collect();
    queues.set_routes(BTreeMap::from([("jobs".into(), routes)]));
    queues
}

async fn open_for(
    queues: &SqsQueues,
    queue: &str,
    route: &str,
    pollers: usize,
) -> (Box<dyn Source>, Arc<dyn ProgressStore>) {
    let visibility_timeout = Some(Duration::from_secs(1));
    let settings = SqsSettings { queue: queue.to_owned(), visibility_timeout, ..SqsSettings::default() };
    queues.open(&clients().await, &settings, reader(route, pollers)).await.unwrap()
}

/// An engine that does nothing but settle, for each route.
struct Settler(BTreeMap<&'static str, Arc<dyn ProgressStore>>);

impl Engine for Settler {
    fn reads(&self) -> Arc<dyn Reads> {
        panic!("no table is read")
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            self.0[&*commit.route].settle(&commit.lane, &commit.progress).await?;
            Ok(Committed::default())
        })
    }

    fn pending<'a>(&'a self, _route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn confirm<'a>(&'a self, _: &'a str, _: u64, _: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn under_test(fifo: bool) -> QueueUnderTest {
    let wait = |future: BoxFuture<'_, (Client, String)>| {
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
    };
    let (client, queue) = wait(Box::pin(make(fifo)));
    // A queue of its own for each suite's behaviour; two routes read it, of which most behaviours use one.
    let queues = shared(&["one", "two"]);
    let opened = {
        let queue = queue.clone();
        move |route: &str| {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(open_for(&queues, &queue, route, 1))
            })
        }
    };
    QueueUnderTest {
        engine: Arc::new(Settler(["one", "two"].map(|route| (route, opened(route).1)).into())),
        open: Box::new(move |route| opened(route).0),
        send: Box::new(move |messages| {
            let (client, queue) = (client.clone(), queue.clone());
            Box::pin(async move { send(&client, &queue, &messages).await })
        }),
        own: false,
        keep: Box::new(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standard_queue_is_a_queue() {
    conformance::queue_source(|| under_test(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifo_queue_keeps_its_groups() {
    conformance::queue_groups(|| under_test(true)).await;
}

#[tokio::test]
async fn a_batch_takes_as_many_receives_as_it_needs() {
    let (client, queue) = make(false).await;
    send(&client, &queue, &loose(0..57)).await;
    let (mut source, progress_store) = open(&queue).await;
    let mut lane = lane(&mut *source).await;
    let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { panic!("no batch") };
    assert_eq!(batch.len(), 57);
    progress_store.settle("", &Progress::Receipts { delete: tokens(&batch), release: vec![] }).await.unwrap();
}

#[tokio::test]
async fn a_window_gathers_messages_that_come_later() {
    let (client, queue) = make(false).await;
    send(&client, &queue, &loose(["first"])).await;
    let (mut source, _progress_store) = open(&queue).await;
    let mut lane = lane(&mut *source).await;
    let limit = Limit { events: 2, window: PATIENCE, ..LIMIT };
    let later = async {
        sleep(Duration::from_millis(1500)).await;
        send(&client, &queue, &loose(["second"])).await;
    };
    let (pulled, ()) = tokio::join!(lane.pull(limit), later);
    let Pull::Batch(batch) = pulled.unwrap() else { panic!("no batch") };
    assert_eq!(payloads(&batch), ["first", "second"], "kept invisible for longer than its timeout");
    assert_eq!(batch.columns.attempts, [1, 1]);
}

// Q1: a handle that is not valid any more is a warning, and nothing stops.
#[tokio::test]
async fn a_receipt_that_is_out_of_date_stops_nothing() {
    let (client, queue) = make(false).await;
    send(&client, &queue, &loose(["a"])).await;
    let (mut source, progress_store) = open(&queue).await;
    let mut lane = lane(&mut *source).await;
    let first = next(&mut *lane).await;
    let again = next(&mut *lane).await;
    assert_eq!(again.columns.attempts, [2]);
    for batch in [&again, &again, &first] {
        progress_store.settle("", &Progress::Receipts { delete: tokens(batch), release: vec![] }).await.unwrap();
    }
    send(&client, &queue, &loose(["b"])).await;
    assert_eq!(payloads(&next(&mut *lane).await), ["b"]);
}

// Q1: kept invisible for as long as it is in work, and shown when it is not kept any more.
#[tokio::test]
async fn a_batch_in_work_is_kept() {
    let (client, queue) = make(false).await;
    send(&client, &queue, &loose(["a"])).await;
    let (mut mine, _) = open(&queue).await;
    let (mut theirs, _) = open(&queue).await;
    let (mut mine, mut theirs) = (lane(&mut *mine).await, lane(&mut *theirs).await);
    let batch = next(&mut *mine).await;
    assert_eq!(batch.len(), 1);
    let stolen = timeout(Duration::from_secs(3), async {
        tokio::select! {
            () = mine.keep() => unreachable!("keep never ends"),
            batch = next(&mut *theirs) => batch,
        }
    });
    assert!(stolen.await.is_err(), "nobody else sees it");
    assert_eq!(next(&mut *theirs).await.columns.attempts, [2]);
}

// Q6: a message that is held at the end is shown again at once.
#[tokio::test]
async fn a_closed_source_gives_back_what_it_holds() {
    let (client, queue) = make(true).await;
    let settings = SqsSettings {
        queue: queue.clone(),
        visibility_timeout: Some(Duration::from_secs(600)),
        ..SqsSettings::default()
    };
    let messages = [("g", "1"), ("h", "2"), ("g", "3")].map(|(group, payload)| (group.to_owned(), payload.to_owned()));
    send(&client, &queue, &messages).await;
    let (mut source, _) = SqsQueues::default().open(&clients().await, &settings, reader("route", 1)).await.unwrap();
    let mut poller = lane(&mut *source).await;
    assert_eq!(payloads(&next(&mut *poller).await), ["1", "3"], "in work, and the other group waits");
    drop(poller);
    source.close().await;
    let (mut other, _) = open(&queue).await;
    let mut poller = lane(&mut *other).await;
    let mut seen = payloads(&next(&mut *poller).await);
    seen.extend(payloads(&next(&mut *poller).await));
    seen.sort();
    assert_eq!(seen, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_queue_is_drained_only_where_it_says_so_after_the_pull_began() {
    let (client, queue) = make(false).await;
    let (mut source, progress_store) = open_at(ServiceLocation::default(), &queue, 3).await;
    let mut pollers = [lane(&mut *source).await, lane(&mut *source).await, lane(&mut *source).await];
    let pulls = pollers.iter_mut().map(|poller| poller.pull(LIMIT));
    let drained = futures_util::future::join_all(pulls).await;
    assert!(drained.iter().all(|pull| *pull == Ok(Pull::Empty { drained: true })), "one answer for all: {drained:?}");
    // Somebody else has a message in hand: it may come back.
    let settings = SqsSettings {
        queue: queue.clone(),
        visibility_timeout: Some(Duration::from_secs(600)),
        ..SqsSettings::default()
    };
    let (mut other, _) = SqsQueues::default().open(&clients().await, &settings, reader("route", 1)).await.unwrap();
    let mut theirs = lane(&mut *other).await;
    send(&client, &queue, &loose(["a"])).await;
    let batch = next(&mut *theirs).await;
    for poller in &mut pollers {
        assert_eq!(poller.pull(LIMIT).await, Ok(Pull::Empty { drained: false }));
    }
    progress_store.settle("", &Progress::Receipts { delete: tokens(&batch), release: vec![] }).await.unwrap();
    let again = async {
        for poller in &mut pollers {
            while poller.pull(LIMIT).await.unwrap() != (Pull::Empty { drained: true }) {
                poller.ready().await;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("it is drained again");
}

// Q2, E2: entries that fail are tried again alone, matched by their id.
#[tokio::test]
async fn a_delete_that_fails_in_part_is_repeated_for_that_part() {
    let (client, queue) = make(false).await;
    send(&client, &queue, &loose(0..5)).await;
    let faults = FaultProxy::before(&endpoint("SQS")).await;
    faults.fail("DeleteMessageBatch", 0..1, InjectedFailure::Partial { entries: vec![1, 3], code: "InternalError" });
    let (mut source, progress_store) = open_at(behind(&faults), &queue, 1).await;
    let mut lane = lane(&mut *source).await;
    let batch = next(&mut *lane).await;
    assert_eq!(batch.len(), 5);
    progress_store.settle("", &Progress::Receipts { delete: tokens(&batch), release: vec![] }).await.unwrap();
    assert_eq!(faults.calls("DeleteMessageBatch"), 2);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
}

// X1: expired credentials are a fault that may pass, and nothing is lost.
#[tokio::test]
async fn expired_credentials_are_tried_again() {
    let (client, queue) = make(false).await;
    send(&client, &queue, &loose(["a"])).await;
    let faults = FaultProxy::before(&endpoint("SQS")).await;
    let (mut source, _) = open_at(behind(&faults), &queue, 1).await;
    faults.fail("ReceiveMessage", 0..4, InjectedFailure::Error { status: 400, code: "ExpiredToken" });
    let mut poller = lane(&mut *source).await;
    let answer = poller.pull(LIMIT).await;
    assert!(matches!(&answer, Err(Fault::Transient(why)) if why.contains(&queue)), "{answer:?}");
    while faults.calls("ReceiveMessage") < 4 {
        assert!(matches!(poller.pull(LIMIT).await, Err(Fault::Transient(_))));
    }
    assert_eq!(payloads(&next(&mut *poller).await), ["a"]);
}

#[tokio::test]
async fn a_queue_that_is_missing_is_named() {
    let settings = SqsSettings { queue: "no-such-queue".into(), ..SqsSettings::default() };
    let Err(fault) = SqsQueues::default().open(&clients().await, &settings, reader("route", 1)).await else {
        panic!("there is no such queue")
    };
    assert!(matches!(&fault, Fault::Permanent(why) if why.contains("no-such-queue")), "{fault:?}");
}

// Q3: each group in order whatever fails, and no group waits for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_groups_keep_their_order_through_failures() {
    const GROUPS: usize = 50;
    const EACH: usize = 8;
    let (client, queue) = make(true).await;
    let messages: Vec<_> = (0..EACH).flat_map(|n| (0..GROUPS).map(move |g| (format!("g{g}"), n.to_string()))).collect();
    send(&client, &queue, &messages).await;
    let (mut source, progress_store) = open_at(ServiceLocation::default(), &queue, 4).await;
    let done: Arc<Mutex<BTreeMap<String, Vec<usize>>>> = Arc::default();
    let mut pollers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (mut lane, progress_store, done) = (lane(&mut *source).await, progress_store.clone(), done.clone());
        pollers.spawn(async move {
            while done.lock().unwrap().values().map(Vec::len).sum::<usize>() < GROUPS * EACH {
                match lane.pull(LIMIT).await.unwrap() {
                    Pull::Batch(batch) => handle(&mut *lane, &*progress_store, &batch, &done).await,
                    _ => drop(timeout(Duration::from_secs(1), lane.ready()).await),
                }
            }
        });
    }
    timeout(Duration::from_secs(120), async { while pollers.join_next().await.transpose().unwrap().is_some() {} })
        .await
        .expect("no group starves");
    let done = done.lock().unwrap();
    assert_eq!(done.len(), GROUPS);
    let expected: Vec<usize> = (0..EACH).collect();
    assert!(done.values().all(|order| *order == expected), "{done:?}");
}

/// Handles a batch as a route would: the first event that fails is given back with all after it. Group 7 fails most.
async fn handle(
    lane: &mut dyn Lane,
    progress_store: &dyn ProgressStore,
    batch: &Batch,
    done: &Mutex<BTreeMap<String, Vec<usize>>>,
) {
    assert!(batch.origin.ordered);
    let tokens = tokens(batch);
    let fails = |index: usize| {
        let event = batch.columns.get(index).unwrap();
        assert_eq!(event.key(), &*batch.origin.lane);
        let number: u32 = String::from_utf8_lossy(event.data()).parse().unwrap();
        let times = if event.key() == "g7" { 3 } else { u32::from(number % 3 == 1) };
        event.attempt <= times
    };
    let first = (0..batch.len()).find(|index| fails(*index)).unwrap_or(batch.len());
    let (delete, back) = (tokens[..first].to_vec(), &tokens[first..]);
    let release = back.iter().map(|token| (token.clone(), Duration::ZERO)).collect();
    {
        let mut done = done.lock().unwrap();
        let order = done.entry(batch.origin.lane.to_string()).or_default();
        order.extend(payloads(batch)[..first].iter().map(|payload| payload.parse::<usize>().unwrap()));
    }
    progress_store.settle(&batch.origin.lane, &Progress::Receipts { delete, release }).await.unwrap();
    let verdicts: Vec<_> =
        (0..tokens.len()).map(|i| if i < first { Verdict::Done } else { Verdict::Released(Duration::ZERO) }).collect();
    let settled: Vec<_> =
        tokens.iter().zip(&verdicts).map(|(token, verdict)| Settled { token, verdict, reply: None }).collect();
    lane.settled(&settled);
}

/// Works on a lane until so many events are done. The first event that `fails` is given back with all after it.
async fn work(
    mut lane: Box<dyn Lane>,
    progress_store: Arc<dyn ProgressStore>,
    count: usize,
    fails: impl Fn(&str, u32) -> bool + Send + 'static,
) -> Vec<(String, String)> {
    let mut done = Vec::new();
    while done.len() < count {
        let batch = next(&mut *lane).await;
        let tokens = tokens(&batch);
        let payloads = payloads(&batch);
        let failed = |index: &usize| fails(&payloads[*index], batch.columns.attempts[*index]);
        let first = (0..batch.len()).find(failed).unwrap_or(batch.len());
        let (delete, back) = (tokens[..first].to_vec(), &tokens[first..]);
        let release = back.iter().map(|token| (token.clone(), Duration::ZERO)).collect();
        progress_store.settle(&batch.origin.lane, &Progress::Receipts { delete, release }).await.unwrap();
        let verdict = |index| if index < first { Verdict::Done } else { Verdict::Released(Duration::ZERO) };
        let verdicts: Vec<_> = (0..tokens.len()).map(verdict).collect();
        let settled: Vec<_> =
            tokens.iter().zip(&verdicts).map(|(token, verdict)| Settled { token, verdict, reply: None }).collect();
        lane.settled(&settled);
        done.extend(payloads[..first].iter().map(|payload| (batch.origin.lane.to_string(), payload.clone())));
    }
    done
}

/// Waits until a lane finds nothing, and nothing to come.
async fn drained(lane: &mut dyn Lane) {
    let empty = async {
        loop {
            match lane.pull(LIMIT).await.unwrap() {
                Pull::Empty { drained: true } => return,
                Pull::Batch(batch) => panic!("{:?} came again", payloads(&batch)),
                _ => lane.ready().await,
            }
        }
    };
    timeout(PATIENCE, empty).await.expect("the queue is drained");
}
