//! What a record is as an event, and a message as a record.

use crate::cluster::{Cluster, unique};
use crate::routes::{LIMIT, Route, batch, lane, payloads, take};
use esclusa_flow::effect::{OutboxMessage, SendMessage};
use esclusa_flow::engine::SendError;
use esclusa_flow::fault::Fault;
use esclusa_kafka::sink::{self, KafkaSinkSettings};
use rdkafka::message::{Header, OwnedHeaders};
use std::collections::BTreeMap;

fn message(id: &str, key: Option<&str>, data: &[u8], attributes: &[(&str, &str)]) -> OutboxMessage {
    let attributes = attributes.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let key = key.map(str::to_owned);
    OutboxMessage { id: id.into(), send: SendMessage { output: "out".into(), key, data: data.to_vec(), attributes } }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_keeps_its_key_headers_time_and_the_absence_of_a_value() {
    let cluster = Cluster::any();
    let topic = cluster.topic(1).await;
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("one") })
        .insert(Header { key: "trace", value: Some("two") })
        .insert(Header { key: "raw", value: Some(&[0xff_u8][..]) });
    cluster.put_raw(&topic, Some(b"k"), Some(b"v"), headers);
    cluster.put_raw(&topic, Some(b"k"), None, OwnedHeaders::new());
    cluster.put_raw(&topic, Some(&[0xff]), Some(b""), OwnedHeaders::new());
    let route = Route::reading(&cluster, &topic);
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    assert_eq!(lane.id(), format!("{topic}-0"));
    let mut events = Vec::new();
    while events.len() < 3 {
        let pulled = batch(&mut *lane, LIMIT).await;
        for event in pulled.columns.iter() {
            let attributes: Vec<_> = event.attributes().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            events.push((event.id().to_owned(), event.key().to_owned(), event.data().to_vec(), attributes));
            assert!(event.timestamp > 1_500_000_000_000, "the time when it was made: {}", event.timestamp);
        }
    }
    let owned = |attributes: &[(&str, &str)]| -> Vec<(String, String)> {
        attributes.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    };
    let headers = owned(&[("header.trace", "one"), ("header.trace.2", "two"), ("header.raw;base64", "/w==")]);
    assert_eq!(events[0], (format!("{topic}-0-0"), "k".into(), b"v".to_vec(), headers));
    assert_eq!(events[1], (format!("{topic}-0-1"), "k".into(), Vec::new(), owned(&[("tombstone", "true")])));
    assert_eq!(events[2], (format!("{topic}-0-2"), "/w==".into(), Vec::new(), owned(&[("key;base64", "true")])));
}

