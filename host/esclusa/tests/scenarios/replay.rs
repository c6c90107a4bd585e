//! `esclusa replay`: makes the tables of a route again from its source, as of any moment, and changes nothing else.

use super::router::{Router, guests, server};
use super::samples;
use esclusa_embedded::{Store, StoreSchema, StreamSchema};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

const ORDERS: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.orders]
kind = "stream"
partitions = 3
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
[output.told]
kind = "stream"
[[route]]
name = "orders"
source = "orders"
plugin = "PLUGINS/etl.wasm"
tables = ["orders"]
config = { table = "orders", key = { order_id = "{order_id}" } }
[[route]]
name = "totals"
source = "order-changes"
filter = { eventName = ["INSERT", "MODIFY"] }
plugin = "PLUGINS/aggregate.wasm"
tables = ["totals"]
batch_size = 25
max_record_age = "60s"
[route.config]
table = "totals"
key = { order_date = "{order_date:date}", item_number = "{item_id}" }
sum = { quantity = "quantity" }
count = "orders"
[[route]]
name = "alerts"
source = "orders"
plugin = "PLUGINS/alert.wasm"
tables = ["totals"]
outputs = ["told"]
[[route.config.rule]]
name = "many"
output = "told"
message = "{order_id}"

# What is made again.
[table.orders-again]
kind = "embedded"
partition_key = "order_id"
[table.totals-again]
kind = "embedded"
partition_key = "order_date"
sort_key = "item_number"
[table.totals-then]
kind = "embedded"
partition_key = "order_date"
sort_key = "item_number"
[table.otherwise]
kind = "embedded"
partition_key = "no_field_of_orders"
"#;

/// A router that has handled the orders in two halves. Also the totals after the first half, and a time between the
/// halves.
fn handled() -> (Router, Vec<Value>, String) {
    let (_, orders) = samples::orders().into_iter().next().unwrap();
    let lines: Vec<&str> = orders.lines().take(600).collect();
    let (first, second) = lines.split_at(300);
    let router = Router::new(ORDERS);
    router.ok(&["run", "--until-idle"]);
    router.write("first.jsonl", first.join("\n"));
    router.ok(&["send", "orders", "first.jsonl", "--key", "item_id"]);
    router.ok(&["run", "--until-idle"]);
    let then = router.scan("totals");
    let moment = now();
    while now() == moment {}
    router.write("bad.txt", "this is no order");
    router.ok(&["send", "orders", "bad.txt", "--raw"]);
    router.write("second.jsonl", second.join("\n"));
    router.ok(&["send", "orders", "second.jsonl", "--key", "item_id"]);
    router.ok(&["run", "--until-idle"]);
    (router, then, moment)
}

