//! A lease table that KCL has written too: rows that are no leases, rows that cannot be read, rows that KCL deletes and
//! attributes that it sets.

use super::faulty::{self, Fate};
use super::fleet::*;
use super::kinesis::{TestStream, assert_order, shard};
use aws_sdk_dynamodb::types::AttributeValue;
use esclusa_aws::kinesis::{self, KinesisSettings};
use esclusa_aws::shards::SourceWithProgress;
use esclusa_flow::batch::Token;
use esclusa_flow::lag::Lag;
use esclusa_flow::settings::Start;
use esclusa_flow::source::Limit;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u32) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

async fn put(table: &str, row: &[(&str, AttributeValue)]) {
    let row = row.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let client = clients().await.dynamodb(&place("DYNAMODB"));
    client.put_item().table_name(table).set_item(Some(row)).send().await.unwrap();
}

async fn row(table: &str, key: &str) -> HashMap<String, AttributeValue> {
    let client = clients().await.dynamodb(&place("DYNAMODB"));
    let output = client.get_item().table_name(table).key("leaseKey", text(key)).consistent_read(true).send().await;
    output.unwrap().item.unwrap_or_default()
}

async fn update(table: &str, key: &str, update: &str, values: &[(&str, AttributeValue)]) {
    let client = clients().await.dynamodb(&place("DYNAMODB"));
    let mut request = client.update_item().table_name(table).key("leaseKey", text(key)).update_expression(update);
    for (name, value) in values {
        request = request.expression_attribute_values(*name, value.clone());
    }
    request.send().await.unwrap();
}

async fn delete(table: &str, key: &str) {
    let client = clients().await.dynamodb(&place("DYNAMODB"));
    client.delete_item().table_name(table).key("leaseKey", text(key)).send().await.unwrap();
}

