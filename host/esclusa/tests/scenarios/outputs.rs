//! Messages for the world outside: their order, and what a receiver that fails holds up.

use super::router::Router;
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

/// A receiver that takes every message, but those that say `slow`; gives its address and what it was asked, in order.
fn receiver() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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
fn messages_of_a_group_go_out_in_its_order_whoever_sends_them() {
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
    // As many as wait to be accepted, and more than there are files.
    let connections: Vec<_> = (0..160).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
    // It has died of this within a second or two.
    for _ in 0..300 {
        assert!(router.alive(), "{}", router.log());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(connections);
    router.until("everything is done", |router| {
        router.route("work").is_some_and(|route| route["reading"]["counts"]["done"] == 40_000)
    });
    assert_eq!(router.signal("TERM"), 0, "{}", router.log());
}
