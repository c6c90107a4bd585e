//! Sources that only keep their position in the store, and where sources start.

use super::schema::{commit, schema, spec};
use super::smoke::LIMIT;
use esclusa_embedded::{FileSource, GenerateSource, GeneratorSettings, NewRecord, ScheduleSource, Store, StreamSchema};
use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::engine::{Commit, Engine, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::Start;
use esclusa_flow::source::{Lane, Limit, Pull, Source};
use std::path::Path;
use std::time::Duration;

pub(super) async fn lane(mut source: impl Source) -> Box<dyn Lane> {
    source.next_lane().await.unwrap().unwrap()
}

pub(super) async fn batch(lane: &mut dyn Lane) -> Batch {
    loop {
        match lane.pull(LIMIT).await.unwrap() {
            Pull::Batch(batch) => return batch,
            Pull::Empty { .. } => lane.ready().await,
            Pull::Ended => panic!("it ended"),
        }
    }
}

pub(super) fn lines(batch: &Batch) -> Vec<Vec<u8>> {
    batch.columns.iter().map(|event| event.data().to_vec()).collect()
}

pub(super) async fn settle(store: &Store, batch: &Batch, count: usize) {
    let progress = Progress::Position { from: batch.previous.clone(), to: batch.claims[count - 1].token().clone() };
    let lane = batch.origin.lane.clone();
    store.commit(Commit { lane, progress, ..commit(vec![]) }).await.unwrap();
}

pub(super) fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(dir.path().join("store"), schema()).unwrap()
}

#[tokio::test]
async fn a_file_gives_its_lines_with_their_positions_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.jsonl");
    std::fs::write(&path, b"{\"a\":1}\r\n\n\r\n\xff\xfe\nlast").unwrap();
    let store = open(&dir);
    let mut first = lane(FileSource::new(store.clone(), spec("r"), &path, false)).await;
    let pulled = batch(&mut *first).await;
    assert_eq!(lines(&pulled), [b"{\"a\":1}".to_vec(), vec![0xff, 0xfe], b"last".to_vec()]);
    let ids: Vec<_> = pulled.columns.iter().map(|e| e.id().to_owned()).collect();
    assert_eq!(ids, ["0-0", "0-12", "0-15"]);
    assert_eq!(&*pulled.origin.lane, "in.jsonl");
    assert_eq!(first.pull(LIMIT).await.unwrap(), Pull::Ended);
    settle(&store, &pulled, 2).await;
    let mut again = lane(FileSource::new(store.clone(), spec("r"), &path, false)).await;
    let rest = batch(&mut *again).await;
    assert_eq!(lines(&rest), [b"last".to_vec()]);
    settle(&store, &rest, 1).await;
    let mut end = lane(FileSource::new(store, spec("r"), &path, false)).await;
    assert_eq!(end.pull(LIMIT).await.unwrap(), Pull::Ended);
}

#[tokio::test]
async fn a_followed_file_waits_for_the_end_of_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.jsonl");
    std::fs::write(&path, "one\ntw").unwrap();
    let mut lane = lane(FileSource::new(open(&dir), spec("r"), &path, true)).await;
    assert_eq!(lines(&batch(&mut *lane).await), [b"one"]);
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
    std::io::Write::write_all(&mut std::fs::OpenOptions::new().append(true).open(&path).unwrap(), b"o\n").unwrap();
    assert_eq!(lines(&batch(&mut *lane).await), [b"two"]);
}

#[tokio::test]
async fn a_replaced_file_is_read_again_from_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.jsonl");
    let store = open(&dir);
    std::fs::write(&path, "one\ntwo\n").unwrap();
    let mut followed = lane(FileSource::new(store.clone(), spec("r"), &path, true)).await;
    let pulled = batch(&mut *followed).await;
    settle(&store, &pulled, 2).await;
    std::fs::write(dir.path().join("other"), "1\n2\n3\n4\n5\n6\n").unwrap();
    std::fs::rename(dir.path().join("other"), &path).unwrap();
    let pulled = batch(&mut *followed).await;
    assert_eq!((pulled.len(), pulled.previous.clone()), (6, None), "noticed while it is followed");
    settle(&store, &pulled, 6).await;
    std::fs::write(&path, "x\n").unwrap();
    let pulled = batch(&mut *lane(FileSource::new(store.clone(), spec("r"), &path, false)).await).await;
    assert_eq!(lines(&pulled), [b"x"], "noticed when it is opened");
    settle(&store, &pulled, 1).await;
}

pub(super) fn append(path: &Path, text: &str) {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    std::io::Write::write_all(&mut { file }, text.as_bytes()).unwrap();
}

