//! Messages to outputs: their order, and the effect of a receiver that fails.

use super::router::{ClosedPort, Router};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

const HEAD: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
"#;

/// A route that sends each event's field `m` to an output called `out`.
const ROUTE: &str = r#"
[[route]]
name = "send"
source = "events"
plugin = "PLUGINS/alert.wasm"
outputs = ["out"]
batch_size = 1
config = { rule = [{ name = "all", output = "out", message = "{m}" }] }
"#;

const WAITS: &str = r#"retry_backoff = { base = "10ms", max = "200ms" }"#;

/// A receiver that takes every message except those with `slow`; gives its address and the requests, in order.
fn receiver() -> (String, Arc<Mutex<Vec<String>>>) {
    receive(TcpListener::bind("127.0.0.1:0").unwrap())
}

/// The same on an existing listener.
fn receive(listener: TcpListener) -> (String, Arc<Mutex<Vec<String>>>) {
    let address = listener.local_addr().unwrap().to_string();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, told) = (BufReader::new(stream.unwrap()), told.clone());
            std::thread::spawn(move || {
                loop {
                    let (mut line, mut length) = (String::new(), 0);
                    while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                        let lower = line.to_ascii_lowercase();
                        length = lower.strip_prefix("content-length: ").map_or(length, |n| n.trim().parse().unwrap());
                        line.clear();
                    }
                    let mut body = vec![0; length];
                    if length == 0 || stream.read_exact(&mut body).is_err() {
                        return;
                    }
                    let body = String::from_utf8(body).unwrap();
                    let status = if body.contains("slow") { "503 Slow\r\nretry-after: 3600" } else { "200 OK" };
                    told.lock().unwrap().push(body);
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                    if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, asked)
}

#[test]
fn messages_of_a_group_go_out_in_its_order_from_any_worker() {
    const MESSAGES: usize = 400;
    let queue = "[source.events]\nkind = \"queue\"\n[output.out]\nkind = \"file\"\npath = \"out.txt\"\n";
    let router = Router::new(&format!("{HEAD}{queue}{ROUTE}concurrency = 8\n"));
    let lines = |group: &str| -> String {
        (0..MESSAGES).map(|n| format!("{{\"m\":\"{group} {n}\",\"g\":\"{group}\"}}\n")).collect()
    };
    router.write("events.jsonl", lines("a") + &lines("b"));
    router.ok(&["send", "events", "events.jsonl", "--key", "g"]);
    router.ok(&["run", "--until-idle"]);
    let out = std::fs::read_to_string(router.path("out.txt")).unwrap();
    for group in ["a", "b"] {
        let order: Vec<usize> = out.lines().filter_map(|line| line.strip_prefix(group)?.trim().parse().ok()).collect();
        assert_eq!(order, (0..MESSAGES).collect::<Vec<_>>(), "group {group}");
    }
}

#[test]
fn what_a_receiver_does_not_take_holds_up_its_own_lane_only_also_after_a_restart() {
    let (address, asked) = receiver();
    let there = format!(
        "[source.events]\nkind = \"stream\"\npartitions = 8\n[output.out]\nkind = \"webhook\"\nurl = \"http://{address}/\"\n"
    );
    let mut router = Router::new(&format!("{HEAD}{there}{ROUTE}max_retry_attempts = -1\n{WAITS}\n"));
    router.start();
    let others: Vec<String> = (0..40).map(|n| format!("{{\"m\":\"{n}\",\"k\":\"{n}\"}}\n")).collect();
    router.write("slow.jsonl", "{\"m\":\"slow\",\"k\":\"a\"}\n");
    router.ok(&["send", "events", "slow.jsonl", "--key", "k"]);
    router.until("the slow one is tried again, although asked to come back later", |_| {
        asked.lock().unwrap().iter().filter(|body| *body == "slow").count() > 1
    });
    assert_eq!(router.signal("TERM"), 3, "{}", router.log());
    router.start();
    router.write("others.jsonl", others.concat());
    router.ok(&["send", "events", "others.jsonl", "--key", "k"]);
    // One partition in eight waits, and the keys in it.
    router.until("most of the others went out", |_| {
        asked.lock().unwrap().iter().filter(|body| *body != "slow").count() > 20
    });
}

/// A router with 16 events for a route that sends all of them at once to an output.
fn sixteen(output: &str, rest: &str) -> Router {
    let source = "[source.events]\nkind = \"stream\"\n";
    let route = ROUTE.replace("batch_size = 1", "batch_size = 16");
    let router = Router::new(&format!("{HEAD}{source}[output.out]\n{output}\n{route}{rest}\n"));
    router.write("events.jsonl", (0..16).map(|n| format!("{{\"m\":\"{n}\"}}\n")).collect::<String>());
    router.ok(&["send", "events", "events.jsonl"]);
    router
}

