//! Routes whose effects come back to them: `validate` warns of them, and an event that goes round is given up.

use super::cli::text;
use super::router::{Router, guests, server};
use serde_json::Value;
use std::net::TcpListener;

const HEAD: &str = "version = 1\n[admin]\nlisten = \"127.0.0.1:PORT\"\n[engine]\npath = \"data\"\n";

/// A route that sends the data of each event to the output "out".
fn echo(head: &str, source: &str, out: &str, keys: &str) -> String {
    let plugin = guests().join("hostile.wasm").display().to_string();
    format!(
        "{}{head}\n[source.events]\n{source}\n[output.out]\n{out}\n[[route]]\nname = \"round\"\nsource = \"events\"\n\
         plugin = \"{plugin}\"\noutputs = [\"out\"]\nconfig = {{ do = \"echo\" }}\n{keys}\n",
        HEAD.replace("PORT", "0")
    )
}

fn counted(router: &Router, route: &str, outcome: &str) -> u64 {
    let count = |status: Value| status["reading"]["counts"][outcome].as_u64();
    router.route(route).and_then(count).unwrap_or_default()
}

/// Waits until an event of the route is given up, and checks why.
fn until_given_up(router: &mut Router, route: &str) {
    router.until("the event is given up", |router| counted(router, route, "dead") > 0);
    let letters = router.ok(&["dlq", "ls", "--json"]);
    assert!(letters.contains("limit.hops") && letters.lines().count() == 1, "{letters}");
}

#[test]
fn a_stream_that_feeds_itself_stops_at_sixteen_and_validate_says_so() {
    let routes = echo("", "kind = \"stream\"", "kind = \"stream\"\nstream = \"events\"", "");
    let mut router = Router::new(&routes);
    let warned = router.run(&["validate"]);
    let said = text(&warned.stderr);
    assert!(warned.status.success(), "a warning, no error: {said}");
    assert!(said.contains("route::loop") && said.contains("feeds itself"), "{said}");
    router.start();
    router.configure(&(routes + "batch_size = 7\n"));
    router.until("the reload warns", |router| router.log().contains("code=\"route::loop\""));
    router.write("one.jsonl", "{\"n\":1}\n");
    router.ok(&["send", "events", "one.jsonl"]);
    until_given_up(&mut router, "round");
    assert_eq!(counted(&router, "round", "done"), 16, "the event from outside, and fifteen that came back");
    // An operator may let it go round again.
    router.ok(&["dlq", "redrive", "--route", "round"]);
    router.until("it is given up again", |router| counted(router, "round", "dead") > 1);
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_table_and_its_changes_stop_at_the_limit_of_the_route() {
    let mut router = Router::new(&format!(
        r#"{}
[source.seed]
kind = "stream"
[source.changes]
kind = "table-changes"
table = "totals"
[table.totals]
kind = "embedded"
partition_key = "id"
changes = true
[[route]]
name = "seed"
source = "seed"
plugin = "PLUGINS/etl.wasm"
tables = ["totals"]
config = {{ table = "totals", key = {{ id = "{{id}}" }} }}
[[route]]
name = "round"
source = "changes"
plugin = "PLUGINS/aggregate.wasm"
tables = ["totals"]
max_hops = 5
config = {{ table = "totals", key = {{ id = "x{{id}}" }}, count = "n" }}
"#,
        HEAD.replace("PORT", "0")
    ));
    router.start();
    router.write("one.jsonl", "{\"id\":\"first\"}\n");
    router.ok(&["send", "seed", "one.jsonl"]);
    until_given_up(&mut router, "round");
    // The item of the seed has one hop, so four more follow until one has five.
    assert_eq!(counted(&router, "round", "done"), 4);
    assert_eq!(router.scan("totals").len(), 5);
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_webhook_to_the_own_address_stops_and_a_client_can_only_raise_its_count() {
    // Free at this moment; the address has to be in the configuration.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let out = format!("kind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/ingest/events\"");
    let routes = echo("", "kind = \"http\"", &out, "max_hops = 6").replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let mut router = Router::new(&routes);
    assert!(text(&router.run(&["validate"]).stderr).contains("route::loop"));
    router.start();
    let post = |router: &Router, hops: &str| {
        let answer = router.request("POST", "/ingest/events", &[("esclusa-hops", hops)], b"{}").unwrap();
        assert!(answer.0 < 300, "{answer:?}");
    };
    post(&router, "-9");
    until_given_up(&mut router, "round");
    assert_eq!(counted(&router, "round", "done"), 6, "what is no count is none");
    post(&router, "4");
    router.until("the second is given up", |router| counted(router, "round", "dead") == 2);
    assert_eq!(counted(&router, "round", "done"), 8);
    let letter: Value = serde_json::from_str(router.ok(&["dlq", "ls", "--json"]).lines().next().unwrap()).unwrap();
    assert!(!letter.to_string().contains("esclusa-hops"), "no event has it: {letter}");
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_queue_of_sqs_that_feeds_itself_stops() {
    server("SQS");
    let queue = format!("kind = \"sqs\"\nqueue = \"loop-{}\"", std::process::id());
    let mut router = Router::new(&echo("[aws]", &queue, &queue, "max_hops = 4"));
    let source = format!("[source.events]\n{queue}\n");
    router.aws(&source, &["create"]);
    router.write("one.jsonl", "{\"n\":1}\n");
    router.aws(&source, &["send", "events", "one.jsonl"]);
    router.start();
    until_given_up(&mut router, "round");
    assert_eq!(counted(&router, "round", "done"), 4);
    assert_eq!(router.signal("TERM"), 0);
}
