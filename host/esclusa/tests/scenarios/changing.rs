//! A plugin that gives another output in each call, in a router that is killed between two tries: the receiver sees one id for each
//! message, and the content that was recorded first.

use super::router::{Router, guests, mannered};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const ROUTES: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.events]
kind = "stream"
[output.out]
kind = "webhook"
url = "http://ADDRESS/"
[[route]]
name = "differ"
source = "events"
plugin = "hostile.wasm"
outputs = ["out"]
batch_size = 1
max_retry_attempts = -1
retry_backoff = { base = "10ms", max = "50ms" }
instances = "reuse"
config = { do = "differ" }
"#;

/// Ids and contents of the messages that came, in their order.
type Received = Arc<Mutex<Vec<(String, String)>>>;

/// A receiver that takes messages only while `takes` holds, and notes all of them.
fn receiver(takes: Arc<AtomicBool>) -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, received) = (listener.local_addr().unwrap().to_string(), Received::default());
    let told = received.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut head, mut line) = (BufReader::new(stream.unwrap()), BTreeMap::new(), String::new());
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some((name, value)) = line.split_once(": ") {
                    head.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                }
                line.clear();
            }
            let length = head.get("content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            if length == 0 || stream.read_exact(&mut body).is_err() {
                continue;
            }
            told.lock().unwrap().push((head["idempotency-key"].clone(), String::from_utf8(body).unwrap()));
            let status = if takes.load(Ordering::SeqCst) { "200 OK" } else { "500 Not now" };
            // The router may be killed before it has its answer.
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
    });
    (address, received)
}

#[test]
fn what_was_recorded_first_is_sent_under_its_id_whatever_the_plugin_says_after_a_kill() {
    let takes = Arc::new(AtomicBool::new(true));
    let (address, received) = receiver(takes.clone());
    let mut router = Router::new(&ROUTES.replace("ADDRESS", &address));
    let hostile = std::fs::read(guests().join("hostile.wasm")).unwrap();
    router.deploy("hostile.wasm", hostile);
    router.start();
    let send = |router: &Router, event: &str| {
        router.write("events.jsonl", format!("\"{event}\"\n"));
        router.ok(&["send", "events", "events.jsonl"]);
    };
    let seen = |content: &str| {
        let received = received.lock().unwrap();
        received.iter().filter(|(_, body)| body.starts_with(content)).cloned().collect::<Vec<_>>()
    };
    // The calls of its one instance are counted: after a restart the count begins again.
    send(&router, "first");
    router.until("the first event is through", |_| !seen("\"first\"").is_empty());
    takes.store(false, Ordering::SeqCst);
    send(&router, "second");
    for _ in 0..3 {
        let tries = seen("\"second\"").len();
        router.until("it is tried", |_| seen("\"second\"").len() > tries);
        assert_eq!(router.signal("KILL"), -1);
        router.start();
    }
    // A version that could not send anything any more.
    router.signal("KILL");
    router.deploy("hostile.wasm", mannered(b'5'));
    router.start();
    takes.store(true, Ordering::SeqCst);
    let delivered = |router: &Router| router.route("differ").unwrap()["outputs"][0]["messages"]["pending"] == 0;
    router.until("it is delivered", delivered);
    let tries = seen("\"second\"");
    assert!(tries.len() >= 4, "{tries:?}");
    assert!(tries.iter().all(|one| *one == tries[0]), "one id and one content: {tries:?}");
    assert_eq!(tries[0].1, "\"second\" in call 2");
    assert_ne!(tries[0].0, seen("\"first\"")[0].0);
    assert_eq!(router.signal("TERM"), 0);
}