#[tokio::test]
async fn a_file_that_was_rotated_while_nobody_read_it_is_finished_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.jsonl");
    let store = open(&dir);
    append(&dir.path().join("in.jsonl.2"), "an older file\nof the same directory\n");
    // Empty when it is opened: what it begins with is known only as it is read.
    append(&path, "");
    let mut first = lane(FileSource::new(store.clone(), spec("r"), &path, true)).await;
    assert_eq!(first.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
    append(&path, "old 1\n");
    settle(&store, &batch(&mut *first).await, 1).await;
    drop(first);
    append(&path, "old 2\n");
    std::fs::rename(&path, dir.path().join("in.jsonl.1")).unwrap();
    append(&path, "new 1, which is longer than what was read\nnew 2\n");
    let mut again = lane(FileSource::new(store.clone(), spec("r"), &path, true)).await;
    let rest = batch(&mut *again).await;
    assert_eq!(lines(&rest), [b"old 2"]);
    // Begun anew only when that is settled: its commit would be refused otherwise, and old 2 lost.
    assert_eq!(again.pull(LIMIT).await.unwrap(), Pull::Empty { drained: false });
    settle(&store, &rest, 1).await;
    let new = batch(&mut *again).await;
    assert_eq!((lines(&new)[1].clone(), new.previous.clone()), (b"new 2".to_vec(), None));
    let ids: Vec<_> = rest.columns.iter().chain(new.columns.iter()).map(|event| event.id().to_owned()).collect();
    assert_eq!(ids, ["0-6", "1-0", "1-42"], "the same offset of another file is another event");
    settle(&store, &new, 2).await;
}

#[tokio::test]
async fn a_file_that_is_written_anew_in_its_place_is_read_from_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.jsonl");
    let store = open(&dir);
    std::fs::write(&path, "one\ntwo\n").unwrap();
    let mut followed = lane(FileSource::new(store.clone(), spec("r"), &path, true)).await;
    let old = batch(&mut *followed).await;
    for text in ["1st of a longer file\n2nd\n", "a file of the same length\n", "1\n"] {
        std::fs::write(&path, text).unwrap();
        if text.starts_with("1st") {
            assert_eq!(followed.pull(LIMIT).await.unwrap(), Pull::Empty { drained: false }, "old is in work");
            settle(&store, &old, 2).await;
        }
        let new = batch(&mut *followed).await;
        assert_eq!(lines(&new), text.lines().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>());
        settle(&store, &new, new.len()).await;
    }
}

#[tokio::test]
async fn a_pipe_is_no_file_to_read_and_does_not_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let Err(Fault::Transient(why)) = FileSource::new(open(&dir), spec("r"), &path, false).next_lane().await else {
        panic!()
    };
    assert!(why.contains("pipe: it is not a regular file"), "{why}");
}

#[tokio::test]
async fn a_missing_file_is_a_transient_fault_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing.jsonl");
    let Err(Fault::Transient(why)) = FileSource::new(open(&dir), spec("r"), &path, false).next_lane().await else {
        panic!()
    };
    assert!(why.contains("missing.jsonl"), "{why}");
}

#[tokio::test]
async fn a_line_longer_than_a_batch_comes_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.jsonl");
    let long = "x".repeat(3 << 20);
    std::fs::write(&path, format!("a\n{long}\nb\n")).unwrap();
    let mut lane = lane(FileSource::new(open(&dir), spec("r"), &path, false)).await;
    let sizes: Vec<_> = [batch(&mut *lane).await, batch(&mut *lane).await, batch(&mut *lane).await]
        .iter()
        .map(|b| lines(b)[0].len())
        .collect();
    assert_eq!(sizes, [1, 3 << 20, 1]);
}

fn generated(count: u64) -> GeneratorSettings {
    GeneratorSettings {
        interval: Duration::ZERO,
        per_tick: 3,
        count: Some(count),
        events: vec![serde_json::json!({"id": "{seq}", "r": "{random:1000}"}), serde_json::json!("odd {seq}")],
        key: "k{pick:a|b}".to_owned(),
    }
}

