//! How many routes an event has come by goes along with records, messages and changes, beside the event.

use super::schema::{commit, spec};
use super::sources::batch;
use esclusa_embedded::{OutputTarget, QueueSchema, Store, StoreSchema, StreamSchema};
use esclusa_flow::batch::{Batch, Claim};
use esclusa_flow::effect::{Action, PutItem, SendMessage};
use esclusa_flow::engine::{Commit, Engine};
use esclusa_flow::hops;
use esclusa_flow::item::{Item, Value};
use esclusa_flow::settings::{KeySchema, Start, TableSchema};
use std::time::Duration;

fn schema() -> StoreSchema {
    let mut schema = StoreSchema::default();
    let stream = StreamSchema { partitions: 1, retention: Duration::from_secs(3600) };
    schema.streams.insert("events".to_owned(), stream);
    let queue = QueueSchema {
        visibility_timeout: Duration::from_secs(30),
        max_receive_count: 3,
        consumers: ["r".to_owned()].into(),
    };
    schema.queues.insert("jobs".to_owned(), queue);
    schema.outputs.insert("events".to_owned(), OutputTarget::Stream("events".to_owned()));
    schema.outputs.insert("jobs".to_owned(), OutputTarget::Queue("jobs".to_owned()));
    let key = KeySchema { partition: "id".to_owned(), sort: None };
    let table = TableSchema { key, indexes: Default::default(), changes: true, ttl: None };
    schema.tables.insert("t".to_owned(), table);
    schema
}

fn put(id: &str) -> Action {
    let item = Item(vec![("id".to_owned(), Value::Text(id.to_owned()))]);
    Action::Put(PutItem { table: "t".to_owned(), item, guard: None })
}

fn send(output: &str, attributes: &[(String, String)]) -> Action {
    let attributes = [&[("own".to_owned(), "1".to_owned())], attributes].concat();
    Action::Send(SendMessage { output: output.to_owned(), key: None, data: b"{}".to_vec(), attributes })
}

fn hops_of(batch: &Batch) -> Vec<u32> {
    batch.claims.iter().map(Claim::hops).collect()
}

#[tokio::test]
async fn hops_travel_beside_records_messages_and_changes_and_old_ones_have_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store"), schema()).unwrap();
    let four = [hops::attribute(4)];
    // The last change is one as earlier versions wrote it: without a count.
    let actions = vec![
        send("events", &four),
        send("events", &[]),
        send("jobs", &four),
        send("jobs", &[]),
        put("a"),
        put("b"),
        put("c"),
    ];
    store.commit(Commit { hops: vec![9, 9, 9, 9, 300, 3], ..commit(actions) }).await.unwrap();
    let stream = store.stream_source(spec("r"), "events", Start::TrimHorizon).unwrap();
    let queue = store.queue_source(spec("r"), "jobs").unwrap();
    let changes = store.table_changes_source(spec("c"), "t", Start::TrimHorizon).unwrap();
    for (mut source, expected) in [(stream, vec![4, 0]), (queue, vec![4, 0]), (changes, vec![300, 3, 0])] {
        let mut lane = source.next_lane().await.unwrap().unwrap();
        let pulled = batch(&mut *lane).await;
        assert_eq!(hops_of(&pulled), expected, "{}", pulled.origin.kind);
        for event in pulled.columns.iter() {
            assert!(event.attributes().all(|(name, value)| (name, value) == ("own", "1")), "no plugin sees it");
            assert!(!String::from_utf8_lossy(event.data()).contains("hops"));
        }
    }
}
