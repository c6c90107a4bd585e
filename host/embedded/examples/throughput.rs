//! How many items a second are committed durably: `cargo run --release -p esclusa-embedded --example throughput`.
//!
//! Arguments: lanes, batches of 1,000 items per lane, kind (`plain`, `indexed`, `changes`). Prints items per second
//! and the memory that the process uses before and after.

use esclusa_embedded::{Store, StoreSchema};
use esclusa_flow::batch::Token;
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::Handler;
use esclusa_flow::effect::{Action, PutItem};
use esclusa_flow::engine::{Commit, Engine, Progress};
use esclusa_flow::item::{Item, Value};
use esclusa_flow::retry::mix;
use esclusa_flow::settings::{KeySchema, TableSchema};
use std::sync::Arc;
use std::time::Instant;

const BATCH: u64 = 1000;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let lanes: u64 = arguments.next().map_or(Ok(2), |a| a.parse())?;
    let batches: u64 = arguments.next().map_or(Ok(500), |a| a.parse())?;
    let kind = arguments.next().unwrap_or_else(|| "plain".to_owned());
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path(), schema(&kind))?;
    println!("idle: {} MB", resident());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let start = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..lanes).map(|lane| tokio::spawn(run(store.clone(), lane, batches))).collect();
        for task in tasks {
            task.await??;
        }
        anyhow::Ok(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let items = lanes * batches * BATCH;
    println!("{kind}, {lanes} lanes: {:.0} items/s ({items} items in {seconds:.2} s)", items as f64 / seconds);
    println!("after: {} MB", resident());
    store.close();
    Ok(())
}

fn schema(kind: &str) -> StoreSchema {
    let key = |partition: &str, sort: &str| KeySchema { partition: partition.to_owned(), sort: Some(sort.to_owned()) };
    let indexes = match kind {
        "indexed" => [("by-status".to_owned(), key("status", "sk"))].into(),
        _ => Default::default(),
    };
    let table = TableSchema { key: key("pk", "sk"), indexes, changes: kind == "changes", ttl: None };
    StoreSchema { tables: [("t".to_owned(), table)].into(), ..StoreSchema::default() }
}

async fn run(store: Store, lane: u64, batches: u64) -> anyhow::Result<()> {
    let name: Arc<str> = lane.to_string().into();
    for batch in 0..batches {
        let actions = (0..BATCH)
            .map(|i| Action::Put(PutItem { table: "t".to_owned(), item: item(lane, batch * BATCH + i), guard: None }));
        let commit = Commit {
            actions: actions.collect(),
            progress: Progress::Position {
                from: (batch > 0).then_some(Token::Offset(batch)),
                to: Token::Offset(batch + 1),
            },
            counts: Counts { done: BATCH, ..Counts::default() },
            ..Commit::empty("bench".into(), "bench".into(), Arc::clone(&name), Handler::default())
        };
        store.commit(commit).await?;
    }
    Ok(())
}

/// About 250 bytes in nine attributes, keyed like the items of a request log.
fn item(lane: u64, n: u64) -> Item {
    let random = mix(n ^ (lane << 48));
    let text = |value: String| Value::Text(value);
    [
        ("pk", text(format!("path#/shop/item/{:05}", random % 20_000))),
        (
            "sk",
            text(format!(
                "2026-11-22T{:02}:{:02}:{:02}.{:03}Z#{lane}-{n}",
                n / 3_600_000 % 24,
                n / 60_000 % 60,
                n / 1000 % 60,
                n % 1000
            )),
        ),
        ("method", text("GET".to_owned())),
        ("status", Value::Number((200 + random % 5).to_string())),
        ("bytes", Value::Number((random % 100_000).to_string())),
        ("agent", text("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36".to_owned())),
        ("referrer", text("https://example.org/shop/cart?from=newsletter".to_owned())),
        ("cached", Value::Boolean(random.is_multiple_of(2))),
        ("address", text(format!("198.51.100.{}", random % 256))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Memory of the process in MB, if the system reports it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default()
        / 1024
}
