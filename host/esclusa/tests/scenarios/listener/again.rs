//! Requests that come again get the first answer again and are carried out once; webhooks in three schemes.

use super::{ask, echo, sent, started};
use crate::router::{Answer, Router, server};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const KEYED: &str = "idempotency_key = \"Idempotency-Key\"";

fn keyed(address: &str, key: &str, body: &str) -> Answer {
    ask(address, "POST", "/v1/things", &[("idempotency-key", key)], body.as_bytes())
}

fn same(one: &Answer, other: &Answer) -> bool {
    (one.status, one.header("content-type"), &one.body) == (other.status, other.header("content-type"), &other.body)
}

#[test]
fn a_repeated_request_gets_the_first_answer_and_is_carried_out_once_also_after_a_kill() {
    let (mut router, address) = started(&echo("", KEYED, "", ""));
    let first = keyed(&address, "k1", "one");
    assert_eq!(first.status, 201);
    assert!(same(&first, &keyed(&address, "k1", "one")));
    let unkeyed = [keyed(&address, "k2", "one"), ask(&address, "POST", "/v1/things", &[], b"one")];
    assert!(unkeyed.iter().all(|other| other.status == 201 && !same(&first, other)), "{unkeyed:?}");
    let other = keyed(&address, "k1", "another body");
    assert_eq!((other.status, other.text().contains("idempotency.other_request")), (422, true), "{other:?}");
    router.signal("KILL");
    router.start();
    router.until("it listens", |router| router.path("data/router.json").exists());
    let again = keyed(&router.listener("api"), "k1", "one");
    assert!(same(&first, &again), "{again:?}");
    assert_eq!(sent(&router).len(), 3, "k1, k2 and the one without a key");
    assert_eq!(keyed(&router.listener("api"), &"k".repeat(256), "one").status, 400);
}

#[test]
fn the_answer_to_a_request_that_failed_is_kept_too() {
    let (_router, address) = started(&echo("", KEYED, "", ""));
    let first = keyed(&address, "k", "status:503");
    assert_eq!(first.status, 503, "as the plugin says");
    assert!(same(&first, &keyed(&address, "k", "status:503")));
}

#[test]
fn while_the_first_is_in_work_the_same_request_is_told_to_come_again() {
    let (router, address) = started(&echo("", KEYED, "", "concurrency = 1\nbatch_window = \"3s\""));
    // Sent at the same time: one of them is the first, and is in work for seconds.
    let both = [(); 2].map(|()| {
        let address = address.clone();
        std::thread::spawn(move || keyed(&address, "k", "one"))
    });
    let mut both = both.map(|asked| asked.join().unwrap());
    both.sort_by_key(|answer| answer.status);
    let [first, busy] = both;
    assert_eq!((busy.status, busy.header("retry-after")), (409, Some("1")), "{busy:?}");
    assert!(busy.text().contains("idempotency.in_work"), "{busy:?}");
    let later = keyed(&address, "k", "one");
    assert!(first.status == 201 && same(&first, &later), "{first:?} {later:?}");
    assert_eq!(sent(&router), ["one"]);
}

#[test]
fn requests_that_a_halted_or_paused_route_leaves_are_told_so_at_once_and_may_come_again() {
    // They wait in a lane for a minute, unless somebody stops them, and would wait for their reply longer than the test.
    let (source, route) =
        (format!("{KEYED}\ntimeout = \"5m\""), "concurrency = 1\nbatch_size = 2\nbatch_window = \"1m\"");
    let routes = echo("", &source, "", route);
    let (mut router, address) = started(&routes.replace("do = \"echo-request\"", "do = \"halt\""));
    let asked = |key: &'static str| {
        let address = address.clone();
        std::thread::spawn(move || keyed(&address, key, "one"))
    };
    let refused = |answer: Answer| {
        assert_eq!((answer.status, answer.text().contains("idempotency.in_work")), (503, false), "{answer:?}");
    };
    // The batch is full with both.
    for halted in ["a", "b"].map(asked) {
        refused(halted.join().unwrap());
    }
    router.until("it is halted", |router| router.route("echo").unwrap()["state"] == "halted");
    refused(keyed(&address, "a", "one"));
    router.configure(&routes);
    router.ok(&["reload"]);
    let paused = asked("a");
    router.until("the request is there", |router| {
        let status = router.get("/api/v1/status").unwrap();
        status["listeners"][0]["connections"] == 1
    });
    router.ok(&["pause", "echo"]);
    refused(paused.join().unwrap());
    router.ok(&["resume", "echo"]);
    for carried_out in ["a", "b"].map(asked) {
        let answer = carried_out.join().unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert_eq!(sent(&router).len(), 2);
}

