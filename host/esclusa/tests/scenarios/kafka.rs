//! Kafka: what the program shows and does around it. Tests on a broker are left out where `scripts/servers.sh` has started none: it needs
//! Java 17 and Maven.

use super::router::{Router, python};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Records of the fleets here; the defaults of `group.py` are 100,000 and ten runs.
const RECORDS: &str = "6000";

/// The brokers, if there are some.
fn brokers(test: &str) -> Option<String> {
    let found = std::env::var("KAFKA_BOOTSTRAP_SERVERS").ok();
    if found.is_none() {
        println!("{test} is left out: there is no Kafka, see scripts/servers.sh");
    }
    found
}

fn fleet(held: &str) {
    if brokers(held).is_none() {
        return;
    }
    super::fleet::check("group.py", &[held, RECORDS, "1"]);
}

#[test]
fn a_group_writes_each_record_into_dynamodb_once_while_members_are_killed_stopped_and_partitions_added() {
    fleet("tables");
}

#[test]
fn a_group_copies_each_record_to_a_topic_once_and_in_order_while_members_are_killed_and_stopped() {
    fleet("topics");
}

/// Runs a command of examples/topics.py on the configuration of a router.
fn topics(router: &Router, arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("examples/topics.py");
    let mut command = Command::new(python());
    command.arg(script).args(arguments).current_dir(router.dir.path());
    let output = command.env("ESCLUSA_CONFIG", router.path("routes.toml")).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A router on a topic of its own, which is not there yet.
fn router(brokers: &str, topic: &str) -> Router {
    let topic = format!("{topic}-{}", std::process::id());
    Router::new(&format!(
        r#"version = 1
[admin]
listen = "127.0.0.1:0"
[source.orders]
kind = "kafka"
bootstrap_servers = "{brokers}"
topics = ["{topic}"]
[table.orders]
kind = "embedded"
partition_key = "id"
[table.again]
kind = "embedded"
partition_key = "id"
[[route]]
name = "orders"
source = "orders"
consumer_group_id = "{topic}"
plugin = "PLUGINS/etl.wasm"
tables = ["orders"]
config = {{ table = "orders", key = {{ id = "{{order_id}}" }} }}
"#
    ))
}

fn lines(count: usize) -> String {
    (0..count).map(|n| format!("{{\"order_id\":\"{n}\",\"quantity\":{n}}}\n")).collect()
}

fn done(router: &Router) -> u64 {
    router.route("orders").and_then(|route| route["reading"]["counts"]["done"].as_u64()).unwrap_or_default()
}

#[test]
fn brokers_that_do_not_answer_are_reported_with_the_section_and_the_remedy() {
    // The discard port of this machine: nothing listens there.
    let router = router("127.0.0.1:9", "nobody");
    let output = router.run(&["validate"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    for part in ["route orders: [source.orders]", "127.0.0.1:9", "bootstrap_servers", "1 resource(s) cannot be used"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    router.ok(&["validate", "--no-connect"]);
}

#[test]
fn a_topic_that_is_missing_is_reported_by_name() {
    let Some(brokers) = brokers("a_topic_that_is_missing_is_reported_by_name") else { return };
    let mut router = router(&brokers, "missing");
    let output = router.run(&["validate"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    let expected = format!("[source.orders] there is no topic \"missing-{}\": create it", std::process::id());
    assert!(said.contains(&expected), "{said}");
    // A router that runs says so too: its route is unhealthy until the topic is there.
    router.spawn(&[]);
    router.until("the route says what is wrong", |router| {
        router.route("orders").is_some_and(|route| route["health"]["code"] == "kafka.no-topic")
    });
    assert_eq!(router.request("GET", "/readyz?route=orders", &[], b"").unwrap().0, 503);
    topics(&router, &["create"]);
    router.ok(&["validate"]);
    router.until("the route is well", |router| router.route("orders").unwrap()["health"]["healthy"] == true);
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn partitions_are_shown_with_position_end_and_lag() {
    let Some(brokers) = brokers("partitions_are_shown_with_position_end_and_lag") else { return };
    let mut router = router(&brokers, "shown");
    topics(&router, &["create", "3"]);
    router.write("orders.jsonl", lines(300));
    topics(&router, &["send", "orders", "orders.jsonl", "--key", "order_id"]);
    router.start();
    router.until("all orders are done", |router| done(router) == 300);
    let sum = |router: &Router, key: &str| {
        let partitions = router.route("orders").unwrap()["shards"]["partitions"].clone();
        partitions.as_array().into_iter().flatten().filter_map(|partition| partition[key].as_u64()).sum::<u64>()
    };
    router.until("the positions are at the ends", |router| {
        sum(router, "position") == 300 && sum(router, "end") == 300 && sum(router, "behind_records") == 0
    });
    let route = router.route("orders").unwrap();
    assert_eq!((&route["shards"]["working"], &route["shards"]["behind_records"]), (&Value::from(3), &Value::from(0)));
    let (_, metrics) = router.request("GET", "/metrics", &[], b"").unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    let lane = format!("route=\"orders\",partition=\"shown-{}-0\"", std::process::id());
    for name in ["position", "end", "behind_records", "behind_seconds"] {
        assert!(metrics.contains(&format!("esclusa_partition_{name}{{{lane}}} ")), "{name}: {metrics}");
    }
    let status = router.ok(&["status"]);
    assert!(status.contains(&format!("shown-{}-2", std::process::id())), "{status}");
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_topic_is_replayed_into_another_table_and_the_group_stays_at_its_place() {
    let Some(brokers) = brokers("a_topic_is_replayed_into_another_table") else { return };
    let mut router = router(&brokers, "replayed");
    topics(&router, &["create", "3"]);
    router.write("orders.jsonl", lines(200));
    topics(&router, &["send", "orders", "orders.jsonl", "--key", "order_id"]);
    router.start();
    router.until("all orders are done", |router| done(router) == 200);
    assert_eq!(router.signal("TERM"), 0);
    router.ok(&["replay", "orders", "--from", "TRIM_HORIZON", "--into", "again"]);
    assert_eq!(router.scan("again").len(), 200);
    // Nothing is read twice, and what comes is read.
    router.write("orders.jsonl", "{\"order_id\":\"new\",\"quantity\":1}\n");
    topics(&router, &["send", "orders", "orders.jsonl", "--key", "order_id"]);
    router.start();
    router.until("the new order is done", |router| done(router) >= 201);
    assert_eq!((done(&router), router.scan("orders").len()), (201, 201));
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_record_that_is_given_up_becomes_a_dead_letter_with_its_place_and_is_redriven() {
    let Some(brokers) = brokers("a_record_that_is_given_up_becomes_a_dead_letter") else { return };
    let mut router = router(&brokers, "dead");
    topics(&router, &["create", "1"]);
    router.write("orders.jsonl", "{\"order_id\":\"a\"}\n{\"quantity\":1}\n{\"order_id\":\"c\"}\n");
    topics(&router, &["send", "orders", "orders.jsonl"]);
    router.start();
    router.until("both good orders are done", |router| done(router) == 2);
    let letters = router.get("/api/v1/dlq").unwrap();
    let letter = &letters.as_array().unwrap()[0];
    let topic = format!("dead-{}", std::process::id());
    assert_eq!(letter["event"], format!("{topic}-0-1"), "{letter}");
    assert_eq!((&letter["lane"], &letter["kind"]), (&Value::from(format!("{topic}-0")), &Value::from("kafka")));
    // A plugin that takes orders without an id mends it.
    let routes = std::fs::read_to_string(router.path("routes.toml")).unwrap();
    router.configure(&routes.replace("{order_id}", "{quantity}"));
    router.ok(&["reload"]);
    router.ok(&["dlq", "redrive", "--all"]);
    router.until("the dead letter is an item", |router| router.scan("orders").len() == 3);
    assert_eq!(router.signal("TERM"), 0);
}
