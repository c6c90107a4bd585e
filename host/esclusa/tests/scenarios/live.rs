//! `esclusa invoke --live`: effects are carried out and reported, and the source is not touched.

use super::cli::{ORDERS, text};
use super::router::{Router, server};
use serde_json::{Value, json};

const EFFECTS: &str = r#"
[table.totals]
kind = "embedded"
partition_key = "day"
[table.seen]
kind = "embedded"
partition_key = "id"
[output.told]
kind = "file"
path = "told.jsonl"
[output.down]
kind = "webhook"
url = "http://127.0.0.1:9/"
[[route]]
name = "totals"
source = "orders"
filter = { data = { day = [{ exists = true }] } }
plugin = "PLUGINS/aggregate.wasm"
tables = ["totals"]
enabled = false
config = { table = "totals", key = { day = "{day}" }, count = "orders" }
[[route]]
name = "seen"
source = "orders"
plugin = "PLUGINS/etl.wasm"
tables = ["seen"]
enabled = false
config = { table = "seen", key = { id = "{order_id}" }, condition = "not-exists" }
[[route]]
name = "alerts"
source = "orders"
plugin = "PLUGINS/alert.wasm"
outputs = ["told", "down"]
enabled = false
config = { rule = [
  { name = "all", output = "told", message = "{order_id}" },
  { name = "loud", output = "down", message = "{order_id}", when = { loud = [true] } },
] }
"#;