#[test]
fn a_client_that_leaves_and_comes_again_gets_the_answer_that_it_left() {
    let (mut router, address) =
        started(&echo("", &format!("{KEYED}\ntimeout = \"200ms\""), "", "concurrency = 1\nbatch_window = \"2s\""));
    let left = keyed(&address, "k", "one");
    assert_eq!(left.status, 504, "{left:?}");
    router.until("the answer is there", |_| keyed(&address, "k", "one").status == 201);
    assert_eq!(sent(&router), ["one"]);
}

#[test]
fn a_kept_answer_is_forgotten_when_its_time_is_over() {
    let (router, address) = started(&echo("", &format!("{KEYED}\nidempotency_ttl = \"1s\""), "", ""));
    let first = keyed(&address, "k", "one");
    let began = std::time::Instant::now();
    let mut other = keyed(&address, "k", "one");
    while same(&first, &other) {
        assert!(began.elapsed().as_secs() < 60, "it is kept for ever");
        other = keyed(&address, "k", "one");
    }
    assert_eq!((other.status, sent(&router).len()), (201, 2));
}

#[test]
fn senders_do_not_see_the_answers_of_each_other() {
    let (router, address) = started(&echo("", &format!("{KEYED}\nauth = {{ bearer = [\"a\", \"b\"] }}"), "", ""));
    let from = |token: &str| {
        let headers = [("idempotency-key", "k"), ("authorization", token)];
        ask(&address, "POST", "/v1/things", &headers, b"one")
    };
    let (a, b) = (from("Bearer a"), from("Bearer b"));
    assert!(a.status == 201 && b.status == 201 && !same(&a, &b), "{a:?} {b:?}");
    assert!(same(&a, &from("Bearer a")));
    assert_eq!(sent(&router).len(), 2);
}

