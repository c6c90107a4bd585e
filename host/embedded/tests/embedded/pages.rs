//! Pages of tables: their tokens belong to one table.

use super::schema::{commit, item, number, put, schema, text};
use esclusa_embedded::Store;
use esclusa_flow::engine::Engine;
use esclusa_flow::reads::{ReadError, TableScan};
use proptest::prelude::*;

fn scan(table: &str, token: Option<String>) -> TableScan {
    TableScan { table: table.to_owned(), token, limit: Some(2) }
}

#[tokio::test]
async fn a_token_of_another_table_is_invalid() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let row = |sk: i64| item([("pk", text("a")), ("sk", number(sk))]);
    let puts = (0..5).flat_map(|sk| [put("plain", row(sk), None), put("things", row(sk), None)]);
    store.commit(commit(puts.collect())).await.unwrap();
    let reads = store.reads();
    let token = reads.scan(&scan("plain", None)).await.unwrap().next.unwrap();
    assert_eq!(reads.scan(&scan("plain", Some(token.clone()))).await.unwrap().items, [row(2), row(3)]);
    let answer = reads.scan(&scan("things", Some(token.clone()))).await;
    assert!(matches!(answer, Err(ReadError::Invalid(_))), "{answer:?}");
    drop((reads, store));
    let store = Store::open(dir.path(), schema()).unwrap();
    assert_eq!(
        store.reads().scan(&scan("plain", Some(token))).await.unwrap().items.len(),
        2,
        "it outlives the process"
    );
}

#[test]
fn any_token_gives_items_of_its_table_or_is_invalid() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), schema()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let row = |sk: i64| item([("pk", text("a")), ("sk", number(sk))]);
    runtime.block_on(store.commit(commit((0..5).map(|sk| put("plain", row(sk), None)).collect()))).unwrap();
    let reads = store.reads();
    let mut runner = proptest::test_runner::TestRunner::default();
    let tokens = prop_oneof![any::<String>(), "[A-Za-z0-9_-]{0,40}"];
    let checked = runner.run(&tokens, |token| {
        let answer = runtime.block_on(reads.scan(&scan("plain", Some(token))));
        prop_assert!(matches!(answer, Err(ReadError::Invalid(_))), "{:?}", answer);
        Ok(())
    });
    checked.unwrap();
}
