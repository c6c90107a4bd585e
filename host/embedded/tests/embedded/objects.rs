//! Objects in directories: their names, and directories that others write to as well, with links, pipes and odd names.

use super::schema::{commit, item, number, put, schema, text};
use esclusa_embedded::{Store, StoreSchema};
use esclusa_flow::effect::{Action, PutObject};
use esclusa_flow::engine::{CommitError, Engine};
use esclusa_flow::reads::{ObjectList, ObjectRead, ReadError};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

fn store(dir: &tempfile::TempDir) -> Store {
    let schema =
        StoreSchema { objects: [("lake".to_owned(), dir.path().join("lake"))].into(), ..StoreSchema::default() };
    Store::open(dir.path().join("data"), schema).unwrap()
}

async fn read(store: &Store, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
    let read = ObjectRead { store: "lake".to_owned(), path: path.to_owned(), range: None };
    store.reads().object(&read).await.map(|found| found.map(|object| object.bytes))
}

async fn list(store: &Store) -> Vec<String> {
    let list = ObjectList { store: "lake".to_owned(), ..ObjectList::default() };
    store.reads().objects(&list).await.unwrap().entries.into_iter().map(|(path, _)| path).collect()
}

#[tokio::test]
async fn a_link_leads_to_objects_of_the_store_only() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lake) = (store(&dir), dir.path().join("lake"));
    std::fs::write(dir.path().join("secret"), "s").unwrap();
    std::fs::create_dir(lake.join("d")).unwrap();
    std::fs::write(lake.join("d/a"), "a").unwrap();
    symlink(dir.path().join("secret"), lake.join("out")).unwrap();
    symlink(dir.path(), lake.join("up")).unwrap();
    symlink("d", lake.join("in")).unwrap();
    symlink("loop", lake.join("loop")).unwrap();
    symlink("nothing", lake.join("dangling")).unwrap();
    for path in ["out", "up/secret", "up/lake/../secret"] {
        let answer = read(&store, path).await;
        assert!(matches!(answer, Err(ReadError::Invalid(_))), "{path}: {answer:?}");
    }
    assert_eq!(read(&store, "in/a").await, Ok(Some(b"a".to_vec())));
    assert_eq!(read(&store, "dangling").await, Ok(None));
    assert_eq!(read(&store, "loop").await, Ok(None));
    assert_eq!(list(&store).await, ["d/a"], "links are not listed");
}

#[tokio::test]
async fn an_object_without_a_name_yet_is_neither_read_nor_listed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lake) = (store(&dir), dir.path().join("lake"));
    std::fs::create_dir_all(lake.join(".staging")).unwrap();
    std::fs::write(lake.join(".staging/1-2"), "half").unwrap();
    symlink(".staging", lake.join("link")).unwrap();
    for path in [".staging/1-2", "link/1-2"] {
        let answer = read(&store, path).await;
        assert!(matches!(answer, Err(ReadError::Invalid(_))), "{path}: {answer:?}");
    }
    assert_eq!(list(&store).await, [""; 0]);
}

#[tokio::test]
async fn names_that_no_object_has_and_files_that_are_none_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lake) = (store(&dir), dir.path().join("lake"));
    for name in [&b"good"[..], b"tab\there", b"back\\slash", b"\xff\xfe"] {
        std::fs::write(lake.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    let pipe = std::process::Command::new("mkfifo").arg(lake.join("pipe")).status().unwrap();
    assert!(pipe.success());
    assert_eq!(list(&store).await, ["good"]);
    assert_eq!(read(&store, "pipe").await, Ok(None), "it does not wait for a writer");
    assert_eq!(read(&store, "good").await, Ok(Some(b"x".to_vec())));
}

fn object(path: &str, bytes: &str) -> Action {
    let content_type = "text/plain".to_owned();
    Action::PutObject(PutObject {
        store: "lake".to_owned(),
        path: path.to_owned(),
        content_type,
        bytes: bytes.as_bytes().to_vec(),
    })
}

#[tokio::test]
async fn objects_get_their_names_with_the_commit_and_stay_in_their_directory() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let mut with_objects = schema();
    with_objects.objects.insert("lake".to_owned(), lake.clone());
    let store = Store::open(dir.path().join("store"), with_objects).unwrap();
    store.commit(commit(vec![object("dt=1/a.txt", "old"), object("dt=1/a.txt", "new")])).await.unwrap();
    assert_eq!(std::fs::read_to_string(lake.join("dt=1/a.txt")).unwrap(), "new");
    std::os::unix::fs::symlink(dir.path(), lake.join("out")).unwrap();
    std::os::unix::fs::symlink(lake.join("nowhere"), lake.join("dangling")).unwrap();
    std::os::unix::fs::symlink(lake.join("circle"), lake.join("circle")).unwrap();
    let deep = vec!["d"; 33].join("/");
    let long = format!("{}/x", vec!["n".repeat(255); 4].join("/"));
    for bad in [
        "",
        "/etc/x",
        "../x",
        "a/../x",
        "a//b",
        "a/",
        "./a",
        "a\0b",
        "a\nb",
        ".staging/x",
        "out/x",
        "dt=1",
        "dt=1/a.txt/b",
        "dangling/x",
        "circle/x",
        &deep,
        &long,
        &"n".repeat(256),
    ] {
        let answer = store
            .commit(commit(vec![put("plain", item([("pk", text("a")), ("sk", number(1))]), None), object(bad, "x")]))
            .await;
        assert!(matches!(&answer, Err(CommitError::Refused(refused)) if refused[0].0 == 1), "{bad:?}: {answer:?}");
    }
    assert_eq!(store.scan("plain", None, 1).unwrap(), []);
    assert_eq!(std::fs::read_dir(lake.join(".staging")).unwrap().count(), 0, "refused objects leave nothing");
    // A symlink is replaced as a file is, wherever it leads.
    store.commit(commit(vec![object("dangling", "whole"), object("circle", "whole")])).await.unwrap();
    assert_eq!(std::fs::read_to_string(lake.join("dangling")).unwrap(), "whole");
    assert_eq!(std::fs::read_to_string(lake.join("circle")).unwrap(), "whole");
    assert!(!lake.join("nowhere").exists());
}

