//! What is salvaged of a damaged store was written to it, and what is missing is counted.

use super::everything::{contents, copy, files, fill, full_schema};
use super::schema::{commit, item, key, number, put, schema, spec, text};
use super::smoke::LIMIT;
use super::sources::{lines, settle};
use esclusa_embedded::{NewRecord, Store, StoreSchema, check, salvage};
use esclusa_flow::batch::Batch;
use esclusa_flow::engine::{Commit, Engine, Progress};
use esclusa_flow::retry::mix;
use esclusa_flow::settings::{Start, TableSchema};
use esclusa_flow::source::{Lane, Pull, Source};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads a store, and closes it.
async fn read(path: &Path) -> BTreeMap<String, String> {
    contents(&Store::open(path, full_schema()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_sound_store_is_salvaged_whole() {
    let directory = tempfile::tempdir().unwrap();
    let [path, to] = ["store", "salvaged"].map(|name| directory.path().join(name));
    fill(&path).await;
    let report = salvage(&path, &to).unwrap();
    assert_eq!(
        (report.damage.len(), report.lost.len(), report.lost_groups, report.nameless),
        (0, 0, 0, 0),
        "{report:?}"
    );
    assert_eq!(report.missing, Vec::<String>::new());
    assert_eq!(Some(report.content), check(&path).unwrap().content);
    assert_eq!(read(&to).await, read(&path).await);
    assert_eq!(check(&to).unwrap().damage, [], "with its indexes");
    assert!(salvage(&path, &to).unwrap_err().to_string().contains("not empty"));
}

#[tokio::test]
async fn what_is_salvaged_was_written_and_what_is_missing_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    fill(&directory.path().join("sound")).await;
    let sound = directory.path().join("sound");
    let written = read(&sound).await;
    let held: Vec<_> = files(&sound).into_iter().filter(|file| !file.ends_with("lock")).collect();
    let lines = |read: &BTreeMap<String, String>| -> Vec<String> {
        let kinds = ["plain ", "things ", "dead ", "outbox ", "record "];
        read.keys().filter(|key| kinds.iter().any(|kind| key.starts_with(kind))).cloned().collect()
    };
    for n in 0..super::damage::flips(16) {
        let file = &held[n as usize % held.len()];
        let [path, to] = ["", "salvaged"].map(|name| directory.path().join(format!("{n}{name}")));
        copy(&sound, &path);
        let mut bytes = std::fs::read(path.join(file)).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        bytes[mix(n) as usize % end] ^= 1 << (n % 8);
        std::fs::write(path.join(file), bytes).unwrap();
        let report = salvage(&path, &to).unwrap();
        let salvaged = read(&to).await;
        let missing = lines(&written).into_iter().filter(|line| !salvaged.contains_key(line)).count();
        for line in lines(&salvaged) {
            assert!(written.contains_key(&line), "flip {n} of {}: {line} was never written", file.display());
        }
        let counted = !report.lost.is_empty() || report.lost_groups > 0 || report.nameless > 0;
        assert!(
            missing == 0 || counted,
            "flip {n} of {}: {missing} are missing and not counted: {report:?}",
            file.display()
        );
        for path in [path, to] {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}

/// Flips a bit of the first place in the store's journals that holds these bytes.
fn damage(store: &Path, bytes: &[u8]) {
    for file in files(store).into_iter().map(|file| store.join(file)) {
        let mut content = std::fs::read(&file).unwrap();
        if let Some(at) = content.windows(bytes.len()).position(|window| window == bytes) {
            content[at] ^= 1;
            return std::fs::write(file, content).unwrap();
        }
    }
    panic!("no file holds {:?}", String::from_utf8_lossy(bytes));
}

async fn first_lane(mut source: Box<dyn Source>) -> Box<dyn Lane> {
    source.next_lane().await.unwrap().unwrap()
}

/// What a lane has now.
async fn pulled(lane: &mut dyn Lane) -> Batch {
    let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { panic!("nothing") };
    batch
}

fn record(text: &str) -> NewRecord {
    NewRecord { data: text.into(), ..NewRecord::default() }
}

#[tokio::test]
async fn new_records_come_after_lost_ones_that_a_route_has_read() {
    let directory = tempfile::tempdir().unwrap();
    let [path, to] = ["store", "salvaged"].map(|name| directory.path().join(name));
    let mut one = schema();
    one.streams.get_mut("events").unwrap().partitions = 1;
    let store = Store::open(&path, one.clone()).unwrap();
    store.append("events", &["a", "b", "c"].map(record)).await.unwrap();
    store.append("events", &["lost-1", "lost-2", "lost-3"].map(record)).await.unwrap();
    let mut reader = first_lane(store.stream_source(spec("r"), "events", Start::TrimHorizon).unwrap()).await;
    let read = pulled(&mut *reader).await;
    settle(&store, &read, 6).await;
    drop((reader, store));
    damage(&path, b"lost-2");
    assert!(salvage(&path, &to).unwrap().lost_groups > 0);
    let began = Store::open(&to, one.clone()).unwrap();
    // By another process than the one that reads, and before it.
    began.append("events", &[record("new-1")]).await.unwrap();
    drop(began);
    // What was salvaged can be salvaged again.
    let [from, to] = [to, directory.path().join("again")];
    salvage(&from, &to).unwrap();
    let store = Store::open(&to, one).unwrap();
    store.append("events", &[record("new-2")]).await.unwrap();
    let mut reader = first_lane(store.stream_source(spec("r"), "events", Start::TrimHorizon).unwrap()).await;
    assert_eq!(lines(&pulled(&mut *reader).await), [b"new-1".to_vec(), b"new-2".to_vec()]);
    let lag = store.stream_lag("r", "src", "events").unwrap();
    assert_eq!(lag.iter().map(|lag| lag.records).sum::<u64>(), 2);
    // One that has read nothing gets all that there is, in order.
    let mut all = first_lane(store.stream_source(spec("other"), "events", Start::TrimHorizon).unwrap()).await;
    assert_eq!(lines(&pulled(&mut *all).await).len(), 5);
    let mut since = first_lane(store.stream_source(spec("since"), "events", Start::AtTimestamp(1)).unwrap()).await;
    assert_eq!(lines(&pulled(&mut *since).await).len(), 5, "the search by time passes over the gap");
}

#[tokio::test]
async fn a_new_message_does_not_take_the_number_of_a_lost_one() {
    let directory = tempfile::tempdir().unwrap();
    let [path, to] = ["store", "salvaged"].map(|name| directory.path().join(name));
    let mut two = schema();
    two.queues.get_mut("jobs").unwrap().consumers = ["r".to_owned(), "other".to_owned()].into();
    let store = Store::open(&path, two.clone()).unwrap();
    store.enqueue("jobs", &["lost-1", "lost-2"].map(record)).await.unwrap();
    // One of two consumers is done with both.
    let mut queue = first_lane(store.queue_source(spec("r"), "jobs").unwrap()).await;
    let done = pulled(&mut *queue).await.claims.iter().map(|claim| claim.token().clone()).collect();
    let progress = Progress::Receipts { delete: done, release: vec![] };
    store.commit(Commit { progress, ..commit(vec![]) }).await.unwrap();
    drop((queue, store));
    damage(&path, b"lost-2");
    assert!(salvage(&path, &to).unwrap().lost_groups > 0);
    let store = Store::open(&to, two).unwrap();
    store.enqueue("jobs", &["new-1", "new-2"].map(record)).await.unwrap();
    let mut queue = first_lane(store.queue_source(spec("r"), "jobs").unwrap()).await;
    assert_eq!(lines(&pulled(&mut *queue).await), [b"new-1".to_vec(), b"new-2".to_vec()]);
}

#[tokio::test]
async fn a_new_table_gets_entries_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let [path, to] = ["store", "salvaged"].map(|name| directory.path().join(name));
    let table = TableSchema { key: key("pk", Some("sk")), indexes: Default::default(), changes: false, ttl: None };
    let tables = |names: &[&str]| StoreSchema {
        tables: names.iter().map(|name| ((*name).to_owned(), table.clone())).collect(),
        ..StoreSchema::default()
    };
    // The first session gives the numbers, the second one writes the names again.
    drop(Store::open(&path, tables(&["one", "two"])).unwrap());
    drop(Store::open(&path, tables(&["one", "two"])).unwrap());
    damage(&path, b"ktable:one");
    salvage(&path, &to).unwrap();
    let store = Store::open(&to, tables(&["one", "two", "later"])).unwrap();
    store.commit(commit(vec![put("later", item([("pk", text("p")), ("sk", number(1))]), None)])).await.unwrap();
    drop(store);
    let report = check(&to).unwrap();
    assert_eq!(report.damage, []);
    let counts = serde_json::to_value(report.content.unwrap()).unwrap();
    assert_eq!(counts["tables"], serde_json::json!({"later": 1, "one": 0, "two": 0}));
}
