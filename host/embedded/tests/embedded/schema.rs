//! The schema that the tests use, and short ways to write items and commits.

use esclusa_embedded::{OutputTarget, QueueSchema, SourceSpec, StoreSchema, StreamSchema};
use esclusa_flow::dead_letter::Handler;
use esclusa_flow::effect::{Action, PutItem};
use esclusa_flow::engine::Commit;
use esclusa_flow::item::{Guard, Item, Value};
use esclusa_flow::settings::{KeySchema, TableSchema};
use std::time::Duration;

pub(super) fn key(partition: &str, sort: Option<&str>) -> KeySchema {
    KeySchema { partition: partition.to_owned(), sort: sort.map(str::to_owned) }
}

pub(super) fn schema() -> StoreSchema {
    let mut schema = StoreSchema::default();
    let indexes = [("by-color".to_owned(), key("color", Some("n")))].into();
    schema.tables.insert(
        "plain".to_owned(),
        TableSchema { key: key("pk", Some("sk")), indexes: Default::default(), changes: false, ttl: None },
    );
    schema
        .tables
        .insert("things".to_owned(), TableSchema { key: key("pk", Some("sk")), indexes, changes: true, ttl: None });
    schema.streams.insert("events".to_owned(), StreamSchema { partitions: 2, retention: Duration::from_secs(3600) });
    let queue = QueueSchema {
        visibility_timeout: Duration::from_secs(30),
        max_receive_count: 3,
        consumers: Default::default(),
    };
    schema.queues.insert("jobs".to_owned(), queue);
    schema.outputs.insert("to-events".to_owned(), OutputTarget::Stream("events".to_owned()));
    schema.outputs.insert("to-jobs".to_owned(), OutputTarget::Queue("jobs".to_owned()));
    schema
}

pub(super) fn spec(route: &str) -> SourceSpec {
    SourceSpec { route: route.into(), source: "src".into(), kind: "stream".into(), pollers: 1 }
}

pub(super) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

pub(super) fn number(value: impl ToString) -> Value {
    Value::Number(value.to_string())
}

pub(super) fn item<const N: usize>(attributes: [(&str, Value); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn put(table: &str, item: Item, guard: Option<Guard>) -> Action {
    Action::Put(PutItem { table: table.to_owned(), item, guard })
}

pub(super) fn commit(actions: Vec<Action>) -> Commit {
    Commit { actions, ..Commit::empty("r".into(), "src".into(), "".into(), Handler::default()) }
}
