//! Short ways to write what the suites commit.
#![expect(clippy::indexing_slicing, reason = "a suite panics where a promise is broken")]

use super::TABLE;
use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::counts::Counts;
use esclusa_flow::effect::{Action, AttributeChange, DeleteItem, PutItem, UpdateItem};
use esclusa_flow::engine::{Commit, Progress};
use esclusa_flow::item::{Comparison, Condition, Guard, Item, Otherwise, Value};
use esclusa_flow::source::Limit;
use std::sync::Arc;
use std::time::Duration;

/// A limit that does not wait.
pub const LIMIT: Limit = Limit { events: 100, bytes: 1 << 20, window: Duration::ZERO };

/// Longest that a suite waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

pub fn number(value: impl ToString) -> Value {
    Value::Number(value.to_string())
}

pub fn item<const N: usize>(attributes: [(&str, Value); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An item with only a key.
pub fn key(pk: &str, sk: i64) -> Item {
    item([("pk", text(pk)), ("sk", number(sk))])
}

/// An item with a key and one number.
pub fn with_n(pk: &str, sk: i64, n: i64) -> Item {
    item([("pk", text(pk)), ("sk", number(sk)), ("n", number(n))])
}

pub fn put(item: Item) -> Action {
    guarded_put(item, None)
}

pub fn guarded_put(item: Item, guard: Option<Guard>) -> Action {
    Action::Put(PutItem { table: TABLE.to_owned(), item, guard })
}

pub fn update<const N: usize>(key: Item, changes: [(&str, AttributeChange); N]) -> Action {
    let changes = changes.into_iter().map(|(name, change)| (name.to_owned(), change)).collect();
    Action::Update(UpdateItem { table: TABLE.to_owned(), key, changes, guard: None })
}

pub fn delete(key: Item) -> Action {
    Action::Delete(DeleteItem { table: TABLE.to_owned(), key, guard: None })
}

pub fn condition<const N: usize>(comparisons: [(&str, Comparison); N]) -> Condition {
    Condition(comparisons.into_iter().map(|(name, comparison)| (name.to_owned(), comparison)).collect())
}

pub fn guard(attribute: &str, comparison: Comparison, otherwise: Otherwise) -> Option<Guard> {
    Some(Guard { condition: condition([(attribute, comparison)]), otherwise })
}

pub fn commit(actions: Vec<Action>) -> Commit {
    Commit {
        route: "route".into(),
        source: "source".into(),
        lane: "lane".into(),
        handler: esclusa_flow::dead_letter::Handler::default(),
        actions,
        outbox: Arc::default(),
        dead: Vec::new(),
        progress: Progress::None,
        dedup: Vec::new(),
        counts: Counts::default(),
    }
}

/// A commit that only moves a position.
pub fn moved(from: Option<u64>, to: u64) -> Commit {
    Commit { progress: Progress::Position { from: from.map(Token::Offset), to: Token::Offset(to) }, ..commit(vec![]) }
}

/// A commit that settles the first `count` events of a batch of an ordered retained lane.
pub fn settle(batch: &Batch, count: usize) -> Commit {
    let to = batch.claims[count - 1].token().clone();
    Commit {
        route: batch.origin.route.clone(),
        source: batch.origin.source.clone(),
        lane: batch.origin.lane.clone(),
        progress: Progress::Position { from: batch.previous.clone(), to },
        ..commit(vec![])
    }
}

/// Receipts of a batch.
pub fn receipts(batch: &Batch) -> Vec<Token> {
    batch.claims.iter().map(|claim| claim.token().clone()).collect()
}

/// A commit that deletes and releases messages of a batch.
pub fn receipt_commit(batch: &Batch, delete: Vec<Token>, release: Vec<(Token, Duration)>) -> Commit {
    Commit {
        route: batch.origin.route.clone(),
        source: batch.origin.source.clone(),
        lane: batch.origin.lane.clone(),
        progress: Progress::Receipts { delete, release },
        ..commit(vec![])
    }
}

/// The payloads of a batch as texts.
pub fn payloads(batch: &Batch) -> Vec<String> {
    batch.columns.iter().map(|event| String::from_utf8_lossy(event.data()).into_owned()).collect()
}
