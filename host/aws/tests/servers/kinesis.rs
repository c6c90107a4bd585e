//! Kinesis: order, starting positions, resharding, lag, and records that are pushed.

use super::fleet::*;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use esclusa_aws::kinesis::{self, KinesisSettings};
use esclusa_aws::shards::{Sharing, SourceWithProgress};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::Start;
use esclusa_flow::source::Pull;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

pub(crate) struct TestStream {
    pub client: Client,
    pub name: String,
}

impl TestStream {
    pub(crate) async fn new(shards: i32) -> Self {
        let client = clients().await.kinesis(&place("KINESIS"));
        let name = unique("stream");
        client.create_stream().stream_name(&name).shard_count(shards).send().await.unwrap();
        let stream = TestStream { client, name };
        stream.active().await;
        stream
    }

    async fn active(&self) {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            let summary = self.client.describe_stream_summary().stream_name(&self.name).send().await.unwrap();
            let summary = summary.stream_description_summary().unwrap();
            if summary.stream_status().as_str() == "ACTIVE" {
                return;
            }
        }
    }

    pub(crate) async fn put(&self, records: &[(String, Vec<u8>)]) {
        for chunk in records.chunks(500) {
            let entry = |(key, data): &(String, Vec<u8>)| {
                PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data.clone())).build().unwrap()
            };
            let entries = chunk.iter().map(entry).collect();
            let output =
                self.client.put_records().stream_name(&self.name).set_records(Some(entries)).send().await.unwrap();
            assert_eq!(output.failed_record_count().unwrap_or_default(), 0);
        }
    }

    /// Puts one record per number and gives the payloads: keys `k0` to `k7`, payload `key:number`.
    pub(crate) async fn put_numbers(&self, numbers: std::ops::Range<u32>) -> Vec<String> {
        let payloads: Vec<_> = numbers.map(|n| format!("k{}:{n}", n % 8)).collect();
        let records: Vec<_> =
            payloads.iter().map(|p| (p.split(':').next().unwrap().to_owned(), p.clone().into_bytes())).collect();
        self.put(&records).await;
        payloads
    }

    /// Splits an open shard in the middle.
    pub(crate) async fn split(&self, shard: &str) {
        let shards = self.client.list_shards().stream_name(&self.name).send().await.unwrap();
        let range = shards.shards().iter().find(|s| s.shard_id() == shard).unwrap().hash_key_range().unwrap();
        let [low, high] = [range.starting_hash_key(), range.ending_hash_key()].map(|t| t.parse::<u128>().unwrap());
        let middle = low + (high - low) / 2;
        let request = self.client.split_shard().stream_name(&self.name).shard_to_split(shard);
        request.new_starting_hash_key(middle.to_string()).send().await.unwrap();
        self.active().await;
    }

    pub(crate) async fn merge(&self, shard: &str, other: &str) {
        let request = self.client.merge_shards().stream_name(&self.name).shard_to_merge(shard);
        request.adjacent_shard_to_merge(other).send().await.unwrap();
        self.active().await;
    }

    pub(crate) async fn open(&self, start: Start, sharing: Sharing) -> SourceWithProgress {
        self.open_as("route", start, sharing, None).await
    }

    pub(crate) async fn open_as(
        &self,
        route: &str,
        start: Start,
        sharing: Sharing,
        fan_out: Option<String>,
    ) -> SourceWithProgress {
        let settings = KinesisSettings { stream: self.name.clone(), place: place("KINESIS"), start, fan_out, sharing };
        kinesis::open(&clients().await, &settings, reader(route)).await.unwrap()
    }
}

pub(crate) fn shard(number: u32) -> String {
    format!("shardId-{number:012}")
}

/// Payloads of each key came in the order in which they were put; an event that came again does not count.
pub(crate) fn assert_order(seen: &[Seen]) {
    let (mut last, mut ids): (HashMap<&str, u32>, _) = (HashMap::new(), HashSet::new());
    for event in seen.iter().filter(|event| ids.insert(&event.id)) {
        let (key, number) = event.data.split_once(':').unwrap();
        let number: u32 = number.parse().unwrap();
        if let Some(before) = last.insert(key, number) {
            assert!(before < number, "key {key}: {number} after {before}: {seen:#?}");
        }
    }
}

#[tokio::test]
async fn children_wait_for_all_parents_and_start_at_their_oldest_record() {
    // K1, K2, K3, K4, K18: two shards are merged and their child is split while a group that began at the newest record
    // reads.
    let (stream, table, sink) = (TestStream::new(2).await, unique("leases"), Sink::new());
    let before = stream.put_numbers(0..20).await;
    let worker = Worker::start("w", stream.open(Start::Latest, leases(&table, "w")).await, sink.clone());
    until_rows(&table, |rows| rows.len() == 2 && rows.values().all(|(owner, _)| owner.is_some())).await;
    let warm = async {
        for n in 0.. {
            stream.put_numbers(1000 + n * 8..1008 + n * 8).await;
            if ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"].iter().all(|k| sink.seen().iter().any(|s| s.key == *k))
            {
                return 1008 + n * 8;
            }
        }
        0
    };
    let next = tokio::time::timeout(PATIENCE, warm).await.unwrap();
    let mut all = stream.put_numbers(next..next + 100).await;
    stream.merge(&shard(0), &shard(1)).await;
    all.extend(stream.put_numbers(next + 100..next + 200).await);
    stream.split(&shard(2)).await;
    all.extend(stream.put_numbers(next + 200..next + 300).await);
    let seen = sink.until_all(&all).await;
    assert_order(&seen);
    assert!(!seen.iter().any(|s| before.contains(&s.data)), "it began at the newest record");
    until_rows(&table, |rows| {
        (0..5).map(shard).all(|s| rows.contains_key(&s))
            && (0..3).map(shard).all(|s| rows[&s].1 == "SHARD_END")
            && (3..5).map(shard).all(|s| rows[&s].1 != "TRIM_HORIZON")
    })
    .await;
    let ids: HashSet<_> = seen.iter().map(|s| &s.id).collect();
    assert_eq!(ids.len(), seen.len(), "nothing came twice");
    worker.stop().await;
}

