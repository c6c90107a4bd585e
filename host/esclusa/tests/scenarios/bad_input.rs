//! Bad input gives a clear error, loses no event and never stops another route.

use super::router::{Router, plugins};
use serde_json::Value;

const ROUTES: &str = r#"
version = 1
[engine]
path = "data"
[source.records]
kind = "file"
path = "records.jsonl"
[table.records]
kind = "embedded"
partition_key = "id"
[table.copies]
kind = "embedded"
partition_key = "id"
[[route]]
name = "records"
source = "records"
plugin = "PLUGINS/etl.wasm"
tables = ["records"]
limits = { memory = "256MiB" }
config = { table = "records", key = { id = "{id}" } }
[[route]]
name = "copies"
source = "records"
plugin = "PLUGINS/etl.wasm"
tables = ["copies"]
filter = { data = { good = [true] } }
config = { table = "copies", key = { id = "{id}" } }
"#;

fn letters(router: &Router, route: &str) -> Vec<Value> {
    let text = router.ok(&["dlq", "ls", "--route", route, "--json"]);
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn every_bad_record_is_a_dead_letter_with_its_payload_and_every_good_one_an_item() {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let good = |id: usize| format!(r#"{{"id":"g{id}","good":true}}"#).into_bytes();
    let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
    let text = |id: &str, bytes: usize| format!(r#"{{"id":"{id}","text":"{}"}}"#, "x".repeat(bytes)).into_bytes();
    let (large, huge) = (text("large", 390 << 10), text("huge", 10 << 20));
    let bad: Vec<Vec<u8>> = vec![
        b"not json".to_vec(),
        b"{\"id\":\"half\"".to_vec(),
        b"[1,2,3]".to_vec(),
        b"\"text\"".to_vec(),
        b"{\"id\":\"\xff\xfe\"}".to_vec(),
        deep,
        b"{\"id\":\"digits\",\"n\":123456789012345678901234567890123456789}".to_vec(),
        b"{\"other\":\"no id\"}".to_vec(),
        b"{\"id\":\"\"}".to_vec(),
        b"{\"id\":\"nan\",\"n\":NaN}".to_vec(),
    ];
    for (i, line) in bad.iter().enumerate() {
        lines.extend([good(2 * i), line.clone(), good(2 * i + 1)]);
    }
    lines.extend([large, huge]);
    let mut router = Router::new(ROUTES);
    router.write("records.jsonl", lines.join(&b'\n'));
    router.spawn(&["--until-idle"]);
    assert_eq!(router.wait(), 0, "{}", router.log());

    let items = router.scan("records");
    assert_eq!(items.len(), 2 * bad.len() + 1, "the good ones, and the large one");
    assert!(items.iter().any(|i| i["id"] == "large" && i["text"].as_str().unwrap().len() == 390 << 10));
    assert_eq!(router.scan("copies").len(), 2 * bad.len());
    let letters = letters(&router, "records");
    assert_eq!(letters.len(), bad.len() + 1);
    for letter in &letters {
        let expected: &[&str] =
            if letter["size"].as_u64() > Some(10 << 20) { &["limit.item"] } else { &["rejected", "effect.refused"] };
        assert!(expected.contains(&letter["code"].as_str().unwrap()), "{letter}");
        assert!(letter["reason"].as_str().unwrap().len() > 10, "{letter}");
    }
    router.ok(&["audit"]);
}

#[test]
fn files_that_are_no_plugins_are_refused_with_exit_78_and_a_reason() {
    let etl = std::fs::read(plugins().join("etl.wasm")).unwrap();
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("empty", Vec::new(), "empty"),
        ("text", b"hello".to_vec(), "WebAssembly"),
        ("truncated", etl[..etl.len() / 3].to_vec(), ""),
        ("a core module", b"\0asm\x01\0\0\0".to_vec(), "core WebAssembly module"),
        ("an ELF file", std::fs::read(env!("CARGO_BIN_EXE_esclusa")).unwrap()[..4096].to_vec(), ""),
    ];
    for (name, bytes, word) in cases {
        let router = Router::new(&ROUTES.replace("PLUGINS/etl.wasm", "plugin.wasm"));
        router.deploy("plugin.wasm", bytes);
        router.write("records.jsonl", "");
        let output = router.run(&["run", "--until-idle"]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{name}: {message}");
        assert!(message.contains("plugin.wasm") && message.contains(word), "{name}: {message}");
    }
}

#[test]
fn a_second_router_on_the_same_data_refuses_and_the_first_goes_on() {
    let mut router = Router::new(&format!(
        "{}\n[admin]\nlisten = \"127.0.0.1:0\"\n",
        ROUTES.replace("kind = \"file\"", "kind = \"file\"\nfollow = true")
    ));
    router.write("records.jsonl", "{\"id\":\"a\",\"good\":true}\n");
    router.start();
    let second = router.run(&["run", "--until-idle"]);
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(69), "{message}");
    assert!(message.contains("data"), "{message}");
    router.until("the first goes on", |r| r.route("copies").is_some_and(|x| x["reading"]["counts"]["done"] == 1));
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_missing_or_wrong_configuration_ends_with_78_and_all_problems_at_once() {
    let router =
        Router::new("version = 1\n[source.a]\nkind = \"fil\"\npath = 3\n[[route]]\nname = \"r\"\nsource = \"b\"\n");
    let output = router.run(&["validate"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{message}");
    for word in ["fil", "\"b\"", "plugin", "routes.toml:"] {
        assert!(message.contains(word), "no {word} in: {message}");
    }
}
