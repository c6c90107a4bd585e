//! What every engine promises of tables and reads.
#![expect(clippy::unwrap_used, reason = "a suite panics if a promise is broken")]

use super::building::{
    EngineUnderTest, INDEX, TABLE, commit, condition, delete, get, item, key, number, put, query, sks, text, update,
    with_n,
};
use super::{behaviours, guards, pages, progress};
use esclusa_flow::effect::AttributeChange;
use esclusa_flow::item::Comparison;
use esclusa_flow::reads::{ReadError, Selection};

/// Runs the suite; `make` gives an empty engine each time.
pub async fn engine(make: impl Fn() -> EngineUnderTest) {
    use self as tables;
    behaviours!(
        make,
        tables::a_put_replaces_and_a_delete_removes,
        tables::actions_on_one_key_see_each_other,
        tables::an_update_changes_what_it_names_and_creates_what_is_absent,
        tables::numbers_keep_every_digit_and_equal_numbers_are_one_key,
        tables::a_query_finds_in_the_order_of_the_sort_key,
        tables::an_index_follows_the_items,
        tables::a_question_that_makes_no_sense_is_invalid,
        pages::a_table_says_its_key_attributes,
        pages::many_items_come_in_the_order_of_their_keys,
        pages::many_items_that_are_too_large_together_are_invalid,
        pages::a_scan_gives_every_item_once,
        pages::a_page_ends_after_about_a_mebibyte,
        pages::a_scan_goes_on_where_its_token_says,
        pages::a_token_that_no_page_gave_is_invalid,
        guards::a_guard_that_says_rerun_undoes_the_whole_commit,
        guards::a_guard_that_says_skip_leaves_out_its_action_only,
        guards::concurrent_guarded_writes_lose_none,
        guards::what_can_never_work_is_refused_by_index_and_nothing_is_written,
        progress::a_position_moves_only_from_where_it_is,
        progress::lanes_sources_and_routes_have_their_own_positions,
        progress::an_outbox_is_pending_until_it_is_confirmed,
        progress::a_refused_commit_records_no_outbox,
    );
    if make().one_store {
        behaviours!(
            make,
            tables::reads_see_one_moment,
            guards::an_unknown_table_is_refused_by_index_and_nothing_is_written,
            progress::a_commit_that_lost_its_lane_writes_nothing,
        );
    }
}

pub(crate) async fn a_put_replaces_and_a_delete_removes(t: EngineUnderTest) {
    let engine = &*t.engine;
    assert_eq!(get(engine, &key("a", 1)).await, None);
    engine.commit(commit(vec![put(item([("pk", text("a")), ("sk", number(1)), ("x", text("old"))]))])).await.unwrap();
    engine.commit(commit(vec![put(with_n("a", 1, 5))])).await.unwrap();
    assert_eq!(get(engine, &key("a", 1)).await, Some(with_n("a", 1, 5)));
    engine.commit(commit(vec![delete(key("a", 1)), delete(key("a", 2))])).await.unwrap();
    assert_eq!(get(engine, &key("a", 1)).await, None);
}

pub(crate) async fn actions_on_one_key_see_each_other(t: EngineUnderTest) {
    let engine = &*t.engine;
    let add = |n: &str| update(key("a", 1), [("n", AttributeChange::Add(n.to_owned()))]);
    let actions = vec![put(with_n("a", 1, 5)), add("2.5"), delete(key("a", 1)), add("1"), add("-3")];
    engine.commit(commit(actions)).await.unwrap();
    assert_eq!(get(engine, &key("a", 1)).await, Some(with_n("a", 1, -2)));
}

pub(crate) async fn an_update_changes_what_it_names_and_creates_what_is_absent(t: EngineUnderTest) {
    let engine = &*t.engine;
    let changes = [("n", AttributeChange::Add("0.1".to_owned())), ("x", AttributeChange::Set(text("y")))];
    engine.commit(commit(vec![update(key("a", 1), changes.clone())])).await.unwrap();
    engine.commit(commit(vec![update(key("a", 1), changes)])).await.unwrap();
    let stored = get(engine, &key("a", 1)).await.unwrap();
    assert_eq!((stored.get("n"), stored.get("x")), (Some(&number("0.2")), Some(&text("y"))));
    engine
        .commit(commit(vec![update(
            key("a", 1),
            [("x", AttributeChange::Remove), ("absent", AttributeChange::Remove)],
        )]))
        .await
        .unwrap();
    let stored = get(engine, &key("a", 1)).await.unwrap();
    assert_eq!((stored.get("n"), stored.get("x"), stored.0.len()), (Some(&number("0.2")), None, 3));
}

pub(crate) async fn numbers_keep_every_digit_and_equal_numbers_are_one_key(t: EngineUnderTest) {
    let engine = &*t.engine;
    let long = "12345678901234567890123456789012345678";
    engine
        .commit(commit(vec![put(item([("pk", text("a")), ("sk", number("1.0")), ("n", number(long))]))]))
        .await
        .unwrap();
    engine.commit(commit(vec![update(key("a", 1), [("n", AttributeChange::Add("1".to_owned()))])])).await.unwrap();
    let stored = get(engine, &item([("pk", text("a")), ("sk", number("1"))])).await.unwrap();
    assert_eq!(stored.get("n"), Some(&number("12345678901234567890123456789012345679")));
}

