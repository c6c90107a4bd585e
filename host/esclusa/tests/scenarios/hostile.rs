//! Plugins that misbehave beside one that does not: each of their events becomes a dead letter with its own reason,
//! none of their effects is carried out, and the other route does not notice.

use super::router::{Router, guests, server};
use serde_json::Value;
use std::collections::BTreeMap;

const EVENTS: usize = 5;
/// What the plugin does, and the code and reason of its dead letters.
const ATTACKS: [(&str, &str); 9] = [
    ("loop", "limit.cpu"),
    ("log-loop", "limit.host_calls"),
    ("grow", "limit.memory"),
    ("some-effects", "limit.effects"),
    ("big-effect", "limit.effects"),
    ("big-read", "limit.hostcall_bytes"),
    ("recurse", "plugin.trap"),
    ("panic", "plugin.trap"),
    // It sends to an output that its route does not grant.
    ("echo", "denied.capability"),
];

fn routes() -> String {
    let head = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.events]
kind = "stream"
[table.events]
kind = "embedded"
partition_key = "id"
[output.out]
kind = "file"
path = "out.jsonl"
[[route]]
name = "neighbour"
source = "events"
plugin = "PLUGINS/etl.wasm"
tables = ["events"]
config = { table = "events", key = { id = "{id}" } }
"#;
    let hostile = |(attack, _): &(&str, &str)| {
        let output = if *attack == "echo" { "" } else { "outputs = [\"out\"]" };
        // Only a plugin that loops may reach the limit of time, even on a busy machine.
        let time = if *attack == "loop" { "500ms" } else { "5m" };
        let plugin = guests().join("hostile.wasm").display().to_string();
        format!(
            r#"
[[route]]
name = "{attack}"
source = "events"
plugin = "{plugin}"
{output}
max_retry_attempts = 0
limits = {{ memory = "16MiB", time = "{time}", effects = 100, output = "1MiB" }}
config = {{ do = "{attack}" }}
"#
        )
    };
    head.to_owned() + &ATTACKS.iter().map(hostile).collect::<String>()
}

#[test]
fn every_attack_ends_in_dead_letters_of_its_own_name_and_the_neighbour_does_not_notice() {
    let mut router = Router::new(&routes());
    router.write("events.jsonl", (0..EVENTS).map(|n| format!("{{\"id\": \"{n}\"}}\n")).collect::<String>());
    router.start();
    router.ok(&["send", "events", "events.jsonl"]);
    let settled = |router: &Router, route: &str| {
        let counts = router.route(route).map(|status| status["reading"]["counts"].clone()).unwrap_or_default();
        counts["done"].as_u64().unwrap_or_default() + counts["dead"].as_u64().unwrap_or_default()
    };
    router.until("every event has its end", |router| {
        settled(router, "neighbour") == EVENTS as u64
            && ATTACKS.iter().all(|(attack, _)| settled(router, attack) == EVENTS as u64)
    });
    assert_eq!(router.scan("events").len(), EVENTS);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in router.ok(&["dlq", "ls", "--json", "--limit", "500"]).lines() {
        let letter: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| letter[key].as_str().unwrap().to_owned();
        found.entry(text("route")).or_default().push(text("code"));
    }
    let expected = ATTACKS.map(|(attack, code)| (attack.to_owned(), vec![code.to_owned(); EVENTS]));
    assert_eq!(found, BTreeMap::from(expected));
    assert!(!router.path("out.jsonl").exists(), "nothing of a call that failed is done");
    assert!(router.ok(&["audit"]).contains("adds up"));
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_halted_route_tells_how_much_waits_as_it_grows() {
    let head = routes();
    let head = head.split("[[route]]").next().unwrap();
    let plugin = guests().join("hostile.wasm").display().to_string();
    let route = |name: &str, source: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\nsource = \"{source}\"\nplugin = \"{plugin}\"\nbatch_size = 1\nconfig = {{ do = \"halt\" }}\n"
        )
    };
    let queue = "[source.jobs]\nkind = \"queue\"\n";
    let mut router = Router::new(&[head, queue, &route("events", "events"), &route("jobs", "jobs")].concat());
    router.start();
    router.write("two.jsonl", "{\"id\": \"1\"}\n{\"id\": \"2\"}\n");
    let waiting = |router: &Router, name: &str| router.route(name).unwrap()["backlog"]["waiting"].clone();
    for (total, name) in [(2, "events"), (4, "events"), (2, "jobs"), (4, "jobs")] {
        router.ok(&["send", name, "two.jsonl"]);
        router.until("it is halted", |router| router.route(name).unwrap()["state"] == "halted");
        router.until("all of them wait", |router| waiting(router, name) == total);
        let output = router.run(&["status"]);
        let (table, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(table.contains("WAITING"), "{table}");
        let line = said.lines().find(|line| line.contains(&format!("route {name} is halted: "))).unwrap();
        assert!(line.contains(&format!("{total} event(s) wait, the oldest for ")), "{line}");
        assert!(line.contains(&format!("`esclusa resume {name}`")), "{line}");
        let (_, metrics) = router.request("GET", "/metrics", &[], b"").unwrap();
        let metric = format!("\nesclusa_backlog_events{{route=\"{name}\"}} {total}\n");
        assert!(String::from_utf8_lossy(&metrics).contains(&metric), "{metric}");
    }
}

#[test]
fn a_halted_route_on_kinesis_tells_how_long_its_oldest_record_waits() {
    server("KINESIS");
    server("DYNAMODB");
    let run = format!("halted-{}", std::process::id());
    let mut router = Router::new(&format!(
        r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[source.events]
kind = "kinesis"
stream = "{run}"
[[route]]
name = "{run}"
source = "events"
plugin = "{}"
config = {{ do = "halt" }}
"#,
        guests().join("hostile.wasm").display()
    ));
    let routes = std::fs::read_to_string(router.path("routes.toml")).unwrap();
    router.aws(&routes, &["create"]);
    router.start();
    router.write("one.jsonl", "{\"id\": \"1\"}\n");
    router.aws(&routes, &["send", "events", "one.jsonl"]);
    router.until("it is halted", |router| router.route(&run).unwrap()["state"] == "halted");
    let said = String::from_utf8(router.run(&["status"]).stderr).unwrap();
    let line = said.lines().find(|line| line.contains(&format!("route {run} is halted: "))).unwrap();
    assert!(line.contains("its source does not say how many events wait, the oldest waits for "), "{line}");
}