#[tokio::test]
async fn generated_events_are_the_same_again_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut first = lane(GenerateSource::new(store.clone(), spec("r"), generated(10))).await;
    let pulled = batch(&mut *first).await;
    assert_eq!(pulled.len(), 10);
    assert!(lines(&pulled)[0].starts_with(b"{\"id\":1,") && lines(&pulled)[1] == b"\"odd 2\"");
    assert_eq!(first.pull(LIMIT).await.unwrap(), Pull::Ended);
    settle(&store, &pulled, 4).await;
    let again = batch(&mut *lane(GenerateSource::new(store, spec("r"), generated(10))).await).await;
    assert_eq!(lines(&again), lines(&pulled)[4..]);
    let keys = |batch: &Batch| batch.columns.iter().map(|e| e.key().to_owned()).collect::<Vec<_>>();
    assert_eq!(keys(&again), keys(&pulled)[4..]);
    assert_eq!(again.columns.timestamps, pulled.columns.timestamps[4..]);
}

#[tokio::test]
async fn missed_times_of_a_schedule_become_one_event() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let source =
        || ScheduleSource::new(store.clone(), spec("r"), "* * * * * *", serde_json::json!({"at": "{now}"})).unwrap();
    let mut first = lane(source()).await;
    let pulled = batch(&mut *first).await;
    assert_eq!(pulled.len(), 1);
    settle(&store, &pulled, 1).await;
    drop(first);
    // As if the router had been down for an hour: the position is an hour old, and 3,600 times were missed.
    let Token::Offset(done) = *pulled.claims[0].token() else { panic!("no offset") };
    let hour_ago = Token::Offset(done - 3_600_000);
    let progress = Progress::Position { from: Some(Token::Offset(done)), to: hour_ago.clone() };
    store.commit(Commit { lane: pulled.origin.lane.clone(), progress, ..commit(vec![]) }).await.unwrap();
    let mut again = lane(source()).await;
    let missed = batch(&mut *again).await;
    assert_eq!((missed.len(), &missed.previous), (1, &Some(hour_ago)));
    let event = missed.columns.get(0).unwrap();
    assert_eq!(event.attributes().collect::<Vec<_>>(), [("scheduled-time", event.id())]);
    assert!(ScheduleSource::new(store.clone(), spec("r"), "never", serde_json::Value::Null).is_err());
}

#[tokio::test]
async fn a_changed_schedule_holds_from_the_change_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let scheduled =
        |cron: &str| ScheduleSource::new(store.clone(), spec("r"), cron, serde_json::json!({"at": "{now}"})).unwrap();
    // The route was opened an hour ago, with a schedule of once a year.
    let mut yearly = lane(scheduled("0 0 0 1 1 *")).await;
    assert_eq!(yearly.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
    let Some(Token::Offset(begun)) = store.position(&spec("r"), "").unwrap() else { panic!("no position") };
    let progress = Progress::Position { from: Some(Token::Offset(begun)), to: Token::Offset(begun - 3_600_000) };
    store.commit(Commit { lane: "".into(), progress, ..commit(vec![]) }).await.unwrap();
    // Every minute but this one and the next has passed since then.
    let minutes = begun / 60_000 % 60;
    let others = (0..60).filter(|m| *m != minutes && *m != (minutes + 1) % 60).map(|m| m.to_string());
    let hourly = format!("0 {} * * * *", others.collect::<Vec<_>>().join(","));
    let mut changed = lane(scheduled(&hourly)).await;
    assert_eq!(changed.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true }, "it was no time of the schedule");
    // Other spaces are no other schedule: what passed while the router was down still counts.
    let Some(Token::Offset(changed)) = store.position(&spec("r"), "").unwrap() else { panic!("no position") };
    let progress = Progress::Position { from: Some(Token::Offset(changed)), to: Token::Offset(begun - 3_600_000) };
    store.commit(Commit { lane: "".into(), progress, ..commit(vec![]) }).await.unwrap();
    let mut again = lane(scheduled(&hourly.replacen(' ', "  ", 1))).await;
    assert!(matches!(again.pull(LIMIT).await.unwrap(), Pull::Batch(_)));
}

#[tokio::test]
async fn generated_events_follow_a_changed_interval_from_the_change_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let every = |milliseconds, per_tick| {
        let settings = GeneratorSettings { interval: Duration::from_millis(milliseconds), per_tick, ..generated(1000) };
        GenerateSource::new(store.clone(), spec("r"), GeneratorSettings { count: None, ..settings })
    };
    let mut quick = lane(every(1, 20)).await;
    let pulled = batch(&mut *quick).await;
    settle(&store, &pulled, pulled.len()).await;
    let pulled = pulled.len();
    // Not as many intervals ahead as events were made before.
    let mut slow = lane(every(1000, 1)).await;
    let opened = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let next = batch(&mut *slow).await;
    assert!(next.columns.timestamps[0] <= opened + 1000, "it is due within an interval of the change");
    assert_eq!(next.columns.get(0).unwrap().id(), (pulled + 1).to_string());
    settle(&store, &next, 1).await;
    drop(slow);
    let mut slower = lane(every(3_600_000, 1)).await;
    assert_eq!(slower.pull(LIMIT).await.unwrap(), Pull::Empty { drained: false });
}

