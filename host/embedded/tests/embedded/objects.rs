//! Objects in directories that others write to as well: links, pipes and odd names.

use esclusa_embedded::{Store, StoreSchema};
use esclusa_flow::engine::Engine;
use esclusa_flow::reads::{ObjectList, ObjectRead, ReadError};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

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
    assert!(matches!(read(&store, "loop").await, Err(ReadError::Unavailable(_))));
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
