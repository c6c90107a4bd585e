//! What only this engine promises: its lock, its schema, its objects, its dead letters, its memory of queues.

use super::schema::{commit, item, key, number, put, schema, spec, text};
use super::smoke::LIMIT;
use esclusa_embedded::{NewRecord, OpenError, SchemaError, Store, StoreSchema, plain_json};
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::engine::{Commit, CommitError, Engine, Progress};
use esclusa_flow::item::{Comparison, Condition};
use esclusa_flow::reads::Selection;
use esclusa_flow::source::{Lane, Pull};
use esclusa_flow::timestamp::Timestamp;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

#[test]
fn a_second_router_is_refused_with_the_process_that_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let Err(error) = Store::open(dir.path(), schema()) else { panic!("opened twice") };
    assert!(matches!(error, OpenError::Locked { holder: Some(pid), .. } if pid == std::process::id()), "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    drop(store);
    Store::open(dir.path(), schema()).unwrap();
}

/// A router starts children, to compile plugins. Between its fork and its program, a child has every file of its parent.
#[test]
fn a_closed_store_is_free_though_a_child_has_been_forked_and_has_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let (path, forked, closed) = (dir.path().join("store"), dir.path().join("forked"), dir.path().join("closed"));
    let store = Store::open(&path, schema()).unwrap();
    let (told, awaited) = (forked.clone(), closed.clone());
    let mut child = Command::new("true");
    let held = move || {
        std::fs::write(&told, "")?;
        // It ends even if the test does not go on.
        for _ in 0..30_000 {
            if awaited.exists() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(std::io::ErrorKind::TimedOut.into())
    };
    #[expect(unsafe_code, reason = "the only hook between fork and exec")]
    // SAFETY: the closure touches nothing that another thread of the parent may have locked, but the allocator, which glibc makes
    // usable in a child.
    unsafe {
        child.pre_exec(held)
    };
    let spawned = std::thread::spawn(move || child.status().unwrap());
    while !forked.exists() {
        assert!(!spawned.is_finished(), "the child was not forked");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(store);
    let opened = Store::open(&path, schema()).map(drop);
    std::fs::write(closed, "").unwrap();
    assert!(spawned.join().unwrap().success());
    opened.unwrap();
}

#[test]
fn a_store_without_its_marker_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), schema()).unwrap());
    std::fs::remove_file(dir.path().join("format")).unwrap();
    let Err(error) = Store::open(dir.path(), schema()) else { panic!("opened") };
    assert!(matches!(&error, OpenError::Damaged { damage, .. } if damage[0].file.ends_with("format")), "{error}");
}

fn of_color(color: &str, index: &str) -> Selection {
    let key = Condition(vec![(index.to_owned(), Comparison::Equal(text(color)))]);
    Selection { table: "things".to_owned(), index: Some(format!("by-{index}")), key, ..Selection::default() }
}

#[tokio::test]
async fn a_new_index_finds_what_was_there_and_a_dropped_one_forgets() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let puts = (0..3000).map(|i| {
        put(
            "things",
            item([("pk", text("a")), ("sk", number(i)), ("shape", text(if i % 3 == 0 { "round" } else { "flat" }))]),
            None,
        )
    });
    store.commit(commit(puts.collect())).await.unwrap();
    let mut more = schema();
    let table = more.tables.get_mut("things").unwrap();
    table.indexes.insert("by-shape".to_owned(), key("shape", None));
    store.apply_schema(more.clone()).unwrap();
    assert_eq!(store.reads().query(&of_color("round", "shape")).await.unwrap().len(), 1000);
    store
        .commit(commit(vec![put(
            "things",
            item([("pk", text("b")), ("sk", number(1)), ("shape", text("round"))]),
            None,
        )]))
        .await
        .unwrap();
    assert_eq!(store.reads().query(&of_color("round", "shape")).await.unwrap().len(), 1001);
    store.apply_schema(schema()).unwrap();
    assert!(store.reads().query(&of_color("round", "shape")).await.is_err());
    store.apply_schema(more).unwrap();
    assert_eq!(store.reads().query(&of_color("round", "shape")).await.unwrap().len(), 1001);
}

#[tokio::test]
async fn the_key_of_a_table_with_items_cannot_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let mut other = schema();
    other.tables.get_mut("plain").unwrap().key = key("id", None);
    store.apply_schema(other.clone()).unwrap();
    store.commit(commit(vec![put("plain", item([("id", text("x"))]), None)])).await.unwrap();
    let error = store.apply_schema(schema()).unwrap_err();
    assert!(matches!(&error, SchemaError::KeyChanged { table, .. } if table == "plain"), "{error}");
    assert_eq!(store.scan("plain", None, 10).unwrap().len(), 1, "the old schema stays");
    store.apply_schema(other).unwrap();
}

