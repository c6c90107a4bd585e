//! Exactly-once: the tables hold the progress, or a dedup record of each event.

use super::building::{Make, TABLE, add, clients, commit, create, get, key, put, put_if_absent, unique, with_n};
use super::faulty::{self, Fate};
use super::table_progress::TableProgress;
use aws_sdk_dynamodb::types::TimeToLiveStatus;
use esclusa_flow::batch::Token;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::{Action, AttributeChange, OutboxMessage, SendMessage, UpdateItem};
use esclusa_flow::engine::{Commit, CommitError, Engine as _, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::item::{Otherwise, Value};
use esclusa_flow::settings::ServiceLocation;
use esclusa_flow::timestamp::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn once() -> Option<String> {
    Some(unique("dedup"))
}

fn moved(from: Option<&str>, to: &str, commit: Commit) -> Commit {
    let token = |text: &str| Token::Text(text.into());
    Commit { progress: Progress::Position { from: from.map(token), to: token(to) }, ..commit }
}

#[tokio::test]
async fn effects_and_position_of_an_ordered_lane_are_written_together() {
    let clients = clients().await;
    let (progress_store, table) = (Arc::new(TableProgress::new(&clients).await), create(&clients).await);
    let bench = Make { dedup_table: once(), progress_store: Some(progress_store.clone()), ..Make::default() }
        .over(&clients, TABLE, &table);
    let one = || commit(vec![add(key("a", 1), 1)], 1);
    bench.engine.commit(moved(None, "5", one())).await.unwrap();
    assert_eq!(progress_store.position("lane").await.as_deref(), Some("5"));
    // A stale owner, or a batch that was delivered again.
    let stale = bench.engine.commit(moved(None, "5", one())).await;
    assert!(matches!(stale, Err(CommitError::Fault(Fault::LeaseLost(_)))), "{stale:?}");
    assert_eq!(get(&bench, &key("a", 1)).await, Some(with_n("a", 1, 1)));
    let conflict = commit(vec![add(key("a", 1), 1), put_if_absent(with_n("a", 1, 9), Otherwise::Rerun)], 1);
    assert_eq!(bench.engine.commit(moved(Some("5"), "6", conflict)).await, Err(CommitError::Conflict));
    let other = commit(vec![put_if_absent(with_n("a", 1, 9), Otherwise::Skip)], 1);
    assert_eq!(bench.engine.commit(moved(Some("5"), "7", other)).await.unwrap().skipped, [0]);
    assert_eq!(progress_store.position("lane").await.as_deref(), Some("7"), "what is skipped is done");
    assert!(progress_store.calls.lock().unwrap().is_empty(), "the transaction has settled it");
    bench.engine.commit(moved(Some("7"), "8", commit(vec![], 1))).await.unwrap();
    assert_eq!(*progress_store.calls.lock().unwrap(), ["settle"], "without effects there is no transaction");
    assert_eq!(bench.local.counts("route").unwrap().done, 3);
}

// The write of a refused batch is given up, so nothing is left that needs a transaction.
#[tokio::test]
async fn a_dead_letter_is_kept_once_although_its_batch_comes_again_without_writes() {
    let clients = clients().await;
    let (progress_store, table) = (Arc::new(TableProgress::new(&clients).await), create(&clients).await);
    let bench = Make { dedup_table: once(), progress_store: Some(progress_store), ..Make::default() }
        .over(&clients, TABLE, &table);
    let mut text = key("a", 1);
    text.set("total", Value::Text("no number".to_owned()));
    let change = ("total".to_owned(), AttributeChange::Add("1".to_owned()));
    let update = UpdateItem { table: TABLE.to_owned(), key: key("a", 1), changes: vec![change], guard: None };
    bench.engine.commit(moved(None, "1", commit(vec![put(text)], 1))).await.unwrap();
    let with_dead = |events: &[&str], commit: Commit| {
        let letter = |id: &str| {
            let send = SendMessage { output: "out".into(), key: None, data: vec![1], attributes: Vec::new() };
            let message = OutboxMessage { id: id.to_owned(), send };
            DeadLetter::of_message(&commit.sender(Timestamp::default()), message, &Fault::Permanent("bad".into()), 1)
        };
        let dead = events.iter().map(|id| letter(id)).collect();
        Commit { dead, ..commit }
    };
    let kept = || {
        let letters = bench.local.dead_letters(None, None, 10).unwrap();
        letters.into_iter().map(|(_, letter)| letter.event).collect::<Vec<_>>()
    };
    let refused = with_dead(&["x"], commit(vec![Action::Update(update)], 1));
    let refused = bench.engine.commit(moved(Some("1"), "2", refused)).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
    assert_eq!(kept(), ["x"]);
    let both = with_dead(&["x", "y"], commit(vec![], 0));
    bench.engine.commit(moved(Some("1"), "2", both)).await.unwrap();
    assert_eq!(kept().len(), 2, "{:?}", kept());
    // Another batch: the commit before has happened.
    bench.engine.commit(moved(Some("2"), "3", with_dead(&["x"], commit(vec![], 0)))).await.unwrap();
    assert_eq!(kept().iter().filter(|event| *event == "x").count(), 2);
}

// Time-out after the write: the same token, so neither the effect nor the position is taken for somebody else's.
#[tokio::test]
async fn a_lost_answer_is_not_taken_for_a_lost_lease() {
    let lost = AtomicBool::new(false);
    let lose = move |seen: &faulty::Seen| {
        if seen.what == "TransactWriteItems" && !lost.swap(true, Ordering::Relaxed) { Fate::Lose } else { Fate::Pass }
    };
    let clients = clients().await;
    let (faulty, _) = faulty::clients(lose).await;
    let (progress_store, table) = (Arc::new(TableProgress::new(&clients).await), create(&clients).await);
    let bench = Make { dedup_table: once(), progress_store: Some(progress_store.clone()), ..Make::default() }
        .over(&faulty, TABLE, &table);
    bench.engine.commit(moved(None, "5", commit(vec![add(key("a", 1), 1)], 1))).await.unwrap();
    assert_eq!(get(&bench, &key("a", 1)).await, Some(with_n("a", 1, 1)));
}

#[tokio::test]
async fn one_event_of_many_effects_is_written_in_chunks_with_the_progress_in_the_last() {
    let clients = clients().await;
    let (progress_store, table) = (Arc::new(TableProgress::new(&clients).await), create(&clients).await);
    let bench = Make { dedup_table: once(), progress_store: Some(progress_store.clone()), ..Make::default() }
        .over(&clients, TABLE, &table);
    let many = |done| commit((0..250).map(|sk| add(key("a", sk), 1)).collect(), done);
    assert_eq!(bench.engine.commit(moved(None, "1", many(2))).await, Err(CommitError::TooLarge));
    bench.engine.commit(moved(None, "1", many(1))).await.unwrap();
    assert_eq!(progress_store.position("lane").await.as_deref(), Some("1"));
    let stale = bench.engine.commit(moved(None, "1", many(1))).await;
    assert!(matches!(stale, Err(CommitError::Fault(Fault::LeaseLost(_)))), "{stale:?}");
    assert_eq!(get(&bench, &key("a", 0)).await, Some(with_n("a", 0, 1)), "the first chunk checks the lease too");
    assert_eq!(get(&bench, &key("a", 249)).await, Some(with_n("a", 249, 1)));
}

// E10: a dedup record is committed with the effect, never before it.
#[tokio::test]
async fn an_event_without_order_is_marked_together_with_its_effects() {
    let clients = clients().await;
    let table = create(&clients).await;
    let dedup_table = unique("dedup");
    let bench = Make { dedup_table: Some(dedup_table.clone()), ..Make::default() }.over(&clients, TABLE, &table);
    let of = |events: &[&str], actions| Commit {
        dedup: events.iter().map(|e| (*e).to_owned()).collect(),
        ..commit(actions, events.len() as u64)
    };
    let conflict = vec![add(key("a", 1), 1), put_if_absent(with_n("b", 1, 1), Otherwise::Rerun)];
    bench.engine.commit(of(&["1", "2"], conflict.clone())).await.unwrap();
    assert_eq!(bench.engine.commit(of(&["3"], conflict)).await, Err(CommitError::Conflict));
    let again = bench.engine.commit(of(&["0", "1", "3", "2"], vec![add(key("a", 1), 10)])).await;
    assert_eq!(again, Err(CommitError::DoneBefore(vec![1, 3])));
    bench.engine.commit(of(&["0", "3"], vec![add(key("a", 1), 100)])).await.unwrap();
    assert_eq!(get(&bench, &key("a", 1)).await, Some(with_n("a", 1, 101)));
    let other_route = Commit { route: "other".into(), ..of(&["0"], vec![add(key("a", 1), 1000)]) };
    bench.engine.commit(other_route).await.unwrap();
    let client = clients.dynamodb(&ServiceLocation::default());
    let answer = client.describe_time_to_live().table_name(&dedup_table).send().await.unwrap();
    let status = answer.time_to_live_description().unwrap().time_to_live_status().unwrap();
    assert!(matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), "{status}");
}
