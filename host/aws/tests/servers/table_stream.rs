//! DynamoDB streams: shards that roll, trimmed records, the shape of changes.

use super::discovery::{lane, until_more};
use super::faulty::{self, Fate};
use super::fleet::*;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};
use esclusa_aws::client::Clients;
use esclusa_aws::dynamodb_stream::{self, TableStreamSettings};
use esclusa_aws::shards::{Sharing, SourceWithProgress};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::{ServiceLocation, Start};
use esclusa_flow::source::{Limit, Pull};
use serde_json::Value;
use std::time::Duration;

struct TestTable {
    client: Client,
    name: String,
    /// A database of its own: DynamoDB Local has one per region, and its test control works on all of a database.
    region: String,
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

impl TestTable {
    async fn new() -> Self {
        let region = format!("test-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let at = |service| ServiceLocation { region: Some(region.clone()), endpoint_url: Some(endpoint(service)) };
        let client = clients().await.dynamodb(&at("DYNAMODB"));
        let name = unique("table");
        let key = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build().unwrap();
        let pk =
            AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S).build().unwrap();
        let stream =
            StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewAndOldImages);
        let request = client.create_table().table_name(&name).key_schema(key).attribute_definitions(pk);
        request
            .billing_mode(BillingMode::PayPerRequest)
            .stream_specification(stream.build().unwrap())
            .send()
            .await
            .unwrap();
        TestTable { client, name, region }
    }

    /// Writes `n` into items named by it, and gives the pairs as texts.
    async fn put(&self, numbers: std::ops::Range<u32>) -> Vec<String> {
        let mut all = Vec::new();
        for n in numbers {
            let key = format!("k{}", n % 3);
            let request = self.client.put_item().table_name(&self.name).item("pk", text(&key));
            request.item("n", AttributeValue::N(n.to_string())).send().await.unwrap();
            all.push(format!("{key}:{n}"));
        }
        all
    }

    /// DynamoDB Local's test control: every open shard is closed and gets a child.
    async fn roll(&self) {
        self.client.put_item().table_name("[TEST_CONTROL]").item("ACTION", text("ROLLOVER")).send().await.unwrap();
    }

    /// DynamoDB Local's test control: the streams' clock moves on.
    async fn pass(&self, hours: u32) {
        let request = self.client.put_item().table_name("[TEST_CONTROL]").item("ACTION", text("DILATE_TIME"));
        request.item("HOURS", text(&hours.to_string())).send().await.unwrap();
    }

    async fn open(&self, start: Start, sharing: Sharing) -> SourceWithProgress {
        self.open_by(&clients().await, start, sharing).await
    }

    async fn open_by(&self, clients: &Clients, start: Start, sharing: Sharing) -> SourceWithProgress {
        let endpoint_url = endpoint("DYNAMODB_STREAMS");
        assert_eq!(endpoint_url, endpoint("DYNAMODB"), "DynamoDB Local serves both");
        let place = ServiceLocation { region: Some(self.region.clone()), endpoint_url: Some(endpoint_url) };
        let settings = TableStreamSettings { stream: self.name.clone(), place, start, sharing };
        dynamodb_stream::open(clients, &settings, reader("route")).await.unwrap()
    }
}

/// Key and number of the changes, in order.
fn pairs(seen: &[Seen]) -> Vec<String> {
    let pair = |seen: &Seen| {
        let json: Value = serde_json::from_str(&seen.data).unwrap();
        let image = &json["dynamodb"]["NewImage"];
        format!("{}:{}", image["pk"]["S"].as_str().unwrap(), image["n"]["N"].as_str().unwrap())
    };
    seen.iter().map(pair).collect()
}

async fn until_pairs(sink: &Sink, wanted: &[String]) -> Vec<String> {
    pairs(&sink.until("every change", |seen| wanted.iter().all(|w| pairs(seen).contains(w))).await)
}