#[tokio::test]
async fn an_item_that_a_new_index_cannot_hold_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    store
        .commit(commit(vec![put("things", item([("pk", text("a")), ("sk", number(1)), ("shape", text(""))]), None)]))
        .await
        .unwrap();
    let mut more = schema();
    more.tables.get_mut("things").unwrap().indexes.insert("by-shape".to_owned(), key("shape", None));
    let error = store.apply_schema(more).unwrap_err().to_string();
    assert!(error.contains("by-shape") && error.contains("things") && error.contains("empty"), "{error}");
}

#[tokio::test]
async fn an_index_that_is_in_force_stays_whole_where_another_cannot_be_built() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let thing = |i: i32, shape: &str| {
        item([("pk", text("a")), ("sk", number(i)), ("color", text("red")), ("n", number(i)), ("shape", text(shape))])
    };
    // More than is written at once.
    for chunk in 0..26 {
        let puts = (0..2000).map(|i| put("things", thing(chunk * 2000 + i, "round"), None));
        store.commit(commit(puts.collect())).await.unwrap();
    }
    store.commit(commit(vec![put("things", thing(60_000, ""), None)])).await.unwrap();
    let mut other = schema();
    other.tables.get_mut("things").unwrap().indexes = [("by-shape".to_owned(), key("shape", None))].into();
    store.apply_schema(other).unwrap_err();
    let first = Selection { limit: Some(1), ..of_color("red", "color") };
    let last = Selection { descending: true, ..first.clone() };
    for (selection, n) in [(first, 0), (last, 60_000)] {
        let found = store.reads().query(&selection).await.unwrap();
        assert_eq!(found[0].get("n"), Some(&number(n)));
    }
}

#[tokio::test]
async fn a_query_that_finds_too_much_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let thing = |i: usize| item([("pk", text("a")), ("sk", number(i)), ("text", text(&"x".repeat(300_000)))]);
    for i in 0..60 {
        store.commit(commit(vec![put("plain", thing(i), None)])).await.unwrap();
    }
    let key = Condition(vec![("pk".to_owned(), Comparison::Equal(text("a")))]);
    let all = Selection { table: "plain".to_owned(), key, ..Selection::default() };
    let error = store.reads().query(&all).await.unwrap_err().to_string();
    assert!(error.contains("\"plain\"") && error.contains("16 MiB") && error.contains("limit"), "{error}");
    assert_eq!(store.reads().query(&Selection { limit: Some(20), ..all }).await.unwrap().len(), 20);
}

fn letter(route: &str, event: &str) -> DeadLetter {
    let none = String::new;
    DeadLetter {
        route: route.to_owned(),
        source: "s".to_owned(),
        kind: "stream".to_owned(),
        lane: none(),
        event: event.to_owned(),
        key: none(),
        data: vec![0xff, 1],
        attributes: vec![("a".to_owned(), "b".to_owned())],
        timestamp: Timestamp::from_millis(1),
        died: Timestamp::from_millis(2),
        attempts: 3,
        code: "rejected".to_owned(),
        reason: none(),
        backtrace: None,
        logs: vec!["line".to_owned()],
        plugin: none(),
        digest: none(),
        output: None,
        last_redrive: None,
    }
}

#[tokio::test]
async fn dead_letters_are_listed_counted_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = Store::open(dir.path(), schema()).unwrap();
        let dead = vec![letter("a", "1"), letter("b", "2"), letter("a", "3")];
        store.commit(Commit { dead, ..commit(vec![]) }).await.unwrap();
    }
    let store = Store::open(dir.path(), schema()).unwrap();
    assert_eq!((store.dead_count("a"), store.dead_count("b"), store.dead_count("c")), (2, 1, 0));
    let all = store.dead_letters(None, None, 10).unwrap();
    assert_eq!(all.iter().map(|(_, l)| l.event.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(all[0].1, letter("a", "1"));
    let of_a = store.dead_letters(Some("a"), Some(all[0].0), 10).unwrap();
    assert_eq!(of_a, [all[2].clone()]);
    assert_eq!(store.remove_dead(vec![all[0].0, 999]).await.unwrap(), 1);
    assert_eq!((store.dead_count("a"), store.dead_letters(None, None, 10).unwrap().len()), (1, 2));
}

#[tokio::test]
async fn large_letters_and_items_are_read_a_few_at_a_time_and_all_of_them_come() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let large = |event: &str| DeadLetter { data: "x".repeat(3 << 20).into_bytes(), ..letter("a", event) };
    for event in ["1", "2", "3"] {
        store.commit(Commit { dead: vec![large(event)], ..commit(vec![]) }).await.unwrap();
    }
    let first = store.dead_letters(None, None, 10).unwrap();
    assert_eq!(first.len(), 2, "the one that passes the bytes of a page is its last");
    let rest = store.dead_letters(None, Some(first[1].0), 10).unwrap();
    assert_eq!(rest.iter().map(|(_, letter)| letter.event.as_str()).collect::<Vec<_>>(), ["3"]);
    let puts = (0..5).map(|i| {
        put("plain", item([("pk", text("a")), ("sk", number(i)), ("text", text(&"x".repeat(100 << 10)))]), None)
    });
    store.commit(commit(puts.collect())).await.unwrap();
    assert_eq!(store.scan_all("plain").map(|item| item.map(drop)).collect::<Result<Vec<_>, _>>().unwrap().len(), 5);
}

