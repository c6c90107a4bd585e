//! What every engine promises of reads of objects.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a suite panics where a promise is broken"
)]

use super::behaviours;
use super::building::commit;
use esclusa_flow::effect::{Action, PutObject};
use esclusa_flow::engine::Engine;
use esclusa_flow::reads::{ObjectBytes, ObjectList, ObjectRead, PAGE, READ_BYTES, ReadError};
use std::any::Any;
use std::sync::Arc;

/// The object store of the suite.
pub const STORE: &str = "suite";

/// An engine whose object store of the suite is empty.
pub struct ObjectsUnderTest {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Kept alive as long as the engine, such as a directory.
    pub keep: Box<dyn Any>,
}

/// Runs the suite; `make` gives an empty store each time.
pub async fn object_reads(make: impl Fn() -> ObjectsUnderTest) {
    use self as objects;
    behaviours!(
        make,
        objects::an_object_is_read_as_a_whole_or_in_parts,
        objects::an_object_that_is_too_large_is_read_in_parts_only,
        objects::a_path_that_leaves_the_store_is_invalid,
        objects::a_list_is_in_the_order_of_the_bytes_of_the_paths,
        objects::a_list_has_pages_of_a_thousand,
    );
}

async fn write(engine: &dyn Engine, path: &str, bytes: &[u8]) {
    write_all(engine, vec![(path.to_owned(), bytes.to_vec())]).await;
}

async fn write_all(engine: &dyn Engine, objects: Vec<(String, Vec<u8>)>) {
    let put = |(path, bytes)| {
        let (store, content_type) = (STORE.to_owned(), "text/plain".to_owned());
        Action::PutObject(PutObject { store, path, content_type, bytes })
    };
    engine.commit(commit(objects.into_iter().map(put).collect())).await.unwrap();
}

async fn read(engine: &dyn Engine, path: &str, range: Option<(u64, u32)>) -> Result<Option<ObjectBytes>, ReadError> {
    engine.reads().object(&ObjectRead { store: STORE.to_owned(), path: path.to_owned(), range }).await
}

fn list(prefix: &str, token: Option<String>) -> ObjectList {
    ObjectList { store: STORE.to_owned(), prefix: prefix.to_owned(), token }
}

async fn paths(engine: &dyn Engine, prefix: &str) -> Vec<String> {
    let (reads, mut paths, mut token) = (engine.reads(), Vec::new(), None);
    loop {
        let page = reads.objects(&list(prefix, token)).await.unwrap();
        paths.extend(page.entries.into_iter().map(|(path, _)| path));
        token = page.next;
        if token.is_none() {
            return paths;
        }
    }
}

pub(crate) async fn an_object_is_read_as_a_whole_or_in_parts(t: ObjectsUnderTest) {
    let engine = &*t.engine;
    assert_eq!(read(engine, "a/b.csv", None).await, Ok(None));
    write(engine, "a/b.csv", b"0123456789").await;
    write(engine, "empty", b"").await;
    let part = |bytes: &[u8]| Ok(Some(ObjectBytes { size: 10, bytes: bytes.to_vec() }));
    assert_eq!(read(engine, "a/b.csv", None).await, part(b"0123456789"));
    assert_eq!(read(engine, "a/b.csv", Some((0, 10))).await, part(b"0123456789"));
    assert_eq!(read(engine, "a/b.csv", Some((3, 2))).await, part(b"34"));
    assert_eq!(read(engine, "a/b.csv", Some((8, 1 << 20))).await, part(b"89"), "the object ends within the part");
    assert_eq!(read(engine, "a/b.csv", Some((10, 5))).await, part(b""));
    assert_eq!(read(engine, "a/b.csv", Some((1 << 40, 5))).await, part(b""));
    assert_eq!(read(engine, "a/b.csv", Some((u64::MAX >> 1, 5))).await, part(b""));
    assert_eq!(read(engine, "a/b.csv", Some((2, 0))).await, part(b""));
    let nothing = Ok(Some(ObjectBytes::default()));
    assert_eq!(read(engine, "empty", None).await, nothing);
    assert_eq!(read(engine, "empty", Some((0, 9))).await, nothing);
    for absent in ["a", "a/b", "a/b.csv/c", "b"] {
        assert_eq!(read(engine, absent, None).await, Ok(None), "{absent}");
        assert_eq!(read(engine, absent, Some((0, 0))).await, Ok(None), "{absent}");
    }
    write(engine, "a/b.csv", b"new").await;
    assert_eq!(read(engine, "a/b.csv", None).await.unwrap().unwrap().bytes, b"new");
}