/// The counts of the only output.
fn messages(router: &Router) -> Value {
    router.route("send").map_or(Value::Null, |route| route["outputs"][0]["messages"].clone())
}

fn lines(router: &Router, text: &str) -> usize {
    router.log().lines().filter(|line| line.contains(text)).count()
}

const FAILS: &str = "an output does not take messages";
const WORKS: &str = "the output takes messages again";

#[test]
fn a_webhook_that_nobody_answers_is_seen_in_status_metrics_and_log_until_it_works_again() {
    let closed = ClosedPort::new();
    let address = closed.address();
    let output = format!("kind = \"webhook\"\nurl = \"http://{address}/\"");
    let mut router = sixteen(&output, &format!("max_retry_attempts = -1\n{WAITS}"));
    router.start();
    let tried = |times: u64| move |router: &Router| messages(router)["failed_in_a_row"].as_u64() >= Some(times);
    router.until("all of them wait", |router| messages(router)["pending"] == 16 && tried(1)(router));
    router.until("the log tells of it", |router| lines(router, FAILS) > 0);
    let (route, now) = (router.route("send").unwrap(), router.get("/api/v1/status").unwrap()["now"].as_u64());
    assert_eq!((&route["state"], &route["reading"]["counts"]["done"]), (&json!("running"), &json!(16)));
    let told = messages(&router);
    assert_eq!((&told["pending"], &told["sent"], &told["given_up"]), (&json!(16), &json!(0), &json!(0)));
    assert!(told["oldest"].as_u64() <= now && told["oldest"].is_u64() && told["failed_tries"].as_u64() >= Some(1));
    assert!(told["last_error"]["message"].as_str().unwrap().contains(&address.to_string()), "{told}");
    router.until("the next try is told", |router| messages(router)["next_try"].is_u64());
    let (_, metrics) = router.request("GET", "/metrics", &[], b"").unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("esclusa_output_pending_messages{route=\"send\",output=\"out\"} 16\n"), "{metrics}");
    assert!(metrics.contains("esclusa_output_sent_total{route=\"send\",output=\"out\"} 0\n"), "{metrics}");
    for (path, expected) in [("/readyz", 200), ("/readyz?route=send", 503)] {
        let (code, body) = router.request("GET", path, &[], b"").unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let output = &body["routes"][0]["outputs"][0];
        assert_eq!((code, &body["routes"][0]["code"]), (expected, &json!("outbox.send")), "{body}");
        assert_eq!((&output["name"], &output["messages"]["pending"]), (&json!("out"), &json!(16)), "{body}");
    }
    let status = router.ok(&["status"]);
    assert!(status.contains("out (webhook)") && status.contains("FAILING"), "{status}");
    let undelivered = |router: &Router| {
        let accounts: Value = serde_json::from_str(&router.ok(&["audit", "--json"])).unwrap();
        accounts["accounts"][0]["undelivered"].clone()
    };
    assert_eq!(undelivered(&router), 16);
    router.until("it is tried often", tried(40));
    assert!(lines(&router, FAILS) <= 8, "{}", router.log());

    // Messages in the outbox of an earlier run wait, too.
    assert_eq!(router.signal("TERM"), 3, "{}", router.log());
    assert_eq!(undelivered(&router), 16);
    router.start();
    router.until("it is tried again", tried(2));
    assert_eq!((&messages(&router)["pending"], lines(&router, WORKS)), (&json!(16), 0));

    let (_, asked) = receive(closed.listen());
    router.until("everything is delivered", |router| messages(router)["sent"] == 16);
    let told = messages(&router);
    assert_eq!((&told["pending"], &told["oldest"], &told["next_try"]), (&json!(0), &Value::Null, &Value::Null));
    assert_eq!((&told["failed_in_a_row"], &told["given_up"], asked.lock().unwrap().len()), (&json!(0), &json!(0), 16));
    router.until("the log tells that it works", |router| lines(router, WORKS) == 1);
    assert!(!router.ok(&["status"]).contains("FAILING"));
    assert_eq!(undelivered(&router), 0);
}

#[test]
fn a_message_whose_receiver_hangs_waits_and_is_seen_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut router = sixteen(&format!("kind = \"webhook\"\nurl = \"http://{address}/\"\ntimeout = \"5m\""), "");
    router.start();
    router.until("the oldest message has waited for a while", |router| {
        let (status, messages) = (router.get("/api/v1/status"), messages(router));
        let now = status.and_then(|status| status["now"].as_u64());
        now.zip(messages["oldest"].as_u64()).is_some_and(|(now, since)| now - since > 300)
    });
    let told = messages(&router);
    assert_eq!(
        (&told["pending"], &told["failed_in_a_row"], &told["last_error"]),
        (&json!(16), &json!(0), &Value::Null)
    );
    assert!(router.ok(&["status"]).contains("sending"));
}

