//! A store with something of everything in it, and all of it as text, to be compared.

use super::schema::{commit, item, number, put, schema, spec, text};
use super::smoke::LIMIT;
use esclusa_embedded::{NewRecord, Store, StoreSchema, plain_json};
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::{Action, OutboxMessage, SendMessage};
use esclusa_flow::engine::{Engine, KeptAnswer, Progress};
use esclusa_flow::settings::Start;
use esclusa_flow::source::Pull;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The schema of such a store. Records are kept for a hundred years: one of the stores is a file of this repository.
pub(super) fn full_schema() -> StoreSchema {
    let mut schema = schema();
    schema.streams.get_mut("events").unwrap().retention = Duration::from_secs(100 * 365 * 24 * 3600);
    schema.queues.get_mut("jobs").unwrap().consumers = ["r".to_owned(), "other".to_owned()].into();
    schema
}

fn thing(table: &str, i: u32, fill: usize) -> Action {
    let color = text(if i.is_multiple_of(2) { "red" } else { "blue" });
    let pk = text(&format!("p{}", i % 3));
    let parts = [("pk", pk), ("sk", number(i)), ("color", color), ("n", number(i)), ("fill", text(&"x".repeat(fill)))];
    put(table, item(parts), None)
}

/// A dead letter.
pub(super) fn letter(i: u32) -> DeadLetter {
    let event = format!(
        r#"{{"route":"r","source":"src","kind":"stream","lane":"0","event":"0-{i}","key":"k","data":{{"text":"dead"}},"attributes":[],
        "timestamp":1700000000000,"died":1700000001000,"attempts":3,"code":"c","reason":"why","backtrace":null,"logs":[],
        "plugin":"p","digest":"00","output":null}}"#
    );
    serde_json::from_str(&event).unwrap()
}

/// Writes three sessions of commits; the second is large enough for tables of the database.
pub(super) async fn fill(path: &Path) {
    for session in 0..3_u32 {
        let store = Store::open(path, full_schema()).unwrap();
        let from = session * 20;
        let fill = if session == 1 { 60_000 } else { 10 };
        store.commit(commit((from..from + 20).map(|i| thing("things", i, fill)).collect())).await.unwrap();
        store.commit(commit((from..from + 10).map(|i| thing("plain", i, 10)).collect())).await.unwrap();
        for i in from..from + 20 {
            let record = NewRecord { key: format!("k{i}"), data: format!("record {i}").into(), attributes: vec![] };
            store.append("events", std::slice::from_ref(&record)).await.unwrap();
            store.enqueue("jobs", &[record]).await.unwrap();
        }
        let mut source = store.stream_source(spec("r"), "events", Start::TrimHorizon).unwrap();
        let mut lane = source.next_lane().await.unwrap().unwrap();
        let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { panic!("nothing") };
        let mut c = commit(vec![]);
        c.lane = batch.origin.lane.clone();
        c.progress = Progress::Position { from: batch.previous.clone(), to: batch.claims[0].token().clone() };
        c.counts.done = 1;
        c.dead = vec![letter(from)];
        let send = SendMessage { output: "hook".into(), key: None, data: b"hello".to_vec(), attributes: vec![] };
        c.outbox = vec![OutboxMessage { id: from.to_string(), send }].into();
        c.answers = vec![KeptAnswer { key: vec![7; 8], value: b"yes".to_vec(), expires: u64::MAX / 2, done: None }];
        store.commit(c).await.unwrap();
        let mut queue = store.queue_source(spec("r"), "jobs").unwrap();
        let mut lane = queue.next_lane().await.unwrap().unwrap();
        let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { panic!("nothing") };
        let mut c = commit(vec![]);
        let delete = batch.claims.iter().take(5).map(|claim| claim.token().clone()).collect();
        c.progress = Progress::Receipts { delete, release: vec![] };
        store.commit(c).await.unwrap();
        store.close();
    }
}

/// Everything that can be read, a line each, by what it is; `Err` with the first read that failed.
pub(super) async fn contents(store: &Store) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for table in ["plain", "things"] {
        for found in store.scan_all(table) {
            let found = plain_json(&found.map_err(|e| e.to_string())?);
            all.insert(format!("{table} {found}"), String::new());
        }
    }
    for (id, letter) in store.dead_letters(None, None, 100).map_err(|e| e.to_string())? {
        all.insert(format!("dead {id}"), letter.event);
    }
    for pending in store.pending("r").await.map_err(|e| e.to_string())? {
        all.insert(format!("outbox {}", pending.id), format!("{:?}", pending.messages));
    }
    all.insert("counts".to_owned(), format!("{:?}", store.counts("r").map_err(|e| e.to_string())?));
    all.insert("paused".to_owned(), store.paused("held").map_err(|e| e.to_string())?.to_string());
    for lane in ["0", "1"] {
        all.insert(
            format!("position {lane}"),
            format!("{:?}", store.position(&spec("r"), lane).map_err(|e| e.to_string())?),
        );
    }
    for lag in store.changes_lag("nobody", "src", "things").map_err(|e| e.to_string())? {
        all.insert("changes".to_owned(), lag.records.to_string());
    }
    for route in ["r", "other"] {
        all.insert(
            format!("queue of {route}"),
            store.queue_lag(route, "jobs").map_err(|e| e.to_string())?.records.to_string(),
        );
    }
    let answer = store.kept_answer(&[7; 8]).map_err(|e| e.to_string())?;
    all.insert("answer".to_owned(), format!("{answer:?}"));
    records(store, &mut all).await?;
    Ok(all)
}

/// The records of the stream, as a new route reads them.
async fn records(store: &Store, all: &mut BTreeMap<String, String>) -> Result<(), String> {
    let mut source = store.stream_source(spec("new"), "events", Start::TrimHorizon).map_err(|e| e.to_string())?;
    for _ in 0..2 {
        let mut lane = source.next_lane().await.map_err(|e| e.to_string())?.unwrap();
        while let Pull::Batch(batch) = lane.pull(LIMIT).await.map_err(|e| e.to_string())? {
            for i in 0..batch.claims.len() {
                let event = batch.columns.get(i).unwrap();
                all.insert(format!("record {}", event.id()), String::from_utf8_lossy(event.data()).into_owned());
            }
        }
    }
    Ok(())
}

/// The files of a directory, in order, relative to it.
pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap().path();
            match entry.is_dir() {
                true => folders.push(entry),
                false => files.push(entry.strip_prefix(path).unwrap().to_owned()),
            }
        }
    }
    files.sort();
    files
}

/// Copies a directory.
pub(super) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        std::fs::create_dir_all(to.join(&file).parent().unwrap()).unwrap();
        std::fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
}
