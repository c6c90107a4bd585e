//! What every engine promises of reads of many items: by their keys, and page by page.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a suite panics where a promise is broken"
)]

use super::building::{EngineUnderTest, TABLE, commit, delete, item, key, number, put, sks, text, with_n};
use esclusa_flow::engine::Engine;
use esclusa_flow::item::Item;
use esclusa_flow::reads::{KEYS, PAGE_BYTES, ReadError, TableScan};
use esclusa_flow::settings::KeySchema;

fn large(sk: i64, bytes: usize) -> Item {
    item([("pk", text("a")), ("sk", number(sk)), ("x", text(&"x".repeat(bytes)))])
}

fn scan(token: Option<String>, limit: Option<u32>) -> TableScan {
    TableScan { table: TABLE.to_owned(), token, limit }
}

/// All pages of the table.
async fn pages(engine: &dyn Engine, limit: Option<u32>) -> Vec<Vec<Item>> {
    let (reads, mut pages, mut token) = (engine.reads(), Vec::new(), None);
    loop {
        let page = reads.scan(&scan(token, limit)).await.unwrap();
        pages.push(page.items);
        token = page.next;
        if token.is_none() {
            return pages;
        }
    }
}

pub(crate) async fn a_table_says_its_key_attributes(t: EngineUnderTest) {
    let reads = t.engine.reads();
    let expected = KeySchema { partition: "pk".to_owned(), sort: Some("sk".to_owned()) };
    assert_eq!(reads.key_of(TABLE).await, Ok(expected));
    let unknown = reads.key_of("no-such-table").await;
    assert!(matches!(unknown, Err(ReadError::Invalid(_))), "{unknown:?}");
}

pub(crate) async fn many_items_come_in_the_order_of_their_keys(t: EngineUnderTest) {
    let engine = &*t.engine;
    engine.commit(commit((0..60).map(|sk| put(with_n("a", sk, sk))).collect())).await.unwrap();
    let reads = engine.reads();
    let keys: Vec<_> = (0..KEYS as i64).rev().map(|sk| key("a", sk)).collect();
    let found = reads.get_many(TABLE, &keys).await.unwrap();
    let expected: Vec<_> = (0..KEYS as i64).rev().map(|sk| (sk < 60).then(|| with_n("a", sk, sk))).collect();
    assert_eq!(found, expected);
    // Twice the same key, also if it is written in another way.
    let one = item([("pk", text("a")), ("sk", number("1.0"))]);
    let found = reads.get_many(TABLE, &[key("a", 1), key("b", 1), one, key("a", 1)]).await.unwrap();
    let first = Some(with_n("a", 1, 1));
    assert_eq!(found, [first.clone(), None, first.clone(), first]);
    assert_eq!(reads.get_many(TABLE, &[]).await, Ok(Vec::new()));
    for wrong in [item([("pk", text("a"))]), item([("pk", text("a")), ("sk", text("1")), ("n", number(1))])] {
        let answer = reads.get_many(TABLE, &[key("a", 1), wrong]).await;
        assert!(matches!(answer, Err(ReadError::Invalid(_))), "{answer:?}");
    }
}

pub(crate) async fn many_items_that_are_too_large_together_are_invalid(t: EngineUnderTest) {
    let engine = &*t.engine;
    engine.commit(commit(vec![put(large(1, 390 << 10))])).await.unwrap();
    let (reads, keys) = (engine.reads(), vec![key("a", 1); KEYS]);
    let all = reads.get_many(TABLE, &keys).await;
    let Err(ReadError::Invalid(why)) = all else { panic!("{}", all.map_or(0, |all| all.len())) };
    assert!(why.contains("more than 16 MiB"), "{why}");
    assert_eq!(reads.get_many(TABLE, &keys[..40]).await.unwrap().len(), 40);
}

pub(crate) async fn a_scan_gives_every_item_once(t: EngineUnderTest) {
    let engine = &*t.engine;
    assert_eq!(pages(engine, None).await, [Vec::<Item>::new()]);
    for chunk in (0..250).collect::<Vec<i64>>().chunks(90) {
        engine.commit(commit(chunk.iter().map(|sk| put(with_n("a", *sk, 0))).collect())).await.unwrap();
    }
    for limit in [None, Some(1_000), Some(250), Some(100), Some(7)] {
        let pages = pages(engine, limit).await;
        let most = limit.unwrap_or(1_000) as usize;
        assert!(pages.iter().all(|page| page.len() <= most), "{limit:?}");
        let all = pages.concat();
        assert_eq!(sks(&all), (0..250).map(|sk| sk.to_string()).collect::<Vec<_>>(), "{limit:?}");
    }
}

pub(crate) async fn a_page_ends_after_about_a_mebibyte(t: EngineUnderTest) {
    let engine = &*t.engine;
    for sk in 0..8 {
        engine.commit(commit(vec![put(large(sk, 300 << 10))])).await.unwrap();
    }
    let pages = pages(engine, None).await;
    assert_eq!(sks(&pages.concat()).len(), 8);
    for page in &pages {
        let bytes: usize = page.iter().map(Item::size).sum();
        assert!(bytes < PAGE_BYTES + (400 << 10), "{bytes}");
    }
    assert!(pages.len() >= 2);
}

pub(crate) async fn a_scan_goes_on_where_its_token_says(t: EngineUnderTest) {
    let engine = &*t.engine;
    engine.commit(commit((0..5).map(|sk| put(with_n("a", sk, 0))).collect())).await.unwrap();
    let first = engine.reads().scan(&scan(None, Some(2))).await.unwrap();
    assert_eq!(sks(&first.items), ["0", "1"]);
    // The item that the token names need not be there any more.
    engine.commit(commit(vec![delete(key("a", 1)), delete(key("a", 2)), put(with_n("a", 7, 0))])).await.unwrap();
    let rest = engine.reads().scan(&scan(first.next, None)).await.unwrap();
    assert_eq!(sks(&rest.items), ["3", "4", "7"]);
}

pub(crate) async fn a_token_that_no_page_gave_is_invalid(t: EngineUnderTest) {
    let engine = &*t.engine;
    engine.commit(commit((0..5).map(|sk| put(with_n("a", sk, 0))).collect())).await.unwrap();
    let reads = engine.reads();
    let token = reads.scan(&scan(None, Some(2))).await.unwrap().next.unwrap();
    let cut = (0..token.len()).map(|at| token[..at].to_owned());
    let made_up = ["AAAA", "é", "{\"pk\":{\"S\":\"a\"}}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "="].map(str::to_owned);
    for wrong in cut.chain(made_up).chain([format!("{token}A"), format!("A{token}")]) {
        let answer = reads.scan(&scan(Some(wrong.clone()), None)).await;
        assert!(matches!(answer, Err(ReadError::Invalid(_))), "{wrong:?}: {answer:?}");
    }
}