#[tokio::test]
async fn a_process_alone_keeps_lineage_too() {
    // K1, K2, K3
    let (stream, sink, kept) = (TestStream::new(2).await, Sink::new(), Kept::default());
    let mut all = stream.put_numbers(0..100).await;
    stream.merge(&shard(0), &shard(1)).await;
    all.extend(stream.put_numbers(100..200).await);
    let worker = Worker::start("w", stream.open(Start::TrimHorizon, alone(kept.positions())).await, sink.clone());
    sink.until_all(&all).await;
    stream.split(&shard(2)).await;
    all.extend(stream.put_numbers(200..300).await);
    let seen = sink.until_all(&all).await;
    assert_order(&seen);
    assert_eq!(seen.len(), all.len());
    worker.stop().await;
}

#[tokio::test]
async fn without_order_children_do_not_wait_for_their_parents() {
    // K1
    for together in [false, true] {
        let (stream, kept) = (TestStream::new(1).await, Kept::default());
        stream.put_numbers(0..10).await;
        stream.split(&shard(0)).await;
        let sharing = if together { leases(&unique("leases"), "w") } else { alone(kept.positions()) };
        let (mut source, _) = stream.open(Start::TrimHorizon, Sharing { ordered: false, ..sharing }).await;
        let mut given = Vec::new();
        for _ in 0..3 {
            let lane = tokio::time::timeout(PATIENCE, source.next_lane()).await.expect("nothing was settled");
            given.push(lane.unwrap().unwrap());
        }
        let ids: HashSet<_> = given.iter().map(|lane| lane.id().to_owned()).collect();
        assert_eq!(ids, (0..3).map(shard).collect());
        drop(given);
        source.close().await;
    }
}

#[tokio::test]
async fn a_start_at_a_time_leaves_older_records_out() {
    let (stream, sink) = (TestStream::new(1).await, Sink::new());
    let old = stream.put_numbers(0..5).await;
    let mut tick = tokio::time::interval(Duration::from_millis(1100));
    tick.tick().await;
    tick.tick().await;
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    tick.tick().await;
    let new = stream.put_numbers(10..15).await;
    let opened = stream.open(Start::AtTimestamp(time), leases(&unique("leases"), "w")).await;
    let worker = Worker::start("w", opened, sink.clone());
    let seen = sink.until_all(&new).await;
    assert!(!seen.iter().any(|s| old.contains(&s.data)), "{seen:#?}");
    worker.stop().await;
}

#[tokio::test]
async fn records_are_pushed_to_a_consumer() {
    let (stream, sink, table) = (TestStream::new(2).await, Sink::new(), unique("leases"));
    let mut all = stream.put_numbers(0..40).await;
    let consumer = Some("consumer".to_owned());
    let worker = Worker::start(
        "w",
        stream.open_as("route", Start::TrimHorizon, leases(&table, "w"), consumer.clone()).await,
        sink.clone(),
    );
    sink.until_all(&all).await;
    worker.stop().await;
    all.extend(stream.put_numbers(40..80).await);
    let worker = Worker::start(
        "w2",
        stream.open_as("route", Start::TrimHorizon, leases(&table, "w2"), consumer).await,
        sink.clone(),
    );
    let seen = sink.until_all(&all).await;
    assert_order(&seen);
    assert_eq!(seen.len(), all.len(), "a new subscription continues behind the checkpoint");
    worker.stop().await;
}

#[tokio::test]
async fn lag_is_zero_at_the_tip_and_the_oldest_unfinished_event_is_known() {
    // K12
    let (stream, kept) = (TestStream::new(1).await, Kept::default());
    stream.put_numbers(0..5).await;
    let sharing = alone(kept.positions());
    let lag = sharing.lag.clone();
    let (mut source, _) = stream.open(Start::TrimHorizon, sharing).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, LIMIT).await;
    let of_lane = || lag.lanes().values().next().copied().unwrap();
    assert_eq!(of_lane().oldest_unfinished, batch.columns.timestamps.iter().min().copied());
    assert_ne!(of_lane().behind_millis, Some(0));
    tell(&mut *lane, &batch, batch.len());
    assert_eq!(of_lane().oldest_unfinished, None);
    let idle = async {
        while of_lane().behind_millis != Some(0) {
            lane.ready().await;
            assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
        }
    };
    tokio::time::timeout(PATIENCE, idle).await.unwrap();
}

#[tokio::test]
async fn a_missing_stream_is_named() {
    // K8
    let settings = KinesisSettings {
        stream: "no-such-stream".into(),
        place: place("KINESIS"),
        start: Start::Latest,
        fan_out: None,
        sharing: leases("no-such-table", "w"),
    };
    let Err(fault) = kinesis::open(&clients().await, &settings, reader("route")).await else { panic!("it was opened") };
    assert!(matches!(&fault, Fault::Permanent(why) if why.contains("no-such-stream")), "{fault:?}");
}
