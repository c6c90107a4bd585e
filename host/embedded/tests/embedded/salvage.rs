//! What is salvaged of a damaged store was written to it, and what is missing is counted.

use super::everything::{contents, copy, files, fill, full_schema};
use esclusa_embedded::{Store, check, salvage};
use esclusa_flow::retry::mix;
use std::collections::BTreeMap;
use std::path::Path;

/// Reads a store, and closes it.
async fn read(path: &Path) -> BTreeMap<String, String> {
    contents(&Store::open(path, full_schema()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_sound_store_is_salvaged_whole() {
    let directory = tempfile::tempdir().unwrap();
    let [path, to] = ["store", "salvaged"].map(|name| directory.path().join(name));
    fill(&path).await;
    let report = salvage(&path, &to).unwrap();
    assert_eq!(
        (report.damage.len(), report.lost.len(), report.lost_groups, report.nameless),
        (0, 0, 0, 0),
        "{report:?}"
    );
    assert_eq!(report.missing, Vec::<String>::new());
    assert_eq!(Some(report.content), check(&path).unwrap().content);
    assert_eq!(read(&to).await, read(&path).await);
    assert_eq!(check(&to).unwrap().damage, [], "with its indexes");
    assert!(salvage(&path, &to).unwrap_err().to_string().contains("not empty"));
}

#[tokio::test]
async fn what_is_salvaged_was_written_and_what_is_missing_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    fill(&directory.path().join("sound")).await;
    let sound = directory.path().join("sound");
    let written = read(&sound).await;
    let held: Vec<_> = files(&sound).into_iter().filter(|file| !file.ends_with("lock")).collect();
    let lines = |read: &BTreeMap<String, String>| -> Vec<String> {
        let kinds = ["plain ", "things ", "dead ", "outbox ", "record "];
        read.keys().filter(|key| kinds.iter().any(|kind| key.starts_with(kind))).cloned().collect()
    };
    for n in 0..super::damage::flips(16) {
        let file = &held[n as usize % held.len()];
        let [path, to] = ["", "salvaged"].map(|name| directory.path().join(format!("{n}{name}")));
        copy(&sound, &path);
        let mut bytes = std::fs::read(path.join(file)).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        bytes[mix(n) as usize % end] ^= 1 << (n % 8);
        std::fs::write(path.join(file), bytes).unwrap();
        let report = salvage(&path, &to).unwrap();
        let salvaged = read(&to).await;
        let missing = lines(&written).into_iter().filter(|line| !salvaged.contains_key(line)).count();
        for line in lines(&salvaged) {
            assert!(written.contains_key(&line), "flip {n} of {}: {line} was never written", file.display());
        }
        let counted = !report.lost.is_empty() || report.lost_groups > 0 || report.nameless > 0;
        assert!(
            missing == 0 || counted,
            "flip {n} of {}: {missing} are missing and not counted: {report:?}",
            file.display()
        );
        for path in [path, to] {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}
