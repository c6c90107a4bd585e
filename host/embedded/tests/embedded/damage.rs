//! One flipped bit in any file of a store: the check names the file, the store does not open or says so when it reads, and nothing is
//! passed over. The rest of a write that a crash interrupted is none of this.

use super::everything::{contents, copy, files, fill, full_schema};
use super::schema::{commit, item, number, put, text};
use esclusa_embedded::{DAMAGED, OpenError, Store, check};
use esclusa_flow::engine::{CommitError, Engine};
use esclusa_flow::retry::mix;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Flips of `make test`; `scripts/nightly.sh` asks for more.
pub(super) fn flips(usual: u64) -> u64 {
    std::env::var("ESCLUSA_FLIPS").ok().and_then(|flips| flips.parse().ok()).unwrap_or(usual)
}

/// The files that hold something of the store. The locks hold the number of a process, or nothing; a list or a table that is left over
/// belongs to the store no more.
fn held(path: &Path) -> Vec<PathBuf> {
    let mut held = files(path);
    let notes = check(path).unwrap().notes;
    held.retain(|file| !file.ends_with("lock") && !notes.iter().any(|note| note.starts_with(&*file.to_string_lossy())));
    held
}

/// Flips bit number `n`, of the written part of a file.
fn flip(file: &Path, n: u64) -> Vec<u8> {
    let good = std::fs::read(file).unwrap();
    // A journal is made of zeros; flips there are rarer, but there are some.
    let written = good.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    let len = if n.is_multiple_of(8) { good.len() as u64 } else { written };
    let bit = mix(n) % (len * 8);
    let mut bad = good.clone();
    bad[(bit / 8) as usize] ^= 1 << (bit % 8);
    std::fs::write(file, bad).unwrap();
    good
}

#[tokio::test]
async fn a_flipped_bit_is_told_with_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fill(path).await;
    let sound = check(path).unwrap();
    assert_eq!((&sound.damage[..], sound.closed, sound.format), (&[][..], true, Some(2)), "{sound:?}");
    let counts = sound.content.unwrap();
    assert_eq!((counts.tables["things"], counts.streams["events"], counts.queues["jobs"]), (60, 60, 60));
    assert_eq!((counts.dead_letters, counts.undelivered, counts.kept_answers, counts.positions), (3, 3, 1, 1));
    let held = held(path);
    assert!(held.iter().filter(|file| file.parent().unwrap().ends_with("tables")).count() >= 4, "{held:?}");
    let before: BTreeMap<_, _> = held.iter().map(|file| (file, std::fs::read(path.join(file)).unwrap())).collect();
    for n in 0..flips(200) {
        let file = &held[n as usize % held.len()];
        let good = flip(&path.join(file), n);
        let report = check(path).unwrap();
        let named = report.damage.iter().any(|damage| damage.file.to_string_lossy().contains(&*file.to_string_lossy()));
        assert!(named, "flip {n} of {} is not named: {report:?}", file.display());
        assert!(report.damage.iter().all(|damage| !damage.remedy.is_empty() && !damage.holds.is_empty()));
        std::fs::write(path.join(file), good).unwrap();
    }
    let after: BTreeMap<_, _> = held.iter().map(|file| (file, std::fs::read(path.join(file)).unwrap())).collect();
    assert!(before == after, "a check changes nothing");
    assert!(!path.join("checking").exists(), "and leaves nothing");
}

#[tokio::test]
async fn a_store_with_a_flipped_bit_does_not_open_or_says_so_when_it_reads() {
    let directory = tempfile::tempdir().unwrap();
    fill(&directory.path().join("sound")).await;
    let held = held(&directory.path().join("sound"));
    let written = contents(&Store::open(directory.path().join("sound"), full_schema()).unwrap()).await.unwrap();
    for n in 0..flips(32) {
        let (path, file) = (directory.path().join(n.to_string()), &held[n as usize % held.len()]);
        copy(&directory.path().join("sound"), &path);
        flip(&path.join(file), n);
        match Store::open(&path, full_schema()) {
            Err(OpenError::Damaged { damage, .. }) => {
                let told = OpenError::Damaged { path: path.clone(), damage }.to_string();
                assert!(told.contains(&*file.to_string_lossy()), "flip {n} of {}: {told}", file.display());
            }
            Err(error) => panic!("flip {n} of {}: {error}", file.display()),
            Ok(store) => match contents(&store).await {
                Ok(read) => assert_eq!(read, written, "flip {n} of {} is passed over", file.display()),
                Err(told) => assert!(told.contains("esclusa store check"), "flip {n} of {}: {told}", file.display()),
            },
        }
        std::fs::remove_dir_all(path).unwrap();
    }
}