pub(crate) async fn reads_see_one_moment(t: EngineUnderTest) {
    let engine = &*t.engine;
    engine.commit(commit(vec![put(with_n("a", 1, 1))])).await.unwrap();
    let before = engine.reads();
    engine.commit(commit(vec![put(with_n("a", 1, 2)), put(with_n("a", 2, 2))])).await.unwrap();
    let all = Selection {
        table: TABLE.to_owned(),
        key: condition([("pk", Comparison::Equal(text("a")))]),
        ..Selection::default()
    };
    assert_eq!(before.get(TABLE, &key("a", 1)).await.unwrap(), Some(with_n("a", 1, 1)));
    assert_eq!(before.query(&all).await.unwrap(), [with_n("a", 1, 1)]);
    assert_eq!(query(engine, &all).await, [with_n("a", 1, 2), with_n("a", 2, 2)]);
}

pub(crate) async fn a_query_finds_in_the_order_of_the_sort_key(t: EngineUnderTest) {
    let engine = &*t.engine;
    let numbers = [10, -1, 9, 100, 2];
    let mut puts: Vec<_> = numbers.iter().map(|sk| put(with_n("a", *sk, sk % 2))).collect();
    puts.push(put(with_n("b", 5, 0)));
    engine.commit(commit(puts)).await.unwrap();
    let select = |comparison: Option<Comparison>| {
        let mut key = condition([("pk", Comparison::Equal(text("a")))]);
        key.0.extend(comparison.map(|c| ("sk".to_owned(), c)));
        Selection { table: TABLE.to_owned(), key, ..Selection::default() }
    };
    let found = |selection: Selection| async move { sks(&query(engine, &selection).await) };
    assert_eq!(found(select(None)).await, ["-1", "2", "9", "10", "100"]);
    assert_eq!(found(Selection { descending: true, limit: Some(2), ..select(None) }).await, ["100", "10"]);
    assert_eq!(found(select(Some(Comparison::Less(number(9))))).await, ["-1", "2"]);
    assert_eq!(found(select(Some(Comparison::LessOrEqual(number("9.0"))))).await, ["-1", "2", "9"]);
    assert_eq!(found(select(Some(Comparison::Greater(number(9))))).await, ["10", "100"]);
    assert_eq!(found(select(Some(Comparison::GreaterOrEqual(number(9))))).await, ["9", "10", "100"]);
    assert_eq!(found(select(Some(Comparison::Equal(number(10))))).await, ["10"]);
    let odd = condition([("n", Comparison::NotEqual(number(0)))]);
    assert_eq!(
        found(Selection { filter: odd, limit: Some(2), ..select(None) }).await,
        ["-1", "9"],
        "the limit counts what is left"
    );
}

pub(crate) async fn an_index_follows_the_items(t: EngineUnderTest) {
    let engine = &*t.engine;
    let thing = |sk: i64, color: &str, n: i64| {
        item([("pk", text("a")), ("sk", number(sk)), ("color", text(color)), ("n", number(n))])
    };
    let red = |comparison: Option<Comparison>| {
        let mut key = condition([("color", Comparison::Equal(text("red")))]);
        key.0.extend(comparison.map(|c| ("n".to_owned(), c)));
        Selection { table: TABLE.to_owned(), index: Some(INDEX.to_owned()), key, ..Selection::default() }
    };
    let found = |selection: Selection| async move { sks(&query(engine, &selection).await) };
    let puts =
        vec![put(thing(1, "red", 30)), put(thing(2, "red", 20)), put(thing(3, "blue", 1)), put(with_n("a", 4, 1))];
    engine.commit(commit(puts)).await.unwrap();
    assert_eq!(found(red(None)).await, ["2", "1"], "in the order of the index, without items that lack its key");
    assert_eq!(found(red(Some(Comparison::Greater(number(20))))).await, ["1"]);
    engine.commit(commit(vec![update(key("a", 2), [("n", AttributeChange::Add("100".to_owned()))])])).await.unwrap();
    engine.commit(commit(vec![update(key("a", 3), [("color", AttributeChange::Set(text("red")))])])).await.unwrap();
    assert_eq!(found(red(None)).await, ["3", "1", "2"], "an item moves with its attributes");
    engine
        .commit(commit(vec![update(key("a", 1), [("color", AttributeChange::Remove)]), delete(key("a", 2))]))
        .await
        .unwrap();
    assert_eq!(found(red(None)).await, ["3"], "an item leaves the index");
    engine.commit(commit(vec![put(thing(5, "red", 1))])).await.unwrap();
    assert_eq!(found(red(None)).await.len(), 2, "equal keys of an index are different entries");
}

pub(crate) async fn a_question_that_makes_no_sense_is_invalid(t: EngineUnderTest) {
    let reads = t.engine.reads();
    let selection = |key| Selection { table: TABLE.to_owned(), key, ..Selection::default() };
    let by_sk = selection(condition([("sk", Comparison::Equal(number(1)))]));
    let no_index =
        Selection { index: Some("no".to_owned()), ..selection(condition([("pk", Comparison::Equal(text("a")))])) };
    for bad in [by_sk, no_index] {
        let answer = reads.query(&bad).await;
        assert!(matches!(answer, Err(ReadError::Invalid(_))), "{answer:?}");
    }
    let answer = reads.get(TABLE, &item([("pk", text("a"))])).await;
    assert!(matches!(answer, Err(ReadError::Invalid(_))), "{answer:?}");
}