/// Waits until the fault of the source, in words, is as wanted; `""`: there is none.
async fn until_fault(lag: &Lag, done: impl Fn(&str) -> bool) -> String {
    let fault = || lag.fault().map(|fault| fault.message).unwrap_or_default();
    let waited = tokio::time::timeout(PATIENCE, async {
        while !done(&fault()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "the fault stays {:?}", fault());
    fault()
}

/// A lease table with a lease of each shard; all of them are released.
async fn prepared(stream: &TestStream, shards: usize) -> String {
    let table = unique("leases");
    let one = Worker::start("one", stream.open(Start::TrimHorizon, leases(&table, "one")).await, Sink::new());
    until_rows(&table, |rows| rows.len() == shards && rows.values().all(|(owner, _)| owner.is_some())).await;
    one.stop().await;
    table
}

async fn opened_by(
    stream: &TestStream,
    clients: &esclusa_aws::client::Clients,
    table: &str,
    discovery: Duration,
) -> (SourceWithProgress, Arc<Lag>) {
    let sharing = esclusa_aws::shards::Sharing { discovery, ..leases(table, "one") };
    let lag = sharing.lag.clone();
    let (name, start) = (stream.name.clone(), Start::TrimHorizon);
    let settings = KinesisSettings { stream: name, place: place("KINESIS"), start, fan_out: None, sharing };
    (kinesis::open(clients, &settings, reader("route")).await.unwrap(), lag)
}

#[tokio::test]
async fn rows_that_are_no_leases_stop_nothing_and_stay() {
    let (stream, sink) = (TestStream::new(2).await, Sink::new());
    let table = prepared(&stream, 2).await;
    let kind = |kind: &str| ("entityType", text(kind));
    // As KCL 3.5 writes them.
    put(&table, &[("leaseKey", text("Leader")), kind("LEADER"), ("recordVersionNumber", text("7c"))]).await;
    put(&table, &[("leaseKey", text("Migration3.0")), kind("CLIENT_VERSION_MIGRATION"), ("cv", text("3X"))]).await;
    put(&table, &[("leaseKey", text("worker-1")), kind("WORKER_METRIC_STATS"), ("lut", number(7))]).await;
    // Of nobody that is known, and of another stream in the table of a KCL of several.
    put(&table, &[("leaseKey", text("what")), ("leaseCounter", text("many"))]).await;
    let other = [("leaseKey", text("000000000000:other:1:shardId-000000000000")), ("streamName", text("other"))];
    let other = [&other[..], &[("checkpoint", text("TRIM_HORIZON")), ("leaseCounter", number(3))]].concat();
    put(&table, &other).await;
    let sharing = leases(&table, "two");
    let lag = sharing.lag.clone();
    let two = Worker::start("two", stream.open(Start::TrimHorizon, sharing).await, sink.clone());
    let mut all = stream.put_numbers(0..40).await;
    sink.until_all(&all).await;
    stream.split(&shard(0)).await;
    all.extend(stream.put_numbers(40..80).await);
    assert_order(&sink.until_all(&all).await);
    two.stop().await;
    assert_eq!(lag.fault(), None);
    assert_eq!(row(&table, "Leader").await.len(), 3);
    assert_eq!(row(&table, "what").await.len(), 2);
    assert_eq!(
        row(&table, "000000000000:other:1:shardId-000000000000").await,
        other.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect()
    );
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stops_its_own_shard_and_is_shown() {
    let (stream, sink) = (TestStream::new(2).await, Sink::new());
    let table = prepared(&stream, 2).await;
    update(&table, &shard(0), "SET checkpoint = :no", &[(":no", text("12/x"))]).await;
    let sharing = leases(&table, "two");
    let lag = sharing.lag.clone();
    let two = Worker::start("two", stream.open(Start::TrimHorizon, sharing).await, sink.clone());
    let all = stream.put_numbers(0..40).await;
    let fault = until_fault(&lag, |fault| !fault.is_empty()).await;
    assert!(fault.contains(&shard(0)) && fault.contains("checkpoint") && fault.contains(&table), "{fault}");
    sink.until("the other shard", |seen| seen.iter().any(|seen| seen.lane == shard(1))).await;
    assert!(sink.seen().iter().all(|seen| seen.lane == shard(1)));
    update(&table, &shard(0), "SET checkpoint = :start", &[(":start", text("TRIM_HORIZON"))]).await;
    sink.until_all(&all).await;
    until_fault(&lag, str::is_empty).await;
    two.stop().await;
}

#[tokio::test]
async fn a_position_that_cannot_be_read_stops_its_own_shard_and_is_shown() {
    let (stream, sink) = (TestStream::new(2).await, Sink::new());
    stream.put_numbers(0..40).await;
    let sharing = alone(Arc::new(|shard_id: &str| {
        let position = (shard_id == shard(0)).then(|| Token::Text("12/x".into()));
        Box::pin(std::future::ready(Ok(position)))
    }));
    let lag = sharing.lag.clone();
    let worker = Worker::start("w", stream.open(Start::TrimHorizon, sharing).await, sink.clone());
    sink.until("the other shard", |seen| seen.iter().any(|seen| seen.lane == shard(1))).await;
    let fault = until_fault(&lag, |fault| !fault.is_empty()).await;
    assert!(fault.contains(&shard(0)), "{fault}");
    worker.stop().await;
}

#[tokio::test]
async fn rounds_that_fail_or_do_not_end_are_shown_until_one_succeeds() {
    let (stream, sink) = (TestStream::new(1).await, Sink::new());
    let table = prepared(&stream, 1).await;
    let (refused, silent) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (refuse, still) = (refused.clone(), silent.clone());
    let decide = move |seen: &faulty::Seen| match seen.what.as_str() {
        "Scan" if refuse.load(Ordering::Relaxed) => faulty::error("ValidationException"),
        "Scan" if still.load(Ordering::Relaxed) => Fate::Silence,
        _ => Fate::Pass,
    };
    let (clients, _log) = faulty::clients(decide).await;
    let (opened, lag) = opened_by(&stream, &clients, &table, Duration::from_secs(1)).await;
    let worker = Worker::start("one", opened, sink.clone());
    until_fault(&lag, |fault| fault.contains("leases") && fault.contains(&table)).await;
    refused.store(false, Ordering::Relaxed);
    let all = stream.put_numbers(0..10).await;
    sink.until_all(&all).await;
    until_fault(&lag, str::is_empty).await;
    silent.store(true, Ordering::Relaxed);
    until_fault(&lag, |fault| fault.contains("no answer for")).await;
    worker.kill().await;
    assert_eq!(lag.fault(), None, "the source is gone");
}

#[tokio::test]
async fn shards_of_two_generations_whose_rows_kcl_deleted_are_not_read_again() {
    let (stream, table, sink) = (TestStream::new(1).await, unique("leases"), Sink::new());
    let one = Worker::start("one", stream.open(Start::TrimHorizon, leases(&table, "one")).await, sink.clone());
    let mut all = stream.put_numbers(0..40).await;
    for generation in 0..2 {
        stream.split(&shard(generation)).await;
        all.extend(stream.put_numbers(40 + generation * 40..80 + generation * 40).await);
    }
    sink.until_all(&all).await;
    until_rows(&table, |rows| rows.len() == 5 && rows.values().filter(|(_, at)| at == "SHARD_END").count() == 2).await;
    let ended = row(&table, &shard(0)).await;
    let mut children = ended["childShardIds"].as_ss().unwrap().clone();
    children.sort();
    assert_eq!(children, [shard(1), shard(2)], "as KCL writes it");
    assert!(ended["leaseOwner"].as_s().unwrap().starts_with("one:"), "as KCL leaves it");
    one.stop().await;
    delete(&table, &shard(0)).await;
    delete(&table, &shard(1)).await;
    let two = Worker::start("two", stream.open(Start::TrimHorizon, leases(&table, "two")).await, sink.clone());
    all.extend(stream.put_numbers(200..240).await);
    let seen = sink.until_all(&all).await;
    two.stop().await;
    assert_eq!(seen.len(), all.len(), "nothing comes twice");
    assert_eq!(rows(&table).await.len(), 3);
}

#[tokio::test]
async fn a_row_that_kcl_deleted_since_the_shards_were_listed_is_not_made_anew() {
    let (stream, sink) = (TestStream::new(1).await, Sink::new());
    let table = prepared(&stream, 1).await;
    let two = Worker::start("two", stream.open(Start::TrimHorizon, leases(&table, "two")).await, sink.clone());
    let all = stream.put_numbers(0..40).await;
    sink.until_all(&all).await;
    let (clients, log) = faulty::clients(|_: &faulty::Seen| Fate::Pass).await;
    let ((mut source, _), _) = opened_by(&stream, &clients, &table, Duration::from_secs(3600)).await;
    let scans = async |more: usize| {
        let before = log.of("Scan").len();
        while log.of("Scan").len() < before + more {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // It has listed the shard as open.
    scans(2).await;
    stream.split(&shard(0)).await;
    until_rows(&table, |rows| rows.len() == 3 && rows[&shard(0)].1 == "SHARD_END").await;
    delete(&table, &shard(0)).await;
    scans(4).await;
    assert_eq!(rows(&table).await.into_keys().collect::<Vec<_>>(), [shard(1), shard(2)]);
    source.close().await;
    two.stop().await;
}

#[tokio::test]
async fn the_owner_of_a_lease_owns_its_checkpoint() {
    let stream = TestStream::new(1).await;
    let table = prepared(&stream, 1).await;
    // As KCL 3 hands over: the owner begins once the worker that had the lease has finished its batch.
    let set = "SET checkpointOwner = :worker";
    update(&table, &shard(0), set, &[(":worker", text("kcl"))]).await;
    let (mut source, _) = stream.open(Start::TrimHorizon, leases(&table, "two")).await;
    let lane = source.next_lane().await.unwrap().unwrap();
    assert!(!row(&table, &shard(0)).await.contains_key("checkpointOwner"));
    update(&table, &shard(0), set, &[(":worker", text("kcl"))]).await;
    drop(lane);
    source.close().await;
    let released = row(&table, &shard(0)).await;
    assert!(!released.contains_key("checkpointOwner") && !released.contains_key("leaseOwner"), "{released:#?}");
}

#[tokio::test]
async fn a_pending_checkpoint_of_kcl_does_not_enlarge_a_batch() {
    let stream = TestStream::new(1).await;
    let table = prepared(&stream, 1).await;
    stream.put_numbers(0..30).await;
    let (mut source, _) = stream.open(Start::TrimHorizon, leases(&unique("leases"), "probe")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let whole = next_batch(&mut *lane, Limit { events: 30, ..LIMIT }).await;
    let Token::Text(last) = whole.claims[25].token() else { panic!("no text") };
    let values = [(":to", text(last)), (":sub", number(0))];
    let set = "SET pendingCheckpoint = :to, pendingCheckpointSubSequenceNumber = :sub";
    update(&table, &shard(0), set, &values).await;
    let (mut source, _) = stream.open(Start::TrimHorizon, leases(&table, "two")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    assert_eq!(next_batch(&mut *lane, Limit { events: 4, ..LIMIT }).await.len(), 4);
    let small = Limit { bytes: 300, ..LIMIT };
    assert!(next_batch(&mut *lane, small).await.columns.iter().map(|event| event.size()).sum::<usize>() <= 300);
    source.close().await;
}
