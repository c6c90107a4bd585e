//! A plugin that fails on everything, and the breaker of its route.

use super::router::{Router, guests, plugins};

const EVENTS: u64 = 400;

/// Both plugins take the configuration: the guest of the tests finds its order in it, `"do": "panic"`.
fn routes() -> String {
    format!(
        r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.ticks]
kind = "generate"
interval = "1ms"
per_tick = 100
count = {EVENTS}
event = {{ day = "2010-12-01", panic = 1 }}
[table.totals]
kind = "embedded"
partition_key = "day"
[[route]]
name = "count"
source = "ticks"
plugin = "deployed.wasm"
tables = ["totals"]
batch_size = 20
breaker = "500ms"
retry_backoff = {{ base = "20ms", max = "20ms" }}
[route.config]
table = "totals"
key = {{ day = "{{day}}" }}
sum = {{ do = "panic" }}
count = "events"
"#
    )
}

#[test]
fn a_bad_deploy_does_not_empty_a_stream_into_dead_letters_and_the_next_one_goes_on() {
    let mut router = Router::new(&routes());
    router.deploy("deployed.wasm", std::fs::read(guests().join("hostile.wasm")).unwrap());
    router.start();
    router.until("the breaker is open", |r| r.route("count").is_some_and(|route| !route["breaker"].is_null()));
    let open = router.route("count").unwrap();
    assert_eq!((&open["breaker"]["code"], &open["health"]["code"]), (&"plugin.trap".into(), &"breaker.open".into()));
    let dead = open["reading"]["counts"]["dead"].as_u64().unwrap();
    assert!((1..EVENTS / 2).contains(&dead), "{dead} events were given up before it opened");
    assert_eq!(router.request("GET", "/readyz", &[], b"").unwrap().0, 200, "the process stays ready");
    assert_eq!(router.request("GET", "/readyz?route=count", &[], b"").unwrap().0, 503);
    let metrics = router.request("GET", "/metrics", &[], b"").unwrap().1;
    assert!(String::from_utf8_lossy(&metrics).contains("esclusa_route_breaker_open{route=\"count\"} 1"));
    assert!(router.ok(&["status"]).contains("breaker open, next probe"));
    router.until("a probe fails", |r| r.route("count").is_some_and(|route| route["breaker"]["failed_probes"] != 0));
    assert_eq!(router.route("count").unwrap()["reading"]["counts"]["dead"], dead, "nothing more is given up");

    router.deploy("deployed.wasm", std::fs::read(plugins().join("aggregate.wasm")).unwrap());
    router.until("all events are through", |r| r.route("count").is_some_and(|route| route["state"] == "finished"));
    let left = EVENTS - dead;
    let expected = serde_json::json!({"day": "2010-12-01", "events": left, "do": left});
    assert_eq!(router.scan("totals"), [expected]);
    assert_eq!(router.route("count").unwrap()["health"]["code"], "ok");
    assert_eq!(router.signal("TERM"), 0);
    let log = router.log();
    assert_eq!(log.matches("breaker is open").count(), 1, "{log}");
    assert_eq!(log.matches("breaker is closed again").count(), 1, "{log}");
}
