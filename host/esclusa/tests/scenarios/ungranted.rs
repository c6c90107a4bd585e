//! A plugin names tables, object stores and outputs that exist and that its route does not grant: nothing of the call is carried
//! out, no read is answered, and nothing leaves for AWS.

use super::router::{Router, guests};
use serde_json::Value;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const HEAD: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.events]
kind = "stream"
[output.out]
kind = "file"
path = "out.jsonl"
"#;

const EMBEDDED: &str = r#"
[table.target]
kind = "embedded"
partition_key = "pk"
indexes = { by-id = { partition_key = "id" } }
[objects.target]
kind = "directory"
path = "objects"
[output.target]
kind = "file"
path = "target.jsonl"
"#;

const CLOUD: &str = r#"
[aws]
region = "eu-west-1"
endpoint_url = "http://ENDPOINT"
[table.target]
kind = "dynamodb"
[objects.target]
kind = "s3"
bucket = "target"
[output.target]
kind = "sqs"
"#;

/// What the plugin tries on its target.
const ATTACKS: [&str; 5] = ["denied-put", "denied-update", "denied-delete", "denied-object", "denied-send"];

fn attacks(more: &str) -> String {
    let plugin = guests().join("hostile.wasm").display().to_string();
    let route = |attack: &&str| {
        format!(
            "[[route]]\nname = \"{attack}\"\nsource = \"events\"\nplugin = \"{plugin}\"\noutputs = [\"out\"]\n{more}\n\
             max_retry_attempts = 0\nconfig = {{ do = \"{attack}\" }}\n"
        )
    };
    ATTACKS.iter().map(route).collect()
}

/// Sends an event, and waits until each attack has ended; every one is a dead letter with the code for it.
fn all_are_denied(router: &mut Router) {
    router.write("events.jsonl", "{\"id\": \"1\"}\n");
    router.ok(&["send", "events", "events.jsonl"]);
    router.until("every attack has ended", |router| {
        let dead = |attack: &&str| router.route(attack).is_some_and(|route| route["reading"]["counts"]["dead"] == 1);
        ATTACKS.iter().all(dead)
    });
    let letters = router.ok(&["dlq", "ls", "--json"]);
    assert_eq!(letters.lines().count(), ATTACKS.len(), "{letters}");
    for line in letters.lines() {
        let letter: Value = serde_json::from_str(line).unwrap();
        assert_eq!(letter["code"], "denied.capability", "{letter}");
        assert!(letter["reason"].as_str().unwrap().contains("\"target\""), "{letter}");
    }
    assert!(!router.path("out.jsonl").exists(), "the effect that is granted is not carried out either");
}

#[test]
fn effects_on_what_is_not_granted_fail_their_call_and_leave_no_trace() {
    let mut router = Router::new(&format!("{HEAD}{EMBEDDED}{}", attacks("")));
    router.start();
    all_are_denied(&mut router);
    assert_eq!(router.scan("target"), Vec::<Value>::new());
    assert!(!router.path("target.jsonl").exists() && !router.path("objects/planted").exists());
    assert_eq!(router.signal("TERM"), 0);
}

/// Counts the requests to an address, and answers none.
fn endpoint() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicUsize::new(0)));
    let counted = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream);
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, asked)
}

#[test]
fn nothing_leaves_for_aws_on_behalf_of_a_route_without_the_grant() {
    let (address, asked) = endpoint();
    let routes = |more| format!("{HEAD}{}{}", CLOUD.replace("ENDPOINT", &address), attacks(more));
    let mut router = Router::new(&routes(""));
    let credentials = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    router.launch(&["run"], &credentials);
    router.until_ready();
    all_are_denied(&mut router);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // With the grants the same plugins reach it.
    router.configure(&routes("tables = [\"target\"]\nobjects = [\"target\"]"));
    router.until("the grants are in force", |r| r.get("/api/v1/status").unwrap()["reloads"][0]["ok"] == true);
    router.ok(&["send", "events", "events.jsonl"]);
    router.until("the granted table is asked for", |_| asked.load(Ordering::SeqCst) > 0);
}

const READS: &str = r#"
[[route]]
name = "fill"
source = "events"
plugin = "PLUGINS/etl.wasm"
tables = ["target"]
config = { table = "target", key = { pk = "{id}" } }
[source.questions]
kind = "stream"
[[route]]
name = "ask"
source = "questions"
plugin = "GUESTS/probe.wasm"
outputs = ["out"]
"#;

const QUESTIONS: [&str; 9] = [
    r#"{"key-of": "target"}"#,
    r#"{"get": "target", "text": "1"}"#,
    r#"{"get-many": "target", "ids": ["1"]}"#,
    r#"{"query": "target", "text": "1"}"#,
    r#"{"query": "target", "text": "1", "index": "by-id"}"#,
    r#"{"scan": "target"}"#,
    r#"{"object": "target", "path": "secret"}"#,
    r#"{"object": "target", "path": "secret", "range": [0, 3]}"#,
    r#"{"objects": "target", "path": ""}"#,
];

#[test]
fn reads_of_what_is_not_granted_are_refused_however_they_are_asked() {
    let reads = READS.replace("GUESTS", &guests().display().to_string());
    let mut router = Router::new(&format!("{HEAD}{EMBEDDED}{reads}"));
    std::fs::create_dir(router.path("objects")).unwrap();
    router.write("objects/secret", "planted");
    router.start();
    router.write("events.jsonl", "{\"id\": \"1\", \"text\": \"planted\"}\n");
    router.ok(&["send", "events", "events.jsonl"]);
    router.until("there is something to read", |router| router.scan("target").len() == 1);
    router.write("questions.jsonl", QUESTIONS.join("\n"));
    router.ok(&["send", "questions", "questions.jsonl"]);
    let answers = |router: &Router| std::fs::read_to_string(router.path("out.jsonl")).unwrap_or_default();
    router.until("every question is answered", |router| answers(router).lines().count() == QUESTIONS.len());
    for answer in answers(&router).lines() {
        assert!(answer.contains("is not granted"), "{answer}");
    }
    // The same questions with the grants.
    std::fs::remove_file(router.path("out.jsonl")).unwrap();
    let granted =
        reads.replace("outputs = [\"out\"]", "outputs = [\"out\"]\ntables = [\"target\"]\nread_objects = [\"target\"]");
    router.configure(&format!("{HEAD}{EMBEDDED}{granted}"));
    router.until("the grants are in force", |r| r.get("/api/v1/status").unwrap()["reloads"][0]["ok"] == true);
    router.ok(&["send", "questions", "questions.jsonl"]);
    router.until("every question is answered", |router| answers(router).lines().count() == QUESTIONS.len());
    assert!(!answers(&router).contains("is not granted"), "{}", answers(&router));
    assert_eq!(router.signal("TERM"), 0);
}
