//! Objects in S3.

use super::building::{clients, commit, unique};
use super::faulty::{self, Fate, Seen};
use super::table_progress::TableProgress;
use esclusa_aws::client::Clients;
use esclusa_aws::engine::{AwsEngine, EngineSettings};
use esclusa_aws::objects::S3Store;
use esclusa_flow::batch::Token;
use esclusa_flow::effect::{Action, PutObject};
use esclusa_flow::engine::{Commit, CommitError, Engine as _, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use esclusa_testkit::sender::sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Lake {
    pub engine: AwsEngine,
    progress_store: Arc<TableProgress>,
    s3: aws_sdk_s3::Client,
    bucket: String,
    pub dir: tempfile::TempDir,
}

pub(crate) async fn lake(over: &Clients, name: &str) -> Lake {
    let real = clients().await;
    let (s3, bucket) = (real.s3(&ServiceLocation::default(), true), unique("lake"));
    s3.create_bucket().bucket(&bucket).send().await.unwrap();
    let store = S3Store {
        bucket: bucket.clone(),
        prefix: "raw/".to_owned(),
        place: ServiceLocation::default(),
        path_style: true,
    };
    let dir = tempfile::tempdir().unwrap();
    let progress_store = Arc::new(TableProgress::new(&real).await);
    let settings = EngineSettings {
        tables: Default::default(),
        stores: [(name.to_owned(), store)].into(),
        sender: sender(Default::default()),
        local: Arc::new(esclusa_embedded::Store::open(dir.path(), Default::default()).unwrap()),
        progress_store: Some(progress_store.clone()),
        dedup_table: None,
    };
    Lake { engine: AwsEngine::new(settings, over), progress_store, s3, bucket, dir }
}

fn object(path: &str, bytes: Vec<u8>) -> Action {
    Action::PutObject(PutObject {
        store: "lake".to_owned(),
        path: path.to_owned(),
        content_type: "text/csv".to_owned(),
        bytes,
    })
}

fn batch(actions: Vec<Action>) -> Commit {
    Commit { progress: Progress::Position { from: None, to: Token::Text("7".into()) }, ..commit(actions, 1) }
}

impl Lake {
    async fn read(&self, key: &str) -> (String, Vec<u8>) {
        let answer = self.s3.get_object().bucket(&self.bucket).key(key).send().await.unwrap();
        (answer.content_type.unwrap(), answer.body.collect().await.unwrap().to_vec())
    }

    async fn uploads(&self) -> usize {
        self.s3.list_multipart_uploads().bucket(&self.bucket).send().await.unwrap().uploads().len()
    }
}

#[tokio::test]
async fn an_object_is_put_below_its_prefix_and_a_retry_overwrites_it() {
    let lake = lake(&clients().await, "lake").await;
    lake.engine.commit(batch(vec![object("a/b.csv", b"old".to_vec())])).await.unwrap();
    lake.engine
        .commit(batch(vec![object("a/b.csv", b"not this".to_vec()), object("a/b.csv", b"new".to_vec())]))
        .await
        .unwrap();
    assert_eq!(lake.read("raw/a/b.csv").await, ("text/csv".to_owned(), b"new".to_vec()));
    assert_eq!(
        *lake.progress_store.calls.lock().unwrap(),
        ["prepare", "settle", "prepare", "settle"],
        "bounds are recorded first"
    );
    let refused = lake.engine.commit(batch(vec![object("ok", vec![]), object("../b", vec![])])).await;
    assert!(matches!(&refused, Err(CommitError::Refused(r)) if r.len() == 1 && r[0].0 == 1), "{refused:?}");
}

#[tokio::test]
async fn a_large_object_goes_in_parts() {
    let (faulty, log) = faulty::clients(|_| Fate::Pass).await;
    let lake = lake(&faulty, "lake").await;
    let bytes: Vec<u8> = (0..(17usize << 20)).map(|i| (i / 1000) as u8).collect();
    lake.engine.commit(batch(vec![object("large", bytes.clone())])).await.unwrap();
    assert!(lake.read("raw/large").await == ("text/csv".to_owned(), bytes), "another content");
    assert_eq!(log.of("partNumber=").len(), 3);
    assert_eq!(lake.uploads().await, 0);
}

// E6: an upload that failed is aborted, when none of its parts is under way any more.
#[tokio::test]
async fn a_failed_upload_leaves_no_parts_behind() {
    let denied = |seen: &Seen| {
        if seen.what.contains("partNumber=2") {
            Fate::Answer(403, "<Error><Code>AccessDenied</Code></Error>".to_owned())
        } else {
            Fate::Pass
        }
    };
    let (faulty, log) = faulty::clients(denied).await;
    let lake = lake(&faulty, "lake").await;
    let answer = lake.engine.commit(batch(vec![object("large", vec![7; 25 << 20])])).await;
    assert!(matches!(answer, Err(CommitError::Fault(Fault::Permanent(_)))), "{answer:?}");
    assert_eq!(lake.uploads().await, 0);
    let requests = log.of("uploadId=");
    assert!(requests.last().unwrap().what.starts_with("DELETE"), "the abort is the last request");
    assert_eq!(*lake.progress_store.calls.lock().unwrap(), ["prepare"], "nothing is settled");
}

// E7: a missing permission gives the batch back, as often as it takes; nothing is dropped.
#[tokio::test]
async fn a_missing_permission_is_a_fault_until_it_is_granted() {
    let count = AtomicU32::new(0);
    let denied = move |seen: &Seen| match seen.what.starts_with("PUT") {
        true if count.fetch_add(1, Ordering::Relaxed) < 2 => {
            Fate::Answer(403, "<Error><Code>AccessDenied</Code></Error>".to_owned())
        }
        _ => Fate::Pass,
    };
    let (faulty, _) = faulty::clients(denied).await;
    let lake = lake(&faulty, "lake").await;
    for _ in 0..2 {
        let answer = lake.engine.commit(batch(vec![object("a", b"x".to_vec())])).await;
        assert!(
            matches!(&answer, Err(CommitError::Fault(Fault::Permanent(why))) if why.contains("raw/a")),
            "{answer:?}"
        );
    }
    lake.engine.commit(batch(vec![object("a", b"x".to_vec())])).await.unwrap();
    assert_eq!(lake.read("raw/a").await.1, b"x");
}

#[tokio::test]
async fn a_lost_answer_and_a_broken_server_are_tried_again() {
    let count = AtomicU32::new(0);
    let flaky = move |seen: &Seen| match (seen.what.starts_with("PUT"), count.fetch_add(1, Ordering::Relaxed)) {
        (true, 0) => Fate::Lose,
        (true, 1) => Fate::Answer(503, "<Error><Code>SlowDown</Code></Error>".to_owned()),
        _ => Fate::Pass,
    };
    let (faulty, _) = faulty::clients(flaky).await;
    let lake = lake(&faulty, "lake").await;
    lake.engine.commit(batch(vec![object("a", b"x".to_vec())])).await.unwrap();
    assert_eq!(lake.read("raw/a").await.1, b"x");
}
