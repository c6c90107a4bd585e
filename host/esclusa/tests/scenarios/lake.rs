//! Parquet files that DuckDB and PyArrow read.

use super::router::{Router, python};
use super::samples;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const LAKE: &str = r#"
version = 1
[engine]
path = "data"
[source.orders]
kind = "file"
path = "orders.jsonl"
[objects.lake]
kind = "directory"
path = "lake"
[[route]]
name = "lake"
source = "orders"
plugin = "PLUGINS/parquet.wasm"
objects = ["lake"]
batch_size = 700
[route.config]
store = "lake"
path = "orders/{batch}.parquet"
columns = { order_id = "string", order_date = "timestamp[s]", item_id = "string", quantity = "int64" }
"#;

const QUERY: &str = r#"
import duckdb, glob, json, pyarrow.parquet as pq, sys
files = sorted(glob.glob(sys.argv[1] + "/**/*.parquet", recursive=True))
count, total, first = duckdb.sql(
    f"select count(*), sum(quantity)::bigint, strftime(min(order_date), '%Y-%m-%dT%H:%M:%SZ') from read_parquet({files})"
).fetchone()
tables = [pq.read_table(f) for f in files]
arrow = sum(t.num_rows for t in tables)
names = tables[0].schema.names
print(json.dumps({"count": count, "total": total, "first": first, "arrow": arrow, "names": names, "files": len(files)}))
"#;

fn query(lake: &Path) -> Value {
    let output = Command::new(python()).args(["-c", QUERY]).arg(lake).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn duckdb_and_pyarrow_count_and_sum_the_files() {
    for (name, orders) in samples::orders() {
        let mut router = Router::new(LAKE);
        router.write("orders.jsonl", &orders);
        router.spawn(&["--until-idle"]);
        assert_eq!(router.wait(), 0, "{name}: {}", router.log());
        let found = query(&router.path("lake"));
        let orders: Vec<Value> = orders.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let total: i64 = orders.iter().map(|o| o["quantity"].as_i64().unwrap()).sum();
        let first = orders.iter().map(|o| o["order_date"].as_str().unwrap()).min().unwrap();
        assert_eq!(found["count"], orders.len(), "{name}");
        assert_eq!(found["arrow"], orders.len(), "{name}");
        assert_eq!(found["total"], total, "{name}");
        assert_eq!(found["first"], first, "{name}");
        assert_eq!(found["names"], serde_json::json!(["order_id", "order_date", "item_id", "quantity"]));
        assert_eq!(found["files"], orders.len().div_ceil(700), "{name}: a file per batch");
    }
}

#[test]
fn no_row_is_lost_or_doubled_though_the_process_is_killed() {
    let (_, orders) = samples::orders().remove(0);
    let mut router = Router::new(&LAKE.replace("batch_size = 700", "batch_size = 15"));
    router.write("orders.jsonl", &orders);
    let files = |router: &Router| std::fs::read_dir(router.path("lake/orders")).map_or(0, Iterator::count);
    let mut kills = 0;
    // A file that was just written is the moment that counts: its commit may or may not have come.
    for more in [1, 2, 1, 3, 1, 5, 2, 1, 4, 1] {
        let before = files(&router);
        router.spawn(&["--until-idle"]);
        while router.alive() && files(&router) < before + more {
            std::thread::yield_now();
        }
        if !router.alive() {
            assert_eq!(router.wait(), 0, "{}", router.log());
            break;
        }
        // The router may have ended by itself between the look at its files and the signal: that is no kill.
        match router.signal("KILL") {
            0 => break,
            code => assert_eq!(code, -1, "killed, not failed: {}", router.log()),
        }
        kills += 1;
    }
    assert!(kills > 1, "the router was done before it was killed: {kills} kills");
    router.spawn(&["--until-idle"]);
    assert_eq!(router.wait(), 0, "{}", router.log());
    assert_eq!(query(&router.path("lake"))["count"], orders.lines().count());
}
