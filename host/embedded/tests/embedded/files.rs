//! Files that are rotated, cut and written anew while they are followed, and while nobody reads them.

use super::schema::spec;
use super::smoke::LIMIT;
use super::sources::{append, batch, lane, lines, open, settle};
use esclusa_embedded::{FileSource, Store};
use esclusa_flow::source::{Lane, Pull};
use std::path::Path;

/// Follows a file.
async fn follow(store: &Store, path: &Path) -> Box<dyn Lane> {
    lane(FileSource::new(store.clone(), spec("r"), path, true)).await
}

/// The next lines, which are settled.
async fn next(store: &Store, lane: &mut dyn Lane) -> Vec<String> {
    let pulled = batch(lane).await;
    settle(store, &pulled, pulled.len()).await;
    lines(&pulled).into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
}

#[tokio::test]
async fn half_a_line_that_is_taken_back_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
    append(&path, "one\ntw");
    let mut followed = follow(&store, &path).await;
    assert_eq!(next(&store, &mut *followed).await, ["one"]);
    assert_eq!(followed.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4).unwrap();
    append(&path, "three, which is longer\n");
    assert_eq!(next(&store, &mut *followed).await, ["three, which is longer"]);
}

#[tokio::test]
async fn a_rotated_file_is_read_to_its_end_while_it_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
    append(&path, "1\n");
    let mut followed = follow(&store, &path).await;
    assert_eq!(next(&store, &mut *followed).await, ["1"]);
    let rotated = dir.path().join("in.jsonl.1");
    std::fs::rename(&path, &rotated).unwrap();
    append(&path, "new\n");
    assert_eq!(followed.pull(LIMIT).await.unwrap(), Pull::Empty { drained: false });
    // The process that writes it has not noticed the rename yet.
    append(&rotated, "2\n3, and the end");
    assert_eq!(next(&store, &mut *followed).await, ["2"]);
    assert_eq!(next(&store, &mut *followed).await, ["3, and the end"]);
    assert_eq!(next(&store, &mut *followed).await, ["new"]);
}

#[tokio::test]
async fn files_that_begin_alike_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
    append(&path, "tick\ntick\n");
    assert_eq!(next(&store, &mut *follow(&store, &path).await).await, ["tick"; 2]);
    // A copy that begins as the file did lies beside it, and comes first in the directory or not.
    for name in ["in.jsonl.0", "in.jsonl.bak"] {
        std::fs::copy(&path, dir.path().join(name)).unwrap();
    }
    append(&path, "tock\n");
    std::fs::rename(&path, dir.path().join("in.jsonl.1")).unwrap();
    append(&path, "tick\ntick\ntick\n");
    let mut again = follow(&store, &path).await;
    assert_eq!(next(&store, &mut *again).await, ["tock"], "of the file that was read");
    assert_eq!(next(&store, &mut *again).await, ["tick"; 3], "all of the new one");
}

#[tokio::test]
async fn a_line_that_is_too_long_is_left_behind_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
    append(&path, "1\n");
    append(&path, &"x".repeat(65 << 20));
    let mut followed = follow(&store, &path).await;
    assert_eq!(next(&store, &mut *followed).await, ["1"], "what precedes it goes on");
    let error = followed.pull(LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("at byte 2") && error.contains("64 MiB"), "{error}");
    std::fs::rename(&path, dir.path().join("in.jsonl.1")).unwrap();
    append(&path, "2\n");
    assert_eq!(next(&store, &mut *followed).await, ["2"]);
}
