//! Reads of many items, of pages and of objects, while the service answers in part or not at all.

use super::building::{Make, TABLE, bench, clients, commit, create, key, put, with_n};
use super::faulty::{self, Fate, Seen};
use super::objects::lake;
use esclusa_flow::engine::Engine as _;
use esclusa_flow::reads::{ObjectList, ObjectRead, ReadError, TableScan};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

/// An answer that leaves all keys but the first unread.
fn one_of(seen: &Seen) -> Fate {
    let asked: Value = serde_json::from_str(&seen.body).unwrap();
    let (table, asked) = asked["RequestItems"].as_object().unwrap().iter().next().unwrap();
    let keys = asked["Keys"].as_array().unwrap();
    let rest = json!({ "Keys": keys[1..], "ConsistentRead": true });
    let mut first = keys[0].clone();
    first["n"] = json!({ "N": "7" });
    Fate::Answer(200, json!({ "Responses": { table: [first] }, "UnprocessedKeys": { table: rest } }).to_string())
}

#[tokio::test]
async fn keys_that_an_answer_leaves_unread_are_asked_for_again() {
    let count = AtomicU32::new(0);
    let partial = move |seen: &Seen| match (seen.what.as_str(), count.fetch_add(1, Ordering::Relaxed)) {
        ("BatchGetItem", 0..=3) => one_of(seen),
        _ => Fate::Pass,
    };
    let table = create(&clients().await).await;
    let writer = Make::default().over(&clients().await, TABLE, &table);
    writer.engine.commit(commit((0..4).map(|sk| put(with_n("a", sk, 7))).collect(), 4)).await.unwrap();
    let (faulty, log) = faulty::clients(partial).await;
    let reader = Make::default().over(&faulty, TABLE, &table);
    let keys: Vec<_> = [3, 0, 3, 9, 2, 1, 0].map(|sk| key("a", sk)).into();
    let found = reader.engine.reads().get_many(TABLE, &keys).await.unwrap();
    let expected = [3, 0, 3, 9, 2, 1, 0].map(|sk| (sk != 9).then(|| with_n("a", sk, 7)));
    assert_eq!(found, expected);
    let asked: Vec<_> = log.of("BatchGetItem").iter().map(|seen| seen.body.matches("\"sk\"").count()).collect();
    assert_eq!(asked.first(), Some(&5), "each key once: {asked:?}");
    assert!(asked.len() > 2 && asked.is_sorted_by(|a, b| a >= b) && asked.contains(&4), "{asked:?}");
}

#[tokio::test]
async fn a_token_of_another_table_is_invalid() {
    let (one, other) = (bench(&clients().await).await, bench(&clients().await).await);
    for bench in [&one, &other] {
        bench.engine.commit(commit((0..4).map(|sk| put(with_n("a", sk, 7))).collect(), 4)).await.unwrap();
    }
    let scan = |token| TableScan { table: TABLE.to_owned(), token, limit: Some(2) };
    let token = one.engine.reads().scan(&scan(None)).await.unwrap().next;
    assert!(token.is_some());
    assert_eq!(one.engine.reads().scan(&scan(token.clone())).await.unwrap().items.len(), 2);
    let answer = other.engine.reads().scan(&scan(token)).await;
    assert!(matches!(answer, Err(ReadError::Invalid(_))), "{answer:?}");
}

fn asked(path: &str) -> ObjectRead {
    ObjectRead { store: "lake".to_owned(), path: path.to_owned(), range: None }
}

#[tokio::test]
async fn an_object_that_may_not_be_read_is_unavailable_and_not_absent() {
    let denied = |seen: &Seen| match seen.what.starts_with("GET") {
        true => Fate::Answer(403, "<Error><Code>AccessDenied</Code></Error>".to_owned()),
        false => Fate::Pass,
    };
    let (faulty, _) = faulty::clients(denied).await;
    let lake = lake(&faulty, "lake").await;
    let answer = lake.engine.reads().object(&asked("a")).await;
    assert!(matches!(&answer, Err(ReadError::Unavailable(why)) if why.contains("raw/a") && why.contains("allow it")));
    let list = ObjectList { store: "lake".to_owned(), ..ObjectList::default() };
    let answer = lake.engine.reads().objects(&list).await;
    assert!(matches!(&answer, Err(ReadError::Unavailable(why)) if why.contains("list s3://")), "{answer:?}");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_unavailable_and_not_an_absent_object() {
    let missing = |seen: &Seen| match seen.what.starts_with("GET") {
        true => Fate::Answer(404, "<Error><Code>NoSuchBucket</Code></Error>".to_owned()),
        false => Fate::Pass,
    };
    let (faulty, _) = faulty::clients(missing).await;
    let lake = lake(&faulty, "lake").await;
    let answer = lake.engine.reads().object(&asked("a")).await;
    assert!(matches!(&answer, Err(ReadError::Unavailable(why)) if why.contains("create it")), "{answer:?}");
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let count = AtomicU32::new(0);
    let busy = move |seen: &Seen| match (seen.what.starts_with("GET"), count.fetch_add(1, Ordering::Relaxed)) {
        (true, 0..=2) => Fate::Answer(503, "<Error><Code>SlowDown</Code></Error>".to_owned()),
        _ => Fate::Pass,
    };
    let (faulty, _) = faulty::clients(busy).await;
    let lake = lake(&faulty, "lake").await;
    assert_eq!(lake.engine.reads().object(&asked("a")).await, Ok(None));
}