pub(crate) async fn an_object_that_is_too_large_is_read_in_parts_only(t: ObjectsUnderTest) {
    let engine = &*t.engine;
    let mut bytes = vec![b'x'; READ_BYTES];
    write(engine, "fits", &bytes).await;
    bytes.extend_from_slice(b"end");
    write(engine, "large", &bytes).await;
    assert_eq!(read(engine, "fits", None).await.unwrap().unwrap().bytes.len(), READ_BYTES);
    let answer = read(engine, "large", None).await;
    let Err(ReadError::Invalid(why)) = answer else { panic!("{}", answer.is_ok()) };
    assert!(why.contains("\"large\"") && why.contains("16 MiB: read a part"), "{why}");
    let size = READ_BYTES as u64 + 3;
    let end = ObjectBytes { size, bytes: b"xend".to_vec() };
    assert_eq!(read(engine, "large", Some((size - 4, 100))).await, Ok(Some(end)));
}

pub(crate) async fn a_path_that_leaves_the_store_is_invalid(t: ObjectsUnderTest) {
    let engine = &*t.engine;
    write(engine, "a", b"x").await;
    for path in ["", "/a", "../a", "b/../a", "./a", "a//b", "a\\b", "a\nb"] {
        let answer = read(engine, path, None).await;
        assert!(matches!(answer, Err(ReadError::Invalid(_))), "{path:?}: {answer:?}");
    }
    for prefix in ["/", "../", "../x", "a/../", "a//", "./a"] {
        let answer = engine.reads().objects(&list(prefix, None)).await;
        assert!(matches!(answer, Err(ReadError::Invalid(_))), "{prefix:?}: {answer:?}");
    }
}

pub(crate) async fn a_list_is_in_the_order_of_the_bytes_of_the_paths(t: ObjectsUnderTest) {
    let engine = &*t.engine;
    assert_eq!(paths(engine, "").await, [""; 0]);
    let mut all = ["a-b", "a/x", "a/y/z", "a.b", "a0", "A", "b", "é/ü", "a/y-", "a b"].map(str::to_owned);
    write_all(engine, all.iter().map(|path| (path.clone(), path.as_bytes().to_vec())).collect()).await;
    all.sort_unstable();
    assert_eq!(paths(engine, "").await, all);
    for prefix in ["a", "a/", "a/y", "a/y/", "a-", "é", "c", "a/x", "a/x/"] {
        let expected: Vec<_> = all.iter().filter(|path| path.starts_with(prefix)).cloned().collect();
        assert_eq!(paths(engine, prefix).await, expected, "{prefix:?}");
    }
    let page = engine.reads().objects(&list("a/", None)).await.unwrap();
    assert_eq!(page.entries, [("a/x".to_owned(), 3), ("a/y-".to_owned(), 4), ("a/y/z".to_owned(), 5)]);
}

pub(crate) async fn a_list_has_pages_of_a_thousand(t: ObjectsUnderTest) {
    let engine = &*t.engine;
    let objects = (0..PAGE + 5).map(|at| (format!("p{}/{at:04}", at / 600), b"x".to_vec())).collect();
    write_all(engine, objects).await;
    let reads = engine.reads();
    let first = reads.objects(&list("p", None)).await.unwrap();
    assert_eq!((first.entries.len(), first.entries[PAGE - 1].0.as_str()), (PAGE, "p1/0999"));
    let token = first.next.unwrap();
    let second = reads.objects(&list("p", Some(token.clone()))).await.unwrap();
    assert_eq!((second.entries.len(), second.entries[0].0.as_str(), second.next), (5, "p1/1000", None));
    for (prefix, token) in [("p", "AAAA".to_owned()), ("p", token[1..].to_owned()), ("p1", token)] {
        let answer = reads.objects(&list(prefix, Some(token.clone()))).await;
        assert!(matches!(answer, Err(ReadError::Invalid(_))), "{prefix} {token}: {answer:?}");
    }
}
