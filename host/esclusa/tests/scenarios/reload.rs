//! Plugins and routes.toml are replaced while events flow.

use super::router::{Router, guests, plugins, variant};
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
    router.deploy("aggregate.wasm", std::fs::read(plugins().join("aggregate.wasm")).unwrap());
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
    router.deploy("aggregate.wasm", &good);
    router.start();
    let digest = router.route("count").unwrap()["plugin"]["digest"].clone();
    let broken: [&[u8]; 4] = [b"", b"not wasm at all", &good[..good.len() / 2], b"\0asm\x01\0\0\0"];
    for (round, bytes) in broken.into_iter().enumerate() {
        router.deploy("aggregate.wasm", bytes);
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
    router.deploy("aggregate.wasm", variant("aggregate.wasm", "again"));
    router.until("the good version serves", |r| reloads(r)[0]["ok"] == true);
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_not_even_compiled() {
    let mut router = Router::new(COUNTING);
    router.deploy("aggregate.wasm", std::fs::read(plugins().join("aggregate.wasm")).unwrap());
    let inspected: Value =
        serde_json::from_str(&router.ok(&["plugin", "inspect", "aggregate.wasm", "--json"])).unwrap();
    let pin = inspected["sha256"].as_str().unwrap();
    router.configure(&COUNTING.replace("batch_size", &format!("sha256 = \"{pin}\"\nbatch_size")));
    router.launch(&["run"], &[]);
    router.until_ready();
    let compiled = |router: &Router| router.log().matches("compiling a plugin").count();
    assert_eq!(compiled(&router), 1);
    // It is a sound plugin, only another one.
    router.deploy("aggregate.wasm", variant("aggregate.wasm", "other"));
    router.until("the other file is refused", |r| reloads(r).first().is_some_and(|reload| reload["ok"] == false));
    assert!(reloads(&router)[0]["message"].as_str().unwrap().contains("but the route pins"), "{:?}", reloads(&router));
    assert_eq!(router.route("count").unwrap()["plugin"]["digest"], pin);
    assert_eq!(compiled(&router), 1, "{}", router.log());
}

#[test]
fn routes_toml_is_picked_up_by_itself_and_only_what_changed_is_restarted() {
    let mut router = Router::new(COUNTING);
    router.deploy("aggregate.wasm", std::fs::read(plugins().join("aggregate.wasm")).unwrap());
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

/// The files whose content on disk is not what runs: name and state.
fn stale(router: &Router) -> Vec<(String, String)> {
    let status = router.get("/api/v1/status").unwrap();
    let word = |file: &Value, key: &str| file[key].as_str().unwrap().to_owned();
    status["stale"].as_array().unwrap().iter().map(|file| (word(file, "file"), word(file, "state"))).collect()
}

#[test]
fn what_runs_and_what_is_on_disk_are_told_apart_until_they_are_the_same() {
    let mut router = Router::new(COUNTING);
    let good = std::fs::read(plugins().join("aggregate.wasm")).unwrap();
    router.deploy("aggregate.wasm", &good);
    router.start();
    assert_eq!(stale(&router), []);
    let of = |file: &str, state: &str| vec![(file.to_owned(), state.to_owned())];

    router.configure(&COUNTING.replace("batch_size", "batch_sise"));
    router.until("the bad file is refused", |r| stale(r) == of("routes.toml", "refused"));
    let status = router.get("/api/v1/status").unwrap();
    let told = &status["stale"][0];
    assert!(told["message"].as_str().unwrap().contains("did you mean `batch_size`?"), "{told}");
    assert_eq!(
        (&told["diagnostics"][0]["line"], &told["diagnostics"][0]["code"]),
        (&21.into(), &"config::unknown_key".into())
    );
    assert!(router.log().contains("did you mean `batch_size`?"), "the log has the help: {}", router.log());
    let output = router.run(&["status"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("WHAT RUNS IS NOT WHAT IS ON DISK: routes.toml was refused since "), "{said}");
    let (_, metrics) = router.request("GET", "/metrics", &[], b"").unwrap();
    assert!(String::from_utf8_lossy(&metrics).contains("\nesclusa_configuration_stale 1\n"));
    // A section that is read at the start only.
    router.configure(&COUNTING.replace("path = \"data\"", "path = \"other\""));
    router.until("it needs a restart", |r| {
        r.get("/api/v1/status").unwrap()["stale"][0]["diagnostics"][0]["code"] == "engine::needs_restart"
    });
    router.configure(COUNTING);
    router.until("they are the same again", |r| stale(r).is_empty());

    // The reload of routes.toml has read the plugins as well by then.
    router.ok(&["reload"]);
    let plugin = reloads(&router).len();
    router.deploy("aggregate.wasm", &good[..1000]);
    router.until("the broken plugin is refused", |r| reloads(r).len() > plugin);
    let [(file, state)] = &stale(&router)[..] else { panic!("{:?}", stale(&router)) };
    assert!(file.ends_with("aggregate.wasm") && state == "refused", "{file} {state}");
    router.deploy("aggregate.wasm", &good);
    router.until("the plugin is the one that runs", |r| stale(r).is_empty());
    // Gone, and back with the same content.
    std::fs::rename(router.path("aggregate.wasm"), router.path("aside")).unwrap();
    router.until("the plugin is missing", |r| stale(r).iter().any(|(_, state)| state == "missing"));
    std::fs::rename(router.path("aside"), router.path("aggregate.wasm")).unwrap();
    router.until("the plugin is back", |r| stale(r).is_empty());
}

#[test]
fn a_text_that_is_refused_while_an_older_one_is_put_in_force_stays_refused() {
    let routes = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[source.events]
kind = "stream"
[[route]]
name = "slow"
source = "events"
plugin = "GUESTS/hostile.wasm"
limits = { time = "5s" }
config = { do = "loop" }
"#
    .replace("GUESTS", &guests().display().to_string());
    let mut router = Router::new(&routes);
    router.start();
    router.write("one.jsonl", "{}\n");
    router.ok(&["send", "events", "one.jsonl"]);
    router.until("a call goes on", |r| r.route("slow").unwrap()["reading"]["in_flight"] == 1);
    router.configure(&routes.replace("limits", "batch_size = 7\nlimits"));
    router.until("the route finishes its call", |r| r.route("slow").unwrap()["state"] == "draining");
    router.configure(&routes.replace("limits", "limit"));
    let refused = [("routes.toml".to_owned(), "refused".to_owned())];
    router.until("the newer text is refused", |r| stale(r) == refused);
    router.until("the older one is in force", |r| reloads(r)[0]["ok"] == true);
    assert!(reloads(&router)[0]["message"].as_str().unwrap().contains("restarted slow"), "{:?}", reloads(&router));
    assert_eq!(stale(&router), refused, "what is on disk does not run");
    router.configure(&routes);
    router.until("what is on disk runs", |r| stale(r).is_empty());
}

#[test]
fn what_a_refused_configuration_lacked_is_noticed_when_it_comes() {
    let mut router = Router::new(COUNTING);
    let good = std::fs::read(plugins().join("aggregate.wasm")).unwrap();
    router.deploy("aggregate.wasm", &good);
    router.start();
    // A secret that is not there yet, and then is rotated.
    let secret = COUNTING.replace("day = \"2010-12-01\"", "day = \"${file:secret}\"");
    router.configure(&secret);
    router.until("it lacks a secret", |r| stale(r) == [("routes.toml".to_owned(), "refused".to_owned())]);
    router.write("secret", "one\n");
    router.until("the secret has come", |r| stale(r).is_empty());
    let before = reloads(&router).len();
    router.write("secret", "two\n");
    router.until("the secret is rotated", |r| reloads(r).len() > before);
    assert!(reloads(&router)[0]["message"].as_str().unwrap().contains("restarted count"), "{:?}", reloads(&router));
    // A plugin that is not built yet.
    router.configure(&secret.replace("aggregate.wasm", "built.wasm"));
    router.until("it lacks a plugin", |r| !stale(r).is_empty());
    router.deploy("built.wasm", &good);
    router.until("the plugin has come", |r| stale(r).is_empty());
    assert!(router.route("count").unwrap()["plugin"]["path"].as_str().unwrap().ends_with("built.wasm"));
}
