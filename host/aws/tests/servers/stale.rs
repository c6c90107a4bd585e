//! Workers that lost a lease, or may have lost it: what they may not write, and what waits for them.

use super::building::{self, Make, TABLE, commit, create, get, key, put, with_n};
use super::faulty::{self, Fate, error};
use super::fleet::*;
use super::kinesis::TestStream;
use esclusa_aws::client::Clients;
use esclusa_aws::kinesis::{self, KinesisSettings};
use esclusa_aws::shards::SourceWithProgress;
use esclusa_flow::batch::Batch;
use esclusa_flow::engine::{Commit, CommitError, Engine as _};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::Start;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Clients whose renewals of leases are refused once the switch is on, and whose table writes are throttled for ever.
async fn faulty() -> (Clients, Arc<AtomicBool>) {
    let held_back = Arc::new(AtomicBool::new(false));
    let switch = held_back.clone();
    let decide = move |seen: &faulty::Seen| {
        let renewal = seen.body.contains("\"SET leaseCounter = leaseCounter + :one\"");
        match &*seen.what {
            "UpdateItem" if renewal && switch.load(Ordering::Relaxed) => error("AccessDeniedException"),
            "BatchWriteItem" => error("ThrottlingException"),
            _ => Fate::Pass,
        }
    };
    (faulty::clients(decide).await.0, held_back)
}

async fn open(clients: &Clients, stream: &TestStream) -> SourceWithProgress {
    let sharing = leases(&unique("leases"), "w");
    let (stream, start) = (stream.name.clone(), Start::TrimHorizon);
    let settings = KinesisSettings { stream, place: place("KINESIS"), start, fan_out: None, sharing };
    kinesis::open(clients, &settings, reader("route")).await.unwrap()
}

fn one_item(lane: &str, batch: &Batch) -> Commit {
    let done = commit(vec![put(with_n("a", 1, 1))], batch.len() as u64);
    Commit { lane: lane.into(), progress: progress(batch, batch.len()), ..done }
}

#[tokio::test]
async fn a_lease_that_was_not_renewed_in_time_commits_nothing() {
    // K5: nobody has taken it yet, and nobody has to.
    let (stream, (refusing, held_back)) = (TestStream::new(1).await, faulty().await);
    stream.put_numbers(0..5).await;
    let (mut source, progress_store) = open(&refusing, &stream).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, LIMIT).await;
    held_back.store(true, Ordering::Relaxed);
    timeout(PATIENCE, progress_store.as_ref().unwrap().lost(lane.id())).await.expect("it lapses");
    let clients = building::clients().await;
    let bench = Make { progress_store, ..Make::default() }.over(&clients, TABLE, &create(&clients).await);
    let answer = bench.engine.commit(one_item(lane.id(), &batch)).await;
    assert!(matches!(answer, Err(CommitError::Fault(Fault::LeaseLost(_)))), "{answer:?}");
    assert_eq!(get(&bench, &key("a", 1)).await, None);
}

#[tokio::test]
async fn a_write_that_is_tried_again_is_given_up_with_the_lease() {
    let (stream, (refusing, held_back)) = (TestStream::new(1).await, faulty().await);
    stream.put_numbers(0..5).await;
    let (mut source, progress_store) = open(&refusing, &stream).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, LIMIT).await;
    let bench =
        Make { progress_store, ..Make::default() }.over(&refusing, TABLE, &create(&building::clients().await).await);
    held_back.store(true, Ordering::Relaxed);
    let answer = timeout(PATIENCE, bench.engine.commit(one_item(lane.id(), &batch))).await.expect("it gives up");
    assert!(matches!(answer, Err(CommitError::Fault(Fault::LeaseLost(_)))), "{answer:?}");
}

#[tokio::test]
async fn a_shard_of_a_living_worker_is_read_when_that_one_has_stopped_writing() {
    let (stream, table) = (TestStream::new(2).await, unique("leases"));
    stream.put_numbers(0..40).await;
    let (mut first, progress_store) = stream.open(Start::TrimHorizon, leases(&table, "first")).await;
    let _lanes = [first.next_lane().await.unwrap(), first.next_lane().await.unwrap()];
    let started = Instant::now();
    let (mut second, _) = stream.open(Start::TrimHorizon, leases(&table, "second")).await;
    let mut taken = timeout(PATIENCE, second.next_lane()).await.expect("it has its share").unwrap().unwrap();
    next_batch(&mut *taken, LIMIT).await;
    assert!(started.elapsed() >= DURATION, "{:?}", started.elapsed());
    let lost = timeout(Duration::ZERO, progress_store.unwrap().lost(taken.id())).await;
    assert!(matches!(lost, Ok(Fault::LeaseLost(_))), "{lost:?}");
    second.close().await;
    first.close().await;
}

// A worker that sees a lease without an owner reads at once.
#[tokio::test]
async fn a_worker_that_stops_soon_after_it_has_taken_a_lease_leaves_it_to_expire() {
    let (stream, table) = (TestStream::new(2).await, unique("leases"));
    let (mut first, _progress_store) = stream.open(Start::TrimHorizon, leases(&table, "first")).await;
    let lanes = [first.next_lane().await.unwrap(), first.next_lane().await.unwrap()];
    let (mut second, _) = stream.open(Start::TrimHorizon, leases(&table, "second")).await;
    let taken = timeout(PATIENCE, second.next_lane()).await.expect("it has its share").unwrap().unwrap();
    let shard = taken.id().to_owned();
    drop(taken);
    second.close().await;
    let owner = rows(&table).await.remove(&shard).and_then(|(owner, _)| owner);
    assert!(owner.as_deref().is_some_and(|owner| owner.starts_with("second")), "{owner:?}");
    drop(lanes);
    until_rows(&table, |rows| rows.values().all(|(owner, _)| owner.as_deref().is_some_and(|o| o.starts_with("first"))))
        .await;
    first.close().await;
}
