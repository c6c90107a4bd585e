//! No event is lost and none counts twice: real input through file, etl, table, table stream and aggregate.

use super::router::Router;
use super::samples;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const REQUESTS: &str = r#"
version = 1
[engine]
path = "data"
[source.requests]
kind = "file"
path = "requests.jsonl"
[table.requests]
kind = "embedded"
partition_key = "pk"
sort_key = "sk"
[[route]]
name = "requests"
source = "requests"
plugin = "PLUGINS/etl.wasm"
tables = ["requests"]
config = { table = "requests", key = { pk = "path#{path}", sk = "{timestamp}" } }
"#;

const TOTALS: &str = r#"
version = 1
[engine]
path = "data"
[source.orders]
kind = "file"
path = "orders.jsonl"
[table.orders]
kind = "embedded"
partition_key = "order_id"
changes = true
[source.order-changes]
kind = "table-changes"
table = "orders"
[table.totals]
kind = "embedded"
partition_key = "order_date"
sort_key = "item_number"
[[route]]
name = "orders"
source = "orders"
plugin = "PLUGINS/etl.wasm"
tables = ["orders"]
batch_size = 20
config = { table = "orders", key = { order_id = "{order_id}" } }
[[route]]
name = "totals"
source = "order-changes"
plugin = "PLUGINS/aggregate.wasm"
tables = ["totals"]
batch_size = 25
[route.config]
table = "totals"
key = { order_date = "{order_date:date}", item_number = "{item_id}" }
sum = { quantity = "quantity" }
count = "orders"
"#;

#[test]
fn every_web_request_becomes_an_item_with_every_field() {
    for (name, requests) in samples::requests() {
        let mut router = Router::new(REQUESTS);
        router.write("requests.jsonl", &requests);
        router.spawn(&["--until-idle"]);
        assert_eq!(router.wait(), 0, "{name}: {}", router.log());
        let mut items = router.scan("requests");
        assert_eq!(items.len(), requests.lines().count(), "{name}");
        let mut expected: Vec<Value> = requests
            .lines()
            .map(|line| {
                let mut record: Value = serde_json::from_str(line).unwrap();
                record["pk"] = format!("path#{}", record["path"].as_str().unwrap()).into();
                record["sk"] = record["timestamp"].clone();
                record
            })
            .collect();
        let key = |item: &Value| (item["pk"].as_str().unwrap().to_owned(), item["sk"].as_str().unwrap().to_owned());
        items.sort_by_key(key);
        expected.sort_by_key(key);
        assert_eq!(items, expected, "{name}");
        // A second run has nothing to do.
        router.spawn(&["--until-idle"]);
        assert_eq!(router.wait(), 0);
        assert_eq!(router.scan("requests").len(), expected.len());
    }
}

#[test]
fn totals_equal_the_truth() {
    for (name, orders) in samples::orders() {
        let mut router = Router::new(TOTALS);
        router.write("orders.jsonl", &orders);
        router.spawn(&["--until-idle"]);
        assert_eq!(router.wait(), 0, "{name}: {}", router.log());
        assert_eq!(router.scan("orders").len(), orders.lines().count(), "{name}");
        assert_eq!(samples::totals_in(&router.scan("totals")), samples::totals(&orders), "{name}");
    }
}

#[test]
fn totals_equal_the_truth_though_the_process_is_killed_again_and_again() {
    let seed = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() & 0xffff_ffff).unwrap();
    let mut random = seed;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for (name, orders) in samples::orders() {
        // Sharding by key keeps the same guarantees.
        let split = TOTALS.replace("batch_size = 25", "batch_size = 9\nparallelization_factor = 3");
        let mut router = Router::new(&split);
        router.write("orders.jsonl", &orders);
        let mut kills = 0;
        loop {
            router.spawn(&["--until-idle"]);
            let life = Duration::from_millis(20 + next(if kills < 30 { 200 } else { 60_000 }));
            let born = std::time::Instant::now();
            while router.alive() && born.elapsed() < life {
                std::thread::sleep(Duration::from_millis(1));
            }
            if !router.alive() {
                assert_eq!(router.wait(), 0, "{name}, seed {seed}: {}", router.log());
                break;
            }
            router.signal("KILL");
            kills += 1;
        }
        println!("{name}: killed {kills} times, seed {seed}");
        assert!(kills > 0, "the process was never killed");
        assert_eq!(samples::totals_in(&router.scan("totals")), samples::totals(&orders), "{name}, seed {seed}");
        assert_eq!(router.scan("orders").len(), orders.lines().count(), "{name}, seed {seed}");
        router.ok(&["audit"]);
    }
}

const LATEST: &str = r#"
version = 1
[engine]
path = "data"
[source.updates]
kind = "stream"
partitions = 1
[table.latest]
kind = "embedded"
partition_key = "pk"
[[route]]
name = "latest"
source = "updates"
plugin = "PLUGINS/etl.wasm"
tables = ["latest"]
batch_size = 7
parallelization_factor = 4
config = { table = "latest", key = { pk = "{key}" } }
"#;

#[test]
fn keys_of_a_lane_are_handled_side_by_side_and_each_in_order() {
    let mut router = Router::new(LATEST);
    let updates: String = (0..2_000).map(|n| format!("{{\"key\": \"k{}\", \"n\": {n}}}\n", n * n % 13)).collect();
    router.write("updates.jsonl", updates);
    router.ok(&["send", "updates", "updates.jsonl", "--key", "key"]);
    router.spawn(&["--until-idle"]);
    assert_eq!(router.wait(), 0, "{}", router.log());
    let last = |key: &str| (0..2_000).rev().find(|n| format!("k{}", n * n % 13) == key);
    let items = router.scan("latest");
    assert_eq!(items.len(), 7, "the squares modulo 13");
    assert!(items.iter().all(|item| item["n"].as_i64() == last(item["key"].as_str().unwrap())), "{items:#?}");
}
