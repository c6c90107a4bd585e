//! Tables of the servers, engines over them, and short ways to write what tests commit.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType,
};
use esclusa_aws::client::Clients;
use esclusa_aws::engine::{AwsEngine, EngineSettings};
use esclusa_aws::progress::ProgressStore;
use esclusa_aws::tables::DynamoTable;
use esclusa_embedded::{Store, StoreSchema};
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::Handler;
use esclusa_flow::effect::{Action, AttributeChange, DeleteItem, PutItem, UpdateItem};
use esclusa_flow::engine::{Commit, Sink};
use esclusa_flow::item::{Comparison, Condition, Guard, Item, Otherwise, Value};
use esclusa_flow::settings::ServiceLocation;
use esclusa_testkit::sender::sender;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The table of a test, as routes.toml calls it.
pub(crate) const TABLE: &str = "things";

/// Its index.
const INDEX: &str = esclusa_testkit::conformance::INDEX;

/// Clients of the servers.
pub(crate) async fn clients() -> Clients {
    for name in ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID"] {
        assert!(std::env::var(name).is_ok(), "{name} is not set: start the servers, and say where they are");
    }
    Clients::load(&ServiceLocation { region: Some("us-east-1".to_owned()), endpoint_url: None }).await
}

/// A name that no other test uses.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4())
}

fn element(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}

/// Creates a table: partition key `pk`, a text; sort key `sk`, a number; an index by `color` and `n`.
pub(crate) async fn create(clients: &Clients) -> DynamoTable {
    let name = unique("things");
    let attribute = |name: &str, kind: ScalarAttributeType| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let index = GlobalSecondaryIndex::builder()
        .index_name(INDEX)
        .key_schema(element("color", KeyType::Hash))
        .key_schema(element("n", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build());
    let request = clients
        .dynamodb(&ServiceLocation::default())
        .create_table()
        .table_name(&name)
        .billing_mode(BillingMode::PayPerRequest);
    let request = request.key_schema(element("pk", KeyType::Hash)).key_schema(element("sk", KeyType::Range));
    let request = request
        .attribute_definitions(attribute("pk", ScalarAttributeType::S))
        .attribute_definitions(attribute("sk", ScalarAttributeType::N))
        .attribute_definitions(attribute("color", ScalarAttributeType::S))
        .attribute_definitions(attribute("n", ScalarAttributeType::N));
    request.global_secondary_indexes(index.build().unwrap()).send().await.unwrap();
    DynamoTable { name, place: ServiceLocation::default() }
}

/// An engine of one table over an embedded one.
pub(crate) struct EngineUnderTest {
    pub engine: Arc<AwsEngine>,
    pub local: Store,
    pub dir: tempfile::TempDir,
}

/// The parts of an engine besides its table.
#[derive(Default)]
pub(crate) struct Make {
    pub dedup_table: Option<String>,
    pub progress_store: Option<Arc<dyn ProgressStore>>,
    pub sinks: BTreeMap<String, Arc<dyn Sink>>,
}

impl Make {
    pub(crate) fn over(self, clients: &Clients, name: &str, table: &DynamoTable) -> EngineUnderTest {
        let dir = tempfile::tempdir().unwrap();
        let local = Store::open(dir.path(), StoreSchema::default()).unwrap();
        let settings = EngineSettings {
            tables: [(name.to_owned(), table.clone())].into(),
            stores: BTreeMap::new(),
            sender: sender(self.sinks),
            local: Arc::new(local.clone()),
            progress_store: self.progress_store,
            dedup_table: self.dedup_table,
        };
        EngineUnderTest { engine: Arc::new(AwsEngine::new(settings, clients)), local, dir }
    }
}

/// An engine of a new table, at-least-once.
pub(crate) async fn bench(clients: &Clients) -> EngineUnderTest {
    Make::default().over(clients, TABLE, &create(&self::clients().await).await)
}

pub(crate) fn number(n: impl ToString) -> Value {
    Value::Number(n.to_string())
}

pub(crate) fn key(pk: &str, sk: i64) -> Item {
    Item(vec![("pk".to_owned(), Value::Text(pk.to_owned())), ("sk".to_owned(), number(sk))])
}

pub(crate) fn with_n(pk: &str, sk: i64, n: i64) -> Item {
    let mut item = key(pk, sk);
    item.set("n", number(n));
    item
}

pub(crate) fn put(item: Item) -> Action {
    Action::Put(PutItem { table: TABLE.to_owned(), item, guard: None })
}

pub(crate) fn put_if_absent(item: Item, otherwise: Otherwise) -> Action {
    let condition = Condition(vec![("pk".to_owned(), Comparison::Absent)]);
    Action::Put(PutItem { table: TABLE.to_owned(), item, guard: Some(Guard { condition, otherwise }) })
}

pub(crate) fn add(key: Item, n: i64) -> Action {
    Action::Update(UpdateItem {
        table: TABLE.to_owned(),
        key,
        changes: vec![("n".to_owned(), AttributeChange::Add(n.to_string()))],
        guard: None,
    })
}

pub(crate) fn delete(key: Item) -> Action {
    Action::Delete(DeleteItem { table: TABLE.to_owned(), key, guard: None })
}

/// A commit of `done` events.
pub(crate) fn commit(actions: Vec<Action>, done: u64) -> Commit {
    let handler = Handler { kind: "kinesis".into(), plugin: "plugin.wasm".into(), digest: "d1".into() };
    let counts = Counts { done, ..Counts::default() };
    Commit { actions, counts, ..Commit::empty("route".into(), "source".into(), "lane".into(), handler) }
}

pub(crate) async fn get(bench: &EngineUnderTest, key: &Item) -> Option<Item> {
    use esclusa_flow::engine::Engine as _;
    bench.engine.reads().get(TABLE, key).await.unwrap()
}
