//! Items that expire: which ones, when, and what the rest of the store sees of it. The tests move the clock.

use super::schema::{commit, item, key, number, put, spec, text};
use esclusa_embedded::{Store, StoreOptions, StoreSchema};
use esclusa_flow::effect::{Action, AttributeChange, UpdateItem};
use esclusa_flow::engine::Engine;
use esclusa_flow::item::{Comparison, Condition, Item, Value};
use esclusa_flow::reads::Selection;
use esclusa_flow::settings::{Start, TableSchema};
use esclusa_flow::source::{Limit, Pull};
use esclusa_flow::timestamp::Timestamp;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The store's own search does not find what expires here: it is far in the future.
const LATER: u64 = 20_000_000_000;
const FIVE_YEARS: u64 = 5 * 365 * 24 * 3600;
const TABLE: &str = "sessions";

fn schema(ttl: Option<&str>) -> StoreSchema {
    let indexes = [("by-owner".to_owned(), key("owner", None))].into();
    let table = TableSchema { key: key("id", None), indexes, changes: true, ttl: ttl.map(str::to_owned) };
    StoreSchema { tables: [(TABLE.to_owned(), table)].into(), ..StoreSchema::default() }
}

fn open(path: &Path) -> Store {
    Store::open(path, schema(Some("expires"))).unwrap()
}

fn session(id: &str, expires: Value) -> Item {
    item([("id", text(id)), ("owner", text("ana")), ("expires", expires)])
}

fn renew(id: &str, change: AttributeChange) -> Action {
    let (table, key) = (TABLE.to_owned(), item([("id", text(id))]));
    Action::Update(UpdateItem { table, key, changes: vec![("expires".to_owned(), change)], guard: None })
}

async fn put_all(store: &Store, items: Vec<Item>) {
    store.commit(commit(items.into_iter().map(|item| put(TABLE, item, None)).collect())).await.unwrap();
}

fn expire(store: &Store, seconds: u64) -> u64 {
    store.expire(Timestamp::from_millis(seconds * 1000)).unwrap()
}