fn assert_order(pairs: &[String]) {
    let mut last = std::collections::HashMap::new();
    for (key, number) in pairs.iter().map(|p| p.split_once(':').unwrap()) {
        let number: u32 = number.parse().unwrap();
        let before = last.insert(key, number).unwrap_or_default();
        assert!(before <= number, "key {key}: {number} after {before}");
    }
}

#[tokio::test]
async fn shards_that_roll_are_followed() {
    // D1, D5, D7
    let (table, group, sink) = (TestTable::new().await, unique("leases"), Sink::new());
    let mut all = table.put(0..30).await;
    let worker = Worker::start("w", table.open(Start::TrimHorizon, leases(&group, "w")).await, sink.clone());
    until_pairs(&sink, &all).await;
    for round in 1..4 {
        table.roll().await;
        all.extend(table.put(round * 30..round * 30 + 30).await);
    }
    let seen = until_pairs(&sink, &all).await;
    assert_order(&seen);
    assert_eq!(seen.len(), all.len());
    until_rows(&group, |rows| {
        rows.len() >= 4 && rows.values().filter(|(_, at)| at == "SHARD_END").count() == rows.len() - 1
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_shard_waits_until_everything_of_the_one_before_it_is_settled() {
    // D7: without a clock. The source is asked for a second lane for as long as it takes to look at its shards several times.
    let (table, group) = (TestTable::new().await, unique("leases"));
    let all = table.put(0..10).await;
    table.roll().await;
    table.put(10..20).await;
    let (clients, log) = faulty::clients(|_: &faulty::Seen| Fate::Pass).await;
    let (mut source, progress_store) = table.open_by(&clients, Start::TrimHorizon, leases(&group, "w")).await;
    let mut parent = lane(&mut *source).await;
    let batch = next_batch(&mut *parent, Limit { events: 100, ..LIMIT }).await;
    assert_eq!(batch.len(), all.len());
    tokio::select! {
        given = source.next_lane() => panic!("{:?} is read", given.unwrap().map(|lane| lane.id().to_owned())),
        () = until_more(&log, "Scan", 4) => {}
    }
    progress_store.unwrap().settle(parent.id(), &progress(&batch, batch.len())).await.unwrap();
    tell(&mut *parent, &batch, batch.len());
    let ended = async {
        while parent.pull(LIMIT).await.unwrap() != Pull::Ended {
            parent.ready().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the shard ends");
    let mut child = lane(&mut *source).await;
    assert_eq!(next_batch(&mut *child, LIMIT).await.len(), 10);
    source.close().await;
}

#[tokio::test]
async fn shards_that_rolled_while_nobody_looked_are_read_by_a_process_alone() {
    let (table, sink, kept) = (TestTable::new().await, Sink::new(), Kept::default());
    let mut all = Vec::new();
    for round in 0..3 {
        all.extend(table.put(round * 10..round * 10 + 10).await);
        table.roll().await;
    }
    let worker = Worker::start("w", table.open(Start::TrimHorizon, alone(kept.positions())).await, sink.clone());
    let seen = until_pairs(&sink, &all).await;
    assert_order(&seen);
    assert_eq!(seen.len(), all.len());
    worker.stop().await;
}

#[tokio::test]
async fn trimmed_records_are_a_gap_that_is_counted_and_reading_goes_on() {
    // D3
    let (table, group, sink) = (TestTable::new().await, unique("leases"), Sink::new());
    table.put(0..20).await;
    let (mut source, progress_store) = table.open(Start::TrimHorizon, leases(&group, "one")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, Limit { events: 5, ..LIMIT }).await;
    progress_store.unwrap().settle(lane.id(), &progress(&batch, batch.len())).await.unwrap();
    drop(lane);
    source.close().await;
    table.roll().await;
    table.pass(25).await;
    let new = table.put(100..110).await;
    let sharing = leases(&group, "two");
    let lag = sharing.lag.clone();
    let worker = Worker::start("two", table.open(Start::TrimHorizon, sharing).await, sink.clone());
    until_pairs(&sink, &new).await;
    assert!(lag.gaps() >= 1, "the gap is counted");
    worker.stop().await;
}

#[tokio::test]
async fn what_was_trimmed_before_a_group_began_is_no_gap() {
    for alone_ in [false, true] {
        let (table, sink) = (TestTable::new().await, Sink::new());
        for round in 0..2 {
            table.put(round * 10..round * 10 + 10).await;
            table.roll().await;
        }
        table.pass(25).await;
        let new = table.put(100..110).await;
        let sharing = if alone_ { alone(Kept::default().positions()) } else { leases(&unique("leases"), "w") };
        let lag = sharing.lag.clone();
        let worker = Worker::start("w", table.open(Start::TrimHorizon, sharing).await, sink.clone());
        until_pairs(&sink, &new).await;
        worker.stop().await;
        assert_eq!(lag.gaps(), 0);
    }
}

#[tokio::test]
async fn changes_have_the_shape_of_lambda() {
    let (table, kept) = (TestTable::new().await, Kept::default());
    table.put(0..1).await;
    table.put(0..1).await;
    table.put(3..4).await;
    table.client.delete_item().table_name(&table.name).key("pk", text("k0")).send().await.unwrap();
    let (mut source, progress_store) = table.open(Start::TrimHorizon, alone(kept.positions())).await;
    assert!(progress_store.is_none() && !source.leased());
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, LIMIT).await;
    assert_eq!(
        (&*batch.origin.kind, batch.origin.ordered, batch.columns.get(0).unwrap().key()),
        ("dynamodb-stream", true, "k0")
    );
    let events: Vec<Value> = batch.columns.iter().map(|e| serde_json::from_slice(e.data()).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|e| e["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"], "a put that changes nothing is no change");
    let change = &events[1];
    assert_eq!(change["eventSource"], "aws:dynamodb");
    assert_eq!(change["eventSourceARN"].as_str().map(|arn| arn.contains(&table.name)), Some(true));
    assert!(change["eventID"].is_string() && change["eventVersion"].is_string() && change["awsRegion"].is_string());
    let record = &change["dynamodb"];
    assert_eq!(
        (&record["Keys"]["pk"]["S"], &record["OldImage"]["n"]["N"], &record["NewImage"]["n"]["N"]),
        (&"k0".into(), &"0".into(), &"3".into())
    );
    assert!(
        record["ApproximateCreationDateTime"].is_u64()
            && record["SizeBytes"].is_u64()
            && record["SequenceNumber"].is_string()
    );
    assert_eq!(record["StreamViewType"], "NEW_AND_OLD_IMAGES");
}

#[tokio::test]
async fn a_start_at_the_newest_change_leaves_older_ones_out() {
    let (table, group, sink) = (TestTable::new().await, unique("leases"), Sink::new());
    let old = table.put(0..5).await;
    let worker = Worker::start("w", table.open(Start::Latest, leases(&group, "w")).await, sink.clone());
    until_rows(&group, |rows| rows.len() == 1 && rows.values().all(|(owner, _)| owner.is_some())).await;
    let mut n = 100;
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    while sink.seen().is_empty() {
        tick.tick().await;
        table.put(n..n + 1).await;
        n += 1;
    }
    let new = table.put(n..n + 5).await;
    let seen = until_pairs(&sink, &new).await;
    assert!(!seen.iter().any(|s| old.contains(s)));
    worker.stop().await;
}

#[tokio::test]
async fn a_table_without_stream_is_named() {
    let place = ServiceLocation { region: Some("us-east-1".into()), endpoint_url: Some(endpoint("DYNAMODB")) };
    let settings =
        TableStreamSettings { stream: "no-such-table".into(), place, start: Start::Latest, sharing: leases("t", "w") };
    let Err(fault) = dynamodb_stream::open(&clients().await, &settings, reader("route")).await else {
        panic!("it was opened")
    };
    assert!(matches!(&fault, Fault::Permanent(why) if why.contains("no-such-table")), "{fault:?}");
}
