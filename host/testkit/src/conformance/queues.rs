//! What every queue promises: a message is received until it is settled, groups keep their order, stale receipts
//! commit nothing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a suite panics where a promise is broken"
)]

use super::building::{LIMIT, PATIENCE, get, key, payloads, put, receipt_commit, receipts, with_n};
use super::{SourceFeed, SourceOpener, behaviours};
use esclusa_flow::batch::Batch;
use esclusa_flow::engine::{Commit, CommitError, Engine};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// An empty queue whose messages are released after a short time.
pub struct QueueUnderTest {
    /// The engine that settles its receipts; it has the table of the engine suite.
    pub engine: Arc<dyn Engine>,
    /// Opens it for one of the routes `one` and `two`, which both read it.
    pub open: SourceOpener,
    /// Sends messages: group (empty: none) and payload.
    pub send: SourceFeed<(String, String)>,
    /// It is the engine's own queue: a stale receipt refuses the commit and everything in it. A queue that is a service of
    /// its own does not promise that.
    pub own: bool,
    /// Kept alive as long as the source.
    pub keep: Box<dyn Any>,
}

/// Runs the suite for messages without groups; `make` gives an empty queue each time.
pub async fn queue_source(make: impl Fn() -> QueueUnderTest) {
    use self as queues;
    behaviours!(
        make,
        queues::a_deleted_message_never_comes_again,
        queues::a_dropped_batch_comes_again_and_its_receipts_are_void,
        queues::a_released_message_comes_again_when_it_should,
        queues::each_route_gets_every_message,
        queues::batches_keep_within_their_limit,
        queues::ready_wakes_when_a_message_comes,
    );
}

/// Runs the suite for messages with groups; `make` gives an empty queue each time.
pub async fn queue_groups(make: impl Fn() -> QueueUnderTest) {
    use self as queues;
    behaviours!(make, queues::a_group_is_in_order_and_in_one_hand);
}

fn loose(payloads: &[&str]) -> Vec<(String, String)> {
    payloads.iter().map(|payload| (String::new(), (*payload).to_owned())).collect()
}

async fn lane(t: &QueueUnderTest, route: &str) -> Box<dyn Lane> {
    timeout(PATIENCE, (t.open)(route).next_lane()).await.expect("a lane comes").unwrap().expect("there is a lane")
}

async fn next(lane: &mut dyn Lane) -> Batch {
    loop {
        match lane.pull(LIMIT).await.unwrap() {
            Pull::Batch(batch) => return batch,
            Pull::Empty { .. } => timeout(PATIENCE, lane.ready()).await.expect("a message comes"),
            Pull::Ended => panic!("a queue does not end"),
        }
    }
}

async fn delete(t: &QueueUnderTest, batch: &Batch) {
    t.engine.commit(receipt_commit(batch, receipts(batch), vec![])).await.unwrap();
}

pub(crate) async fn a_deleted_message_never_comes_again(t: QueueUnderTest) {
    let mut lane = lane(&t, "one").await;
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
    (t.send)(loose(&["a", "b"])).await;
    let batch = next(&mut *lane).await;
    assert_eq!(payloads(&batch), ["a", "b"]);
    assert_eq!(batch.columns.attempts, [1, 1]);
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: false }, "in flight is not drained");
    delete(&t, &batch).await;
    // A later message that is received and not settled comes again: by then the deleted ones would have come, too.
    (t.send)(loose(&["later"])).await;
    for attempt in [1, 2] {
        let batch = next(&mut *lane).await;
        assert_eq!((payloads(&batch), &batch.columns.attempts), (vec!["later".to_owned()], &vec![attempt]));
        if attempt == 2 {
            delete(&t, &batch).await;
        }
    }
    drained(&mut *lane).await;
}

