//! Writes and reads of tables.

use super::building::{
    Make, TABLE, add, bench, clients, commit, create, delete, get, key, number, put, put_if_absent, with_n,
};
use esclusa_aws::tables::DynamoTable;
use esclusa_flow::engine::{CommitError, Engine as _};
use esclusa_flow::fault::Fault;
use esclusa_flow::item::{Comparison, Condition, Otherwise, Value};
use esclusa_flow::reads::{ReadError, Selection};
use esclusa_flow::settings::ServiceLocation;
use esclusa_testkit::sender::sender;

fn all(pk: &str) -> Selection {
    let key = Condition(vec![("pk".to_owned(), Comparison::Equal(Value::Text(pk.to_owned())))]);
    Selection { table: TABLE.to_owned(), key, ..Selection::default() }
}

// E3: items differ by the values of their key attributes in order, not by the set of these values.
#[tokio::test]
async fn bulk_writes_keep_every_key_and_the_last_write_of_each() {
    let bench = bench(&clients().await).await;
    let mut actions: Vec<_> = (0..60).map(|sk| put(with_n("a", sk, 1))).collect();
    actions.extend((0..60).map(|sk| put(with_n("a", sk, 2))));
    actions.push(put(with_n("1", 2, 12)));
    actions.push(put(with_n("2", 1, 21)));
    actions.push(delete(key("a", 59)));
    bench.engine.commit(commit(actions, 60)).await.unwrap();
    let found = bench.engine.reads().query(&all("a")).await.unwrap();
    assert_eq!(found, (0..59).map(|sk| with_n("a", sk, 2)).collect::<Vec<_>>());
    assert_eq!(
        (get(&bench, &key("1", 2)).await, get(&bench, &key("2", 1)).await),
        (Some(with_n("1", 2, 12)), Some(with_n("2", 1, 21)))
    );
}

// E5: an item that DynamoDB refuses is refused for good, by its index, even if the answer does not name the item.
#[tokio::test]
async fn an_item_that_only_dynamodb_refuses_is_refused_by_index() {
    let bench = bench(&clients().await).await;
    let deep = format!("{}{}{}", r#"{"L":["#.repeat(40), r#"{"NULL":true}"#, "]}".repeat(40));
    let mut item = with_n("a", 1, 1);
    item.set("deep", Value::Document(deep));
    let answer =
        bench.engine.commit(commit(vec![put(with_n("a", 0, 1)), put(item.clone()), put(with_n("a", 2, 1))], 3)).await;
    let Err(CommitError::Refused(refused)) = answer else { panic!("{answer:?}") };
    assert_eq!(refused.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1], "{refused:?}");
    // In a transaction the whole is refused: several events are halved until the one is found.
    let with_update = |item| vec![add(key("b", 1), 1), put(item)];
    assert_eq!(bench.engine.commit(commit(with_update(item.clone()), 2)).await, Err(CommitError::TooLarge));
    let answer = bench.engine.commit(commit(with_update(item), 1)).await;
    assert!(matches!(answer, Err(CommitError::Refused(_))), "{answer:?}");
    assert_eq!(get(&bench, &key("b", 1)).await, None);
}

#[tokio::test]
async fn puts_that_may_be_skipped_are_reported_where_they_are() {
    let bench = bench(&clients().await).await;
    bench.engine.commit(commit(vec![put(with_n("a", 3, 0)), put(with_n("a", 7, 0))], 1)).await.unwrap();
    let actions = (0..150).map(|sk| put_if_absent(with_n("a", sk, 1), Otherwise::Skip)).collect();
    let done = bench.engine.commit(commit(actions, 150)).await.unwrap();
    assert_eq!(done.skipped, [3, 7]);
    assert_eq!(get(&bench, &key("a", 3)).await, Some(with_n("a", 3, 0)));
    assert_eq!(get(&bench, &key("a", 149)).await, Some(with_n("a", 149, 1)));
}

#[tokio::test]
async fn a_skipped_put_does_not_stop_the_transaction_that_it_is_in() {
    let bench = bench(&clients().await).await;
    bench.engine.commit(commit(vec![put(with_n("a", 1, 5))], 1)).await.unwrap();
    let actions = vec![put_if_absent(with_n("a", 1, 6), Otherwise::Skip), add(key("t", 1), 2), add(key("u", 1), 3)];
    assert_eq!(bench.engine.commit(commit(actions, 1)).await.unwrap().skipped, [0]);
    assert_eq!(
        (get(&bench, &key("a", 1)).await, get(&bench, &key("t", 1)).await),
        (Some(with_n("a", 1, 5)), Some(with_n("t", 1, 2)))
    );
    let conflict = vec![add(key("t", 1), 2), put_if_absent(with_n("a", 1, 6), Otherwise::Rerun)];
    assert_eq!(bench.engine.commit(commit(conflict, 1)).await, Err(CommitError::Conflict));
    assert_eq!(get(&bench, &key("t", 1)).await, Some(with_n("t", 1, 2)));
}