fn now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The standard error of a command that ends with this code.
fn refused(router: &Router, code: i32, args: &[&str]) -> String {
    let output = router.run(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said
}

#[test]
fn a_rebuilt_table_equals_the_one_of_the_route_now_and_as_of_any_moment() {
    let (router, then, moment) = handled();
    let (orders, totals) = (router.scan("orders"), router.scan("totals"));
    let audit = router.ok(&["audit", "--json"]);
    assert!(orders.len() == 600 && then != totals);
    let replay = |args: &[&str]| router.ok(&[&["replay"], args].concat());

    let said = replay(&["totals", "--from", "TRIM_HORIZON", "--into", "totals-again"]);
    assert!(said.starts_with("600 events replayed into totals-again ("), "{said}");
    assert_eq!(router.scan("totals-again"), totals);

    let said = replay(&["orders", "--from", "TRIM_HORIZON", "--into", "orders=orders-again"]);
    assert_eq!(
        said.trim(),
        "600 events replayed into orders-again (600 effects); left out: 1 events that the plugin rejects"
    );
    assert_eq!(router.scan("orders-again"), orders);

    let until = ["totals", "--from", "TRIM_HORIZON", "--until", &moment, "--into", "totals-then", "--json"];
    let told: Value = serde_json::from_str(&replay(&until)).unwrap();
    assert_eq!(told["events"], 300, "{told}");
    assert_eq!(told["left_out"]["filtered"], 300, "{told}");
    assert_eq!(router.scan("totals-then"), then);

    // The positions and counts of the routes are unchanged, and they have nothing to do.
    assert_eq!(router.ok(&["audit", "--json"]), audit);
    router.ok(&["run", "--until-idle"]);
    assert_eq!(router.ok(&["audit", "--json"]), audit);
    assert_eq!(router.scan("totals"), totals);
}

#[test]
fn a_replay_can_begin_at_a_time_and_carries_out_no_messages() {
    let (router, _, moment) = handled();
    let told = |args: &[&str]| -> Value {
        let all = [&["replay"], args, &["--json"]].concat();
        serde_json::from_str(&router.ok(&all)).unwrap()
    };
    let second = told(&["orders", "--from", &moment, "--into", "orders-again"]);
    assert!(second["events"] == 300 && second["effects"] == 300, "{second}");
    assert_eq!(router.scan("orders-again").len(), 300);
    let alerts = told(&["alerts", "--from", "TRIM_HORIZON", "--into", "totals-again"]);
    assert!(alerts["effects"] == 0 && alerts["left_out"]["messages"] == 600, "{alerts}");
}

#[test]
fn what_cannot_be_replayed_is_refused_before_anything_is_written() {
    let mut router = Router::new(&format!("{ORDERS}{}", EXTRA.replace("orders.jsonl", "first.jsonl")));
    router.write("first.jsonl", "{\"order_id\": \"1\", \"item_id\": \"a\"}\n");
    router.ok(&["run", "--until-idle"]);
    router.ok(&["send", "orders", "first.jsonl"]);
    router.ok(&["run", "--until-idle"]);
    let replay = |router: &Router, code, args: &[&str]| refused(router, code, &[&["replay"], args].concat());
    let from = ["--from", "TRIM_HORIZON"];
    for (route, into, why) in [
        ("nobody", "orders-again", "there is no route \"nobody\"; routes.toml has orders, totals, alerts"),
        ("orders", "nothing", "there is no table \"nothing\"; routes.toml has orders, "),
        ("orders", "totals=totals-again", "route orders has no table \"totals\": it has orders"),
        ("both", "totals-again", "route both writes orders, totals: say which one is meant, as in --into orders="),
        ("totals", "orders", "route orders is granted table \"orders\": name a table that no route uses"),
        ("silent", "orders-again", "route silent has no table"),
        ("queued", "orders-again", "source \"jobs\" of kind queue does not keep events that were handled"),
    ] {
        let code = if route == "nobody" || into == "nothing" { 1 } else { 2 };
        let said = replay(&router, code, &[&[route], &from[..], &["--into", into]].concat());
        assert!(said.contains(why), "{route} {into}: {said}");
    }
    let timed = ["lines", "--from", "TRIM_HORIZON", "--until", "2026-01-31T12:00:00Z", "--into", "orders-again"];
    assert!(replay(&router, 2, &timed).contains("the lines of a file have no time"));
    let backwards = ["--from", "2026-01-31T12:00:00Z", "--until", "2026-01-31T11:59:59Z", "--into", "orders-again"];
    let said = replay(&router, 2, &[&["orders"], &backwards[..]].concat());
    assert!(said.contains("--from is later than --until"), "{said}");
    let again = [&["orders"], &from[..], &["--into", "orders-again"]].concat();
    router.ok(&[&["replay"], &again[..]].concat());
    let full = replay(&router, 1, &again);
    assert!(full.contains("table \"orders-again\" is not empty"), "{full}");
    let failed = replay(&router, 1, &[&["orders"], &from[..], &["--into", "otherwise"]].concat());
    assert!(failed.contains("route orders: event ") && failed.contains("\"no_field_of_orders\""), "{failed}");
    router.start();
    let busy = replay(&router, 1, &[&["orders"], &from[..], &["--into", "orders-again"]].concat());
    assert!(busy.contains("its store can be open in one process only: stop the router"), "{busy}");
}

#[test]
fn events_that_the_source_has_trimmed_are_missed_aloud() {
    let again = |name: &str| format!("[table.{name}]\nkind = \"embedded\"\npartition_key = \"order_id\"\n");
    let router = Router::new(&[ORDERS, &again("second"), &again("third")].concat());
    let send = |name: &str, orders: std::ops::Range<u32>| {
        router.write(
            name,
            orders.map(|n| format!("{{\"order_id\": \"{n}\", \"item_id\": \"a\"}}\n")).collect::<String>(),
        );
        router.ok(&["send", "orders", name, "--key", "item_id"]);
    };
    send("old.jsonl", 0..30);
    let replay = ["replay", "orders", "--from", "TRIM_HORIZON", "--json", "--into"];
    let told = |args: &[&str]| -> (Value, String) {
        let output = router.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")), said)
    };
    let (all, said) = told(&[&replay[..], &["orders-again"]].concat());
    assert!(all["events"] == 30 && all["gone"].is_null() && !said.contains("warning"), "{all} {said}");
    trim(&router);
    send("new.jsonl", 30..40);
    let (rest, said) = told(&[&replay[..], &["second"]].concat());
    assert!(rest["events"] == 10 && rest["gone"]["events"] == 30, "{rest}");
    assert!(
        said.contains("source \"orders\": it keeps events from 20") && said.contains("up to 30 earlier ones"),
        "{said}"
    );
    // A replay from a time after the trimmed events misses none.
    let since = now();
    send("newest.jsonl", 40..45);
    let (newest, said) = told(&["replay", "orders", "--from", &since, "--json", "--into", "third"]);
    assert!(newest["events"] == 5 && newest["gone"].is_null() && !said.contains("warning"), "{newest} {said}");
}

/// Trims the whole stream of orders, as if its retention were over.
fn trim(router: &Router) {
    let orders = StreamSchema { partitions: 3, retention: Duration::ZERO };
    let schema = StoreSchema { streams: [("orders".to_owned(), orders)].into(), ..StoreSchema::default() };
    let store = Store::open(router.path("data"), schema).unwrap();
    let began = Instant::now();
    while store.stream_trimmed("orders").unwrap().iter().map(|partition| partition.records).sum::<u64>() < 30 {
        assert!(began.elapsed() < Duration::from_secs(60), "it is not trimmed");
        std::thread::sleep(Duration::from_millis(20));
    }
    store.close();
}

#[test]
fn a_replay_that_is_stopped_leaves_nothing_behind() {
    let mut router = Router::new(
        &ORDERS
            .replacen("PLUGINS/etl.wasm", "GUESTS/hostile.wasm", 1)
            .replacen(
                "config = { table = \"orders\", key = { order_id = \"{order_id}\" } }",
                "config = { do = \"retry\" }\nretry_backoff = { base = \"10m\", max = \"10m\" }",
                1,
            )
            .replace("GUESTS", &guests().display().to_string()),
    );
    router.write("orders.jsonl", "{\"order_id\": \"1\", \"item_id\": \"a\"}\n");
    router.ok(&["send", "orders", "orders.jsonl"]);
    std::fs::create_dir(router.path("tmp")).unwrap();
    let left = |router: &Router| std::fs::read_dir(router.path("tmp")).unwrap().count();
    for signal in ["TERM", "INT", "HUP"] {
        router.launch(&["replay", "orders", "--from", "TRIM_HORIZON", "--into", "orders-again"], &[("TMPDIR", "tmp")]);
        router.until("the replay is at work", |router| left(router) == 1);
        assert_eq!(router.signal(signal), 1, "{}", router.log());
        assert_eq!(left(&router), 0, "{signal}");
        assert!(router.log().contains("route orders: stopped; the table holds a part"), "{}", router.log());
    }
}

/// Routes that cannot be replayed, and one that reads a file.
const EXTRA: &str = r#"
[source.jobs]
kind = "queue"
[source.lines]
kind = "file"
path = "orders.jsonl"
[[route]]
name = "both"
source = "orders"
plugin = "PLUGINS/etl.wasm"
tables = ["orders", "totals"]
config = { table = "orders", key = { order_id = "{order_id}" } }
[[route]]
name = "queued"
source = "jobs"
plugin = "PLUGINS/etl.wasm"
tables = ["orders"]
config = { table = "orders", key = { order_id = "{order_id}" } }
[[route]]
name = "silent"
source = "orders"
plugin = "PLUGINS/alert.wasm"
outputs = ["told"]
[[route.config.rule]]
name = "all"
output = "told"
message = "{order_id}"
[[route]]
name = "lines"
source = "lines"
plugin = "PLUGINS/etl.wasm"
tables = ["orders"]
config = { table = "orders", key = { order_id = "{order_id}" } }
"#;

#[test]
fn a_file_is_replayed_from_its_first_line() {
    let router = Router::new(&format!("{ORDERS}{EXTRA}"));
    let (_, orders) = samples::orders().into_iter().next().unwrap();
    router.write("orders.jsonl", &orders);
    router.ok(&["run", "--until-idle"]);
    let said = router.ok(&["replay", "lines", "--from", "TRIM_HORIZON", "--into", "orders-again"]);
    assert!(said.starts_with("2000 events replayed into orders-again (2000 effects)"), "{said}");
    assert_eq!(router.scan("orders-again"), router.scan("orders"));
    router.ok(&["run", "--until-idle"]);
    let status: Value = serde_json::from_str(&router.ok(&["audit", "--json"])).unwrap();
    let lines = status["accounts"].as_array().unwrap().iter().find(|each| each["route"] == "lines").unwrap().clone();
    assert_eq!(lines["done"], 2000, "{lines}");
}

const STREAM: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[aws]
dedup_table = "marks-RUN"
[source.orders]
kind = "kinesis"
stream = "orders-RUN"
[table.totals]
kind = "dynamodb"
name = "totals-RUN"
partition_key = "item"
[table.totals-again]
kind = "dynamodb"
name = "again-RUN"
partition_key = "item"
[[route]]
name = "totals-RUN"
source = "orders"
plugin = "PLUGINS/aggregate.wasm"
tables = ["totals"]
delivery = "exactly-once"
[route.config]
table = "totals"
key = { item = "{item_id}" }
sum = { quantity = "quantity" }
count = "orders"
"#;

#[test]
fn a_stream_is_replayed_beside_the_router_that_reads_it() {
    server("KINESIS");
    server("DYNAMODB");
    let run = format!("replay-{}", std::process::id());
    let (routes, route) = (STREAM.replace("RUN", &run), format!("totals-{run}"));
    let leases = format!("[table.leases]\nkind = \"dynamodb\"\nname = \"esclusa-{route}\"\n");
    let mut router = Router::new(&routes);
    let (_, orders) = samples::orders().into_iter().next().unwrap();
    let lines: Vec<&str> = orders.lines().take(400).collect();
    router.aws(&routes, &["create"]);
    for half in lines.chunks(200) {
        router.write("orders.jsonl", half.join("\n"));
        router.aws(&routes, &["send", "orders", "orders.jsonl", "--key", "item_id"]);
        // Later records are in the child shards.
        router.aws(&routes, &["split", "orders"]);
    }
    assert!(router.run(&["run", "--until-idle"]).status.success());
    assert_eq!(router.aws(&routes, &["scan", "totals"]).lines().map(orders_of).sum::<u64>(), 400);
    router.start();
    router.until("every order is counted", |router| {
        router.route(&route).is_some_and(|status| status["reading"]["counts"]["done"] == lines.len())
    });
    let sorted = |router: &Router, table: &str| {
        let mut lines: Vec<String> = router.aws(&routes, &["scan", table]).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let owners = |router: &Router| -> Vec<String> {
        let told = router.aws(&leases, &["scan", "leases"]);
        let lease = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
        let owner = |lease: Value| format!("{} {} {}", lease["leaseKey"], lease["leaseOwner"], lease["checkpoint"]);
        let mut owners: Vec<String> = told.lines().map(lease).map(owner).collect();
        owners.sort();
        owners
    };
    router.until("every open shard has its reader", |router| {
        owners(router).iter().all(|lease| lease.contains("SHARD_END") || !lease.contains(" null "))
    });
    let before = owners(&router);
    let said = router.ok(&["replay", &route, "--from", "TRIM_HORIZON", "--into", "totals-again"]);
    assert!(said.starts_with("400 events replayed into totals-again ("), "{said}");
    assert_eq!(sorted(&router, "totals-again"), sorted(&router, "totals"));
    assert_eq!(owners(&router), before, "the route's leases are left alone");
    assert_eq!(router.route(&route).unwrap()["reading"]["counts"]["done"], lines.len());
    let full = refused(&router, 1, &["replay", &route, "--from", "TRIM_HORIZON", "--into", "totals-again"]);
    assert!(full.contains("is not empty"), "{full}");
}

fn orders_of(line: &str) -> u64 {
    let item: Value = serde_json::from_str(line).unwrap();
    item["orders"].as_u64().unwrap()
}
