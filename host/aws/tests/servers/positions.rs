//! Positions as items: what makes effects happen once for lanes that another service hands out.

use super::building::{Make, TABLE, add, clients, commit, create, get, key, unique, with_n};
use super::faulty::{self, Fate};
use esclusa_aws::position_items::PositionItems;
use esclusa_aws::progress::of_lanes;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::engine::{Commit, CommitError, Engine as _, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::lane_progress::LaneProgress;
use esclusa_flow::settings::ServiceLocation;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Lanes that this process always believes to own, and what it was told of them.
#[derive(Default)]
struct Owned(Mutex<Vec<(String, Token)>>);

impl LaneProgress for Owned {
    fn lost<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Fault> {
        Box::pin(std::future::pending())
    }

    fn check(&self, _: &str, _: &Progress) -> Result<(), Fault> {
        Ok(())
    }

    fn settled(&self, lane: &str, to: &Token) -> Result<(), Fault> {
        self.0.lock().unwrap().push((lane.to_owned(), to.clone()));
        Ok(())
    }
}

fn moved(from: Option<u64>, to: u64, commit: Commit) -> Commit {
    Commit { progress: Progress::Position { from: from.map(Token::Offset), to: Token::Offset(to) }, ..commit }
}

fn refused(answer: &Result<esclusa_flow::engine::Committed, CommitError>) -> bool {
    matches!(answer, Err(CommitError::Fault(Fault::LeaseLost(_))))
}

#[tokio::test]
async fn a_stale_member_of_a_group_writes_nothing_although_it_believes_to_own_the_partition() {
    let (clients, lanes, dedup) = (clients().await, Arc::new(Owned::default()), unique("dedup"));
    let items = PositionItems::new(&clients, &dedup, &ServiceLocation::default(), "route".into());
    let positions = items.positions();
    assert_eq!(positions("lane").await, Ok(None));
    let table = create(&clients).await;
    let make =
        Make { dedup_table: Some(dedup), progress_store: Some(items.progress_store(lanes.clone())), ..Make::default() };
    let bench = make.over(&clients, TABLE, &table);
    let one = || commit(vec![add(key("a", 1), 1)], 1);
    bench.engine.commit(moved(None, 5, one())).await.unwrap();
    assert_eq!(positions("lane").await, Ok(Some(Token::Offset(5))));
    // Delivered again, or by another member that began where this one did.
    for from in [None, Some(4)] {
        let stale = bench.engine.commit(moved(from, 7, one())).await;
        assert!(refused(&stale), "{stale:?}");
    }
    // Without effects the position is moved on its own, and on the same condition.
    let stale = bench.engine.commit(moved(Some(4), 7, commit(vec![], 1))).await;
    assert!(refused(&stale), "{stale:?}");
    bench.engine.commit(moved(Some(5), 8, commit(vec![], 1))).await.unwrap();
    bench.engine.commit(moved(Some(8), 9, one())).await.unwrap();
    assert_eq!(positions("lane").await, Ok(Some(Token::Offset(9))));
    assert_eq!(get(&bench, &key("a", 1)).await, Some(with_n("a", 1, 2)), "the effects of two commits");
    let told: Vec<_> = lanes.0.lock().unwrap().iter().map(|(_, to)| to.clone()).collect();
    assert_eq!(told, [5, 8, 9].map(Token::Offset), "the group follows");
}

#[tokio::test]
async fn a_lost_answer_of_a_move_is_not_taken_for_another_process() {
    let lost = AtomicBool::new(false);
    let lose = move |seen: &faulty::Seen| {
        if seen.what == "UpdateItem" && !lost.swap(true, Ordering::Relaxed) { Fate::Lose } else { Fate::Pass }
    };
    let clients = clients().await;
    let (faulty, _) = faulty::clients(lose).await;
    let items = PositionItems::new(&faulty, &unique("dedup"), &ServiceLocation::default(), "route".into());
    let lanes = Arc::new(Owned::default());
    let store = items.progress_store(lanes.clone());
    let to = Progress::Position { from: None, to: Token::Offset(3) };
    store.settle("lane", &to).await.unwrap();
    drop(clients);
    assert_eq!(items.positions()("lane").await, Ok(Some(Token::Offset(3))));
    assert_eq!(lanes.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_service_keeps_itself_is_settled_after_the_effects() {
    let (clients, lanes) = (clients().await, Arc::new(Owned::default()));
    let table = create(&clients).await;
    let make = Make { progress_store: Some(of_lanes(lanes.clone())), ..Make::default() };
    let bench = make.over(&clients, TABLE, &table);
    bench.engine.commit(moved(None, 5, commit(vec![add(key("a", 1), 1)], 1))).await.unwrap();
    assert_eq!(get(&bench, &key("a", 1)).await, Some(with_n("a", 1, 1)));
    assert_eq!(*lanes.0.lock().unwrap(), [("lane".to_owned(), Token::Offset(5))]);
}
