//! The listener while clients misbehave and the router hangs: health and the API are answered, and a signal ends the
//! process.

use super::router::Router;
use serde_json::{Value, json};
use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;

/// Connections that the router of these tests serves at once: a quarter of the files that it may open.
const CONNECTIONS: usize = 40;

/// `O_NONBLOCK` of Linux: with it, opening a pipe for writing fails if no process reads it.
const NONBLOCK: i32 = 0o4000;

const ROUTES: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.events]
kind = "http"
[source.broken]
kind = "file"
path = "directory"
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
name = "broken"
source = "broken"
plugin = "PLUGINS/etl.wasm"
tables = ["events"]
config = { table = "events", key = { id = "{id}" } }
"#;

fn router() -> Router {
    let router = Router::new(ROUTES);
    std::fs::create_dir(router.path("directory")).unwrap();
    router
}

fn status(router: &Router, path: &str) -> u16 {
    router.request("GET", path, &[], b"").unwrap_or_else(|| panic!("{path}: no answer")).0
}

fn answer(router: &Router, path: &str) -> (u16, Value) {
    let (status, body) = router.request("GET", path, &[], b"").unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Opens a connection and sends this.
fn sent(router: &Router, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(router.address().unwrap()).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

#[test]
fn readiness_is_about_the_process_and_every_route_has_its_own_health() {
    let mut router = router();
    router.start();
    router.until("a source fails", |router| router.get("/readyz?route=broken").is_none());
    let (ready, body) = answer(&router, "/readyz");
    assert_eq!((ready, &body["status"]), (200, &json!("ready")), "{body}");
    let of = |name: &str| body["routes"].as_array().unwrap().iter().find(|route| route["route"] == name).unwrap();
    assert_eq!((&of("events")["healthy"], &of("events")["code"]), (&json!(true), &json!("ok")));
    assert_eq!((&of("broken")["healthy"], &of("broken")["source"]), (&json!(false), &json!("broken")));
    assert!(of("broken")["code"].as_str().unwrap().starts_with("source."), "{body}");
    assert!(of("broken")["error"].as_str().is_some_and(|why| !why.is_empty()), "{body}");
    let (failing, told) = answer(&router, "/readyz?route=broken");
    assert_eq!((failing, &told["status"], &told["routes"][0]), (503, &json!("failing"), of("broken")));
    assert_eq!(status(&router, "/readyz?route=events"), 200);
    assert_eq!(status(&router, "/readyz?route=nothing"), 404);
    assert_eq!(router.route("broken").unwrap()["health"]["healthy"], false);
    let metrics = String::from_utf8(router.request("GET", "/metrics", &[], b"").unwrap().1).unwrap();
    for line in ["esclusa_route_healthy{route=\"broken\"} 0", "esclusa_route_healthy{route=\"events\"} 1"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    router.ok(&["pause", "events"]);
    router.until("the pause is seen", |router| status(router, "/readyz?route=events") == 503);
    assert_eq!(answer(&router, "/readyz?route=events").1["routes"][0]["code"], "paused");
    assert_eq!(status(&router, "/readyz"), 200);
}

#[test]
fn slow_clients_keep_nobody_from_asking_for_health() {
    let mut router = router();
    router.wrap(&format!("ulimit -n {}; exec \"$0\" \"$@\"", 4 * CONNECTIONS), &["run"]);
    router.until("it is ready", |router| router.get("/readyz").is_some());
    // More clients than connections, all of them in their headers: the oldest ones are cut for requests of any kind.
    let headers = "POST /ingest/events HTTP/1.1\r\nhost: localhost\r\n";
    let _halves: Vec<TcpStream> = (0..CONNECTIONS * 3 / 2).map(|_| sent(&router, headers)).collect();
    for path in ["/livez", "/readyz", "/metrics", "/api/v1/status"] {
        assert_eq!(status(&router, path), 200, "{path}");
    }
    // All clients are in their bodies: none is cut, and health is answered on the reserve.
    let body = format!("{headers}content-length: 5\r\nexpect: 100-continue\r\n\r\n");
    let busy: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| {
            let mut stream = sent(&router, &body);
            assert!(stream.read(&mut [0; 100]).unwrap() > 0, "its body is waited for");
            stream
        })
        .collect();
    for _ in 0..CONNECTIONS {
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(status(&router, path), 200, "{path}");
        }
    }
    let (refused, why) = answer(&router, "/api/v1/status");
    assert_eq!((refused, &why["code"]), (503, &json!("limit.connections")), "{why}");
    drop(busy);
    router.until("there is room again", |router| status(router, "/api/v1/status") == 200);
}

#[test]
fn stalled_scans_and_searches_keep_nobody_from_anything_else() {
    let mut router = router();
    router.start();
    // More bytes than the buffers of a socket hold.
    let events: String = (0..90).map(|n| json!({"id": n, "text": "x".repeat(350_000)}).to_string() + "\n").collect();
    router.write("events.jsonl", events);
    router.ok(&["send", "events", "events.jsonl"]);
    router.until("they are done", |r| r.route("events").is_some_and(|x| x["reading"]["counts"]["done"] == 90));
    let scan = "GET /api/v1/tables/events/scan HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut stalled: Vec<TcpStream> = (0..4).map(|_| sent(&router, scan)).collect();
    for stream in &mut stalled {
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    let (refused, why) = answer(&router, "/api/v1/tables/events/scan");
    assert_eq!((refused, &why["code"]), (503, &json!("limit.places")), "{why}");
    for path in ["/livez", "/readyz", "/metrics", "/api/v1/status", "/api/v1/audit", "/api/v1/dlq"] {
        assert_eq!(status(&router, path), 200, "{path}");
    }
    assert_eq!(status(&router, "/api/v1/tables/events/item?key=%7B%22id%22:1%7D"), 200);
    drop(stalled);
    router.until("a scan has room again", |router| status(router, "/api/v1/tables/events/scan") == 200);
    assert_eq!(router.scan("events").len(), 90);
}

#[test]
fn lists_in_requests_are_bounded_and_the_longest_ones_are_taken() {
    let mut router = router();
    router.start();
    let post = |path: &str, kind: &str, body: &str| {
        let (status, answer) = router.request("POST", path, &[("content-type", kind)], body.as_bytes()).unwrap();
        (status, String::from_utf8(answer).unwrap())
    };
    let json = "application/json";
    let ids = |count: usize| json!({"ids": (0..count).collect::<Vec<_>>()}).to_string();
    let events = |count: usize| json!({"events": vec![json!({"data": "{}"}); count]}).to_string();
    let lines = |count: usize| "1\n".repeat(count);
    for (path, kind, longest, beyond) in [
        ("/api/v1/dlq/redrive", json, ids(10_000), ids(10_001)),
        ("/api/v1/dlq/drop", json, ids(10_000), ids(1_000_000)),
        ("/api/v1/routes/events/invoke", json, events(10_000), events(10_001)),
        ("/ingest/events", "application/x-ndjson", lines(100_000), lines(100_001)),
        ("/api/v1/sources/events/send", "text/plain", lines(100_000), lines(100_001)),
    ] {
        let (status, answer) = post(path, kind, &beyond);
        assert!(
            status == 413 && answer.contains("limit.list") && answer.contains("send it in parts"),
            "{path}: {answer}"
        );
        let (status, answer) = post(path, kind, &longest);
        assert!(status == 200 || status == 202, "{path}: {status} {answer}");
    }
    let attributes: serde_json::Map<String, Value> = (0..1001).map(|n| (n.to_string(), json!("x"))).collect();
    let body = json!({"events": [{"data": "{}", "attributes": attributes}]}).to_string();
    let (status, answer) = post("/api/v1/routes/events/invoke", json, &body);
    assert!(status == 422 && answer.contains("1000 attributes"), "{status} {answer}");
}

/// A pipe in place of routes.toml, which blocks the thread that reads it.
fn pipe(router: &Router) -> PathBuf {
    let pipe = router.path("routes.toml");
    std::fs::remove_file(&pipe).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    pipe
}

/// Waits until a process reads a pipe; the reader blocks as long as the file is open.
fn read_from(router: &mut Router, pipe: &PathBuf) -> File {
    let open = OnceCell::new();
    router.until("the pipe is read", |_| {
        OpenOptions::new().write(true).custom_flags(NONBLOCK).open(pipe).is_ok_and(|file| open.set(file).is_ok())
    });
    open.into_inner().unwrap()
}

#[test]
fn a_router_that_hangs_tells_its_health_and_ends_after_its_drain_time() {
    let mut router = router();
    router.spawn(&["--drain-timeout", "100ms"]);
    router.until("it is ready", |router| router.get("/readyz").is_some());
    // The drain time, 5 seconds, and one for the last lines of the log.
    router.until("the time of a stop is told", |router| {
        router.log().lines().any(|line| line.contains("a stop takes at most") && line.contains("seconds=7"))
    });
    let pipe = pipe(&router);
    router.send_signal("HUP");
    let _open = read_from(&mut router, &pipe);
    assert_eq!(status(&router, "/livez"), 200);
    assert_eq!(status(&router, "/readyz"), 200);
    assert_eq!(router.signal("TERM"), 3, "{}", router.log());
    assert!(router.log().contains("the router did not end in time"), "{}", router.log());
}

#[test]
fn a_router_that_starts_ends_at_once() {
    for signal in ["TERM", "INT"] {
        let mut router = router();
        let pipe = pipe(&router);
        router.spawn(&[]);
        let _open = read_from(&mut router, &pipe);
        assert_eq!(router.signal(signal), 0, "{}", router.log());
        assert!(router.log().contains("stopped while starting"), "{}", router.log());
    }
}
