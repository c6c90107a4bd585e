//! The suites of the testkit on this engine.

use super::schema::{key, schema, spec};
use esclusa_embedded::{FileSource, NewRecord, Store, StreamSchema};
use esclusa_flow::settings::Start;
use esclusa_flow::settings::TableSchema;
use esclusa_testkit::conformance::{
    self, EngineUnderTest, INDEX, LogUnderTest, ObjectsUnderTest, QueueUnderTest, STORE, TABLE,
};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

const VISIBILITY: Duration = Duration::from_millis(400);

fn store() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut schema = schema();
    let indexes = [(INDEX.to_owned(), key("color", Some("n")))].into();
    schema
        .tables
        .insert(TABLE.to_owned(), TableSchema { key: key("pk", Some("sk")), indexes, changes: true, ttl: None });
    schema.objects.insert(STORE.to_owned(), dir.path().join("suite-objects"));
    schema.streams.insert("one".to_owned(), StreamSchema { partitions: 1, retention: Duration::from_secs(3600) });
    for queue in schema.queues.values_mut() {
        queue.visibility_timeout = VISIBILITY;
        queue.consumers = ["one".to_owned(), "two".to_owned()].into();
    }
    (Store::open(dir.path(), schema).unwrap(), dir)
}

#[tokio::test]
async fn the_store_is_an_engine() {
    conformance::engine(|| {
        let (store, dir) = store();
        EngineUnderTest { engine: Arc::new(store), one_store: true, keep: Box::new(dir) }
    })
    .await;
}

#[tokio::test]
async fn a_directory_is_an_object_store() {
    conformance::object_reads(|| {
        let (store, dir) = store();
        ObjectsUnderTest { engine: Arc::new(store), keep: Box::new(dir) }
    })
    .await;
}

#[tokio::test]
async fn a_stream_is_a_retained_source() {
    conformance::log_source(|| {
        let (store, dir) = store();
        let (opener, appender) = (store.clone(), store.clone());
        LogUnderTest {
            engine: Arc::new(store),
            open: Box::new(move |route| opener.stream_source(spec(route), "one", Start::TrimHorizon).unwrap()),
            append: Box::new(move |payloads| {
                let store = appender.clone();
                let record = |payload: String| NewRecord { data: payload.into_bytes(), ..NewRecord::default() };
                let records: Vec<_> = payloads.into_iter().map(record).collect();
                Box::pin(async move { drop(store.append("one", &records).await.unwrap()) })
            }),
            keep: Box::new(dir),
        }
    })
    .await;
}

#[tokio::test]
async fn a_followed_file_is_a_retained_source() {
    conformance::log_source(|| {
        let (store, dir) = store();
        let path = dir.path().join("lines.jsonl");
        let file = Arc::new(std::fs::File::create(&path).unwrap());
        let opener = store.clone();
        LogUnderTest {
            engine: Arc::new(store),
            open: Box::new(move |route| Box::new(FileSource::new(opener.clone(), spec(route), &path, true))),
            append: Box::new(move |payloads| {
                let file = Arc::clone(&file);
                Box::pin(async move { (&*file).write_all((payloads.join("\n") + "\n").as_bytes()).unwrap() })
            }),
            keep: Box::new(dir),
        }
    })
    .await;
}

#[tokio::test]
async fn a_queue_is_a_queue() {
    conformance::queue_source(queue).await;
    conformance::queue_groups(queue).await;
}

fn queue() -> QueueUnderTest {
    let (store, dir) = store();
    let (opener, sender) = (store.clone(), store.clone());
    QueueUnderTest {
        engine: Arc::new(store),
        open: Box::new(move |route| opener.queue_source(spec(route), "jobs").unwrap()),
        send: Box::new(move |messages| {
            let store = sender.clone();
            let message =
                |(key, payload): (String, String)| NewRecord { key, data: payload.into_bytes(), attributes: vec![] };
            let messages: Vec<_> = messages.into_iter().map(message).collect();
            Box::pin(async move { drop(store.enqueue("jobs", &messages).await.unwrap()) })
        }),
        own: true,
        keep: Box::new(dir),
    }
}