/// Waits until nothing is left; a service may count messages late.
async fn drained(lane: &mut dyn Lane) {
    let wait = async {
        loop {
            match lane.pull(LIMIT).await.unwrap() {
                Pull::Empty { drained: true } => return,
                Pull::Empty { drained: false } => tokio::time::sleep(Duration::from_millis(20)).await,
                other => panic!("everything was deleted, but there is {other:?}"),
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("the queue is drained in the end");
}

pub(crate) async fn a_dropped_batch_comes_again_and_its_receipts_are_void(t: QueueUnderTest) {
    (t.send)(loose(&["a"])).await;
    let mut lane = lane(&t, "one").await;
    let first = next(&mut *lane).await;
    let again = next(&mut *lane).await;
    assert_eq!(payloads(&again), ["a"]);
    assert_eq!(again.columns.attempts, [2]);
    assert_eq!(first.columns.get(0).map(|e| e.id().to_owned()), again.columns.get(0).map(|e| e.id().to_owned()));
    if !t.own {
        return delete(&t, &again).await;
    }
    let stale = Commit { actions: vec![put(with_n("a", 1, 1))], ..receipt_commit(&first, receipts(&first), vec![]) };
    let answer = t.engine.commit(stale).await;
    assert!(matches!(answer, Err(CommitError::Fault(Fault::LeaseLost(_)))), "{answer:?}");
    assert_eq!(get(&*t.engine, &key("a", 1)).await, None, "nothing of it was written");
    let good = Commit { actions: vec![put(with_n("a", 1, 1))], ..receipt_commit(&again, receipts(&again), vec![]) };
    t.engine.commit(good).await.unwrap();
    assert_eq!(get(&*t.engine, &key("a", 1)).await, Some(with_n("a", 1, 1)));
}

pub(crate) async fn a_released_message_comes_again_when_it_should(t: QueueUnderTest) {
    (t.send)(loose(&["now", "later", "done"])).await;
    let mut lane = lane(&t, "one").await;
    let batch = next(&mut *lane).await;
    let tokens = receipts(&batch);
    let release = vec![(tokens[0].clone(), Duration::ZERO), (tokens[1].clone(), Duration::from_millis(1))];
    t.engine.commit(receipt_commit(&batch, vec![tokens[2].clone()], release)).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let batch = next(&mut *lane).await;
        seen.extend(payloads(&batch));
        delete(&t, &batch).await;
    }
    seen.sort();
    assert_eq!(seen, ["later", "now"]);
}

pub(crate) async fn a_group_is_in_order_and_in_one_hand(t: QueueUnderTest) {
    let grouped = |group: &str, payload: &str| (group.to_owned(), payload.to_owned());
    (t.send)(vec![grouped("g", "1"), grouped("h", "x"), grouped("g", "2"), grouped("g", "3")]).await;
    let mut lane = lane(&t, "one").await;
    let first = next(&mut *lane).await;
    assert_eq!(
        (&*first.origin.lane, first.origin.ordered, payloads(&first)),
        ("g", true, vec!["1".into(), "2".into(), "3".into()])
    );
    (t.send)(vec![grouped("g", "4")]).await;
    let other = next(&mut *lane).await;
    assert_eq!((&*other.origin.lane, payloads(&other)), ("h", vec!["x".to_owned()]), "a group in flight is left alone");
    delete(&t, &other).await;
    let tokens = receipts(&first);
    let rest = tokens[1..].iter().map(|token| (token.clone(), Duration::ZERO)).collect();
    t.engine.commit(receipt_commit(&first, vec![tokens[0].clone()], rest)).await.unwrap();
    let again = next(&mut *lane).await;
    assert_eq!(payloads(&again), ["2", "3", "4"]);
    assert_eq!(again.columns.attempts, [2, 2, 1]);
}

pub(crate) async fn each_route_gets_every_message(t: QueueUnderTest) {
    let (mut one, mut two) = (lane(&t, "one").await, lane(&t, "two").await);
    (t.send)(loose(&["a"])).await;
    let batch = next(&mut *one).await;
    delete(&t, &batch).await;
    let batch = next(&mut *two).await;
    assert_eq!(payloads(&batch), ["a"]);
    assert_eq!(batch.columns.attempts, [1], "attempts are counted for each route");
    delete(&t, &batch).await;
    for lane in [&mut one, &mut two] {
        assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
    }
}

pub(crate) async fn batches_keep_within_their_limit(t: QueueUnderTest) {
    let large: Vec<_> = ["x", "y", "z"].iter().map(|c| c.repeat(700)).collect();
    (t.send)(loose(&large.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let mut lane = lane(&t, "one").await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let Pull::Batch(batch) = lane.pull(Limit { bytes: 1000, ..LIMIT }).await.unwrap() else { panic!("no batch") };
        assert_eq!(batch.len(), 1);
        seen.extend(payloads(&batch));
        delete(&t, &batch).await;
    }
    assert_eq!(seen, large);
}

pub(crate) async fn ready_wakes_when_a_message_comes(t: QueueUnderTest) {
    let mut lane = lane(&t, "one").await;
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
    let (batch, ()) = tokio::join!(next(&mut *lane), (t.send)(loose(&["a"])));
    assert_eq!(payloads(&batch), ["a"]);
}