#[test]
fn an_output_that_gave_up_its_messages_is_seen_to_fail_although_nothing_waits() {
    let closed = ClosedPort::new();
    let output = format!("kind = \"webhook\"\nurl = \"http://{}/\"", closed.address());
    // A webhook that does not answer gets one message at a time: they are given up one after the other.
    let mut router = sixteen(&output, &format!("max_retry_attempts = 0\n{WAITS}"));
    router.start();
    router.until("all are given up", |router| messages(router)["given_up"] == 16);
    let told = messages(&router);
    assert_eq!((&told["pending"], &told["sent"]), (&json!(0), &json!(0)));
    assert!(told["failed_in_a_row"].as_u64() >= Some(1), "{told}");
    let status = router.ok(&["status"]);
    assert!(status.contains("FAILING"), "{status}");
    let given_up = lines(&router, "messages were given up");
    assert!((1..=5).contains(&given_up), "{}", router.log());
}

#[test]
fn a_file_that_cannot_be_written_is_seen_and_written_once_it_can() {
    let mut router = sixteen("kind = \"file\"\npath = \"out/out.txt\"", &format!("max_retry_attempts = -1\n{WAITS}"));
    router.write("out", "in the way");
    router.start();
    router.until("all of them wait", |router| messages(router)["pending"] == 16);
    router.until("it fails", |router| messages(router)["failed_in_a_row"].as_u64() >= Some(1));
    std::fs::remove_file(router.path("out")).unwrap();
    router.until("everything is written", |router| messages(router)["pending"] == 0);
    assert_eq!(std::fs::read_to_string(router.path("out/out.txt")).unwrap().lines().count(), 16);
    router.until("the log tells of both", |router| lines(router, FAILS) >= 1 && lines(router, WORKS) == 1);
}

#[test]
fn a_reader_of_the_console_that_stops_reading_stops_nothing_else() {
    let source = "[source.events]\nkind = \"stream\"\npartitions = 16\n[output.out]\nkind = \"console\"\n";
    let mut router = Router::new(&format!("{HEAD}{source}{ROUTE}concurrency = 16\n"));
    let text = "x".repeat(20_000);
    let lines: String = (0..200).map(|n| format!("{{\"m\":\"{n} {text}\",\"k\":\"{n}\"}}\n")).collect();
    router.write("events.jsonl", lines);
    router.ok(&["send", "events", "events.jsonl", "--key", "k"]);
    // Its standard output is a pipe that this test holds open and does not read.
    router.wrap("mkfifo pipe; sleep 90 <pipe & exec \"$0\" \"$@\" >pipe", &["run", "--drain-timeout", "1s"]);
    router.until("messages wait in every lane", |router| messages(router)["pending"].as_u64() >= Some(10));
    for _ in 0..20 {
        assert!(router.get("/livez").is_some(), "{}", router.log());
    }
    assert!(router.ok(&["status"]).contains("out (console)"));
    assert_eq!(router.signal("TERM"), 3, "{}", router.log());
}

#[test]
fn a_run_that_ends_with_a_halted_route_has_failed() {
    let halting = r#"
[source.events]
kind = "stream"
[[route]]
name = "halting"
source = "events"
plugin = "GUESTS/hostile.wasm"
config = { do = "halt" }
"#;
    let halting = halting.replace("GUESTS", &super::router::guests().display().to_string());
    let router = Router::new(&format!("{HEAD}{halting}"));
    router.write("events.jsonl", "{}\n");
    router.ok(&["send", "events", "events.jsonl"]);
    assert_eq!(router.run(&["run", "--until-idle"]).status.code(), Some(1));
}

#[test]
fn connections_that_do_nothing_do_not_use_up_the_files_of_the_store() {
    let work = r#"
[source.events]
kind = "generate"
interval = "1ms"
per_tick = 20
count = 40000
event = { id = "{seq}", text = "TEXT" }
[table.events]
kind = "embedded"
partition_key = "id"
[[route]]
name = "work"
source = "events"
plugin = "PLUGINS/etl.wasm"
tables = ["events"]
config = { table = "events", key = { id = "{id}" } }
"#;
    let mut router = Router::new(&format!("{HEAD}{}", work.replace("TEXT", &"x".repeat(2000))));
    router.wrap("ulimit -n 160; exec \"$0\" \"$@\"", &["run"]);
    router.until("it listens", |router| router.get("/readyz").is_some());
    let address = router.address().unwrap();
    // More connections than the router may open files.
    let open = || std::net::TcpStream::connect(&address).unwrap();
    let connections: RefCell<VecDeque<_>> = RefCell::new((0..160).map(|_| open()).collect());
    // The router ends a silent connection for each that asks something: another one takes its place.
    router.until("everything is done", |router| {
        let mut connections = connections.borrow_mut();
        connections.push_back(open());
        connections.pop_front();
        router.route("work").is_some_and(|route| route["reading"]["counts"]["done"] == 40_000)
    });
    assert_eq!(router.signal("TERM"), 0, "{}", router.log());
}
