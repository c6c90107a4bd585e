//! Fixtures of the suites: items, commits and the engine under test.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a suite panics where a promise is broken"
)]

use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::dead_letter::Handler;
use esclusa_flow::effect::{Action, AttributeChange, DeleteItem, PutItem, UpdateItem};
use esclusa_flow::engine::{Commit, Engine, Progress};
use esclusa_flow::item::{Comparison, Condition, Guard, Item, Otherwise, Value};
use esclusa_flow::reads::Selection;
use esclusa_flow::source::Limit;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// The table of the suite: partition key `pk`, a text; sort key `sk`, a number.
pub const TABLE: &str = "suite";
/// Its index: partition key `color`, a text; sort key `n`, a number.
pub const INDEX: &str = "by-color";

/// An empty engine that has the table and the index of the suite.
pub struct EngineUnderTest {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// False if tables are on a server and progress is elsewhere. Such an engine gives no reads of one moment, and
    /// does not undo writes that the server took if the other store refuses; it promises everything else.
    pub one_store: bool,
    /// Kept alive as long as the engine, such as a directory.
    pub keep: Box<dyn Any>,
}

/// A limit that does not wait.
pub(crate) const LIMIT: Limit = Limit { events: 100, bytes: 1 << 20, window: Duration::ZERO };

/// Longest that a suite waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

pub(crate) fn number(value: impl ToString) -> Value {
    Value::Number(value.to_string())
}

pub(crate) fn item<const N: usize>(attributes: [(&str, Value); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An item with only a key.
pub(crate) fn key(pk: &str, sk: i64) -> Item {
    item([("pk", text(pk)), ("sk", number(sk))])
}

/// An item with a key and one number.
pub(crate) fn with_n(pk: &str, sk: i64, n: i64) -> Item {
    item([("pk", text(pk)), ("sk", number(sk)), ("n", number(n))])
}

pub(crate) fn put(item: Item) -> Action {
    guarded_put(item, None)
}

pub(crate) fn guarded_put(item: Item, guard: Option<Guard>) -> Action {
    Action::Put(PutItem { table: TABLE.to_owned(), item, guard })
}

pub(crate) fn update<const N: usize>(key: Item, changes: [(&str, AttributeChange); N]) -> Action {
    let changes = changes.into_iter().map(|(name, change)| (name.to_owned(), change)).collect();
    Action::Update(UpdateItem { table: TABLE.to_owned(), key, changes, guard: None })
}

pub(crate) fn delete(key: Item) -> Action {
    Action::Delete(DeleteItem { table: TABLE.to_owned(), key, guard: None })
}

pub(crate) fn condition<const N: usize>(comparisons: [(&str, Comparison); N]) -> Condition {
    Condition(comparisons.into_iter().map(|(name, comparison)| (name.to_owned(), comparison)).collect())
}

pub(crate) fn guard(attribute: &str, comparison: Comparison, otherwise: Otherwise) -> Option<Guard> {
    Some(Guard { condition: condition([(attribute, comparison)]), otherwise })
}

pub(crate) fn commit(actions: Vec<Action>) -> Commit {
    Commit { actions, ..Commit::empty("route".into(), "source".into(), "lane".into(), Handler::default()) }
}

/// A commit that only moves a position.
pub(crate) fn moved(from: Option<u64>, to: u64) -> Commit {
    Commit { progress: Progress::Position { from: from.map(Token::Offset), to: Token::Offset(to) }, ..commit(vec![]) }
}

/// A commit that settles the first `count` events of a batch of an ordered retained lane.
pub(crate) fn settle(batch: &Batch, count: usize) -> Commit {
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
pub(crate) fn receipts(batch: &Batch) -> Vec<Token> {
    batch.claims.iter().map(|claim| claim.token().clone()).collect()
}

/// A commit that deletes and releases messages of a batch.
pub(crate) fn receipt_commit(batch: &Batch, delete: Vec<Token>, release: Vec<(Token, Duration)>) -> Commit {
    Commit {
        route: batch.origin.route.clone(),
        source: batch.origin.source.clone(),
        lane: batch.origin.lane.clone(),
        progress: Progress::Receipts { delete, release },
        ..commit(vec![])
    }
}

/// The payloads of a batch as texts.
pub(crate) fn payloads(batch: &Batch) -> Vec<String> {
    batch.columns.iter().map(|event| String::from_utf8_lossy(event.data()).into_owned()).collect()
}

/// The item with a key.
pub(crate) async fn get(engine: &dyn Engine, key: &Item) -> Option<Item> {
    engine.reads().get(TABLE, key).await.expect("the table answers")
}

/// The items that a query finds.
pub(crate) async fn query(engine: &dyn Engine, selection: &Selection) -> Vec<Item> {
    engine.reads().query(selection).await.expect("the table answers")
}

/// The numbers `sk` of items.
pub(crate) fn sks(items: &[Item]) -> Vec<String> {
    let sk = |item: &Item| match item.get("sk") {
        Some(Value::Number(text)) => text.clone(),
        other => panic!("sk is {other:?}"),
    };
    items.iter().map(sk).collect()
}
