//! A backup of a store that is in use holds it as it was between two commits, and a restored store goes on from there.

use super::everything::{contents, fill, full_schema};
use super::schema::{commit, item, number, put, text};
use esclusa_embedded::{OpenError, Store, backup, check, copy_staged, restore};
use esclusa_flow::batch::Token;
use esclusa_flow::effect::{Action, AttributeChange, UpdateItem};
use esclusa_flow::engine::{Commit, Engine, Progress};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Commit number `n`: an item of some size, a sum, and the position `n`.
fn work(n: u64) -> Commit {
    let fill = ("fill", text(&"x".repeat(2000)));
    let add = UpdateItem {
        table: "things".to_owned(),
        key: item([("pk", text("total")), ("sk", number(0))]),
        changes: vec![("n".to_owned(), AttributeChange::Add("1".to_owned()))],
        guard: None,
    };
    Commit {
        progress: Progress::Position { from: (n > 1).then(|| Token::Offset(n - 1)), to: Token::Offset(n) },
        ..commit(vec![put("plain", item([("pk", text("p")), ("sk", number(n)), fill]), None), Action::Update(add)])
    }
}

/// Position, items and sum of a store add up; gives the position.
fn account(store: &Store) -> u64 {
    let Some(Token::Offset(done)) = store.position(&super::schema::spec("r"), "").unwrap() else {
        panic!("no position")
    };
    assert_eq!(store.scan("plain", None, usize::MAX).unwrap().len() as u64, done);
    let total = store.get("things", &item([("pk", text("total")), ("sk", number(0))])).unwrap().unwrap();
    assert_eq!(total.get("n"), Some(&number(done)));
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_of_a_store_under_load_add_up_and_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Store::open(&path, full_schema()).unwrap();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = tokio::spawn({
        let (store, stop, done) = (store.clone(), Arc::clone(&stop), Arc::clone(&done));
        async move {
            for n in 1.. {
                store.commit(work(n)).await.unwrap();
                done.store(n, Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) {
                    return n;
                }
            }
            0
        }
    });
    let mut before = 0;
    for i in 0..4 {
        while done.load(Ordering::SeqCst) < before + 20 {
            tokio::task::yield_now().await;
        }
        before = done.load(Ordering::SeqCst);
        let stage = store.stage_backup().await.unwrap();
        let to = directory.path().join(format!("backup-{i}"));
        copy_staged(&stage, &to).unwrap();
        assert!(!stage.exists(), "the names are taken away");
        let report = check(&to).unwrap();
        assert_eq!((&report.damage[..], report.closed), (&[][..], true));
        let restored = directory.path().join(format!("restored-{i}"));
        restore(&to, &restored).unwrap();
        let restored = Store::open(&restored, full_schema()).unwrap();
        let at = account(&restored);
        assert!(at >= before, "what was acknowledged before the backup is in it: {at} of {before}");
        restored.commit(work(at + 1)).await.unwrap();
        assert_eq!(account(&restored), at + 1);
    }
    stop.store(true, Ordering::SeqCst);
    let last = load.await.unwrap();
    assert_eq!(account(&store), last, "the routes went on meanwhile");
}

#[tokio::test]
async fn a_closed_store_is_backed_up_and_restored_whole() {
    let directory = tempfile::tempdir().unwrap();
    let [path, to, again] = ["store", "backup", "restored"].map(|name| directory.path().join(name));
    fill(&path).await;
    backup(&path, &to).unwrap();
    let written = contents(&Store::open(&path, full_schema()).unwrap()).await.unwrap();
    // An empty directory is as good as none.
    std::fs::create_dir(&again).unwrap();
    restore(&to, &again).unwrap();
    let store = Store::open(&again, full_schema()).unwrap();
    assert_eq!(contents(&store).await.unwrap(), written);
    let refused = |result: Result<_, OpenError>| result.unwrap_err().to_string();
    assert!(refused(backup(&again, &directory.path().join("other"))).contains("in use by process"));
    assert!(refused(backup(&path, &to)).contains("not empty"));
    assert!(refused(restore(&to, &path)).contains("not empty"));
    assert!(
        refused(restore(&directory.path().join("none"), &directory.path().join("x"))).contains("there is no store")
    );
    let names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "nothing is left of what was refused: {names:?}");
}

#[tokio::test]
async fn a_damaged_store_or_backup_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let [path, to, again] = ["store", "backup", "restored"].map(|name| directory.path().join(name));
    fill(&path).await;
    backup(&path, &to).unwrap();
    let flip = |path: &Path| {
        let table = path.join("db/keyspaces/2/tables/1");
        let mut bytes = std::fs::read(&table).unwrap();
        bytes[1000] ^= 1;
        std::fs::write(table, bytes).unwrap();
    };
    flip(&to);
    let error = restore(&to, &again).unwrap_err().to_string();
    assert!(error.contains("keyspaces/2/tables/1") && !again.exists(), "{error}");
    flip(&path);
    let error = backup(&path, &again).unwrap_err().to_string();
    assert!(error.contains("keyspaces/2/tables/1") && !again.exists(), "{error}");
}