fn record(data: &str) -> NewRecord {
    NewRecord {
        key: "k".to_owned(),
        data: data.as_bytes().to_vec(),
        attributes: vec![("a".to_owned(), "b".to_owned())],
    }
}

async fn all(store: &Store, route: &str, start: Start) -> Vec<String> {
    let mut source = store.stream_source(spec(route), "events", start).unwrap();
    let mut found = Vec::new();
    for _ in 0..2 {
        let mut lane = source.next_lane().await.unwrap().unwrap();
        while let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() {
            found.extend(lines(&batch).into_iter().map(|line| String::from_utf8(line).unwrap()));
        }
    }
    found
}

#[tokio::test]
async fn partitions_that_come_later_are_read_from_their_first_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store.append("events", &[record("before")]).await.unwrap();
    assert_eq!(all(&store, "r", Start::Latest).await, [""; 0]);
    let mut more = schema();
    more.streams.insert("events".to_owned(), StreamSchema { partitions: 64, retention: Duration::from_secs(3600) });
    store.apply_schema(more).unwrap();
    // No lane reads yet: these records come between the change of the schema and the route's restart.
    let records: Vec<_> = (0..200).map(|i| NewRecord { key: i.to_string(), ..record("after") }).collect();
    let ids = store.append("events", &records).await.unwrap();
    assert!(ids.iter().any(|id| !id.starts_with("0-") && !id.starts_with("1-")), "{ids:?}");
    let mut source = store.stream_source(spec("r"), "events", Start::Latest).unwrap();
    let mut found = 0;
    while !source.caught_up() {
        let mut lane = source.next_lane().await.unwrap().unwrap();
        while let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() {
            assert!(lines(&batch).iter().all(|line| line == b"after"));
            found += batch.len();
        }
    }
    assert_eq!(found, 200);
}

#[tokio::test]
async fn a_stream_starts_where_it_is_told_to_and_remembers_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let ids = store.append("events", &[record("1"), record("2")]).await.unwrap();
    assert!(ids[0].ends_with("-1") && ids[1].ends_with("-2"), "{ids:?}");
    assert_eq!(all(&store, "latest", Start::Latest).await, [""; 0]);
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let before = clock();
    while clock() == before {
        std::thread::yield_now();
    }
    let now = clock();
    store.append("events", &[record("3")]).await.unwrap();
    assert_eq!(all(&store, "latest", Start::Latest).await, ["3"]);
    assert_eq!(all(&store, "oldest", Start::TrimHorizon).await, ["1", "2", "3"]);
    assert_eq!(all(&store, "time", Start::AtTimestamp(now)).await, ["3"]);
    assert_eq!(all(&store, "past", Start::AtTimestamp(0)).await, ["1", "2", "3"]);
    assert_eq!(all(&store, "future", Start::AtTimestamp(u64::MAX)).await, [""; 0]);
    let lag: u64 = store.stream_lag("oldest", "src", "events").unwrap().iter().map(|lane| lane.records).sum();
    assert_eq!(lag, 3);
}

#[tokio::test]
async fn old_records_are_trimmed_and_a_route_behind_goes_on_at_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let mut short = schema();
    short.streams.insert("events".to_owned(), StreamSchema { partitions: 1, retention: Duration::from_millis(1) });
    let store = Store::open(dir.path().join("store"), short.clone()).unwrap();
    store.append("events", &[record("1"), record("2")]).await.unwrap();
    let mut lane =
        store.stream_source(spec("r"), "events", Start::TrimHorizon).unwrap().next_lane().await.unwrap().unwrap();
    let Pull::Batch(pulled) = lane.pull(Limit { events: 1, ..LIMIT }).await.unwrap() else { panic!("no batch") };
    settle(&store, &pulled, 1).await;
    let waits = async {
        while store.stream_lag("r", "src", "events").unwrap()[0].records > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waits).await.expect("they are trimmed");
    short.streams.insert("events".to_owned(), StreamSchema { partitions: 1, retention: Duration::from_secs(60) });
    store.apply_schema(short).unwrap();
    assert_eq!(store.append("events", &[record("3")]).await.unwrap(), ["0-3"], "sequences go on");
    let rest = batch(&mut *lane).await;
    assert_eq!(lines(&rest), [b"3"]);
    settle(&store, &rest, 1).await;
}
