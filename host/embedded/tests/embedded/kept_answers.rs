//! Answers that are kept with commits and records.

use super::schema::{commit, item, put, schema, text};
use esclusa_embedded::{NewRecord, Store};
use esclusa_flow::engine::{Commit, CommitError, Engine as _, KeptAnswer};
use std::time::{SystemTime, UNIX_EPOCH};

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn answer(key: &str, expires: u64, done: Option<usize>) -> KeptAnswer {
    KeptAnswer { key: key.into(), value: b"first".to_vec(), expires, done }
}

/// A commit that writes an item and keeps an answer.
fn answered(name: &str, answer: KeptAnswer) -> Commit {
    let write = put("plain", item([("pk", text(name)), ("sk", text("s"))]), None);
    Commit { answers: vec![answer], ..commit(vec![write]) }
}

async fn written(store: &Store, name: &str) -> bool {
    store.reads().get("plain", &item([("pk", text(name)), ("sk", text("s"))])).await.unwrap().is_some()
}

#[tokio::test]
async fn a_request_that_was_answered_is_done_before_and_leaves_no_effects() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), schema()).unwrap();
    let hour = now() + 3_600_000;
    store.commit(answered("one", answer("k", hour, Some(0)))).await.unwrap();
    let again = store.commit(answered("two", answer("k", hour, Some(3)))).await;
    assert_eq!(again, Err(CommitError::DoneBefore(vec![3])));
    assert!(written(&store, "one").await && !written(&store, "two").await);
    drop(store);
    let store = Store::open(directory.path(), schema()).unwrap();
    assert_eq!(store.kept_answer(b"k").unwrap().as_deref(), Some(b"first".as_slice()), "after the next start, too");
    assert_eq!(store.kept_answer(b"other").unwrap(), None);
}

#[tokio::test]
async fn an_answer_whose_time_is_over_counts_as_none() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), schema()).unwrap();
    let before = now() - 1;
    store.commit(answered("one", answer("k", before, Some(0)))).await.unwrap();
    assert_eq!(store.kept_answer(b"k").unwrap(), None);
    store.commit(answered("two", answer("k", now() + 3_600_000, Some(0)))).await.unwrap();
    assert_eq!(store.kept_answer(b"k").unwrap().as_deref(), Some(b"first".as_slice()));
    assert!(written(&store, "two").await);
}

#[tokio::test]
async fn records_are_appended_with_their_answer_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), schema()).unwrap();
    let record = NewRecord { key: "a".to_owned(), data: b"x".to_vec(), attributes: Vec::new() };
    let append = || {
        let at = (b"k".to_vec(), now() + 3_600_000);
        store.append_answered("events", std::slice::from_ref(&record), at, |ids| ids.join(",").into_bytes())
    };
    let ids = append().await.unwrap().unwrap();
    assert_eq!(append().await.unwrap(), None);
    assert_eq!(store.kept_answer(b"k").unwrap(), Some(ids.join(",").into_bytes()));
}