#[tokio::test]
async fn a_message_received_too_often_goes_to_the_dead_letters_also_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    for receive in 1..=3 {
        let store = Store::open(dir.path(), schema()).unwrap();
        if receive == 1 {
            let message = NewRecord { key: "g".to_owned(), data: b"bad".to_vec(), ..NewRecord::default() };
            store.enqueue("jobs", &[message]).await.unwrap();
        }
        let mut lane = store.queue_source(spec("r"), "jobs").unwrap().next_lane().await.unwrap().unwrap();
        let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { panic!("receive {receive}") };
        assert_eq!(batch.columns.attempts, [receive]);
    }
    let store = Store::open(dir.path(), schema()).unwrap();
    let mut lane = store.queue_source(spec("r"), "jobs").unwrap().next_lane().await.unwrap().unwrap();
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
    let dead = store.dead_letters(Some("r"), None, 10).unwrap();
    assert_eq!(dead.len(), 1);
    let letter = &dead[0].1;
    assert_eq!(
        (letter.code.as_str(), letter.attempts, letter.data.as_slice(), letter.lane.as_str()),
        ("max-receives", 3, &b"bad"[..], "g")
    );
    assert_eq!(store.counts("r").unwrap().dead, 1);
    assert_eq!(store.queue_lag("r", "jobs").unwrap().records, 0);
}

#[tokio::test]
async fn messages_on_their_way_to_the_dead_letters_are_not_released() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let mut once = schema();
    once.queues.get_mut("jobs").unwrap().max_receive_count = 1;
    store.apply_schema(once).unwrap();
    for _ in 0..20 {
        store.enqueue("jobs", &[NewRecord { data: b"bad".to_vec(), ..NewRecord::default() }]).await.unwrap();
        let mut lane = store.queue_source(spec("r"), "jobs").unwrap().next_lane().await.unwrap().unwrap();
        let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { panic!("the first receive") };
        let release = vec![(batch.claims[0].token().clone(), Duration::ZERO)];
        let progress = Progress::Receipts { delete: Vec::new(), release };
        store.commit(Commit { progress, ..commit(vec![]) }).await.unwrap();
        // The receive that is one too many is dropped while the message goes to the dead letters.
        tokio::select! {
            biased;
            pulled = lane.pull(LIMIT) => drop(pulled.unwrap()),
            () = std::future::ready(()) => {}
        }
        while lane.pull(LIMIT).await.unwrap() != (Pull::Empty { drained: true }) {
            lane.ready().await;
        }
        assert_eq!((lane.given_up(), lane.given_up()), (1, 0), "the meter gets each once");
    }
    assert_eq!(store.dead_count("r"), 20);
}

#[tokio::test]
async fn a_receive_that_nobody_waits_for_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    store.enqueue("jobs", &[NewRecord { data: b"good".to_vec(), ..NewRecord::default() }]).await.unwrap();
    let mut lane = store.queue_source(spec("r"), "jobs").unwrap().next_lane().await.unwrap().unwrap();
    let mut cancelled = 0;
    let batch = loop {
        // A pull that is asked once goes while its receive is written, unless the writer is very quick.
        let pulled = tokio::select! {
            biased;
            pulled = lane.pull(LIMIT) => Some(pulled.unwrap()),
            () = std::future::ready(()), if cancelled < 20 => None,
        };
        match pulled {
            Some(Pull::Batch(batch)) => break batch,
            Some(_) => lane.ready().await,
            None => cancelled += 1,
        }
    };
    assert_eq!(batch.columns.attempts, [1]);
}

#[tokio::test]
async fn extending_keeps_a_message_in_its_hand() {
    let dir = tempfile::tempdir().unwrap();
    let mut quick = schema();
    quick.queues.get_mut("jobs").unwrap().visibility_timeout = Duration::from_millis(100);
    let store = Store::open(dir.path(), quick).unwrap();
    store.enqueue("jobs", &[NewRecord { data: b"x".to_vec(), ..NewRecord::default() }]).await.unwrap();
    let mut lane = store.queue_source(spec("r"), "jobs").unwrap().next_lane().await.unwrap().unwrap();
    let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { panic!("no batch") };
    let token = batch.claims[0].token().clone();
    assert!(tokio::time::timeout(Duration::from_millis(350), lane.keep()).await.is_err(), "keeping does not end");
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: false }, "it was kept");
    store.extend(std::slice::from_ref(&token), Duration::from_secs(60)).unwrap();
    let progress = Progress::Receipts { delete: vec![token.clone()], release: vec![] };
    store.commit(Commit { progress, ..commit(vec![]) }).await.unwrap();
    assert!(store.extend(&[token], Duration::from_secs(1)).is_err(), "a settled receipt is void");
}

