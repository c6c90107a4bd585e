//! Tables, indexes, guards, queries and the change feed against a model that keeps items in a map.

use super::schema::{commit, item, number, put, schema, spec, text};
use super::smoke::LIMIT;
use esclusa_embedded::{Store, dynamo_json};
use esclusa_flow::effect::{Action, AttributeChange, DeleteItem, UpdateItem};
use esclusa_flow::engine::{CommitError, Engine};
use esclusa_flow::item::{Comparison, Condition, Guard, Item, Otherwise, Value, number as decimal};
use esclusa_flow::reads::Selection;
use esclusa_flow::settings::Start;
use esclusa_flow::source::{Limit, Pull};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Key = (String, i64);
type Model = BTreeMap<Key, BTreeMap<String, Value>>;
/// Old and new image of a change.
type Images = (Option<BTreeMap<String, Value>>, Option<BTreeMap<String, Value>>);

fn keys() -> impl Strategy<Value = Key> {
    ("[ab]", -2i64..3)
}

fn key_item((pk, sk): &Key) -> Item {
    item([("pk", text(pk)), ("sk", number(sk))])
}

fn key_of(item: &Item) -> Key {
    let (Some(Value::Text(pk)), Some(Value::Number(sk))) = (item.get("pk"), item.get("sk")) else {
        panic!("no key: {item:?}")
    };
    (pk.clone(), sk.parse().unwrap())
}

fn attributes() -> impl Strategy<Value = Vec<(String, Value)>> {
    let color = prop_oneof![Just(None), "red|blue|green".prop_map(|c| Some(("color".to_owned(), text(&c))))];
    let n = prop_oneof![Just(None), (-3i64..4).prop_map(|n| Some(("n".to_owned(), number(n))))];
    let x = prop_oneof![Just(None), "[xy]".prop_map(|x| Some(("x".to_owned(), text(&x))))];
    (color, n, x).prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect())
}

fn comparisons() -> impl Strategy<Value = Comparison> {
    prop_oneof![
        Just(Comparison::Exists),
        Just(Comparison::Absent),
        (-3i64..4).prop_map(|n| Comparison::Equal(number(n))),
        (-3i64..4).prop_map(|n| Comparison::NotEqual(number(n))),
        (-3i64..4).prop_map(|n| Comparison::Greater(number(n))),
    ]
}

fn guards() -> impl Strategy<Value = Option<Guard>> {
    let some = (comparisons(), prop::bool::ANY).prop_map(|(comparison, rerun)| {
        let otherwise = if rerun { Otherwise::Rerun } else { Otherwise::Skip };
        Some(Guard { condition: Condition(vec![("n".to_owned(), comparison)]), otherwise })
    });
    prop_oneof![3 => Just(None), 1 => some]
}

fn changes() -> impl Strategy<Value = Vec<(String, AttributeChange)>> {
    let color = prop_oneof![Just(AttributeChange::Remove), "red|blue".prop_map(|c| AttributeChange::Set(text(&c)))];
    let n = prop_oneof![Just(AttributeChange::Remove), (-3i64..4).prop_map(|n| AttributeChange::Add(n.to_string()))];
    let x = prop_oneof![4 => "[xy]".prop_map(|x| AttributeChange::Set(text(&x))), 1 => Just(AttributeChange::Add("1".to_owned()))];
    (proptest::option::of(color), proptest::option::of(n), proptest::option::of(x)).prop_map(|(color, n, x)| {
        [("color", color), ("n", n), ("x", x)].into_iter().filter_map(|(name, c)| Some((name.to_owned(), c?))).collect()
    })
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (keys(), attributes(), guards()).prop_map(|(key, attributes, guard)| {
            let mut item = key_item(&key);
            item.0.extend(attributes);
            put("things", item, guard)
        }),
        3 => (keys(), changes(), guards()).prop_map(|(key, changes, guard)| {
            Action::Update(UpdateItem { table: "things".to_owned(), key: key_item(&key), changes, guard })
        }),
        2 => (keys(), guards()).prop_map(|(key, guard)| {
            Action::Delete(DeleteItem { table: "things".to_owned(), key: key_item(&key), guard })
        }),
    ]
}

fn as_item(attributes: &BTreeMap<String, Value>) -> Item {
    attributes.clone().into_iter().collect()
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Done(Vec<usize>),
    Conflict,
    Refused,
}

/// What the model does with a commit; it is as before if the commit is refused.
fn model_commit(model: &mut Model, feed: &mut Vec<Images>, actions: &[Action]) -> Outcome {
    let mut state = model.clone();
    let mut changed = Vec::new();
    let mut skipped = Vec::new();
    for (i, action) in actions.iter().enumerate() {
        let (key, guard) = match action {
            Action::Put(put) => (key_of(&put.item), &put.guard),
            Action::Update(update) => (key_of(&update.key), &update.guard),
            Action::Delete(delete) => (key_of(&delete.key), &delete.guard),
            _ => unreachable!(),
        };
        let old = state.get(&key).cloned();
        if let Some(guard) = guard
            && !guard.condition.holds(old.as_ref().map(as_item).as_ref())
        {
            match guard.otherwise {
                Otherwise::Rerun => return Outcome::Conflict,
                Otherwise::Skip => skipped.push(i),
            }
            continue;
        }
        let new = match action {
            Action::Put(put) => Some(put.item.0.iter().cloned().collect()),
            Action::Update(update) => match model_update(old.clone(), update) {
                Some(new) => Some(new),
                None => return Outcome::Refused,
            },
            _ => None,
        };
        match &new {
            Some(new) => state.insert(key, new.clone()),
            None => state.remove(&key),
        };
        if old != new {
            changed.push((old, new));
        }
    }
    *model = state;
    feed.extend(changed);
    Outcome::Done(skipped)
}