// Records that were fetched before the queue was split would come out of order, or from another lane's queue.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_with_a_backlog_come_in_order_each_in_its_own_lane() {
    let cluster = Cluster::any();
    let topic = cluster.topic(4).await;
    let values: Vec<Vec<String>> = (0..4).map(|p| (0..2000).map(|i| format!("{p}-{i}")).collect()).collect();
    for (partition, values) in values.iter().enumerate() {
        cluster.put(&topic, i32::try_from(partition).unwrap(), values.iter().map(String::as_str));
    }
    let route = Route::reading(&cluster, &topic);
    let mut source = route.open().await;
    let mut seen = BTreeMap::new();
    for _ in 0..4 {
        let mut lane = lane(&mut *source).await;
        let name = lane.id().to_owned();
        seen.insert(name, (take(&route, &mut *lane, 2000).await, lane));
    }
    assert!(source.caught_up());
    for (partition, values) in values.iter().enumerate() {
        assert_eq!(seen[&format!("{topic}-{partition}")].0, *values);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_a_record_with_its_key_headers_and_id() {
    let cluster = Cluster::any();
    let topic = cluster.topic(1).await;
    let sink = sink::open(KafkaSinkSettings { connection: cluster.connection(&[]), topic: topic.clone() });
    let attributes =
        [("header.trace", "one"), ("header.trace.2", "two"), ("kind", "order"), ("header.raw;base64", "/w==")];
    let messages =
        [message("id-1", Some("k"), b"v", &attributes), message("id-2", Some("k"), b"", &[("tombstone", "true")])];
    assert_eq!(sink.send(&messages).await, [Ok(()), Ok(())]);
    let route = Route::reading(&cluster, &topic);
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    let mut events = Vec::new();
    while events.len() < 2 {
        let pulled = batch(&mut *lane, LIMIT).await;
        events.extend(pulled.columns.iter().map(|event| {
            let attributes: BTreeMap<_, _> = event.attributes().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            (event.key().to_owned(), event.data().to_vec(), attributes)
        }));
    }
    let (key, data, attributes) = &events[0];
    assert_eq!((key.as_str(), data.as_slice()), ("k", &b"v"[..]));
    let expected = [
        ("header.esclusa-id", "id-1"),
        ("header.kind", "order"),
        ("header.raw;base64", "/w=="),
        ("header.trace", "one"),
        ("header.trace.2", "two"),
    ];
    let found: Vec<_> = attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(found, expected);
    assert_eq!(events[1].2.get("tombstone").map(String::as_str), Some("true"));
}

// The broker takes 1,048,588 bytes by default and librdkafka 1,000,000: what can be read can be written.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_read_is_written_and_one_that_is_too_large_is_refused_for_good() {
    let Some(cluster) = Cluster::real() else { return };
    let topic = cluster.topic(1).await;
    let sink = sink::open(KafkaSinkSettings { connection: cluster.connection(&[]), topic: topic.clone() });
    let fits = vec![b'x'; 1_040_000];
    let too_large = vec![b'x'; 1_100_000];
    let messages = [
        message("1", Some("k"), b"before", &[]),
        message("2", Some("k"), &fits, &[]),
        message("3", Some("k"), &too_large, &[]),
        message("4", Some("k"), b"after", &[]),
    ];
    let results = sink.send(&messages).await;
    assert_eq!((&results[0], &results[1], &results[3]), (&Ok(()), &Ok(()), &Ok(())));
    assert!(matches!(&results[2], Err(SendError::Failed(Fault::Permanent(_)))), "a dead letter: {:?}", results[2]);
    let route = Route::reading(&cluster, &topic);
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    let mut sizes = Vec::new();
    while sizes.len() < 3 {
        sizes.extend(payloads(&batch(&mut *lane, LIMIT).await).iter().map(String::len));
    }
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 6, 1_040_000]);
}

// librdkafka does not take a request apart that the broker refuses as too large.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_large_only_together_are_written_one_by_one() {
    let Some(cluster) = Cluster::real() else { return };
    let topic = unique("small");
    cluster.create(&topic, 1, &[("max.message.bytes", "20000")]).await;
    let sink = sink::open(KafkaSinkSettings { connection: cluster.connection(&[("linger.ms", "50")]), topic });
    let data = vec![b'x'; 9_000];
    let messages: Vec<_> = (0..5).map(|i| message(&i.to_string(), Some("k"), &data, &[])).collect();
    assert_eq!(sink.send(&messages).await, vec![Ok(()); 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_while_no_broker_answers_and_none_is_lost() {
    let cluster = Cluster::mock(1);
    let topic = cluster.topic(1).await;
    let client = [("message.timeout.ms", "1500"), ("reconnect.backoff.max.ms", "200")];
    let sink = sink::open(KafkaSinkSettings { connection: cluster.connection(&client), topic: topic.clone() });
    assert_eq!(sink.send(&[message("1", Some("k"), b"1", &[])]).await, [Ok(())]);
    let mock = cluster.mock.as_ref().unwrap();
    mock.broker_down(1).unwrap();
    let results = sink.send(&[message("2", Some("k"), b"2", &[]), message("3", Some("k"), b"3", &[])]).await;
    let again = |result: &Result<(), SendError>| {
        matches!(result, Err(SendError::NotTried | SendError::Failed(Fault::Transient(_))))
    };
    assert!(results.iter().all(again), "{results:?}");
    mock.broker_up(1).unwrap();
    assert_eq!(
        sink.send(&[message("2", Some("k"), b"2", &[]), message("3", Some("k"), b"3", &[])]).await,
        [Ok(()), Ok(())]
    );
    let route = Route::reading(&cluster, &topic);
    let mut source = route.open().await;
    assert_eq!(take(&route, &mut *lane(&mut *source).await, 3).await, ["1", "2", "3"]);
}
