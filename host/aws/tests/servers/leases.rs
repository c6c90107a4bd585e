//! Leases: takeover, balance, handover, and what a stale owner may not do.

use super::faulty::{self, Fate, Seen};
use super::fleet::*;
use super::kinesis::{TestStream, assert_order, shard};
use aws_sdk_dynamodb::types::AttributeValue;
use esclusa_aws::kinesis::{self, KinesisSettings};
use esclusa_flow::engine::Progress;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::Start;
use esclusa_flow::source::{Limit, Pull};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

fn owners(rows: &BTreeMap<String, (Option<String>, String)>) -> Vec<String> {
    rows.values().filter_map(|(owner, _)| Some(owner.as_ref()?.split(':').next()?.to_owned())).collect()
}

fn counts(rows: &BTreeMap<String, (Option<String>, String)>, worker: &str) -> usize {
    owners(rows).iter().filter(|owner| *owner == worker).count()
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_nothing_is_lost() {
    let (stream, table, sink) = (TestStream::new(4).await, unique("leases"), Sink::new());
    let one = Worker::start("one", stream.open(Start::TrimHorizon, leases(&table, "one")).await, sink.clone());
    let mut all = stream.put_numbers(0..200).await;
    sink.until_all(&all).await;
    let two = Worker::start("two", stream.open(Start::TrimHorizon, leases(&table, "two")).await, sink.clone());
    // K6: each has its share, and losing a lease is no error.
    until_rows(&table, |rows| counts(rows, "one") == 2 && counts(rows, "two") == 2).await;
    all.extend(stream.put_numbers(200..400).await);
    one.kill().await;
    all.extend(stream.put_numbers(400..600).await);
    let seen = sink.until_all(&all).await;
    assert_order(&seen);
    until_rows(&table, |rows| counts(rows, "two") == 4).await;
    two.stop().await;
}

#[tokio::test]
async fn leases_are_handed_over_when_a_worker_stops() {
    let (stream, table, sink) = (TestStream::new(2).await, unique("leases"), Sink::new());
    let one = Worker::start("one", stream.open(Start::TrimHorizon, leases(&table, "one")).await, sink.clone());
    let all = stream.put_numbers(0..50).await;
    sink.until_all(&all).await;
    one.stop().await;
    let rows = rows(&table).await;
    assert_eq!((rows.len(), owners(&rows)), (2, Vec::new()), "{rows:#?}");
    let started = Instant::now();
    let two = Worker::start("two", stream.open(Start::TrimHorizon, leases(&table, "two")).await, sink.clone());
    until_rows(&table, |rows| counts(rows, "two") == 2).await;
    assert!(started.elapsed() < DURATION, "nothing has to expire");
    let more = stream.put_numbers(50..60).await;
    let seen = sink.until_all(&more).await;
    assert_eq!(seen.len(), 60, "nothing comes twice");
    two.stop().await;
}

/// A worker that has lost its lease and does not know it: it tries to settle first, or to prepare a batch. The first refusal tells it.
async fn stale(settles: bool) {
    let (stream, table) = (TestStream::new(1).await, unique("leases"));
    stream.put_numbers(0..5).await;
    let (mut source, progress_store) = stream.open(Start::TrimHorizon, leases(&table, "stale")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let progress_store = progress_store.unwrap();
    let batch = next_batch(&mut *lane, LIMIT).await;
    progress_store.settle(lane.id(), &progress(&batch, 2)).await.unwrap();
    tell(&mut *lane, &batch, 2);
    // Its tasks are gone: the lease expires.
    drop(source);
    let (mut source, current) = stream.open(Start::TrimHorizon, leases(&table, "current")).await;
    let mut taken = tokio::time::timeout(PATIENCE, source.next_lane()).await.unwrap().unwrap().unwrap();
    let rest = Progress::Position { from: Some(batch.claims[1].token().clone()), to: batch.claims[4].token().clone() };
    let update = progress_store.write(lane.id(), &rest).unwrap().unwrap();
    assert!(update.condition_expression().unwrap().contains("leaseOwner = :me"));
    let refused = match settles {
        true => progress_store.settle(lane.id(), &rest).await,
        false => progress_store.prepare(lane.id(), batch.claims[4].token()).await,
    };
    assert!(matches!(refused, Err(Fault::LeaseLost(_))), "{refused:?}");
    assert!(matches!(progress_store.write(lane.id(), &rest), Err(Fault::LeaseLost(_))));
    assert!(matches!(lane.pull(LIMIT).await, Err(Fault::LeaseLost(_))));
    let again = next_batch(&mut *taken, LIMIT).await;
    assert_eq!(again.len(), 3, "the new owner goes on behind what was settled");
    assert_eq!(again.previous.as_ref(), Some(batch.claims[1].token()));
    let current = current.unwrap();
    current.settle(taken.id(), &progress(&again, 3)).await.unwrap();
    current.settle(taken.id(), &progress(&again, 3)).await.expect("a settlement whose answer was lost is repeated");
    source.close().await;
}

#[tokio::test]
async fn a_stale_owner_commits_nothing() {
    // K5
    tokio::join!(stale(true), stale(false));
}

#[tokio::test]
async fn progress_in_a_transaction_does_not_stop_renewals() {
    let (stream, table) = (TestStream::new(1).await, unique("leases"));
    stream.put_numbers(0..60).await;
    let (mut source, progress_store) = stream.open(Start::TrimHorizon, leases(&table, "w")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let progress_store = progress_store.unwrap();
    let client = clients().await.dynamodb(&place("DYNAMODB"));
    let start = Instant::now();
    let mut settled = 0;
    while settled < 60 {
        let batch = next_batch(&mut *lane, Limit { events: 1, ..LIMIT }).await;
        let update = progress_store.write(lane.id(), &progress(&batch, 1)).unwrap().unwrap();
        let item = aws_sdk_dynamodb::types::TransactWriteItem::builder().update(update).build();
        client.transact_write_items().transact_items(item).send().await.unwrap();
        tell(&mut *lane, &batch, 1);
        settled += 1;
    }
    // Longer than a lease lasts: it was renewed between the transactions, and is still ours.
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while start.elapsed() < DURATION * 2 {
        tick.tick().await;
        assert!(matches!(lane.pull(LIMIT).await, Ok(Pull::Empty { .. })));
    }
    assert_eq!(owners(&rows(&table).await), ["w"]);
    drop(lane);
    source.close().await;
}

#[tokio::test]
async fn the_next_owner_repeats_exactly_the_prepared_batch() {
    let (stream, table) = (TestStream::new(1).await, unique("leases"));
    stream.put_numbers(0..30).await;
    let (mut source, progress_store) = stream.open(Start::TrimHorizon, leases(&table, "one")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let first = next_batch(&mut *lane, Limit { events: 17, ..LIMIT }).await;
    progress_store.unwrap().prepare(lane.id(), first.claims[16].token()).await.unwrap();
    drop(lane);
    source.close().await;
    let (mut source, progress_store) = stream.open(Start::TrimHorizon, leases(&table, "two")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let again = next_batch(&mut *lane, Limit { events: 4, ..LIMIT }).await;
    assert_eq!(again.columns, first.columns);
    let progress_store = progress_store.unwrap();
    progress_store.settle(lane.id(), &progress(&again, 17)).await.unwrap();
    tell(&mut *lane, &again, 17);
    assert_eq!(next_batch(&mut *lane, Limit { events: 4, ..LIMIT }).await.len(), 4, "limits count again");
    drop(lane);
    source.close().await;
    let (mut source, _) = stream.open(Start::TrimHorizon, leases(&table, "three")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    assert_eq!(
        next_batch(&mut *lane, Limit { events: 5, ..LIMIT }).await.len(),
        5,
        "settling clears what was prepared"
    );
    source.close().await;
}

#[tokio::test]
async fn a_lane_that_is_dropped_is_given_again_where_it_was_settled() {
    let (stream, table) = (TestStream::new(1).await, unique("leases"));
    stream.put_numbers(0..10).await;
    let (mut source, progress_store) = stream.open(Start::TrimHorizon, leases(&table, "w")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, LIMIT).await;
    progress_store.unwrap().settle(lane.id(), &progress(&batch, 4)).await.unwrap();
    drop(lane);
    let mut lane = tokio::time::timeout(PATIENCE, source.next_lane()).await.expect("given again").unwrap().unwrap();
    assert_eq!(next_batch(&mut *lane, LIMIT).await.len(), 6);
    source.close().await;
}

#[tokio::test]
async fn the_lease_of_a_trimmed_shard_is_completed_with_a_warning() {
    // K17
    let (stream, table, sink) = (TestStream::new(1).await, unique("leases"), Sink::new());
    let one = Worker::start("one", stream.open(Start::TrimHorizon, leases(&table, "one")).await, sink.clone());
    until_rows(&table, |rows| rows.len() == 1).await;
    one.stop().await;
    let client = clients().await.dynamodb(&place("DYNAMODB"));
    let number = |n: u32| AttributeValue::N(n.to_string());
    let row = client
        .put_item()
        .table_name(&table)
        .item("leaseKey", AttributeValue::S(shard(77)))
        .item("leaseCounter", number(5));
    let row =
        row.item("checkpoint", AttributeValue::S("49590338271490256608559692538361571095921575989136588898".into()));
    row.item("checkpointSubSequenceNumber", number(0)).send().await.unwrap();
    let sharing = leases(&table, "two");
    let lag = sharing.lag.clone();
    let two = Worker::start("two", stream.open(Start::TrimHorizon, sharing).await, sink.clone());
    let all = stream.put_numbers(0..10).await;
    sink.until_all(&all).await;
    // Finished, and forgotten since it is not listed.
    until_rows(&table, |rows| !rows.contains_key(&shard(77))).await;
    assert_eq!(lag.gaps(), 1);
    two.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_not_pulled_keeps_its_leases() {
    // K7: renewal does not wait for the pipeline.
    let (stream, table, sink) = (TestStream::new(1).await, unique("leases"), Sink::new());
    stream.put_numbers(0..10).await;
    let (mut source, progress_store) = stream.open(Start::TrimHorizon, leases(&table, "slow")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, LIMIT).await;
    let other = Worker::start("other", stream.open(Start::TrimHorizon, leases(&table, "other")).await, sink.clone());
    let mut tick = tokio::time::interval(DURATION * 3);
    tick.tick().await;
    tick.tick().await;
    progress_store.unwrap().settle(lane.id(), &progress(&batch, batch.len())).await.unwrap();
    assert!(sink.seen().is_empty());
    drop(lane);
    source.close().await;
    until_rows(&table, |rows| counts(rows, "other") == 1).await;
    other.stop().await;
}

#[tokio::test]
async fn a_start_at_the_newest_record_is_remembered_before_anything_is_settled() {
    // K3: what comes between a crash and the takeover is not skipped.
    let (stream, table, sink) = (TestStream::new(1).await, unique("leases"), Sink::new());
    let (mut source, _) = stream.open(Start::Latest, leases(&table, "one")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    assert!(matches!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { .. }));
    drop((source, lane));
    let all = stream.put_numbers(0..10).await;
    let two = Worker::start("two", stream.open(Start::Latest, leases(&table, "two")).await, sink.clone());
    let seen = sink.until_all(&all).await;
    assert_eq!(seen.iter().map(|s| &s.id).collect::<HashSet<_>>().len(), 10);
    two.stop().await;
}

#[tokio::test]
async fn a_source_that_closes_while_it_takes_leases_hands_over_every_one() {
    let stream = TestStream::new(8).await;
    for round in 0..12u64 {
        let table = unique("leases");
        let (mut source, _) = stream.open(Start::TrimHorizon, leases(&table, "short")).await;
        // Somewhere between the first lease and the last, of which each takes a few milliseconds.
        let lane = source.next_lane().await.unwrap();
        tokio::time::sleep(Duration::from_millis(round * 3)).await;
        drop(lane);
        source.close().await;
        let rows = rows(&table).await;
        assert_eq!((rows.len(), owners(&rows)), (8, Vec::new()), "{rows:#?}");
    }
}

// Settling leaves a lease's counter alone: taking one succeeds although its shard was finished since it was read.
#[tokio::test]
async fn a_shard_that_ended_while_its_lease_was_taken_is_not_handed_out() {
    let (stream, table, ended) = (TestStream::new(2).await, unique("leases"), shard(0));
    let takes =
        |seen: &Seen| seen.body.contains("if_not_exists(ownerSwitchesSinceCheckpoint") && seen.body.contains(&shard(0));
    let decide = move |seen: &Seen| match seen.what == "UpdateItem" && takes(seen) {
        true => Fate::Answer(
            200,
            format!(
                r#"{{"Attributes": {{"leaseKey": {{"S": "{ended}"}}, "leaseCounter": {{"N": "1"}}, "leaseOwner": {{"S": "me"}},
                "checkpoint": {{"S": "SHARD_END"}}, "checkpointSubSequenceNumber": {{"N": "0"}}}}}}"#
            ),
        ),
        false => Fate::Pass,
    };
    let (clients, log) = faulty::clients(decide).await;
    let (name, start, sharing) = (stream.name.clone(), Start::TrimHorizon, leases(&table, "one"));
    let settings = KinesisSettings { stream: name, place: place("KINESIS"), start, fan_out: None, sharing };
    let (mut source, _progress_store) = kinesis::open(&clients, &settings, reader("route")).await.unwrap();
    let lane = tokio::time::timeout(PATIENCE, source.next_lane()).await.unwrap().unwrap().unwrap();
    assert_eq!(lane.id(), shard(1));
    // A lease in hand is not taken again. This one is, since nothing came of it.
    let again = async {
        while log.of("UpdateItem").iter().filter(|seen| takes(seen)).count() < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        lane = source.next_lane() => panic!("{:?} was handed out", lane.unwrap().map(|lane| lane.id().to_owned())),
        () = again => {}
        () = tokio::time::sleep(PATIENCE) => panic!("the lease is in hand"),
    }
}
