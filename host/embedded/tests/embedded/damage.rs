//! One flipped bit in any file of a store: the check names the file, the store does not open or says so when it reads, and nothing is
//! passed over. The rest of a write that a crash interrupted is none of this.

use super::everything::{contents, copy, files, fill, full_schema};
use esclusa_embedded::{OpenError, Store, check};
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