fn ids(store: &Store) -> Vec<String> {
    let id = |item: Item| match item.get("id") {
        Some(Value::Text(id)) => id.clone(),
        other => panic!("{other:?}"),
    };
    store.scan(TABLE, None, 10_000).unwrap().into_iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_deleted_once_its_time_is_past() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put_all(&store, vec![session("a", number(LATER)), session("b", number(LATER + 10)), session("c", Value::Null)])
        .await;
    assert_eq!(expire(&store, LATER), 0, "its second is not over");
    assert_eq!(expire(&store, LATER + 1), 1);
    assert_eq!(ids(&store), ["b", "c"]);
    assert_eq!(expire(&store, LATER + 1), 0);
    assert_eq!(expire(&store, LATER + 100), 1);
    assert_eq!(ids(&store), ["c"]);
    assert_eq!(store.expired_counts(), [(TABLE.to_owned(), 2)].into());
    let selection = Selection {
        table: TABLE.to_owned(),
        index: Some("by-owner".to_owned()),
        key: Condition(vec![("owner".to_owned(), Comparison::Equal(text("ana")))]),
        ..Selection::default()
    };
    assert_eq!(store.reads().query(&selection).await.unwrap().len(), 1, "the index has forgotten them, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_whole_number_of_seconds_of_the_last_five_years_is_a_time_of_expiry() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let stays = [
        ("text", text(&LATER.to_string())),
        ("fraction", number(format!("{LATER}.5"))),
        ("millis", number(LATER * 1000)),
        ("negative", number(-5)),
        ("zero", number(0)),
        ("old", number(LATER + 1 - FIVE_YEARS - 1)),
        ("set", Value::NumberSet(vec![LATER.to_string()])),
        ("flag", Value::Boolean(true)),
        ("document", Value::Document(format!("{{\"L\":[{{\"N\":\"{LATER}\"}}]}}"))),
    ];
    put_all(&store, stays.iter().map(|(id, value)| session(id, value.clone())).collect()).await;
    put_all(&store, vec![item([("id", text("none"))])]).await;
    let goes = [("exact", LATER.to_string()), ("point", format!("{LATER}.0")), ("short", "2e10".to_owned())];
    put_all(&store, goes.iter().map(|(id, time)| session(id, number(time))).collect()).await;
    put_all(&store, vec![session("just", number(LATER + 1 - FIVE_YEARS))]).await;
    assert_eq!(expire(&store, LATER + 1), 4);
    let mut kept: Vec<_> = stays.iter().map(|(id, _)| *id).chain(["none"]).collect();
    kept.sort_unstable();
    assert_eq!(ids(&store), kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_renewed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put_all(&store, ["put", "set", "added", "removed", "not"].map(|id| session(id, number(LATER))).into()).await;
    put_all(&store, vec![session("put", number(LATER + 50))]).await;
    let set = AttributeChange::Set(number(LATER + 50));
    let add = AttributeChange::Add("50".to_owned());
    let remove = AttributeChange::Remove;
    store.commit(commit(vec![renew("set", set), renew("added", add), renew("removed", remove)])).await.unwrap();
    assert_eq!(expire(&store, LATER + 1), 1);
    assert_eq!(ids(&store), ["added", "put", "removed", "set"]);
    assert_eq!(expire(&store, LATER + 51), 3);
    assert_eq!(ids(&store), ["removed"]);
}

/// Renewals race with the search. An item whose renewal was answered is there afterwards, always.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_item_is_lost_that_is_renewed_while_the_store_expires() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for round in 0..20_u64 {
        let now = LATER + round * 100;
        put_all(&store, (0..300).map(|id| session(&format!("{id:03}"), number(now))).collect()).await;
        let renewing = {
            let store = store.clone();
            tokio::spawn(async move {
                let mut there = Vec::new();
                for id in (0..300).step_by(7) {
                    let id = format!("{id:03}");
                    let renewed = put(TABLE, session(&id, number(now + 1_000_000)), None);
                    store.commit(commit(vec![renewed])).await.unwrap();
                    there.push(id);
                }
                there
            })
        };
        let expiring = store.clone();
        let deleted = tokio::task::spawn_blocking(move || expire(&expiring, now + 1)).await.unwrap();
        let mut renewed = renewing.await.unwrap();
        renewed.sort_unstable();
        // What the search met before its renewal was deleted and is put again: it counts, and is there.
        assert!(deleted >= 300 - renewed.len() as u64, "{deleted}");
        assert_eq!(ids(&store), renewed, "round {round}");
        expire(&store, now + 1_000_001);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_says_that_the_store_deleted_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put_all(&store, vec![session("a", number(LATER)), session("b", number(LATER))]).await;
    let delete =
        esclusa_flow::effect::DeleteItem { table: TABLE.to_owned(), key: item([("id", text("b"))]), guard: None };
    store.commit(commit(vec![Action::Delete(delete)])).await.unwrap();
    expire(&store, LATER + 1);
    let mut source = store.table_changes_source(spec("feed"), TABLE, Start::TrimHorizon).unwrap();
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let limit = Limit { events: 10, bytes: 1 << 20, window: Duration::ZERO };
    let Pull::Batch(batch) = lane.pull(limit).await.unwrap() else { panic!("no change") };
    let event = |at: usize| serde_json::from_slice(batch.columns.get(at).unwrap().data()).unwrap();
    let events: Vec<serde_json::Value> = (0..4).map(event).collect();
    let said: Vec<_> = events.iter().map(|event| (event["eventName"].clone(), event["userIdentity"].clone())).collect();
    let service = json!({ "principalId": "dynamodb.amazonaws.com", "type": "Service" });
    let nobody = serde_json::Value::Null;
    let expected = [("INSERT", &nobody), ("INSERT", &nobody), ("REMOVE", &nobody), ("REMOVE", &service)];
    assert_eq!(said, expected.map(|(name, who)| (json!(name), who.clone())));
    assert_eq!(events[3]["dynamodb"]["OldImage"]["id"], json!({ "S": "a" }));
    assert_eq!(events[3]["dynamodb"].get("NewImage"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_a_table_has_expire_once_it_says_so_and_not_any_more_when_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema(None)).unwrap();
    put_all(&store, (0..600).map(|id| session(&format!("{id:03}"), number(LATER + id % 2))).collect()).await;
    put_all(&store, vec![item([("id", text("other")), ("until", number(LATER))])]).await;
    assert_eq!((expire(&store, LATER + 9), store.expired_counts().len()), (0, 0));
    store.apply_schema(schema(Some("expires"))).unwrap();
    assert_eq!(expire(&store, LATER + 1), 300, "more than one commit deletes");
    store.apply_schema(schema(None)).unwrap();
    assert_eq!(expire(&store, LATER + 9), 0);
    store.apply_schema(schema(Some("until"))).unwrap();
    assert_eq!(expire(&store, LATER + 9), 1);
    // Items that were written while nothing expired, and after the store was opened again.
    store.apply_schema(schema(None)).unwrap();
    put_all(&store, vec![session("late", number(LATER))]).await;
    drop(store);
    let store = open(dir.path());
    assert_eq!(expire(&store, LATER + 2), 301);
    assert_eq!(ids(&store), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_expires_items_by_itself_and_stops_when_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { expiry_every: Duration::from_millis(1), ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), schema(Some("expires")), options).unwrap();
    let mut versions = store.watch();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    put_all(&store, vec![session("past", number(now - 5)), session("future", number(now + 3600))]).await;
    while ids(&store) != ["future"] {
        versions.changed().await.unwrap();
    }
    assert_eq!(store.expired_counts(), [(TABLE.to_owned(), 1)].into());
    store.close();
    drop(store);
    // Nothing has the directory open any more.
    assert_eq!(ids(&open(dir.path())), ["future"]);
}