#[tokio::test]
async fn a_guard_after_an_update_of_its_item_is_decided_on_what_is_stored() {
    let bench = bench(&clients().await).await;
    let guarded =
        || vec![add(key("a", 1), 1), put_if_absent(with_n("a", 1, 100), Otherwise::Skip), add(key("a", 1), 1)];
    assert_eq!(bench.engine.commit(commit(guarded(), 1)).await.unwrap().skipped, [1]);
    assert_eq!(get(&bench, &key("a", 1)).await, Some(with_n("a", 1, 2)));
}

#[tokio::test]
async fn more_than_a_transaction_holds_is_halved_down_to_one_event() {
    let bench = bench(&clients().await).await;
    let adds = |from: i64| (from..from + 130).map(|sk| add(key("a", sk), 1)).collect::<Vec<_>>();
    assert_eq!(bench.engine.commit(commit(adds(0), 2)).await, Err(CommitError::TooLarge));
    assert_eq!(get(&bench, &key("a", 0)).await, None);
    bench.engine.commit(commit(adds(0), 1)).await.unwrap();
    assert_eq!(get(&bench, &key("a", 129)).await, Some(with_n("a", 129, 1)));
}

#[tokio::test]
async fn a_query_goes_on_from_page_to_page_until_its_limit_is_met_after_the_filter() {
    let bench = bench(&clients().await).await;
    let large = |sk: i64| {
        let mut item = with_n("a", sk, sk % 10);
        item.set("fill", Value::Text("x".repeat(90_000)));
        put(item)
    };
    bench.engine.commit(commit((0..40).map(large).collect(), 40)).await.unwrap();
    let sks =
        |items: Vec<esclusa_flow::item::Item>| items.iter().map(|i| i.get("sk").cloned().unwrap()).collect::<Vec<_>>();
    let reads = bench.engine.reads();
    assert_eq!(reads.query(&all("a")).await.unwrap().len(), 40, "3.6 MB are four pages");
    let nines = Condition(vec![("n".to_owned(), Comparison::Equal(number(9)))]);
    let some = Selection { filter: nines, limit: Some(3), ..all("a") };
    assert_eq!(sks(reads.query(&some).await.unwrap()), [number(9), number(19), number(29)]);
    let by_key = Condition(vec![("sk".to_owned(), Comparison::NotEqual(number(39)))]);
    let last = Selection { filter: by_key, limit: Some(2), descending: true, ..all("a") };
    assert_eq!(
        sks(reads.query(&last).await.unwrap()),
        [number(38), number(37)],
        "an attribute of the key is filtered too"
    );
}

#[tokio::test]
async fn a_table_that_does_not_exist_is_named_and_nothing_is_acknowledged() {
    let clients = clients().await;
    let missing = DynamoTable { name: "NoSuchTable".to_owned(), place: ServiceLocation::default() };
    let bench = Make::default().over(&clients, TABLE, &missing);
    let answer = bench.engine.commit(commit(vec![put(with_n("a", 1, 1))], 1)).await;
    let Err(CommitError::Fault(Fault::Permanent(why))) = answer else { panic!("{answer:?}") };
    assert!(why.contains("NoSuchTable") && why.contains("[table.things]") && why.contains("us-east-1"), "{why}");
    let answer = bench.engine.reads().get(TABLE, &key("a", 1)).await;
    assert!(matches!(answer, Err(ReadError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn two_names_of_one_table_are_one_table() {
    let clients = clients().await;
    let table = create(&clients).await;
    let dir = tempfile::tempdir().unwrap();
    let settings = esclusa_aws::engine::EngineSettings {
        tables: [(TABLE.to_owned(), table.clone()), ("alias".to_owned(), table)].into(),
        stores: Default::default(),
        sender: sender(Default::default()),
        local: std::sync::Arc::new(esclusa_embedded::Store::open(dir.path(), Default::default()).unwrap()),
        progress_store: None,
        dedup_table: None,
    };
    let engine = esclusa_aws::engine::AwsEngine::new(settings, &clients);
    let mut alias = put(with_n("a", 1, 2));
    if let esclusa_flow::effect::Action::Put(put) = &mut alias {
        put.table = "alias".to_owned();
    }
    engine.commit(commit(vec![put(with_n("a", 1, 1)), alias, add(key("a", 1), 5)], 1)).await.unwrap();
    assert_eq!(engine.reads().get("alias", &key("a", 1)).await.unwrap(), Some(with_n("a", 1, 7)));
}
