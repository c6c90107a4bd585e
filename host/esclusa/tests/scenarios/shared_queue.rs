//! Several routes read one queue of SQS, as they can read one queue of the embedded engine.

use super::router::{Router, server};
use serde_json::Value;

/// Messages of the test.
const EVENTS: usize = 40;

const QUEUE: &str = r#"
[source.orders]
kind = "sqs"
queue = "shared-RUN"
visibility_timeout = "5s"
"#;

/// A route that puts each order into an embedded table of its own name.
fn route(name: &str, enabled: bool) -> String {
    format!(
        r#"
[table.{name}]
kind = "embedded"
partition_key = "id"
[[route]]
name = "{name}"
source = "orders"
plugin = "PLUGINS/etl.wasm"
tables = ["{name}"]
enabled = {enabled}
config = {{ table = "{name}", key = {{ id = "{{id}}" }} }}
"#
    )
}

fn routes(run: &str, routes: &[String]) -> String {
    let head = "version = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n[engine]\npath = \"data\"\n[aws]\n";
    format!("{head}{QUEUE}{}", routes.concat()).replace("RUN", run)
}

fn done(router: &Router, route: &str) -> u64 {
    let done = |status: Value| status["reading"]["counts"]["done"].as_u64();
    router.route(route).and_then(done).unwrap_or_default()
}

#[test]
fn each_route_handles_every_message_once_also_the_one_that_comes_later() {
    server("SQS");
    let run = std::process::id().to_string();
    let mut router = Router::new(&routes(&run, &[route("first", true), route("second", false)]));
    router.aws(&QUEUE.replace("RUN", &run), &["create"]);
    let events: String = (0..EVENTS).map(|n| format!("{{\"id\":\"{n}\"}}\n")).collect();
    router.write("events.jsonl", events);
    router.aws(&QUEUE.replace("RUN", &run), &["send", "orders", "events.jsonl"]);
    router.start();
    let all = EVENTS as u64;
    router.until("the first route did all", |router| done(router, "first") == all);
    assert_eq!(done(&router, "second"), 0, "it is not enabled, and its messages are kept");
    router.configure(&routes(&run, &[route("first", true), route("second", true)]));
    router.until("the second route did all", |router| done(router, "second") == all);
    assert_eq!(done(&router, "first"), all, "nothing came again");
    assert_eq!(router.signal("TERM"), 0);
    for table in ["first", "second"] {
        assert_eq!(router.scan(table).len(), EVENTS);
    }
    // Nothing is left in the queue.
    router.ok(&["run", "--until-idle"]);
    let audit: Value = serde_json::from_str(&router.ok(&["audit", "--json"])).unwrap();
    for account in audit["accounts"].as_array().unwrap() {
        assert_eq!(account["done"], all, "{audit}");
    }
}