/// Where the last two batches of a journal begin, and where the last one ends: each ends with a magic word.
fn last_batches(journal: &[u8]) -> (usize, usize, usize) {
    let mut ends = journal.windows(4).enumerate().filter(|(_, word)| word == b"FJL\x03").map(|(at, _)| at + 4);
    let mut last = [0; 3];
    for end in ends.by_ref() {
        last = [last[1], last[2], end];
    }
    (last[0], last[1], last[2])
}

#[tokio::test]
async fn an_interrupted_write_is_left_out_and_a_durable_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (open, crashed) = (directory.path().join("open"), directory.path().join("crashed"));
    let store = Store::open(&open, full_schema()).unwrap();
    for n in 0..20 {
        let written =
            put("plain", item([("pk", text("p")), ("sk", number(n)), ("fill", text(&"x".repeat(9000)))]), None);
        store.commit(commit(vec![written])).await.unwrap();
    }
    // The files of a store that is in use are those that a killed process leaves.
    copy(&open, &crashed);
    drop(store);
    let journal = std::fs::read(crashed.join("db/0.jnl")).unwrap();
    let (before, begin, end) = last_batches(&journal);
    let tries: [(&str, usize, usize, bool); 7] = [
        ("nothing", 0, 0, true),
        ("the beginning of a batch", begin, begin + 500, true),
        ("a batch with a hole", begin, end, true),
        ("a byte", begin, begin + 1, true),
        ("a flip in the last batch", begin + 600, 0, false),
        ("a flip in the one before", before + 600, 0, false),
        ("a flip in the tag of the one before", before, 0, false),
    ];
    for (what, from, to, opens) in tries {
        let path = directory.path().join("tried");
        copy(&crashed, &path);
        let mut bytes = journal.clone();
        if to > from {
            let mut more = journal[from..to].to_vec();
            let hole = more.len().min(5000)..more.len().min(7000);
            more[hole].fill(0);
            bytes[end..end + more.len()].copy_from_slice(&more);
        } else if from > 0 {
            bytes[from] ^= 1;
        }
        std::fs::write(path.join("db/0.jnl"), bytes).unwrap();
        let checked = check(&path).unwrap();
        assert_eq!(checked.damage.is_empty(), opens, "{what}: {checked:?}");
        assert_eq!(checked.notes.iter().any(|note| note.contains("interrupted")), opens && to > from, "{what}");
        match Store::open(&path, full_schema()) {
            Ok(store) => {
                assert!(opens, "{what} is passed over");
                assert_eq!(store.scan("plain", None, 100).unwrap().len(), 20, "{what}");
            }
            Err(error) => assert!(!opens && error.to_string().contains("0.jnl"), "{what}: {error}"),
        }
        std::fs::remove_dir_all(path).unwrap();
    }
}

#[tokio::test]
async fn a_block_that_goes_bad_stops_reads_and_commits_with_a_code() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fill(path).await;
    let table = path.join("db/keyspaces/2/tables/1");
    let mut bytes = std::fs::read(&table).unwrap();
    // In the last image of an item of the second session, which is in a block of its own.
    let at = bytes.windows(100).rposition(|part| part.iter().all(|byte| *byte == b'x')).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&table, bytes).unwrap();
    let store = Store::open(path, full_schema()).unwrap();
    let (mut told, mut read) = (0, 0);
    for i in 20..40 {
        let key = item([("pk", text(&format!("p{}", i % 3))), ("sk", number(i))]);
        match store.get("things", &key) {
            Ok(found) => {
                assert!(found.is_some(), "a block that cannot be read is not an item that is not there");
                read += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("esclusa store check"), "{error}");
                // A table with an index reads the old item before it writes the new one.
                let written = commit(vec![put("things", key, None)]);
                let Err(CommitError::Fault(fault)) = store.commit(written).await else { panic!("committed") };
                assert_eq!(fault.code(), Some(DAMAGED), "{fault}");
                told += 1;
            }
        }
    }
    assert!(told > 0 && read > 0, "{told} {read}");
    store.commit(commit(vec![put("plain", item([("pk", text("new")), ("sk", number(1))]), None)])).await.unwrap();
}
