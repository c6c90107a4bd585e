//! Plugins and routes.toml are replaced while events flow.

use super::router::{Router, plugins, variant};
use serde_json::Value;

const COUNTING: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.ticks]
kind = "generate"
interval = "1ms"
per_tick = 5
count = 10000
event = { day = "2010-12-01", n = "{seq}", one = 1 }
[table.totals]
kind = "embedded"
partition_key = "day"
[[route]]
name = "count"
source = "ticks"
plugin = "aggregate.wasm"
tables = ["totals"]
batch_size = 50
[route.config]
table = "totals"
key = { day = "{day}" }
sum = { ones = "one" }
count = "events"
"#;

fn finished(router: &Router) -> bool {
    router.route("count").is_some_and(|r| r["state"] == "finished")
}

fn reloads(router: &Router) -> Vec<Value> {
    router.get("/api/v1/status").unwrap()["reloads"].as_array().unwrap().clone()
}

/// Reads the account again and again until a reload is in force.
fn audited_until_reloaded(router: &mut Router, before: usize) {
    router.until("the change is in force", |r| {
        for account in r.get("/api/v1/audit").unwrap().as_array().unwrap() {
            assert_eq!(account["problems"], serde_json::json!([]), "{account}");
        }
        reloads(r).len() > before && reloads(r)[0]["ok"] == true
    });
}

#[test]
fn a_plugin_is_replaced_while_ten_thousand_events_flow_and_none_is_lost_or_doubled() {
    let mut router = Router::new(COUNTING);
    router.write("aggregate.wasm", std::fs::read(plugins().join("aggregate.wasm")).unwrap());
    router.start();
    let first = router.route("count").unwrap()["plugin"]["digest"].clone();
    for round in 0..4 {
        router.write("new", variant("aggregate.wasm", &format!("round {round}")));
        std::fs::rename(router.path("new"), router.path("aggregate.wasm")).unwrap();
        router.until("the new version serves", |r| reloads(r).iter().filter(|x| x["ok"] == true).count() > round);
    }
    assert_ne!(router.route("count").unwrap()["plugin"]["digest"], first);
    router.until("all events are through", finished);
    let items = router.scan("totals");
    assert_eq!(items, [serde_json::json!({"day": "2010-12-01", "events": 10_000, "ones": 10_000})]);
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_broken_plugin_changes_nothing_and_says_why() {
    let mut router = Router::new(COUNTING);
    let good = std::fs::read(plugins().join("aggregate.wasm")).unwrap();
    router.write("aggregate.wasm", &good);
    router.start();
    let digest = router.route("count").unwrap()["plugin"]["digest"].clone();
    let broken: [&[u8]; 4] = [b"", b"not wasm at all", &good[..good.len() / 2], b"\0asm\x01\0\0\0"];
    for (round, bytes) in broken.into_iter().enumerate() {
        router.write("aggregate.wasm", bytes);
        router
            .until("the broken version is refused", |r| reloads(r).iter().filter(|x| x["ok"] == false).count() > round);
        assert_eq!(router.route("count").unwrap()["plugin"]["digest"], digest);
    }
    for reload in reloads(&router) {
        assert!(reload["message"].as_str().unwrap().contains("route count"), "{reload}");
    }
    router.until("all events are through", finished);
    assert_eq!(router.scan("totals")[0]["events"], 10_000);
    // The good file again: the watcher still works after a refused one.
    router.write("aggregate.wasm", variant("aggregate.wasm", "again"));
    router.until("the good version serves", |r| reloads(r)[0]["ok"] == true);
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_not_even_compiled() {
    let mut router = Router::new(COUNTING);
    router.write("aggregate.wasm", std::fs::read(plugins().join("aggregate.wasm")).unwrap());
    let inspected: Value =
        serde_json::from_str(&router.ok(&["plugin", "inspect", "aggregate.wasm", "--json"])).unwrap();
    let pin = inspected["sha256"].as_str().unwrap();
    router.configure(&COUNTING.replace("batch_size", &format!("sha256 = \"{pin}\"\nbatch_size")));
    router.start();
    let compiled = |router: &Router| router.log().matches("compiling a plugin").count();
    assert_eq!(compiled(&router), 1);
    // It is a sound plugin, only another one.
    router.write("aggregate.wasm", variant("aggregate.wasm", "other"));
    router.until("the other file is refused", |r| reloads(r).first().is_some_and(|reload| reload["ok"] == false));
    assert!(reloads(&router)[0]["message"].as_str().unwrap().contains("but the route pins"), "{:?}", reloads(&router));
    assert_eq!(router.route("count").unwrap()["plugin"]["digest"], pin);
    assert_eq!(compiled(&router), 1, "{}", router.log());
}

#[test]
fn routes_toml_is_picked_up_by_itself_and_only_what_changed_is_restarted() {
    let mut router = Router::new(COUNTING);
    router.write("aggregate.wasm", std::fs::read(plugins().join("aggregate.wasm")).unwrap());
    router.start();
    for (round, size) in [70, 60, 40].into_iter().enumerate() {
        router.configure(&COUNTING.replace("batch_size = 50", &format!("batch_size = {size}")));
        audited_until_reloaded(&mut router, round);
        assert!(reloads(&router)[0]["message"].as_str().unwrap().contains("restarted count"));
    }
    router.configure("version = 1\nnonsense = true\n");
    router.until("the bad file is refused", |r| reloads(r)[0]["ok"] == false);
    assert!(reloads(&router)[0]["message"].as_str().unwrap().contains("nonsense"), "{:?}", reloads(&router));
    router.configure(COUNTING);
    router.until("the good file is taken", |r| reloads(r)[0]["ok"] == true);
    router.until("all events are through", finished);
    assert_eq!(router.scan("totals")[0]["events"], 10_000);
}