fn sign(secret: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// The headers of a webhook: of the scheme, with this id, at this time, with the signature of another body if it is wrong.
type Headers = fn(&str, u64, &str) -> Vec<(&'static str, String)>;

fn github(id: &str, _: u64, body: &str) -> Vec<(&'static str, String)> {
    let signature = format!("sha256={}", hex::encode(sign(b"secret", body)));
    vec![("x-hub-signature-256", signature), ("x-github-delivery", id.to_owned())]
}

fn stripe(_: &str, time: u64, body: &str) -> Vec<(&'static str, String)> {
    let signature = hex::encode(sign(b"secret", &format!("{time}.{body}")));
    vec![("stripe-signature", format!("t={time},v1={},v1={signature}", "0".repeat(64)))]
}

fn standard(id: &str, time: u64, body: &str) -> Vec<(&'static str, String)> {
    use base64::Engine as _;
    let signature = base64::prelude::BASE64_STANDARD.encode(sign(b"secret", &format!("{id}.{time}.{body}")));
    let signatures = format!("v1,AAAA v1,{signature}");
    vec![("webhook-id", id.to_owned()), ("webhook-timestamp", time.to_string()), ("webhook-signature", signatures)]
}

#[test]
fn webhooks_are_taken_once_refused_when_forged_or_old_and_not_lost() {
    // `secret` in base64.
    let schemes: [(&str, &str, &str, Headers); 3] = [
        ("github", "secret", "X-GitHub-Delivery", github),
        ("stripe", "secret", "body.id", stripe),
        ("standard-webhooks", "whsec_c2VjcmV0", "webhook-id", standard),
    ];
    for (scheme, secret, key, headers) in schemes {
        let hooks = format!(
            "auth = {{ hmac = {{ secret = \"{secret}\", scheme = \"{scheme}\" }} }}\nidempotency_key = \"{key}\""
        );
        let (mut router, address) = started(&echo("", "", &hooks, ""));
        let post = |address: &str, headers: &[(&str, String)], body: &str| {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            ask(address, "POST", "/hooks/x", &headers, body.as_bytes())
        };
        let body = |id: &str| format!("{{\"id\": \"{id}\"}}");
        let first = post(&address, &headers("a", now(), &body("a")), &body("a"));
        assert_eq!(first.status, 202, "{scheme}: {first:?}");
        let forged = post(&address, &headers("b", now(), &body("b")), &body("c"));
        assert_eq!((forged.status, forged.text().contains("auth.signature")), (401, true), "{scheme}: {forged:?}");
        assert_eq!(post(&address, &[], &body("b")).status, 401, "{scheme} without a signature");
        let old = post(&address, &headers("old", now() - 1000, &body("old")), &body("old"));
        // GitHub signs no time.
        assert_eq!(old.status, if scheme == "github" { 202 } else { 401 }, "{scheme}: {old:?}");
        let again = post(&address, &headers("a", now() + 1, &body("a")), &body("a"));
        assert!(same(&first, &again), "{scheme}: {first:?} {again:?}");
        router.signal("KILL");
        router.start();
        router.until("it listens", |router| router.path("data/router.json").exists());
        let again = post(&router.listener("api"), &headers("a", now(), &body("a")), &body("a"));
        assert!(same(&first, &again), "{scheme} after a kill: {first:?} {again:?}");
        let last = post(&router.listener("api"), &headers("z", now(), &body("z")), &body("z"));
        assert_eq!(last.status, 202, "{scheme}");
        let expected = if scheme == "github" { 3 } else { 2 };
        router.until("all are in the table", |router| router.scan("hooks").len() == expected);
        let done = router.route("hooks").unwrap()["reading"]["counts"]["done"].as_u64().unwrap();
        assert_eq!(done, expected as u64, "{scheme}: each was stored once");
    }
}

/// A table in DynamoDB, beside which answers are kept.
const SHARED: &str = r#"
[aws]
dedup_table = "answers-RUN"
[table.things]
kind = "dynamodb"
name = "things-RUN"
partition_key = "id"
"#;

#[test]
fn processes_that_share_a_table_in_dynamodb_share_the_answers() {
    server("DYNAMODB");
    let run = format!("again-{}", std::process::id());
    let route = "tables = [\"things\"]\ndelivery = \"exactly-once\"";
    // A file is no output for exactly-once.
    let routes = echo("", KEYED, "", route).replace("outputs = [\"out\"]\n", "") + &SHARED.replace("RUN", &run);
    let mut first = Router::new(&routes);
    first.aws(&routes, &["create"]);
    first.start();
    first.until("it listens", |router| router.path("data/router.json").exists());
    let (_second, other) = started(&routes);
    let address = first.listener("api");
    // An answer names the event, so equal answers are of one call.
    let answer = keyed(&address, "k", "quiet:one");
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(same(&answer, &keyed(&other, "k", "quiet:one")));
    assert_eq!(keyed(&other, "k", "quiet:another").status, 422);
    // At the same time: both may call the plugin, one commits, and the other one finds its answer.
    for round in 0..5 {
        let key = format!("together {round}");
        let asked = [&address, &other].map(|address| {
            let (address, key) = (address.clone(), key.clone());
            std::thread::spawn(move || keyed(&address, &key, "quiet:two"))
        });
        let [one, two] = asked.map(|asked| asked.join().unwrap());
        assert!(one.status == 201 && same(&one, &two), "{one:?} {two:?}");
    }
}
