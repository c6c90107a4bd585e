//! A first walk through everything: commit, read, stream, change feed, reopen.

use super::schema::{commit, item, number, put, schema, spec, text};
use esclusa_embedded::{NewRecord, Store};
use esclusa_flow::batch::Token;
use esclusa_flow::engine::{CommitError, Engine, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::Start;
use esclusa_flow::source::{Limit, Pull};
use std::time::Duration;

pub(super) const LIMIT: Limit = Limit { events: 100, bytes: 1 << 20, window: Duration::ZERO };

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let thing = item([("pk", text("a")), ("sk", number(1)), ("color", text("red")), ("n", number("1.50"))]);
    let stored = item([("pk", text("a")), ("sk", number(1)), ("color", text("red")), ("n", number("1.5"))]);
    {
        let store = Store::open(dir.path(), schema()).unwrap();
        store
            .append("events", &[NewRecord { key: "k".into(), data: b"hello".to_vec(), attributes: vec![] }])
            .await
            .unwrap();
        let mut source = store.stream_source(spec("r"), "events", Start::TrimHorizon).unwrap();
        for _ in 0..2 {
            let mut lane = source.next_lane().await.unwrap().unwrap();
            let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { continue };
            assert_eq!(batch.columns.get(0).unwrap().data(), b"hello");
            let mut c = commit(vec![put("things", thing.clone(), None)]);
            c.lane = batch.origin.lane.clone();
            c.progress = Progress::Position { from: batch.previous.clone(), to: batch.claims[0].token().clone() };
            c.counts.done = 1;
            store.commit(c.clone()).await.unwrap();
            let again = store.commit(c).await.unwrap_err();
            assert!(matches!(again, CommitError::Fault(Fault::LeaseLost(_))), "{again}");
        }
        store.close();
    }
    let store = Store::open(dir.path(), schema()).unwrap();
    let key = item([("pk", text("a")), ("sk", number("1.0"))]);
    assert_eq!(store.get("things", &key).unwrap(), Some(stored));
    assert_eq!(store.counts("r").unwrap().done, 1);
    assert_eq!(store.version(), 1);
    let mut source = store.table_changes_source(spec("r2"), "things", Start::TrimHorizon).unwrap();
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { panic!("no change") };
    assert_eq!(batch.claims[0].token(), &Token::Offset(1));
    let event = std::str::from_utf8(batch.columns.get(0).unwrap().data()).unwrap().to_owned();
    assert!(event.contains(r#""eventName":"INSERT""#) && event.contains(r#""n":{"N":"1.5"}"#), "{event}");
}
