//! What every retained source promises: order, positions that commits move, and nothing lost by a dropped batch.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a suite panics where a promise is broken"
)]

use super::building::{LIMIT, PATIENCE, payloads, settle};
use super::{SourceFeed, SourceOpener, behaviours};
use esclusa_flow::batch::Batch;
use esclusa_flow::engine::{CommitError, Engine};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// An empty retained source with one lane, that starts at its oldest record.
pub struct LogUnderTest {
    /// The engine that keeps its positions.
    pub engine: Arc<dyn Engine>,
    /// Opens it for a route.
    pub open: SourceOpener,
    /// Appends records with these payloads.
    pub append: SourceFeed<String>,
    /// Kept alive as long as the source.
    pub keep: Box<dyn Any>,
}

/// Runs the suite; `make` gives an empty source each time.
pub async fn log_source(make: impl Fn() -> LogUnderTest) {
    use self as logs;
    behaviours!(
        make,
        logs::records_come_in_order_once_each,
        logs::a_reopened_lane_goes_on_behind_what_was_committed,
        logs::each_route_reads_for_itself,
        logs::a_second_reader_is_fenced,
        logs::a_batch_keeps_within_its_limit,
        logs::a_window_waits_for_more_and_ends,
        logs::a_cancelled_pull_loses_nothing,
        logs::ready_wakes_when_a_record_comes,
    );
}

fn names(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|i| format!("event-{i}")).collect()
}

async fn lane(t: &LogUnderTest, route: &str) -> Box<dyn Lane> {
    let mut source = (t.open)(route);
    timeout(PATIENCE, source.next_lane()).await.expect("a lane comes").unwrap().expect("there is a lane")
}

async fn batch(lane: &mut dyn Lane, limit: Limit) -> Batch {
    match lane.pull(limit).await.unwrap() {
        Pull::Batch(batch) => {
            assert_eq!(batch.columns.len(), batch.claims.len(), "a claim for each event");
            assert!(batch.origin.ordered);
            assert_eq!(&*batch.origin.lane, lane.id());
            batch
        }
        other => panic!("no batch: {other:?}"),
    }
}

async fn is_empty(lane: &mut dyn Lane) -> bool {
    lane.pull(LIMIT).await.unwrap() == Pull::Empty { drained: true }
}

pub(crate) async fn records_come_in_order_once_each(t: LogUnderTest) {
    let mut lane = lane(&t, "r").await;
    assert!(is_empty(&mut *lane).await);
    (t.append)(names(0..250)).await;
    let mut seen = Vec::new();
    let mut before = None;
    for size in [100, 100, 50] {
        let batch = batch(&mut *lane, LIMIT).await;
        assert_eq!(batch.len(), size);
        if before.is_some() {
            assert_eq!(batch.previous, before, "a batch follows the one before");
        }
        before = batch.claims.last().map(|claim| claim.token().clone());
        seen.extend(payloads(&batch));
        t.engine.commit(settle(&batch, size)).await.unwrap();
    }
    assert_eq!(seen, names(0..250));
    assert!(is_empty(&mut *lane).await);
}

pub(crate) async fn a_reopened_lane_goes_on_behind_what_was_committed(t: LogUnderTest) {
    (t.append)(names(0..10)).await;
    let mut first = lane(&t, "r").await;
    let pulled = batch(&mut *first, LIMIT).await;
    t.engine.commit(settle(&pulled, 4)).await.unwrap();
    let ids: Vec<_> = pulled.columns.iter().map(|event| event.id().to_owned()).collect();
    drop((first, pulled));
    let again = batch(&mut *lane(&t, "r").await, LIMIT).await;
    assert_eq!(payloads(&again), names(4..10));
    let same: Vec<_> = again.columns.iter().map(|event| event.id().to_owned()).collect();
    assert_eq!(same, ids[4..], "ids are stable");
}

