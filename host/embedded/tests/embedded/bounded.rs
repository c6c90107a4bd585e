//! What one commit and one query can cost: work in proportion to what is written, and a budget for the rest.

use super::schema::{commit, item, number, put, schema, text};
use esclusa_embedded::Store;
use esclusa_flow::effect::{Action, AttributeChange, UpdateItem};
use esclusa_flow::engine::{CommitError, Engine};
use esclusa_flow::item::{Comparison, Condition, Guard, Item, Otherwise, Value};
use esclusa_flow::reads::{ReadError, Selection};

const LARGE: usize = 300 << 10;

fn id() -> Item {
    item([("pk", text("a")), ("sk", number(1))])
}

fn update(table: &str, changes: Vec<(String, AttributeChange)>, guard: Option<Guard>) -> Action {
    Action::Update(UpdateItem { table: table.to_owned(), key: id(), changes, guard })
}

fn add_one(table: &str) -> Action {
    update(table, vec![("count".to_owned(), AttributeChange::Add("1".to_owned()))], None)
}

/// An item of one large text.
fn large() -> Item {
    let mut large = id();
    large.0.push(("text".to_owned(), text(&"x".repeat(LARGE))));
    large
}

/// A list of many elements, as DynamoDB JSON.
fn document(elements: usize) -> Value {
    Value::Document(format!("{{\"L\":[{}]}}", vec!["{\"N\":\"1\"}"; elements].join(",")))
}

fn equal_to_a_document(comparisons: usize) -> Condition {
    // Not the same text, so that both have to be parsed.
    let Value::Document(other) = document(20_000) else { panic!("a document") };
    let other = Value::Document(other + " ");
    Condition((0..comparisons).map(|_| ("document".to_owned(), Comparison::Equal(other.clone()))).collect())
}

async fn stored(store: &Store, table: &str) -> Item {
    store.reads().get(table, &id()).await.unwrap().unwrap()
}

#[tokio::test]
async fn ten_thousand_updates_of_a_large_item_read_it_once_and_write_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    store.commit(commit(vec![put("plain", large(), None)])).await.unwrap();
    // Read and written for each of them, it would be 6 GB: far more than a commit may take.
    store.commit(commit((0..10_000).map(|_| add_one("plain")).collect())).await.unwrap();
    assert_eq!(stored(&store, "plain").await.get("count"), Some(&number(10_000)));
}

#[tokio::test]
async fn a_hundred_and_fifty_thousand_changes_of_one_item_are_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let changes = |round: usize| {
        let change = |n: usize| match (n + round) % 3 {
            0 => AttributeChange::Remove,
            1 => AttributeChange::Set(text("set")),
            _ => AttributeChange::Set(number(round)),
        };
        (0..900).map(|n| (format!("attribute-{n}"), change(n))).collect()
    };
    let updates = (0..167).map(|round| update("plain", changes(round), None)).collect();
    store.commit(commit(updates)).await.unwrap();
    let item = stored(&store, "plain").await;
    // What the last round did: every third attribute is gone.
    assert_eq!(item.0.len(), 600 + 2);
    assert!((0..900).all(|n| match (n + 166) % 3 {
        0 => item.get(&format!("attribute-{n}")).is_none(),
        1 => item.get(&format!("attribute-{n}")) == Some(&text("set")),
        _ => item.get(&format!("attribute-{n}")) == Some(&number(166)),
    }));
}

#[tokio::test]
async fn images_of_a_change_feed_that_are_too_many_for_a_commit_make_it_too_large_and_it_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    store.commit(commit(vec![put("things", large(), None)])).await.unwrap();
    let before = store.version();
    let error = store.commit(commit((0..1_000).map(|_| add_one("things")).collect())).await.unwrap_err();
    assert_eq!(error, CommitError::TooLarge);
    assert_eq!((stored(&store, "things").await, store.version()), (large(), before));
    // As many as the router would hand over in the end.
    store.commit(commit((0..10).map(|_| add_one("things")).collect())).await.unwrap();
    assert_eq!(stored(&store, "things").await.get("count"), Some(&number(10)));
}

#[tokio::test]
async fn a_guard_that_parses_a_document_a_thousand_times_is_too_large() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let mut with_document = id();
    with_document.0.push(("document".to_owned(), document(20_000)));
    store.commit(commit(vec![put("plain", with_document, None)])).await.unwrap();
    let guarded = |comparisons| {
        let guard = Guard { condition: equal_to_a_document(comparisons), otherwise: Otherwise::Rerun };
        commit(vec![update("plain", vec![("seen".to_owned(), AttributeChange::Set(number(1)))], Some(guard))])
    };
    assert_eq!(store.commit(guarded(1_000)).await, Err(CommitError::TooLarge));
    assert_eq!(stored(&store, "plain").await.get("seen"), None);
    store.commit(guarded(3)).await.unwrap();
    assert_eq!(stored(&store, "plain").await.get("seen"), Some(&number(1)));
}

