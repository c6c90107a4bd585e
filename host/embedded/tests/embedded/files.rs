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

/// Copies the file to `copy`, as copytruncate does, and begins it again with `text`.
fn copy_and_truncate(path: &Path, copy: &str, text: &str) {
    std::fs::copy(path, path.with_file_name(copy)).unwrap();
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    append(path, text);
}

/// Says when a file was written, in seconds since the Unix epoch.
fn written_at(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[tokio::test]
async fn the_rest_of_a_truncated_file_is_read_from_its_copy() {
    for begun_again in ["new\n", "new, and longer than all that was read before it\n"] {
        let dir = tempfile::tempdir().unwrap();
        let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
        append(&path, "1\n2\n");
        let mut followed = follow(&store, &path).await;
        let unsettled = batch(&mut *followed).await;
        append(&path, "3\n4\n");
        copy_and_truncate(&path, "in.jsonl.1", begun_again);
        let rest = batch(&mut *followed).await;
        assert_eq!(lines(&rest), [b"3", b"4"], "while the events before them are not settled");
        settle(&store, &unsettled, 2).await;
        settle(&store, &rest, 2).await;
        assert_eq!(next(&store, &mut *followed).await, [begun_again.trim_end()]);
    }
}

#[tokio::test]
async fn a_file_that_is_truncated_twice_in_a_row_is_read_to_its_end_each_time() {
    for restarted in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
        append(&path, "1\n");
        written_at(&path, 1000);
        let mut followed = follow(&store, &path).await;
        assert_eq!(next(&store, &mut *followed).await, ["1"]);
        append(&path, "2\n");
        copy_and_truncate(&path, "in.jsonl.1", "3\n4\n");
        written_at(&dir.path().join("in.jsonl.1"), 2000);
        std::fs::rename(dir.path().join("in.jsonl.1"), dir.path().join("in.jsonl.2")).unwrap();
        copy_and_truncate(&path, "in.jsonl.1", "5\n");
        written_at(&dir.path().join("in.jsonl.1"), 3000);
        if restarted {
            followed = follow(&store, &path).await;
        }
        assert_eq!(next(&store, &mut *followed).await, ["2"]);
        assert_eq!(next(&store, &mut *followed).await, ["3", "4"]);
        let mut followed = if restarted { follow(&store, &path).await } else { followed };
        assert_eq!(next(&store, &mut *followed).await, ["5"]);
        append(&path, "6\n");
        assert_eq!(next(&store, &mut *followed).await, ["6"]);
    }
}

#[tokio::test]
async fn the_copy_of_a_file_of_which_nothing_was_read_is_read_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
    append(&path, "1\n2\n");
    written_at(&path, 1000);
    let mut followed = follow(&store, &path).await;
    copy_and_truncate(&path, "in.jsonl.1", "3\n");
    assert_eq!(next(&store, &mut *followed).await, ["1", "2"]);
    assert_eq!(next(&store, &mut *followed).await, ["3"]);
}

#[tokio::test]
async fn a_file_that_was_renamed_while_nobody_read_it_is_found_whatever_its_name() {
    for (renamed, copied) in [
        ("in.2026-11-28.jsonl", false),
        ("archive-of-yesterday", false),
        ("in.2026-11-28.jsonl", true),
        ("in-20261128.jsonl", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
        append(&path, "1\n");
        assert_eq!(next(&store, &mut *follow(&store, &path).await).await, ["1"]);
        append(&path, "2\n");
        if copied {
            copy_and_truncate(&path, renamed, "new\n");
        } else {
            std::fs::rename(&path, dir.path().join(renamed)).unwrap();
            append(&path, "new\n");
        }
        let mut again = follow(&store, &path).await;
        assert_eq!(next(&store, &mut *again).await, ["2"], "{renamed}");
        assert_eq!(next(&store, &mut *again).await, ["new"], "{renamed}");
    }
}

#[tokio::test]
async fn a_truncated_file_without_a_copy_goes_on_with_what_it_holds_now() {
    let dir = tempfile::tempdir().unwrap();
    let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
    append(&path, "1\n");
    let mut followed = follow(&store, &path).await;
    assert_eq!(next(&store, &mut *followed).await, ["1"]);
    append(&path, "2, which is lost\n");
    std::fs::write(&path, "new\n").unwrap();
    // Files that are none of its generations.
    append(&dir.path().join("in.jsonl.idx"), "index\n");
    append(&dir.path().join("other.jsonl.1"), "other\n");
    assert_eq!(next(&store, &mut *followed).await, ["new"]);
}

#[tokio::test]
async fn byte_order_marks_and_nuls_in_front_of_a_line_are_passed_over() {
    for follow in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
        let mut text = b"\xef\xbb\xbfone\r\n\xef\xbb\xbf\n".to_vec();
        // More than is read at once.
        text.extend(vec![0; 600 << 10]);
        text.extend(b"two\n\0\0\xef\xbb\xbfthree\n\0\0");
        std::fs::write(&path, &text).unwrap();
        let mut lane = lane(FileSource::new(store.clone(), spec("r"), &path, follow)).await;
        assert_eq!(next(&store, &mut *lane).await, ["one", "two", "three"]);
        // Space that was set aside is filled later.
        if follow {
            assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
            std::fs::write(&path, [&text[..text.len() - 2], b"four\n"].concat()).unwrap();
            assert_eq!(next(&store, &mut *lane).await, ["four"]);
        } else {
            assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Ended);
        }
    }
}

#[tokio::test]
async fn a_writer_that_goes_on_at_its_old_offset_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
    let mut writer = std::fs::File::create(&path).unwrap();
    let write = |writer: &mut std::fs::File, text: &str| std::io::Write::write_all(writer, text.as_bytes()).unwrap();
    write(&mut writer, "1\n");
    let mut followed = follow(&store, &path).await;
    assert_eq!(next(&store, &mut *followed).await, ["1"]);
    for (turn, (before, after)) in [("2\n", "3\n"), ("4\n", "5\n")].into_iter().enumerate() {
        write(&mut writer, before);
        copy_and_truncate(&path, &format!("in.jsonl.{turn}"), "");
        write(&mut writer, after);
        assert_eq!(next(&store, &mut *followed).await, [before.trim_end()], "the second time the file begins alike");
        assert_eq!(next(&store, &mut *followed).await, [after.trim_end()]);
    }
}

#[tokio::test]
async fn a_compressed_file_is_refused_whatever_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (store, path) = (open(&dir), dir.path().join("in.jsonl"));
    for (head, kind) in [(&b"\x1f\x8b\x08"[..], "gzip"), (b"\x28\xb5\x2f\xfd", "zstd")] {
        std::fs::write(&path, [head, b"\nline\n"].concat()).unwrap();
        let mut source = FileSource::new(store.clone(), spec("r"), &path, false);
        let error = esclusa_flow::source::Source::next_lane(&mut source).await.err().unwrap().to_string();
        assert!(error.contains("in.jsonl") && error.contains(&format!("compressed ({kind})")), "{error}");
    }
}
