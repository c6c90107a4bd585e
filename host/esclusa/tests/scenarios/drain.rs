//! Shutdown and restart while events flow.

use super::router::Router;

const ROUTES: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.ticks]
kind = "generate"
interval = "1ms"
per_tick = 3
count = 6000
event = { day = "d", one = 1 }
[table.totals]
kind = "embedded"
partition_key = "day"
[[route]]
name = "count"
source = "ticks"
plugin = "PLUGINS/aggregate.wasm"
tables = ["totals"]
batch_size = 10
config = { table = "totals", key = { day = "{day}" }, count = "events" }
"#;

#[test]
fn sigterm_drains_and_the_next_run_goes_on_where_it_ended() {
    let mut router = Router::new(ROUTES);
    for round in 1..=4u64 {
        router.start();
        router.until("some events are through", |r| {
            r.route("count").is_some_and(|x| x["reading"]["counts"]["done"].as_u64().unwrap() >= round * 500)
        });
        assert_eq!(router.signal(if round % 2 == 0 { "INT" } else { "TERM" }), 0, "{}", router.log());
    }
    router.spawn(&["--until-idle"]);
    assert_eq!(router.wait(), 0, "{}", router.log());
    assert_eq!(router.scan("totals")[0]["events"], 6000);
    router.ok(&["audit"]);
}

#[test]
fn a_paused_route_takes_nothing_until_it_is_resumed() {
    let mut router = Router::new(&ROUTES.replace("name = \"count\"", "name = \"count\"\nenabled = false"));
    router.start();
    assert_eq!(router.route("count").unwrap()["state"], "paused");
    assert_eq!(router.route("count").unwrap()["reading"]["received"], 0);
    router.ok(&["resume", "count"]);
    router
        .until("all events are through", |r| r.route("count").is_some_and(|x| x["reading"]["counts"]["done"] == 6000));
}

#[test]
fn a_pause_outlasts_a_reload_and_a_restart() {
    let mut router = Router::new(ROUTES);
    router.start();
    router.ok(&["pause", "count"]);
    router.configure(&ROUTES.replace("batch_size = 10", "batch_size = 20"));
    router.ok(&["reload"]);
    assert!(router.log().contains("restarted count"), "{}", router.log());
    assert_eq!(router.route("count").unwrap()["state"], "paused");
    assert_eq!(router.signal("TERM"), 0);
    router.start();
    assert_eq!(router.route("count").unwrap()["state"], "paused");
    router.ok(&["resume", "count"]);
    assert_eq!(router.signal("TERM"), 0);
    router.start();
    assert_eq!(router.route("count").unwrap()["state"], "running");
}