#[tokio::test]
async fn a_filter_that_parses_a_document_a_thousand_times_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let mut with_document = id();
    with_document.0.push(("document".to_owned(), document(20_000)));
    store.commit(commit(vec![put("plain", with_document, None)])).await.unwrap();
    let query = |comparisons| Selection {
        table: "plain".to_owned(),
        key: Condition(vec![("pk".to_owned(), Comparison::Equal(text("a")))]),
        filter: equal_to_a_document(comparisons),
        ..Selection::default()
    };
    let reads = store.reads();
    match reads.query(&query(1_000)).await {
        Err(ReadError::Invalid(why)) => assert!(why.contains("\"plain\"") && why.contains("steps"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(reads.query(&query(3)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn members_of_sets_count_each_time_that_they_are_gone_through() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let mut set = id();
    set.0.push(("set".to_owned(), Value::TextSet((0..45_000).map(|n| n.to_string()).collect())));
    store.commit(commit(vec![put("plain", set, None)])).await.unwrap();
    let updates = |count: usize| commit((0..count).map(|_| add_one("plain")).collect());
    assert_eq!(store.check(updates(10_000)).await, Err(CommitError::TooLarge), "a check says what a commit would");
    assert_eq!(store.commit(updates(10_000)).await, Err(CommitError::TooLarge));
    store.commit(updates(1_000)).await.unwrap();
    assert_eq!(stored(&store, "plain").await.get("count"), Some(&number(1_000)));
}

#[tokio::test]
async fn an_item_from_before_there_were_caps_may_get_smaller_and_count() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    // The store itself takes it; the router has checked what plugins put.
    let mut old = id();
    old.0.extend((0..1_500).map(|n| (format!("attribute-{n}"), number(n))));
    old.0.push(("text".to_owned(), text(&"x".repeat(500 << 10))));
    store.commit(commit(vec![put("plain", old, None)])).await.unwrap();
    let change =
        |name: &str, change: AttributeChange| commit(vec![update("plain", vec![(name.to_owned(), change)], None)]);
    store.commit(change("attribute-1", AttributeChange::Add("8".to_owned()))).await.unwrap();
    store.commit(change("attribute-2", AttributeChange::Remove)).await.unwrap();
    let refused = store.commit(change("attribute-3", AttributeChange::Set(text(&"y".repeat(100))))).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
    let item = stored(&store, "plain").await;
    assert_eq!((item.get("attribute-1"), item.get("attribute-2")), (Some(&number(9)), None));
}

#[tokio::test]
async fn an_item_does_not_grow_over_its_caps_by_updates() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let set = |name: String, value: Value| (name, AttributeChange::Set(value));
    let first = (0..998).map(|n| set(format!("attribute-{n}"), number(n))).collect();
    store.commit(commit(vec![update("plain", first, None)])).await.unwrap();
    for (change, why) in [
        (set("another".to_owned(), number(1)), "1001 attributes, at most 1000"),
        (set("attribute-1".to_owned(), text(&"x".repeat(400 << 10))), "at most 409600 are taken"),
    ] {
        match store.commit(commit(vec![update("plain", vec![change], None)])).await {
            Err(CommitError::Refused(refused)) => {
                assert!(refused[0].0 == 0 && refused[0].1.contains(why), "{refused:?}")
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stored(&store, "plain").await.0.len(), 1_000);
}

#[tokio::test]
async fn writes_of_one_item_see_each_other_whatever_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    for table in ["plain", "things"] {
        let colored = |color: &str, n: u32| {
            let mut colored = id();
            colored.0.extend([("color".to_owned(), text(color)), ("n".to_owned(), number(n))]);
            colored
        };
        let delete =
            |guard| Action::Delete(esclusa_flow::effect::DeleteItem { table: table.to_owned(), key: id(), guard });
        let skip_unless = |name: &str, value: Value| {
            let condition = Condition(vec![(name.to_owned(), Comparison::Equal(value))]);
            Some(Guard { condition, otherwise: Otherwise::Skip })
        };
        let committed = store
            .commit(commit(vec![
                put(table, colored("red", 1), None),
                add_one(table),
                put(table, colored("blue", 2), skip_unless("count", number(1))),
                delete(skip_unless("color", text("red"))),
                add_one(table),
                delete(None),
                add_one(table),
                update(
                    table,
                    vec![("color".to_owned(), AttributeChange::Set(text("green")))],
                    skip_unless("count", number(1)),
                ),
                update(table, vec![("n".to_owned(), AttributeChange::Add("7".to_owned()))], None),
            ]))
            .await
            .unwrap();
        assert_eq!(committed.skipped, [3]);
        let mut expected = id();
        expected.0.extend([
            ("count".to_owned(), number(1)),
            ("color".to_owned(), text("green")),
            ("n".to_owned(), number(7)),
        ]);
        assert_eq!(stored(&store, table).await, expected);
    }
    let by_color = |color: &str| Selection {
        table: "things".to_owned(),
        index: Some("by-color".to_owned()),
        key: Condition(vec![("color".to_owned(), Comparison::Equal(text(color)))]),
        ..Selection::default()
    };
    let reads = store.reads();
    for (color, count) in [("red", 0), ("blue", 0), ("green", 1)] {
        assert_eq!(reads.query(&by_color(color)).await.unwrap().len(), count, "{color}");
    }
}

#[tokio::test]
async fn a_check_keeps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    store.commit(commit(vec![put("things", id(), None)])).await.unwrap();
    let before = (stored(&store, "things").await, store.version());
    let other = item([("pk", text("b")), ("sk", number(1))]);
    store.check(commit(vec![put("things", other.clone(), None), add_one("things")])).await.unwrap();
    let after = (stored(&store, "things").await, store.version());
    assert_eq!(after, before);
    assert_eq!(store.reads().get("things", &other).await.unwrap(), None);
    store.commit(commit(vec![add_one("things")])).await.unwrap();
    assert_eq!(stored(&store, "things").await.get("count"), Some(&number(1)), "what a check did does not count");
}
