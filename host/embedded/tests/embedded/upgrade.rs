//! A store of format 1 is refused, checked and upgraded whole; one of a later format is refused.
//!
//! `stores/format-1.tar.gz` is a store that the crate of commit 788ca87 wrote (with fjall 3.1.13): three sessions of commits like those of
//! [`super::everything::fill`], the second large enough for tables of the database, the last one in the journal.

use super::everything::{contents, copy, files, fill, full_schema};
use super::schema::{commit, item, number, put, text};
use esclusa_embedded::{OpenError, Store, check, upgrade};
use esclusa_flow::engine::Engine;
use std::path::{Path, PathBuf};
use std::process::Command;
use xxhash_rust::xxh3::xxh3_64;

/// Unpacks the store of format 1.
fn format_1(directory: &Path) -> PathBuf {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/format-1.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(packed).arg("-C").arg(directory).status().unwrap();
    assert!(unpacked.success());
    directory.join("store")
}

fn bytes(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = files(path).into_iter().filter(|file| !file.ends_with("lock"));
    files.map(|file| (file.clone(), std::fs::read(path.join(file)).unwrap())).collect()
}

#[tokio::test]
async fn a_store_of_format_1_is_upgraded_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = format_1(directory.path());
    let before = bytes(&path);
    let Err(error) = Store::open(&path, full_schema()) else { panic!("opened") };
    assert!(
        matches!(error, OpenError::Outdated { .. }) && error.to_string().contains("esclusa store upgrade"),
        "{error}"
    );
    let report = check(&path).unwrap();
    assert_eq!((&report.damage[..], report.format), (&[][..], Some(1)));
    assert!(before == bytes(&path), "neither changes anything");
    let counts = upgrade(&path).unwrap().unwrap().content.unwrap();
    assert_eq!(upgrade(&path).unwrap(), None, "once is enough");
    let after = bytes(&path);
    let same = before.iter().filter(|(file, _)| !file.ends_with("format")).all(|file| after.contains(file));
    assert!(same, "an upgrade writes no data anew, so that none can be lost");
    assert_eq!((counts.tables["things"], counts.tables["plain"], counts.changes["things"]), (60, 33, 60));
    assert_eq!((counts.streams["events"], counts.queues["jobs"], counts.positions), (60, 60, 2));
    assert_eq!((counts.dead_letters, counts.undelivered), (6, 6));
    let store = Store::open(&path, full_schema()).unwrap();
    let read = contents(&store).await.unwrap();
    let records = read.keys().filter(|key| key.starts_with("record ")).count();
    assert_eq!((read["paused"].as_str(), records, read["changes"].as_str()), ("true", 60, "60"), "{read:?}");
    assert_eq!(
        (read["queue of r"].as_str(), read["queue of other"].as_str()),
        ("45", "60"),
        "what r had finished stays finished"
    );
    assert_eq!(read["counts"], "Counts { done: 39, skipped: 0, filtered: 0, dead: 6 }");
    store.commit(commit(vec![put("plain", item([("pk", text("new")), ("sk", number(1))]), None)])).await.unwrap();
    drop(store);
    let report = check(&path).unwrap();
    assert_eq!((&report.damage[..], report.format, report.closed), (&[][..], Some(2), true));
}

#[test]
fn a_damaged_store_of_format_1_is_not_upgraded() {
    let directory = tempfile::tempdir().unwrap();
    let path = format_1(directory.path());
    let journal = path.join("db/0.jnl");
    let mut content = std::fs::read(&journal).unwrap();
    content[40] ^= 4;
    std::fs::write(&journal, content).unwrap();
    let before = bytes(&path);
    let Err(OpenError::Damaged { damage, .. }) = upgrade(&path) else { panic!("upgraded") };
    assert!(damage[0].file.ends_with("0.jnl"), "{damage:?}");
    assert!(before == bytes(&path), "it is as it was");
}

#[test]
fn an_upgrade_that_a_crash_interrupted_leaves_either_format() {
    let directory = tempfile::tempdir().unwrap();
    let path = format_1(directory.path());
    // The one file that is written before the marker is replaced, and the marker before its name.
    let other = directory.path().join("upgraded");
    copy(&path, &other);
    upgrade(&other).unwrap();
    std::fs::copy(other.join("synced"), path.join("synced")).unwrap();
    std::fs::write(path.join("format.new"), "esc").unwrap();
    let Err(OpenError::Outdated { .. }) = Store::open(&path, full_schema()) else { panic!("opened") };
    upgrade(&path).unwrap().unwrap();
    Store::open(&path, full_schema()).unwrap();
}

#[tokio::test]
async fn a_store_of_a_later_format_is_refused_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fill(path).await;
    // The marker that format 3 would have.
    let line = "esclusa embedded store 3";
    std::fs::write(path.join("format"), format!("{line} {:016x}\n", xxh3_64(line.as_bytes()))).unwrap();
    let before = bytes(path);
    for error in [Store::open(path, full_schema()).err(), upgrade(path).err()] {
        let error = error.unwrap();
        assert!(matches!(error, OpenError::Newer { found: 3, .. }), "{error}");
        assert!(error.to_string().contains("use the program that wrote it"), "{error}");
    }
    assert!(before == bytes(path));
}
