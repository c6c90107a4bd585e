//! A disk that is full, or fails: nothing acknowledged is lost, nothing is half there, and the error says what to do.

use super::schema::{commit, item, number, put, schema, text};
use esclusa_embedded::{NewRecord, Store, StoreOptions};
use esclusa_flow::engine::{CommitError, Engine};
use esclusa_flow::fault::Fault;
use std::path::Path;
use std::process::Command;

/// Set for the child: the test runs itself again as the process whose disk fails.
const DIRECTORY: &str = "ESCLUSA_FULL_TEST";
const TEST: &str = "embedded::full::a_write_that_fails_midway_loses_nothing_that_was_acknowledged";

fn write(n: i64) -> esclusa_flow::engine::Commit {
    commit(vec![put("things", item([("pk", text("a")), ("sk", number(n))]), None)])
}

#[tokio::test]
async fn a_disk_below_its_reserve_refuses_commits_and_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    {
        let full =
            Store::open_with(dir.path(), schema(), StoreOptions { reserve: u64::MAX / 4, ..StoreOptions::default() })
                .unwrap();
        let Err(CommitError::Fault(Fault::Transient(why))) = full.commit(write(1)).await else { panic!("not refused") };
        assert!(why.contains("is full") && why.contains(&dir.path().display().to_string()), "{why}");
        assert_eq!(full.unwritable(), Some(why.clone()), "it is told before anything is written");
        // An engine above the store asks before it writes elsewhere, also if it has nothing but counts for the store.
        assert_eq!(full.check(commit(Vec::new())).await, Err(CommitError::Fault(Fault::Transient(why))));
        assert_eq!(full.scan("things", None, 10).unwrap(), []);
    }
    let store = Store::open(dir.path(), schema()).unwrap();
    assert_eq!(store.scan("things", None, 10).unwrap(), []);
    assert_eq!(store.unwritable(), None);
    store.commit(write(1)).await.unwrap();
}

/// The body of the child process, whose files cannot grow beyond the size of a journal and a little more.
async fn child(dir: &Path) {
    let store = Store::open(dir, schema()).unwrap();
    for n in 1..=10 {
        store.commit(write(n)).await.unwrap();
    }
    let large = NewRecord { data: vec![7; 150 << 20], ..NewRecord::default() };
    let error = store.append("events", &[large]).await.unwrap_err();
    let Fault::Permanent(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("stopped writing") && why.contains("nothing acknowledged is lost"), "{why}");
    let after = store.commit(write(11)).await.unwrap_err();
    assert!(matches!(after, CommitError::Fault(Fault::Permanent(_))), "{after:?}");
    assert!(store.unwritable().is_some(), "and that is told");
    assert_eq!(store.scan("things", None, 100).unwrap().len(), 10, "reads go on");
    println!("all as it should be");
}

#[tokio::test]
async fn a_write_that_fails_midway_loses_nothing_that_was_acknowledged() {
    if let Some(dir) = std::env::var_os(DIRECTORY) {
        return child(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 133120; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(TEST)
        .env(DIRECTORY, dir.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("all as it should be"), "{printed}");
    let store = Store::open(dir.path(), schema()).unwrap();
    assert_eq!(store.scan("things", None, 100).unwrap().len(), 10);
    assert!(store.stream_lag("r", "s", "events").unwrap().iter().all(|lane| lane.records == 0), "no half of a record");
    store.commit(write(11)).await.unwrap();
}
