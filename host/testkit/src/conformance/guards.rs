//! What every engine promises of guards and refusals.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a suite panics where a promise is broken"
)]

use super::building::{
    EngineUnderTest, INDEX, TABLE, commit, delete, get, guard, guarded_put, item, key, number, put, text, update,
    with_n,
};
use esclusa_flow::effect::{Action, AttributeChange, DeleteItem, PutItem};
use esclusa_flow::engine::{CommitError, Engine};
use esclusa_flow::item::{Comparison, Otherwise, Value};
use std::sync::Arc;

pub(crate) async fn a_guard_that_says_rerun_undoes_the_whole_commit(t: EngineUnderTest) {
    let engine = &*t.engine;
    engine.commit(commit(vec![put(with_n("a", 1, 1))])).await.unwrap();
    let absent = guard("pk", Comparison::Absent, Otherwise::Rerun);
    let actions = vec![
        put(with_n("b", 1, 1)),
        delete(key("a", 1)),
        put(with_n("a", 1, 3)),
        guarded_put(with_n("a", 1, 2), absent),
    ];
    assert_eq!(engine.commit(commit(actions)).await, Err(CommitError::Conflict));
    assert_eq!(get(engine, &key("a", 1)).await, Some(with_n("a", 1, 1)));
    assert_eq!(get(engine, &key("b", 1)).await, None);
    let one = guard("n", Comparison::Equal(number("1.0")), Otherwise::Rerun);
    engine.commit(commit(vec![guarded_put(with_n("a", 1, 2), one)])).await.unwrap();
    assert_eq!(get(engine, &key("a", 1)).await, Some(with_n("a", 1, 2)));
}

pub(crate) async fn a_guard_that_says_skip_leaves_out_its_action_only(t: EngineUnderTest) {
    let engine = &*t.engine;
    let absent = || guard("pk", Comparison::Absent, Otherwise::Skip);
    let first = vec![
        guarded_put(with_n("a", 1, 1), absent()),
        guarded_put(with_n("a", 1, 2), absent()),
        put(with_n("b", 1, 1)),
    ];
    let done = engine.commit(commit(first)).await.unwrap();
    assert_eq!(done.skipped, [1], "the second put sees the first one");
    assert_eq!(get(engine, &key("a", 1)).await, Some(with_n("a", 1, 1)));
    assert_eq!(get(engine, &key("b", 1)).await, Some(with_n("b", 1, 1)));
}

/// Each of several tasks raises a counter again and again, by reading it and guarding its write.
pub(crate) async fn concurrent_guarded_writes_lose_none(t: EngineUnderTest) {
    const TASKS: i64 = 4;
    const TIMES: i64 = 10;
    let raise = |engine: Arc<dyn Engine>| async move {
        for _ in 0..TIMES {
            loop {
                let found = get(&*engine, &key("counter", 1)).await;
                let before = match found.as_ref().and_then(|item| item.get("n")) {
                    Some(Value::Number(n)) => Some(n.parse::<i64>().unwrap()),
                    _ => None,
                };
                let same = before.map_or(Comparison::Absent, |n| Comparison::Equal(number(n)));
                let write = guarded_put(
                    with_n("counter", 1, before.unwrap_or_default() + 1),
                    guard("n", same, Otherwise::Rerun),
                );
                match engine.commit(commit(vec![write])).await {
                    Ok(_) => break,
                    Err(CommitError::Conflict) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(raise(Arc::clone(&t.engine)))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(get(&*t.engine, &key("counter", 1)).await, Some(with_n("counter", 1, TASKS * TIMES)));
}

pub(crate) async fn what_can_never_work_is_refused_by_index_and_nothing_is_written(t: EngineUnderTest) {
    let engine = &*t.engine;
    let long = "x".repeat(2049);
    let bad = [
        ("a missing sort key", put(item([("pk", text("a"))]))),
        ("an empty key", put(item([("pk", text("")), ("sk", number(1))]))),
        ("a key of a type that cannot be one", put(item([("pk", Value::Boolean(true)), ("sk", number(1))]))),
        ("a key that is too long", put(item([("pk", text(&long)), ("sk", number(1))]))),
        ("39 digits", put(item([("pk", text("a")), ("sk", number(1)), ("n", number("1".repeat(39)))]))),
        ("no number", put(item([("pk", text("a")), ("sk", number(1)), ("n", number("one"))]))),
        ("a change of a key", update(key("a", 1), [("sk", AttributeChange::Set(number(2)))])),
        (
            "more than a key",
            Action::Delete(DeleteItem { table: TABLE.to_owned(), key: with_n("a", 1, 1), guard: None }),
        ),
        (
            "an index key of a wrong type",
            put(item([("pk", text("a")), ("sk", number(1)), ("color", Value::Null), ("n", number(1))])),
        ),
    ];
    for (what, action) in bad {
        let answer = engine.commit(commit(vec![put(with_n("good", 1, 1)), action])).await;
        let Err(CommitError::Refused(refused)) = answer else { panic!("{what}: {answer:?}") };
        assert_eq!(refused.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [1], "{what}: {refused:?} ({INDEX})");
        assert!(refused.iter().all(|(_, why)| !why.is_empty()), "{what}");
    }
    engine.commit(commit(vec![put(item([("pk", text("t")), ("sk", number(1)), ("x", text("x"))]))])).await.unwrap();
    let answer = engine
        .commit(commit(vec![put(with_n("good", 1, 1)), update(key("t", 1), [("x", AttributeChange::Add("1".into()))])]))
        .await;
    assert!(
        matches!(&answer, Err(CommitError::Refused(refused)) if refused.len() == 1 && refused[0].0 == 1),
        "{answer:?}"
    );
    assert_eq!(get(engine, &key("good", 1)).await, None);
}

pub(crate) async fn an_unknown_table_is_refused_by_index_and_nothing_is_written(t: EngineUnderTest) {
    let engine = &*t.engine;
    let unknown = Action::Put(PutItem { table: "no-such-table".to_owned(), item: with_n("a", 1, 1), guard: None });
    let answer = engine.commit(commit(vec![put(with_n("good", 1, 1)), unknown])).await;
    assert!(
        matches!(&answer, Err(CommitError::Refused(refused)) if refused.len() == 1 && refused[0].0 == 1),
        "{answer:?}"
    );
    assert_eq!(get(engine, &key("good", 1)).await, None);
}
