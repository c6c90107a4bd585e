//! A lease table that does not answer as it should: throttled, an answer that is lost, leases of another stream.

use super::discovery::{lane, open, until_more};
use super::faulty::{self, Fate, Seen, error};
use super::fleet::*;
use super::kinesis::{TestStream, assert_order};
use esclusa_flow::settings::Start;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::timeout;

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}

fn takes(seen: &Seen) -> bool {
    seen.what == "UpdateItem" && seen.body.contains("if_not_exists(ownerSwitchesSinceCheckpoint")
}

/// True if a request renews the lease of a shard.
fn renews(seen: &Seen, key: &str) -> bool {
    seen.body.contains("\"SET leaseCounter = leaseCounter + :one\"") && seen.body.contains(key)
}

#[tokio::test]
async fn shards_of_a_throttled_lease_table_are_counted_and_have_their_reader_again() {
    // K9, D1
    let (stream, table, sink) = (TestStream::new(2).await, unique("leases"), Sink::new());
    let throttled = Arc::new(AtomicBool::new(false));
    let switch = throttled.clone();
    let decide = move |seen: &Seen| match seen.what == "UpdateItem" && switch.load(Ordering::Relaxed) {
        true => error("ProvisionedThroughputExceededException"),
        false => Fate::Pass,
    };
    let (clients, _log) = faulty::clients(decide).await;
    let sharing = leases(&table, "w");
    let lag = sharing.lag.clone();
    let worker = Worker::start("w", open(&clients, &stream, sharing).await, sink.clone());
    let mut all = stream.put_numbers(0..40).await;
    sink.until_all(&all).await;
    // Once nothing is unsettled nothing has to come again.
    until("all is settled", || lag.lanes().values().all(|lane| lane.oldest_unfinished.is_none())).await;
    throttled.store(true, Ordering::Relaxed);
    until("nobody has the shards", || lag.unowned() == 2).await;
    all.extend(stream.put_numbers(40..80).await);
    throttled.store(false, Ordering::Relaxed);
    let seen = sink.until_all(&all).await;
    assert_order(&seen);
    assert_eq!(seen.len(), all.len(), "nothing comes twice");
    until("every shard has its reader", || lag.unowned() == 0 && lag.fault().is_none()).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_lease_whose_taking_was_not_answered_is_read_and_only_once() {
    // X14
    let (stream, table, lost) = (TestStream::new(1).await, unique("leases"), AtomicU32::new(0));
    stream.put_numbers(0..5).await;
    // All tries of the first request.
    let decide = move |seen: &Seen| match takes(seen) && lost.fetch_add(1, Ordering::Relaxed) < 3 {
        true => Fate::Lose,
        false => Fate::Pass,
    };
    let (clients, log) = faulty::clients(decide).await;
    let (mut source, progress_store) = open(&clients, &stream, leases(&table, "w")).await;
    let mut taken = lane(&mut *source).await;
    let batch = next_batch(&mut *taken, LIMIT).await;
    progress_store.unwrap().settle(taken.id(), &progress(&batch, batch.len())).await.unwrap();
    tokio::select! {
        again = source.next_lane() => panic!("{:?} was given again", again.unwrap().map(|lane| lane.id().to_owned())),
        () = until_more(&log, "Scan", 3) => {}
    }
    drop(taken);
    source.close().await;
}

#[tokio::test]
async fn a_lease_that_was_taken_over_is_not_renewed_any_more() {
    // X14
    let (stream, table) = (TestStream::new(2).await, unique("leases"));
    let (clients, log) = faulty::clients(|_: &Seen| Fate::Pass).await;
    let (mut first, progress_store) = open(&clients, &stream, leases(&table, "first")).await;
    let lanes = [lane(&mut *first).await, lane(&mut *first).await];
    let (mut second, _) = stream.open(Start::TrimHorizon, leases(&table, "second")).await;
    let taken = lane(&mut *second).await.id().to_owned();
    let kept = lanes.iter().map(|lane| lane.id().to_owned()).find(|id| *id != taken).unwrap();
    timeout(PATIENCE, progress_store.unwrap().lost(&taken)).await.expect("it is lost");
    let renewals = |key: &str| log.of("UpdateItem").iter().filter(|seen| renews(seen, key)).count();
    let (before, others) = (renewals(&taken), renewals(&kept));
    until("the other lease is renewed again and again", || renewals(&kept) >= others + 4).await;
    assert_eq!(renewals(&taken), before);
    second.close().await;
    first.close().await;
}

#[tokio::test]
async fn a_table_that_holds_the_leases_of_another_stream_is_refused() {
    // D6: the first shards of both streams have the same name.
    let (mine, other, table) = (TestStream::new(1).await, TestStream::new(1).await, unique("leases"));
    let all = other.put_numbers(0..10).await;
    let sink = Sink::new();
    let worker = Worker::start("w", other.open(Start::TrimHorizon, leases(&table, "w")).await, sink.clone());
    sink.until_all(&all).await;
    worker.stop().await;
    let before = rows(&table).await;
    mine.put_numbers(0..10).await;
    let (clients, log) = faulty::clients(|_: &Seen| Fate::Pass).await;
    let sharing = leases(&table, "stranger");
    let lag = sharing.lag.clone();
    let (mut source, _) = open(&clients, &mine, sharing).await;
    tokio::select! {
        given = source.next_lane() => panic!("{:?} is read", given.unwrap().map(|lane| lane.id().to_owned())),
        () = until_more(&log, "Scan", 3) => {}
    }
    let fault = lag.fault().expect("it is told").message;
    assert!([&table, &other.name, &mine.name].iter().all(|name| fault.contains(*name)), "{fault}");
    assert!(fault.contains("set lease_table"), "{fault}");
    assert_eq!(rows(&table).await, before);
    source.close().await;
    // The stream itself is read on.
    let worker = Worker::start("v", other.open(Start::TrimHorizon, leases(&table, "v")).await, sink.clone());
    sink.until_all(&other.put_numbers(10..20).await).await;
    worker.stop().await;
}
