//! The listener of a running router: health, ingest, requests from other sites, and the page.

use super::router::{Router, exchange};
use serde_json::{Value, json};

const INGEST: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.events]
kind = "http"
max_body = "1KiB"
[source.api]
kind = "http"
reply = true
timeout = "20s"
[table.events]
kind = "embedded"
partition_key = "id"
[[route]]
name = "events"
source = "events"
plugin = "PLUGINS/etl.wasm"
tables = ["events"]
config = { table = "events", key = { id = "{id}" } }
[[route]]
name = "api"
source = "api"
plugin = "PLUGINS/etl.wasm"
tables = ["events"]
config = { table = "events", key = { id = "{id}" } }
"#;

fn started() -> Router {
    let mut router = Router::new(INGEST);
    router.start();
    router
}

fn post(router: &Router, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let (status, body) = router.request("POST", path, headers, body).unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn done(route: &Value) -> u64 {
    route["reading"]["counts"]["done"].as_u64().unwrap()
}

#[test]
fn events_are_accepted_once_they_are_durable_one_or_a_line_each() {
    let mut router = started();
    let (status, answer) = post(&router, "/ingest/events", &[], br#"{"id": "a"}"#);
    assert_eq!((status, answer["ids"].as_array().unwrap().len()), (202, 1));
    let lines = b"{\"id\": \"b\"}\n{\"id\": \"c\"}\n";
    let (status, answer) = post(&router, "/ingest/events?key=k", &[("content-type", "application/x-ndjson")], lines);
    assert_eq!((status, answer["ids"].as_array().unwrap().len()), (202, 2));
    // Accepted events survive a kill.
    router.signal("KILL");
    router.start();
    router.until("all are done", |r| r.route("events").is_some_and(|route| done(&route) == 3));
    assert_eq!(router.scan("events").len(), 3);
}

#[test]
fn bad_requests_are_refused_and_bad_events_become_dead_letters() {
    let mut router = started();
    assert_eq!(post(&router, "/ingest/events", &[], &[b'x'; 2000]).0, 413);
    assert_eq!(post(&router, "/ingest/nothing", &[], b"{}").0, 404);
    assert_eq!(router.request("GET", "/ingest/events", &[], b"").unwrap().0, 405);
    assert_eq!(post(&router, "/ingest/events/below", &[], b"{}").0, 404);
    for payload in [&b""[..], b"not json", b"\xff\xfe"] {
        assert_eq!(post(&router, "/ingest/events", &[], payload).0, 202);
    }
    router.until("all three are given up", |r| r.route("events").is_some_and(|route| route["dead_letters"] == 3));
    let letters = router.get("/api/v1/dlq?preview=4").unwrap();
    let payloads: Vec<&Value> = letters.as_array().unwrap().iter().map(|letter| &letter["data"]).collect();
    for expected in [json!({"text": ""}), json!({"text": "not "}), json!({"bytes": [255, 254]})] {
        assert!(payloads.contains(&&expected), "{expected} is not in {payloads:?}");
    }
    assert!(router.ok(&["audit"]).contains("adds up"));
}

#[test]
fn a_source_with_replies_answers_after_the_commit() {
    let router = started();
    assert_eq!(router.request("PUT", "/ingest/api/orders/7?x=1", &[("x-tag", "t")], br#"{"id": "r"}"#).unwrap().0, 204);
    assert_eq!(router.scan("events").len(), 1, "answered before it was committed");
    for _ in 0..20 {
        let (status, answer) = post(&router, "/ingest/api", &[], b"{}");
        assert_eq!((status, &answer["code"]), (422, &json!("rejected")));
    }
    // A path that ends in a slash is one below the source. A request to a paused route is refused at once.
    assert_eq!(post(&router, "/ingest/api/", &[], b"{}").0, 422);
    router.ok(&["pause", "api"]);
    assert_eq!(post(&router, "/ingest/api", &[], b"{}").0, 503);
}

#[test]
fn health_is_told_and_stopping_is_not_ready() {
    let mut router = started();
    assert_eq!(router.get("/livez").unwrap()["status"], "live");
    assert_eq!(router.get("/healthz").unwrap()["status"], "live");
    assert_eq!(router.get("/readyz").unwrap()["status"], "ready");
    assert_eq!(router.signal("INT"), 0);
}

#[test]
fn pages_of_other_sites_are_refused() {
    let router = started();
    let (status, _) = router.request("GET", "/api/v1/status", &[], b"").unwrap();
    assert_eq!(status, 200);
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        for path in ["/api/v1/reload", "/api/v1/routes/events/pause", "/ingest/events"] {
            assert_eq!(post(&router, path, &[("origin", origin)], b"{}").0, 403, "{origin} {path}");
        }
    }
    let own = format!("http://{}", router.address().unwrap());
    assert_eq!(post(&router, "/api/v1/routes/events/pause", &[("origin", &own)], b"").0, 200);
    assert_eq!(post(&router, "/api/v1/reload", &[("sec-fetch-site", "cross-site")], b"").0, 403);
    assert_eq!(router.request_as("evil.example", "/api/v1/status").unwrap(), 421);
    assert_eq!(router.request_as("localhost", "/api/v1/status").unwrap(), 200);
    assert_eq!(router.request_as("probe.example", "/readyz").unwrap(), 200);
    // Reads cost work, and what answers at /ingest may be a plugin.
    for site in ["cross-site", "same-site"] {
        for (mode, dest) in [("no-cors", "image"), ("navigate", "iframe"), ("navigate", "document")] {
            let headers = [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            for path in ["/api/v1/status", "/api/v1/tables/events/scan", "/metrics", "/ingest/events", "/ingest/api"] {
                assert_eq!(router.request("GET", path, &headers, b"").unwrap().0, 403, "{site} {mode} {path}");
            }
            let expected = if dest == "document" { 200 } else { 403 };
            assert_eq!(router.request("GET", "/", &headers, b"").unwrap().0, expected, "{site} {mode} {dest}");
        }
    }
    assert_eq!(done(&router.route("api").unwrap()), 0, "no plugin ran");
    assert_eq!(router.request("GET", "/api/v1/status", &[("origin", "http://evil.example")], b"").unwrap().0, 403);
    for site in ["none", "same-origin"] {
        assert_eq!(router.request("GET", "/metrics", &[("sec-fetch-site", site)], b"").unwrap().0, 200, "{site}");
    }
}

#[test]
fn every_answer_says_what_a_browser_may_do_with_it_and_a_second_host_is_refused() {
    let router = started();
    let address = router.address().unwrap();
    for (method, path, headers, status) in [
        ("GET", "/", &[][..], 200),
        ("GET", "/metrics", &[], 200),
        ("GET", "/readyz", &[], 200),
        ("GET", "/nothing", &[], 404),
        ("PUT", "/api/v1/status", &[], 405),
        ("GET", "/ingest/nothing", &[], 404),
        ("GET", "/ingest/events", &[], 405),
        ("GET", "/", &[("origin", "http://evil.example")], 403),
        ("GET", "/api/v1/status", &[("host", "evil.example")], 400),
        ("GET", "/ingest/events", &[("host", "evil.example")], 400),
        ("GET", "/livez", &[("host", &*address)], 400),
        ("GET", "/api/v1/dlq?foo=1", &[], 400),
    ] {
        let answer = exchange(&address, method, path, headers, b"").unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src"), "{method} {path}: {policy}");
    }
}

#[test]
fn tables_metrics_and_the_page_are_served() {
    let mut router = started();
    post(&router, "/ingest/events", &[], br#"{"id": "a", "n": 0.30}"#);
    router.until("it is done", |r| r.route("events").is_some_and(|route| done(&route) == 1));
    let (_, scan) = router.request("GET", "/api/v1/tables/events/scan", &[], b"").unwrap();
    assert_eq!(scan.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(router.get("/api/v1/tables/events/item?key=%7B%22id%22:%22a%22%7D").unwrap()["id"], "a");
    assert_eq!(router.get("/api/v1/tables/events/item?key=%7B%22id%22:%22z%22%7D").unwrap(), Value::Null);
    assert_eq!(router.request("GET", "/api/v1/tables/nothing/scan", &[], b"").unwrap().0, 404);
    assert_eq!(router.request("GET", "/api/v1/tables/events/item?key=nope", &[], b"").unwrap().0, 400);
    let (_, metrics) = router.request("GET", "/metrics", &[], b"").unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("esclusa_events_settled_total{route=\"events\",outcome=\"done\"} 1"), "{metrics}");
    for path in ["/", "/page.css", "/page.js"] {
        assert_eq!(router.request("GET", path, &[], b"").unwrap().0, 200, "{path}");
    }
    assert_eq!(router.request("GET", "/nothing", &[], b"").unwrap().0, 404);
}

#[test]
fn a_refused_reload_tells_the_places() {
    let router = started();
    router.configure(&INGEST.replace("max_body", "max_bdy"));
    let (status, answer) = post(&router, "/api/v1/reload", &[], b"");
    assert_eq!(status, 400);
    assert_eq!(answer["diagnostics"][0]["code"], "config::unknown_key");
    assert!(answer["error"].as_str().unwrap().contains("max_bdy"));
}

#[test]
fn every_error_of_the_api_is_a_json_object() {
    let router = started();
    let check = |method: &str, path: &str, headers: &[(&str, &str)], body: &str, status: u16, message: &str| {
        let (answered, body) = router.request(method, path, headers, body.as_bytes()).unwrap();
        let error: Value = serde_json::from_slice(&body).unwrap_or_else(|why| panic!("{method} {path}: {why}"));
        assert_eq!(answered, status, "{method} {path}: {error}");
        assert!(error["error"].as_str().is_some_and(|error| error.contains(message)), "{method} {path}: {error}");
    };
    check("POST", "/api/v1/dlq/drop", &[], "{\"ids\": []}", 415, "Content-Type: application/json");
    let json = [("content-type", "application/json")];
    for (method, path, body, status, message) in [
        ("GET", "/api/v1/dlq/abc", "", 400, "\"abc\" is not the number of a dead letter"),
        ("GET", "/api/v1/dlq?foo=1", "", 400, "unknown field `foo`"),
        ("GET", "/api/v1/dlq?limit=many", "", 400, "the parameters cannot be read"),
        ("GET", "/api/v1/tables/events/item", "", 400, "missing field `key`"),
        ("GET", "/api/v1/tables/%ff/scan", "", 400, "the path cannot be read"),
        ("POST", "/api/v1/dlq/drop", "{\"ids\": [\"a\"]}", 422, "invalid type"),
        ("POST", "/api/v1/dlq/drop", "{", 400, "the body cannot be read"),
        ("DELETE", "/api/v1/status", "", 405, "/api/v1/status does not take DELETE"),
        ("POST", "/livez", "", 405, "/livez does not take POST"),
        ("GET", "/nothing", "", 404, "there is nothing at /nothing"),
    ] {
        check(method, path, &json, body, status, message);
    }
}