/// The standard output, as JSON, of a command that ends with this code.
fn shown(router: &Router, code: i32, args: &[&str]) -> Value {
    let output = router.run(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn live(router: &Router, route: &str, code: i32) -> Value {
    shown(router, code, &["invoke", route, "--event", "events.jsonl", "--live"])
}

/// The outcome of each event, and the result of each effect.
fn ends(shown: &Value) -> (Vec<&str>, Vec<&str>) {
    let told = |list: &'static str, key| {
        shown[list].as_array().unwrap().iter().map(|one| one[key].as_str().unwrap()).collect()
    };
    (told("outcomes", "outcome"), told("effects", "result"))
}

#[test]
fn a_live_invocation_carries_out_effects_and_reports_failures() {
    let mut router = Router::new(&format!("{ORDERS}{EFFECTS}"));
    router.write("events.jsonl", "{\"order_id\": \"x\", \"price\": 0.10}\n{\"nope\": 1}\n{\"order_id\": \"y\"}\n");
    for running in [false, true] {
        if running {
            router.start();
        }
        // The first invocation finds no store, and creates it.
        let orders = live(&router, "orders", 1);
        assert_eq!(ends(&orders), (vec!["done", "failed", "done"], vec!["written", "written"]), "{orders}");
        assert_eq!(orders["outcomes"][1]["code"], "rejected");
        assert_eq!((&orders["effects"][1]["cause"], &orders["failed"]), (&json!(2), &json!(true)));
        assert_eq!(router.scan("orders").len(), 2);
        assert_eq!(router.ok(&["dlq", "ls", "--json"]), "", "who asked is told, and nobody else");
        let seen = if running { ["skipped", "skipped"] } else { ["written", "written"] };
        assert_eq!(ends(&live(&router, "seen", 1)).1, seen);
    }
    // Events that are done are counted; those that failed are not.
    let account = router.get("/api/v1/audit").unwrap()[0].clone();
    assert_eq!((&account["received"], &account["done"], &account["dead"]), (&json!(4), &json!(4), &json!(0)));
    assert_eq!(account["problems"], json!([]));
    assert_eq!(account["behind"], 0, "the source knows nothing of it");
    assert_eq!(router.signal("TERM"), 0);
    assert!(router.ok(&["audit"]).contains("adds up"));
}

#[test]
fn the_same_events_do_the_same_again_and_a_filter_leaves_out_the_others() {
    let mut router = Router::new(&format!("{ORDERS}{EFFECTS}"));
    router.write("events.jsonl", "{\"order_id\": \"x\", \"day\": \"1\"}\n{\"order_id\": \"y\"}\n");
    for running in [false, true] {
        if running {
            router.start();
        }
        let totals = live(&router, "totals", 0);
        assert_eq!(ends(&totals), (vec!["done", "filtered"], vec!["written"]), "{totals}");
        let alerts = live(&router, "alerts", 0);
        assert_eq!(ends(&alerts), (vec!["done", "done"], vec!["sent", "sent"]), "{alerts}");
    }
    assert_eq!(router.scan("totals"), [json!({"day": "1", "orders": 2})]);
    let told = std::fs::read_to_string(router.path("told.jsonl")).unwrap();
    assert_eq!(told.lines().count(), 4, "{told}");
}

#[test]
fn a_message_that_is_not_taken_is_told_and_not_kept() {
    let router = Router::new(&format!("{ORDERS}{EFFECTS}"));
    router.write("events.jsonl", "{\"order_id\": \"x\", \"loud\": true}\n");
    let alerts = live(&router, "alerts", 1);
    assert_eq!(ends(&alerts), (vec!["done"], vec!["sent", "failed"]), "{alerts}");
    assert!(alerts["effects"][1]["error"].as_str().unwrap().contains("127.0.0.1:9"), "{alerts}");
    assert_eq!(router.ok(&["dlq", "ls", "--json"]), "");
    // A router that starts later has nothing left to send.
    router.ok(&["run", "--until-idle"]);
    assert_eq!(std::fs::read_to_string(router.path("told.jsonl")).unwrap().lines().count(), 1);
}

#[test]
fn a_cooldown_that_the_next_batch_forgets_is_warned_of() {
    let told = EFFECTS.replace("message = \"{order_id}\" }", "message = \"{order_id}\", cooldown = \"10m\" }");
    let router = Router::new(&format!("{ORDERS}{told}"));
    let output = router.run(&["validate"]);
    let said = text(&output.stderr);
    assert!(
        output.status.success() && said.contains("without a table the cooldown holds within a batch only"),
        "{said}"
    );
    router.configure(&format!("{ORDERS}{EFFECTS}"));
    assert!(!text(&router.run(&["validate"]).stderr).contains("cooldown"));
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
[source.jobs]
kind = "sqs"
queue = "jobs-RUN"
[table.totals]
kind = "dynamodb"
name = "totals-RUN"
partition_key = "item"
[output.told]
kind = "sqs"
queue = "told-RUN.fifo"
[source.told]
kind = "sqs"
queue = "told-RUN.fifo"
[table.heard]
kind = "dynamodb"
name = "heard-RUN"
partition_key = "item"
[[route]]
name = "totals-RUN"
source = "orders"
plugin = "PLUGINS/aggregate.wasm"
tables = ["totals"]
delivery = "exactly-once"
config = { table = "totals", key = { item = "{item_id}" }, count = "orders" }
[[route]]
name = "jobs-RUN"
source = "jobs"
plugin = "PLUGINS/aggregate.wasm"
tables = ["totals"]
delivery = "exactly-once"
config = { table = "totals", key = { item = "{item_id}" }, count = "orders" }
[[route]]
name = "alerts-RUN"
source = "orders"
plugin = "PLUGINS/alert.wasm"
outputs = ["told"]
config = { rule = [{ name = "all", output = "told", message = '{{"item_id": {item_id:json}}}', per = "{item_id}" }] }
[[route]]
name = "heard-RUN"
source = "told"
plugin = "PLUGINS/aggregate.wasm"
tables = ["heard"]
config = { table = "heard", key = { item = "{item_id}" }, count = "orders" }
"#;

#[test]
fn on_aws_the_same_events_do_the_same_again_and_no_message_is_taken_for_a_repetition() {
    server("KINESIS");
    server("DYNAMODB");
    server("SQS");
    let run = format!("live-{}", std::process::id());
    let routes = STREAM.replace("RUN", &run);
    let router = Router::new(&routes);
    router.aws(&routes, &["create"]);
    router.write("events.jsonl", "{\"item_id\": \"a\"}\n{\"item_id\": \"a\"}\n{\"item_id\": \"b\"}\n");
    for _ in 0..2 {
        for route in ["totals", "jobs"] {
            let totals = live(&router, &format!("{route}-{run}"), 0);
            assert_eq!(ends(&totals), (vec!["done"; 3], vec!["written"; 2]), "{totals}");
        }
        let alerts = live(&router, &format!("alerts-{run}"), 0);
        assert_eq!(ends(&alerts), (vec!["done"; 3], vec!["sent"; 3]), "{alerts}");
    }
    router.ok(&["run", "--until-idle"]);
    let counted = |table: &str| -> Vec<Value> {
        let items = router.aws(&routes, &["scan", table]);
        let mut items: Vec<Value> = items.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        items.sort_by_key(|item| item["item"].to_string());
        items
    };
    assert_eq!(counted("totals"), [json!({"item": "a", "orders": 8}), json!({"item": "b", "orders": 4})]);
    assert_eq!(counted("heard"), [json!({"item": "a", "orders": 4}), json!({"item": "b", "orders": 2})]);
}

#[test]
fn a_dead_letter_of_a_shard_that_nobody_has_is_redriven() {
    server("KINESIS");
    server("DYNAMODB");
    server("SQS");
    let run = format!("letter-{}", std::process::id());
    let routes = STREAM.replace("RUN", &run);
    let strict = routes.replacen("count = \"orders\"", "count = \"orders\", sum = { n = \"n\" }", 1);
    let router = Router::new(&strict);
    router.aws(&routes, &["create"]);
    router.write("bad.jsonl", "{\"item_id\": \"a\", \"n\": \"no number\"}\n");
    router.aws(&routes, &["send", "orders", "bad.jsonl"]);
    router.ok(&["run", "--until-idle"]);
    let letters = |router: &Router| router.ok(&["dlq", "ls", "--json"]).lines().count();
    assert_eq!(letters(&router), 1);
    router.configure(&routes);
    router.ok(&["dlq", "redrive", "--all"]);
    assert_eq!(letters(&router), 0);
    let total: Value = serde_json::from_str(router.aws(&routes, &["scan", "totals"]).trim()).unwrap();
    assert_eq!(total, json!({"item": "a", "orders": 1}));
}
