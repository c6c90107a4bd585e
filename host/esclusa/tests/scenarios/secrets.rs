//! Secrets in the configuration of a plugin: the plugin tells them in every way that it has, and nobody reads them.

use super::router::{Router, guests};
use serde_json::Value;

const SECRET: &str = "correct-horse-battery";

const HEAD: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.events]
kind = "stream"
"#;

/// What the plugin does with its secret, and the code of its dead letter if there is one.
const WAYS: [(&str, &str); 8] = [
    ("tell-log", ""),
    ("tell-cut", ""),
    ("tell-panic", "plugin.trap"),
    ("tell-trap", "plugin.trap"),
    ("tell-reject", "rejected"),
    ("tell-skip", ""),
    ("tell-retry", "retries-exhausted"),
    ("tell-halt", ""),
];

fn routes(plugin: &str, secret: &str) -> String {
    let route = |(way, _): &(&str, &str)| {
        format!(
            "[[route]]\nname = \"{way}\"\nsource = \"events\"\nplugin = \"{plugin}\"\nmax_retry_attempts = 0\n\
             config = {{ do = \"{way}\", secret = \"{secret}\" }}\n"
        )
    };
    WAYS.iter().map(route).collect()
}

#[test]
fn a_secret_that_a_plugin_tells_is_in_no_log_status_answer_or_dead_letter() {
    let plugin = guests().join("hostile.wasm").display().to_string();
    let configuration = |secret| format!("{HEAD}{}", routes(&plugin, secret));
    let mut router = Router::new(&configuration("${file:secret}"));
    router.write("secret", format!("{SECRET}\n"));
    router.start();
    router.write("events.jsonl", "{}\n");
    router.ok(&["send", "events", "events.jsonl"]);
    router.until("every way was taken", |router| {
        let ended = |way: &str| {
            router.route(way).is_some_and(|route| {
                let counts = &route["reading"]["counts"];
                let ended = ["done", "dead", "skipped"].iter().filter_map(|count| counts[count].as_u64()).sum::<u64>();
                ended == 1 || route["state"] == "halted"
            })
        };
        WAYS.iter().all(|(way, _)| ended(way))
    });
    let letters = router.ok(&["dlq", "ls", "--json"]);
    let codes: Vec<(String, String)> = letters
        .lines()
        .map(|line| {
            let letter: Value = serde_json::from_str(line).unwrap();
            (letter["route"].as_str().unwrap().to_owned(), letter["code"].as_str().unwrap().to_owned())
        })
        .collect();
    for (way, code) in WAYS.iter().filter(|(_, code)| !code.is_empty()) {
        assert!(codes.iter().any(|(route, found)| route == way && found == code), "{way}: {codes:?}");
    }
    let text = |path| String::from_utf8(router.request("GET", path, &[], b"").unwrap().1).unwrap();
    let letter = |line: &str| {
        let letter: Value = serde_json::from_str(line).unwrap();
        router.ok(&["dlq", "show", &letter["id"].to_string()])
    };
    let shown = [
        ("the log", router.log()),
        ("the status", text("/api/v1/status")),
        ("the metrics", text("/metrics")),
        ("the dead letters", letters.lines().map(letter).collect::<String>() + &letters),
        ("the command line", router.ok(&["status"]) + &router.ok(&["routes"])),
    ];
    for (what, shown) in &shown {
        assert!(!shown.contains(SECRET), "{what}: {shown}");
        assert!(!shown.contains(&SECRET[..10]), "a part of it, in {what}: {shown}");
        assert!(*what == "the command line" || shown.contains("***"), "{what} tells what the plugin said: {shown}");
    }
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_secret_is_in_no_reason_why_a_configuration_is_refused() {
    let plugin = guests().join("hostile.wasm").display().to_string();
    let refusals = [
        (
            format!("plugin = \"{plugin}\"\nconfig = {{ do = \"init-tell\", secret = \"${{SECRET}}\" }}"),
            "*** is no good",
        ),
        ("plugin = \"PLUGINS/etl.wasm\"\nconfig = { table = \"x\", key = \"${SECRET}\" }".to_owned(), "***"),
        (
            "plugin = \"PLUGINS/etl.wasm\"\nconfig = { table = \"${SECRET}\", key = { id = \"{id}\" } }".to_owned(),
            "does not grant \"***\"",
        ),
    ];
    for (route, says) in refusals {
        let router = Router::new(&format!("{HEAD}[[route]]\nname = \"r\"\nsource = \"events\"\n{route}\n"));
        for command in [&["validate"][..], &["validate", "--json"], &["run"]] {
            let output = router.launched(command, &[("SECRET", SECRET)]);
            let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{told}");
            let says = if command.len() > 1 { says.replace('"', "\\\"") } else { says.to_owned() };
            assert!(told.contains(&says) && !told.contains(SECRET), "{command:?}: {told}");
        }
    }
}