#[tokio::test]
async fn an_object_and_a_directory_of_the_same_name_are_not_both_taken() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let mut with_objects = schema();
    with_objects.objects.insert("lake".to_owned(), lake.clone());
    let store = Store::open(dir.path().join("store"), with_objects).unwrap();
    for objects in [["a", "a/b"], ["c/d/e", "c/d"]] {
        let both = commit(objects.iter().map(|path| object(path, "x")).collect());
        let answer = store.commit(both).await;
        assert!(matches!(&answer, Err(CommitError::Refused(refused)) if refused[0].0 == 1), "{answer:?}");
        // Without the refused one the other is taken, and has its name.
        store.commit(commit(vec![object(objects[0], "y")])).await.unwrap();
        assert_eq!(std::fs::read_to_string(lake.join(objects[0])).unwrap(), "y");
    }
    assert_eq!(std::fs::read_dir(lake.join(".staging")).unwrap().count(), 0);
}

/// The name that the last staged object had, which the manifest in the store's journal tells.
fn staged_name(store: &Path) -> String {
    let mut last = None;
    for file in super::everything::files(store) {
        let content = std::fs::read(store.join(file)).unwrap();
        let text = String::from_utf8_lossy(&content).into_owned();
        for (at, found) in text.match_indices(".staging/") {
            let rest = text[at + found.len()..].chars();
            last = Some(rest.take_while(|c| c.is_ascii_digit() || *c == '-').collect::<String>());
        }
    }
    last.unwrap()
}

/// Commits an object, and leaves the store as a crash between the commit and the object's name does. Gives the staged file.
async fn crashed(store: &Path, lake: &Path, text: &str) -> PathBuf {
    let with_objects = StoreSchema { objects: [("lake".to_owned(), lake.to_owned())].into(), ..schema() };
    let opened = Store::open(store, with_objects).unwrap();
    opened.commit(commit(vec![object("a.txt", text)])).await.unwrap();
    drop(opened);
    let staged = lake.join(".staging").join(staged_name(store));
    std::fs::rename(lake.join("a.txt"), &staged).unwrap();
    staged
}

/// Opens a store with its objects at this path, and closes it.
fn reopen(store: &Path, lake: &Path) {
    drop(
        Store::open(store, StoreSchema { objects: [("lake".to_owned(), lake.to_owned())].into(), ..schema() }).unwrap(),
    );
}

#[tokio::test]
async fn a_committed_object_gets_its_name_whatever_the_path_of_its_directory_was() {
    // The regular work of a store may come between the commit and the end of the session, and forget the manifest: then there is
    // nothing to finish.
    let mut named = 0;
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let (store, lake, link) = (dir.path().join("store"), dir.path().join("lake"), dir.path().join("link"));
        std::fs::create_dir(&lake).unwrap();
        symlink(&lake, &link).unwrap();
        crashed(&store, &link, "x").await;
        std::fs::remove_file(&link).unwrap();
        reopen(&store, &lake);
        named += usize::from(lake.join("a.txt").exists());
    }
    assert!(named > 0);
}

#[tokio::test]
async fn a_committed_object_waits_for_its_disk() {
    let mut named = 0;
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let (store, lake, elsewhere) =
            (dir.path().join("store"), dir.path().join("lake"), dir.path().join("elsewhere"));
        crashed(&store, &lake, "x").await;
        std::fs::rename(&lake, &elsewhere).unwrap();
        std::fs::create_dir(&lake).unwrap();
        reopen(&store, &lake);
        std::fs::remove_dir_all(&lake).unwrap();
        std::fs::rename(&elsewhere, &lake).unwrap();
        reopen(&store, &lake);
        named += usize::from(lake.join("a.txt").exists());
    }
    assert!(named > 0);
}

#[tokio::test]
async fn an_object_that_is_named_late_does_not_replace_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lake, elsewhere) = (dir.path().join("store"), dir.path().join("lake"), dir.path().join("elsewhere"));
    let staged = crashed(&store, &lake, "old").await;
    std::fs::rename(&lake, &elsewhere).unwrap();
    let with_objects = StoreSchema { objects: [("lake".to_owned(), lake.clone())].into(), ..schema() };
    let opened = Store::open(&store, with_objects).unwrap();
    std::fs::create_dir_all(lake.join(".staging")).unwrap();
    std::fs::copy(elsewhere.join(".staging").join(staged.file_name().unwrap()), &staged).unwrap();
    opened.commit(commit(vec![object("a.txt", "new")])).await.unwrap();
    drop(opened);
    reopen(&store, &lake);
    assert_eq!(std::fs::read_to_string(lake.join("a.txt")).unwrap(), "new");
    assert!(!staged.exists());
}
