//! What every engine promises of positions and outboxes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a suite panics where a promise is broken"
)]

use super::building::{commit, guard, guarded_put, key, moved, put, with_n};
use super::engine::{EngineUnderTest, get};
use esclusa_flow::effect::{OutboxMessage, SendMessage};
use esclusa_flow::engine::{Commit, CommitError};
use esclusa_flow::fault::Fault;
use esclusa_flow::item::{Comparison, Otherwise};
use std::sync::Arc;

fn lost<T: std::fmt::Debug>(answer: &Result<T, CommitError>) -> bool {
    matches!(answer, Err(CommitError::Fault(Fault::LeaseLost(_))))
}

fn message(id: &str) -> OutboxMessage {
    let attributes = vec![("name".to_owned(), "välue".to_owned())];
    OutboxMessage {
        id: id.to_owned(),
        send: SendMessage { output: "out".into(), key: Some("k".into()), data: vec![0, 255], attributes },
    }
}

pub async fn a_position_moves_only_from_where_it_is(t: EngineUnderTest) {
    let engine = &*t.engine;
    let early = engine.commit(moved(Some(1), 2)).await;
    assert!(lost(&early), "{early:?}");
    engine.commit(moved(None, 5)).await.unwrap();
    let again = engine.commit(moved(None, 5)).await;
    assert!(lost(&again), "{again:?}");
    engine.commit(moved(Some(5), 9)).await.unwrap();
    let behind = engine.commit(moved(Some(5), 9)).await;
    assert!(lost(&behind), "{behind:?}");
}

pub async fn lanes_sources_and_routes_have_their_own_positions(t: EngineUnderTest) {
    let engine = &*t.engine;
    engine.commit(moved(None, 1)).await.unwrap();
    engine.commit(Commit { route: "other".into(), ..moved(None, 1) }).await.unwrap();
    engine.commit(Commit { source: "other".into(), ..moved(None, 1) }).await.unwrap();
    engine.commit(Commit { lane: "other".into(), ..moved(None, 1) }).await.unwrap();
    engine.commit(moved(Some(1), 2)).await.unwrap();
}

pub async fn a_commit_that_lost_its_lane_writes_nothing(t: EngineUnderTest) {
    let engine = &*t.engine;
    engine.commit(moved(None, 5)).await.unwrap();
    let stale =
        Commit { actions: vec![put(with_n("a", 1, 1))], outbox: vec![message("m")].into(), ..moved(Some(4), 6) };
    let answer = engine.commit(stale).await;
    assert!(lost(&answer), "{answer:?}");
    assert_eq!(get(engine, &key("a", 1)).await, None);
    assert_eq!(engine.pending("route").await.unwrap(), []);
    engine.commit(moved(Some(5), 6)).await.unwrap();
}

pub async fn an_outbox_is_pending_until_it_is_confirmed(t: EngineUnderTest) {
    let engine = &*t.engine;
    assert_eq!(engine.commit(commit(vec![])).await.unwrap().outbox, None);
    let mut ids = Vec::new();
    for messages in [vec![message("1"), message("2")], vec![message("3")]] {
        let done = engine.commit(Commit { outbox: Arc::new(messages), ..commit(vec![]) }).await.unwrap();
        ids.push(done.outbox.expect("a number"));
    }
    let pending = engine.pending("route").await.unwrap();
    assert_eq!(pending.iter().map(|p| p.id).collect::<Vec<_>>(), ids);
    assert_eq!(pending[0].messages, [message("1"), message("2")]);
    assert_eq!(pending[0].lane, "lane");
    assert_eq!(engine.pending("rout").await.unwrap(), [], "another route whose name begins alike");
    engine.confirm("route", ids[0], Vec::new()).await.unwrap();
    engine.confirm("route", ids[0], Vec::new()).await.unwrap();
    let left = engine.pending("route").await.unwrap();
    assert_eq!(left.iter().map(|p| p.id).collect::<Vec<_>>(), ids[1..]);
}

pub async fn a_refused_commit_records_no_outbox(t: EngineUnderTest) {
    let engine = &*t.engine;
    let exists = guard("pk", Comparison::Exists, Otherwise::Rerun);
    let refused = Commit { outbox: vec![message("m")].into(), ..commit(vec![guarded_put(with_n("a", 1, 1), exists)]) };
    assert_eq!(engine.commit(refused).await, Err(CommitError::Conflict));
    assert_eq!(engine.pending("route").await.unwrap(), []);
}
