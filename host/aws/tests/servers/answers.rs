//! Answers to requests, kept in DynamoDB with the effects of the requests.

use super::building::{Make, TABLE, add, clients, commit, create, get, key, unique, with_n};
use esclusa_aws::kept_answers::KeptAnswers;
use esclusa_flow::effect::Action;
use esclusa_flow::engine::{Commit, CommitError, Engine as _, KeptAnswer};
use esclusa_flow::settings::ServiceLocation;
use esclusa_flow::timestamp::Timestamp;
use std::time::{Duration, SystemTime};

const HOUR: u64 = 3_600_000;

fn now() -> u64 {
    Timestamp::from(SystemTime::now()).after(Duration::ZERO).millis()
}

fn answer(request: &str, value: &str, done: Option<usize>) -> KeptAnswer {
    KeptAnswer { key: request.into(), value: value.into(), expires: now() + HOUR, done }
}

fn answered(actions: Vec<Action>, answers: Vec<KeptAnswer>) -> Commit {
    let done = answers.len() as u64;
    Commit { answers, ..commit(actions, done) }
}

fn one(n: i64) -> Vec<Action> {
    vec![add(key("a", 1), n)]
}

/// Engines of two processes on one table, and what a third one finds.
struct Fleet {
    first: super::building::EngineUnderTest,
    second: super::building::EngineUnderTest,
    kept: KeptAnswers,
}

impl Fleet {
    async fn new() -> Self {
        let (clients, dedup) = (clients().await, unique("dedup"));
        let table = create(&clients).await;
        let engine = || Make { dedup_table: Some(dedup.clone()), ..Make::default() }.over(&clients, TABLE, &table);
        let kept = KeptAnswers::new(&clients, &dedup, &ServiceLocation::default());
        Fleet { first: engine(), second: engine(), kept }
    }

    async fn kept(&self, request: &str) -> Option<String> {
        let kept = self.kept.get(request.as_bytes()).await.unwrap();
        kept.map(|value| String::from_utf8(value).unwrap())
    }
}

#[tokio::test]
async fn a_request_is_carried_out_by_one_process_and_its_answer_is_found_by_all() {
    let fleet = Fleet::new().await;
    assert_eq!(fleet.kept("r").await, None);
    fleet.first.engine.commit(answered(one(1), vec![answer("r", "first", Some(0))])).await.unwrap();
    let both = vec![answer("other", "other", Some(0)), answer("r", "second", Some(1))];
    let again = fleet.second.engine.commit(answered(one(10), both)).await;
    assert_eq!(again, Err(CommitError::DoneBefore(vec![1])));
    assert_eq!(get(&fleet.first, &key("a", 1)).await, Some(with_n("a", 1, 1)));
    assert_eq!((fleet.kept("r").await.as_deref(), fleet.kept("other").await), (Some("first"), None));
}

#[tokio::test]
async fn an_answer_is_kept_if_the_plugin_wrote_nothing() {
    let fleet = Fleet::new().await;
    fleet.first.engine.commit(answered(vec![], vec![answer("r", "first", Some(0))])).await.unwrap();
    let again = fleet.second.engine.commit(answered(vec![], vec![answer("r", "second", Some(0))])).await;
    assert_eq!(again, Err(CommitError::DoneBefore(vec![0])));
    assert_eq!(fleet.kept("r").await.as_deref(), Some("first"));
}

#[tokio::test]
async fn the_answer_to_a_request_that_was_given_up_is_kept_and_covers_none_that_was_carried_out() {
    let fleet = Fleet::new().await;
    let given_up = |value| Commit { answers: vec![answer("r", value, None)], ..commit(vec![], 0) };
    fleet.first.engine.commit(given_up("failed")).await.unwrap();
    assert_eq!(fleet.kept("r").await.as_deref(), Some("failed"));
    fleet.second.engine.commit(answered(one(1), vec![answer("s", "done", Some(0))])).await.unwrap();
    let late = Commit { answers: vec![answer("s", "failed", None)], ..commit(vec![], 0) };
    fleet.first.engine.commit(late).await.unwrap();
    assert_eq!(fleet.kept("s").await.as_deref(), Some("done"));
}

// DynamoDB deletes an expired item within days.
#[tokio::test]
async fn an_answer_whose_time_is_over_is_not_found_and_makes_room() {
    let fleet = Fleet::new().await;
    let old = KeptAnswer { expires: now() - HOUR, ..answer("r", "old", Some(0)) };
    fleet.first.engine.commit(answered(one(1), vec![old])).await.unwrap();
    assert_eq!(fleet.kept("r").await, None);
    fleet.second.engine.commit(answered(one(10), vec![answer("r", "new", Some(0))])).await.unwrap();
    assert_eq!(get(&fleet.first, &key("a", 1)).await, Some(with_n("a", 1, 11)));
    assert_eq!(fleet.kept("r").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn effects_of_several_transactions_are_written_once_too() {
    let fleet = Fleet::new().await;
    let many = || (0..250).map(|sk| add(key("a", sk), 1)).collect();
    fleet.first.engine.commit(answered(many(), vec![answer("r", "first", Some(0))])).await.unwrap();
    let again = fleet.second.engine.commit(answered(many(), vec![answer("r", "second", Some(0))])).await;
    assert_eq!(again, Err(CommitError::DoneBefore(vec![0])));
    for sk in [0, 249] {
        assert_eq!(get(&fleet.first, &key("a", sk)).await, Some(with_n("a", sk, 1)), "each transaction looks");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_for_an_item_writes_nothing() {
    let fleet = Fleet::new().await;
    let large = "x".repeat(400_001);
    let refused = fleet.first.engine.commit(answered(one(1), vec![answer("r", &large, Some(0))])).await;
    assert_eq!(refused, Err(CommitError::TooLarge));
    let most = "x".repeat(400_000);
    fleet.first.engine.commit(answered(one(1), vec![answer("r", &most, Some(0))])).await.unwrap();
    assert_eq!(get(&fleet.first, &key("a", 1)).await, Some(with_n("a", 1, 1)));
    // Each alone is small enough, all together are too large for a transaction.
    let several = (0..12).map(|at| answer(&format!("s{at}"), &most, Some(at))).collect();
    assert_eq!(fleet.first.engine.commit(answered(one(1), several)).await, Err(CommitError::TooLarge));
}