pub(crate) async fn each_route_reads_for_itself(t: LogUnderTest) {
    (t.append)(names(0..5)).await;
    for route in ["one", "two"] {
        let pulled = batch(&mut *lane(&t, route).await, LIMIT).await;
        assert_eq!(payloads(&pulled), names(0..5));
        assert_eq!(&*pulled.origin.route, route);
        t.engine.commit(settle(&pulled, 5)).await.unwrap();
    }
}

pub(crate) async fn a_second_reader_is_fenced(t: LogUnderTest) {
    (t.append)(names(0..5)).await;
    let stale = batch(&mut *lane(&t, "r").await, LIMIT).await;
    let current = batch(&mut *lane(&t, "r").await, LIMIT).await;
    t.engine.commit(settle(&current, 3)).await.unwrap();
    let answer = t.engine.commit(settle(&stale, 5)).await;
    assert!(matches!(answer, Err(CommitError::Fault(Fault::LeaseLost(_)))), "{answer:?}");
}

pub(crate) async fn a_batch_keeps_within_its_limit(t: LogUnderTest) {
    let large = vec!["x".repeat(5000), "y".repeat(50), "z".repeat(5000)];
    (t.append)(large.clone()).await;
    let mut lane = lane(&t, "r").await;
    let limit = Limit { bytes: 1000, ..LIMIT };
    let mut seen = Vec::new();
    for _ in 0..3 {
        let pulled = batch(&mut *lane, limit).await;
        assert!(pulled.len() == 1 || pulled.columns.size() <= 1000, "a larger event comes alone");
        seen.extend(payloads(&pulled));
    }
    assert_eq!(seen, large);
}

pub(crate) async fn a_window_waits_for_more_and_ends(t: LogUnderTest) {
    (t.append)(names(0..1)).await;
    let mut lane = lane(&t, "r").await;
    let limit = Limit { events: 3, window: PATIENCE, ..LIMIT };
    let more = async {
        tokio::task::yield_now().await;
        (t.append)(names(1..3)).await;
    };
    let (pulled, ()) = tokio::join!(batch(&mut *lane, limit), more);
    assert_eq!(payloads(&pulled), names(0..3), "a full batch does not wait for the end of its window");
    (t.append)(names(3..4)).await;
    let window = Duration::from_millis(300);
    let start = Instant::now();
    let pulled = batch(&mut *lane, Limit { window, ..LIMIT }).await;
    assert_eq!(payloads(&pulled), names(3..4));
    assert!(start.elapsed() >= window, "the window was waited for");
}

pub(crate) async fn a_cancelled_pull_loses_nothing(t: LogUnderTest) {
    (t.append)(names(0..2)).await;
    let mut lane = lane(&t, "r").await;
    let waiting = Limit { window: PATIENCE, ..LIMIT };
    assert!(timeout(Duration::from_millis(100), lane.pull(waiting)).await.is_err(), "it waits for its window");
    timeout(PATIENCE, lane.ready()).await.expect("it is ready: the records are still there");
    assert_eq!(payloads(&batch(&mut *lane, LIMIT).await), names(0..2));
}

pub(crate) async fn ready_wakes_when_a_record_comes(t: LogUnderTest) {
    let mut lane = lane(&t, "r").await;
    for i in 0..3 {
        while !is_empty(&mut *lane).await {}
        let append = (t.append)(names(i..i + 1));
        let ((), ready) = tokio::join!(append, timeout(PATIENCE, lane.ready()));
        ready.expect("it wakes");
        let mut pulled = lane.pull(LIMIT).await.unwrap();
        while !matches!(pulled, Pull::Batch(_)) {
            timeout(PATIENCE, lane.ready()).await.expect("it wakes again");
            pulled = lane.pull(LIMIT).await.unwrap();
        }
        let Pull::Batch(pulled) = pulled else { continue };
        assert_eq!(payloads(&pulled), names(i..i + 1));
    }
}