fn model_update(old: Option<BTreeMap<String, Value>>, update: &UpdateItem) -> Option<BTreeMap<String, Value>> {
    let mut item = old.unwrap_or_else(|| update.key.0.iter().cloned().collect());
    for (name, change) in &update.changes {
        match change {
            AttributeChange::Set(value) => {
                item.insert(name.clone(), value.clone());
            }
            AttributeChange::Remove => {
                item.remove(name);
            }
            AttributeChange::Add(amount) => {
                let before = match item.get(name) {
                    None => "0".to_owned(),
                    Some(Value::Number(n)) => n.clone(),
                    Some(_) => return None,
                };
                item.insert(name.clone(), Value::Number(decimal::add(&before, amount).unwrap()));
            }
        }
    }
    Some(item)
}

fn sorted(items: &[Item]) -> Vec<BTreeMap<String, Value>> {
    items.iter().map(|item| item.0.iter().cloned().collect()).collect()
}

/// What a query of the index finds in the model: equal keys of the index in any order, so these are sorted.
fn model_index(model: &Model, color: &str, comparison: Option<&Comparison>) -> Vec<(i64, Key)> {
    let mut found: Vec<_> = model
        .iter()
        .filter(|(_, item)| item.get("color") == Some(&text(color)))
        .filter_map(|(key, item)| match item.get("n") {
            Some(Value::Number(n)) => Some((n.parse::<i64>().unwrap(), key.clone(), item.get("n"))),
            _ => None,
        })
        .filter(|(_, _, n)| comparison.is_none_or(|c| c.holds(*n)))
        .map(|(n, key, _)| (n, key))
        .collect();
    found.sort();
    found
}

async fn check(store: &Store, model: &Model) {
    let all = sorted(&store.scan("things", None, usize::MAX).unwrap());
    assert_eq!(all, model.values().cloned().collect::<Vec<_>>());
    let reads = store.reads();
    for comparison in [
        None,
        Some(Comparison::Less(number(1))),
        Some(Comparison::GreaterOrEqual(number(0))),
        Some(Comparison::Equal(number(2))),
    ] {
        for pk in ["a", "b"] {
            let mut key = Condition(vec![("pk".to_owned(), Comparison::Equal(text(pk)))]);
            key.0.extend(comparison.clone().map(|c| ("sk".to_owned(), c)));
            let selection = Selection { table: "things".to_owned(), key, descending: true, ..Selection::default() };
            let found = sorted(&reads.query(&selection).await.unwrap());
            let holds = |sk: i64| comparison.as_ref().is_none_or(|c| c.holds(Some(&number(sk))));
            let expected =
                model.iter().rev().filter(|((p, sk), _)| p == pk && holds(*sk)).map(|(_, item)| item.clone());
            assert_eq!(found, expected.collect::<Vec<_>>(), "{selection:?}");
        }
        for color in ["red", "blue", "green"] {
            let mut key = Condition(vec![("color".to_owned(), Comparison::Equal(text(color)))]);
            key.0.extend(comparison.clone().map(|c| ("n".to_owned(), c)));
            let selection = Selection {
                table: "things".to_owned(),
                index: Some("by-color".to_owned()),
                key,
                ..Selection::default()
            };
            let found = reads.query(&selection).await.unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|item| {
                    let Some(Value::Number(n)) = item.get("n") else { panic!("{item:?} is in the index") };
                    (n.parse::<i64>().unwrap(), key_of(item))
                })
                .collect();
            assert_eq!(found, model_index(model, color, comparison.as_ref()));
        }
    }
}

/// The change feed as the images of its events.
async fn check_feed(store: &Store, feed: &[Images]) {
    let mut source = store.table_changes_source(spec("feed"), "things", Start::TrimHorizon).unwrap();
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let mut events = Vec::new();
    while let Pull::Batch(batch) = lane.pull(Limit { events: 7, ..LIMIT }).await.unwrap() {
        events.extend(batch.columns.iter().map(|e| serde_json::from_slice::<serde_json::Value>(e.data()).unwrap()));
    }
    assert_eq!(events.len(), feed.len());
    let image = |item: &Option<BTreeMap<String, Value>>| match item {
        Some(item) => serde_json::from_str(&dynamo_json(&as_item(item))).unwrap(),
        None => serde_json::Value::Null,
    };
    for (event, (old, new)) in events.iter().zip(feed) {
        assert_eq!((&event["dynamodb"]["OldImage"], &event["dynamodb"]["NewImage"]), (&image(old), &image(new)));
        let name = if old.is_none() {
            "INSERT"
        } else if new.is_none() {
            "REMOVE"
        } else {
            "MODIFY"
        };
        assert_eq!(event["eventName"], name);
        assert_eq!(event["dynamodb"]["Keys"].as_object().unwrap().len(), 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn tables_behave_like_the_model(commits in prop::collection::vec(prop::collection::vec(actions(), 1..6), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (mut model, mut feed) = (Model::new(), Vec::new());
        {
            let store = Store::open(dir.path(), schema()).unwrap();
            for actions in &commits {
                let expected = model_commit(&mut model, &mut feed, actions);
                let answer = match runtime.block_on(store.commit(commit(actions.clone()))) {
                    Ok(done) => Outcome::Done(done.skipped),
                    Err(CommitError::Conflict) => Outcome::Conflict,
                    Err(CommitError::Refused(_)) => Outcome::Refused,
                    Err(error) => panic!("{error}"),
                };
                prop_assert_eq!(answer, expected);
            }
            runtime.block_on(check(&store, &model));
        }
        let store = Store::open(dir.path(), schema()).unwrap();
        runtime.block_on(check(&store, &model));
        runtime.block_on(check_feed(&store, &feed));
    }
}