/// A queue with two messages for these consumers, of which `one` is done with the first and has received the second.
async fn half_done(dir: &tempfile::TempDir, consumers: &[&str]) -> (StoreSchema, Store, Box<dyn Lane>) {
    let mut schema = schema();
    schema.queues.get_mut("jobs").unwrap().consumers = consumers.iter().map(|route| (*route).to_owned()).collect();
    let store = Store::open(dir.path(), schema.clone()).unwrap();
    let message = |data: &str| NewRecord { data: data.into(), ..NewRecord::default() };
    store.enqueue("jobs", &[message("x"), message("y")]).await.unwrap();
    let mut lane = store.queue_source(spec("one"), "jobs").unwrap().next_lane().await.unwrap().unwrap();
    let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { panic!("no batch") };
    let progress = Progress::Receipts { delete: vec![batch.claims[0].token().clone()], release: vec![] };
    store.commit(Commit { progress, ..commit(vec![]) }).await.unwrap();
    (schema, store, lane)
}

#[tokio::test]
async fn a_removed_consumer_holds_no_message_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut schema, store, lane) = half_done(&dir, &["one", "two"]).await;
    assert_eq!(store.queue_lag("nobody", "jobs").unwrap().records, 2);
    schema.queues.get_mut("jobs").unwrap().consumers = ["one".to_owned()].into();
    store.apply_schema(schema.clone()).unwrap();
    assert_eq!(store.queue_lag("nobody", "jobs").unwrap().records, 1, "deleted: only the removed one was not done");
    drop((lane, store));
    let store = Store::open(dir.path(), schema).unwrap();
    let mut lane = store.queue_source(spec("one"), "jobs").unwrap().next_lane().await.unwrap().unwrap();
    let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { panic!("no batch") };
    assert_eq!(batch.columns.get(0).unwrap().data(), b"y", "in flight when it closed, there again");
}

#[tokio::test]
async fn consumers_that_are_removed_together_hold_no_message_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut schema, store, _lane) = half_done(&dir, &["one", "two", "three"]).await;
    schema.queues.get_mut("jobs").unwrap().consumers = ["one".to_owned()].into();
    store.apply_schema(schema).unwrap();
    assert_eq!(store.queue_lag("nobody", "jobs").unwrap().records, 1, "deleted: only the removed ones were not done");
}

#[tokio::test]
async fn more_partitions_come_as_lanes_of_the_running_source() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let mut source = store.stream_source(spec("r"), "events", esclusa_flow::settings::Start::TrimHorizon).unwrap();
    for lane in ["0", "1"] {
        assert_eq!(source.next_lane().await.unwrap().unwrap().id(), lane);
    }
    let mut more = schema();
    more.streams.get_mut("events").unwrap().partitions = 3;
    let applier = store.clone();
    let (lane, ()) = tokio::join!(source.next_lane(), async {
        tokio::task::spawn_blocking(move || applier.apply_schema(more).unwrap()).await.unwrap();
    });
    assert_eq!(lane.unwrap().unwrap().id(), "2");
}

#[tokio::test]
async fn a_scan_goes_on_behind_a_key_and_prints_plain_json() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let puts = (0..2500).map(|i| put("plain", item([("pk", text("a")), ("sk", number(i))]), None)).collect();
    store.commit(commit(puts)).await.unwrap();
    let all: Vec<_> = store.scan_all("plain").collect::<Result<_, _>>().unwrap();
    assert_eq!(all.len(), 2500);
    assert_eq!(plain_json(&all[2499]), r#"{"pk":"a","sk":2499}"#);
    assert_eq!(store.scan("plain", Some(&all[10]), 2).unwrap(), all[11..13]);
    assert!(store.scan_all("no-table").next().unwrap().is_err());
}

#[tokio::test]
async fn a_closed_store_refuses_commits_and_reads_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    store.commit(commit(vec![put("plain", item([("pk", text("a")), ("sk", number(1))]), None)])).await.unwrap();
    store.close();
    let answer = store.commit(commit(vec![])).await;
    assert!(
        matches!(&answer, Err(CommitError::Fault(fault)) if fault.to_string() == "the store is closed"),
        "{answer:?}"
    );
    assert_eq!(store.scan("plain", None, 10).unwrap().len(), 1);
}
