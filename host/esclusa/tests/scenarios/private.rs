//! What is not for everybody: the store on a shared machine, secrets in texts, and characters that fool a reader.

use super::cli::{ORDERS, text};
use super::router::{Router, exchange};
use std::os::unix::fs::MetadataExt;

const SECRET: &str = "sk_live_4eC39/\"HqLyjWDarjtT1\"";

#[test]
fn the_store_is_for_one_account_whichever_command_makes_it() {
    let send = &["send", "orders", "orders.jsonl", "--key", "order_id"][..];
    for command in [send, &["run", "--until-idle"], &["invoke", "orders", "--event", "orders.jsonl", "--live"]] {
        let router = Router::new(ORDERS);
        router.write("orders.jsonl", "{\"order_id\": \"a\"}\n");
        let output = router.run(command);
        assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
        let mut left = vec![router.path("data")];
        while let Some(path) = left.pop() {
            let about = std::fs::symlink_metadata(&path).unwrap();
            assert_eq!(about.mode() & 0o077, 0, "{command:?}: {} has mode {:o}", path.display(), about.mode());
            if about.is_dir() {
                left.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
    }
}

/// The number of the first dead letter.
fn letter(router: &Router) -> String {
    let letters = router.ok(&["dlq", "ls", "--json"]);
    let first: serde_json::Value = serde_json::from_str(letters.lines().next().unwrap()).unwrap();
    first["id"].to_string()
}

/// The plugin says what it was configured with: the field that the key of every item needs.
#[test]
fn a_secret_of_the_configuration_is_in_no_text_that_is_kept_or_shown() {
    let mut router = Router::new(&ORDERS.replacen("{order_id}", "{${file:secret}}", 1));
    router.write("secret", SECRET);
    router.write("orders.jsonl", "{\"order_id\": \"a\"}\n");
    router.ok(&["send", "orders", "orders.jsonl"]);
    router.spawn(&[]);
    router.until("the event is given up", |router| {
        router.route("orders").is_some_and(|route| route["reading"]["counts"]["dead"] == 1)
    });
    let address = router.address().unwrap();
    let page = |path: &str| exchange(&address, "GET", path, &[], b"").unwrap().text();
    let shown = [
        page("/api/v1/status"),
        page("/api/v1/dlq"),
        page("/metrics"),
        page("/readyz"),
        router.log(),
        router.ok(&["dlq", "ls"]),
        router.ok(&["dlq", "show", &letter(&router), "--json"]),
        router.ok(&["status", "--json"]),
        text(&router.run(&["invoke", "orders", "--event", "orders.jsonl"]).stdout),
    ];
    assert_eq!(router.signal("TERM"), 0);
    for said in &shown {
        assert!(!said.contains("sk_live") && !said.contains("HqLyjWDarjtT1"), "{said}");
    }
    for said in [&shown[0], &shown[1], &shown[4], &shown[6], &shown[8]] {
        assert!(said.contains("***"), "the reason is there, without the secret: {said}");
    }
}

#[test]
fn no_character_of_an_event_fools_a_reader_of_tables_and_logs() {
    let hidden = "a\u{9b}31m\u{202e}\u{200b}\u{e0041}b";
    let router = Router::new(ORDERS);
    router.write("orders.jsonl", format!("{{\"order_id\": \"{hidden}\"}}\n{{\"n\": \"{hidden}\"}}\n"));
    router.ok(&["send", "orders", "orders.jsonl"]);
    let run = router.run(&["run", "--until-idle", "--log-format", "json"]);
    assert_eq!(router.scan("orders")[0]["order_id"], hidden, "it is the same item");
    let key = serde_json::json!({ "order_id": hidden }).to_string();
    let shown = [
        text(&run.stderr),
        router.ok(&["table", "scan", "orders"]),
        router.ok(&["table", "get", "orders", &key]),
        router.ok(&["dlq", "ls", "--json"]),
        router.ok(&["dlq", "show", &letter(&router), "--json"]),
        router.ok(&["dlq", "show", &letter(&router)]),
        text(&router.run(&["invoke", "orders", "--event", "orders.jsonl"]).stdout),
        text(&router.run(&["table", "get", "orders", &key.replace("31m", "32m")]).stderr),
    ];
    for said in shown {
        assert!(!said.is_empty() && !said.chars().any(|c| c != '\n' && c.is_control()), "{said:?}");
        assert!(!said.contains(['\u{202e}', '\u{200b}', '\u{e0041}']), "{said:?}");
    }
}
