//! Plugins that take for ever to compile, or whose schema takes for ever to check. They are given up, and hold up no
//! other route.

use super::router::{Router, plugins, variant};
use serde_json::{Value, json};
use std::path::Path;

/// A number in the encoding of WebAssembly (LEB128).
fn leb(mut number: usize, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push((number & 0x7f | 0x80) as u8);
        number >>= 7;
    }
    out.push(number as u8);
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![id];
    leb(content.len(), &mut out);
    [&out, content].concat()
}

/// A component within all limits that takes long to compile: functions with many locals that are used in many loops.
fn bomb(number: usize) -> Vec<u8> {
    const LOCALS: usize = 2_400;
    const LOOPS: usize = 650;
    const FUNCTIONS: usize = 20;
    let mut body = vec![1];
    leb(LOCALS, &mut body);
    body.push(0x7f);
    let mut uses = Vec::new();
    for local in 0..LOCALS {
        uses.push(0x20);
        leb(local, &mut uses);
        uses.extend([0x41, 1, 0x6a, 0x21]);
        leb(local, &mut uses);
    }
    body.extend([0x03, 0x40].repeat(LOOPS));
    body.extend(&uses);
    body.extend([0x20, 0, 0x0d, 0, 0x0b].repeat(LOOPS));
    body.extend(&uses);
    body.push(0x0b);
    let mut function = Vec::new();
    leb(body.len(), &mut function);
    function.extend(body);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend(section(1, &[1, 0x60, 0, 0]));
    module.extend(section(3, &[&[FUNCTIONS as u8][..], &[0; FUNCTIONS]].concat()));
    module.extend(section(10, &[vec![FUNCTIONS as u8], function.repeat(FUNCTIONS)].concat()));
    // Each has another digest, so that none comes from the cache.
    module.extend(section(0, &[1, b'n', number as u8]));
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat()
}

fn routes(names: &[String]) -> String {
    let head = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.records]
kind = "stream"
[table.records]
kind = "embedded"
partition_key = "id"
"#;
    let route = |name: &String| {
        format!(
            r#"
[[route]]
name = "{name}"
source = "records"
plugin = "{name}.wasm"
tables = ["records"]
config = {{ table = "records", key = {{ id = "{{id}}" }} }}
"#
        )
    };
    head.to_owned() + &names.iter().map(route).collect::<String>()
}

fn reloads(router: &Router) -> Vec<String> {
    let status = router.get("/api/v1/status").unwrap();
    status["reloads"].as_array().unwrap().iter().map(|reload| reload["what"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_good_plugin_takes_over_while_more_bombs_than_cores_are_compiled_and_a_signal_ends_them_all() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let bombs: Vec<_> = (0..cores + 1).map(|n| format!("bomb-{n}")).collect();
    let names = [&bombs[..], &["good".to_owned()]].concat();
    let mut router = Router::new(&routes(&names));
    for name in &names {
        router.write(&format!("{name}.wasm"), std::fs::read(plugins().join("etl.wasm")).unwrap());
    }
    router.start();
    for (number, name) in bombs.iter().enumerate() {
        router.write(&format!("{name}.wasm"), bomb(number));
    }
    router.until("a bomb is being compiled", |router| !router.children().is_empty());
    router.deploy("good.wasm", variant("etl.wasm", "anew"));
    router.until("somebody is through", |router| !reloads(router).is_empty());
    let first = reloads(&router).pop().unwrap();
    assert!(Path::new(&first).ends_with("good.wasm"), "{first} was first");
    // Nor does a reload of the configuration wait.
    router.configure(&routes(&names).replace("[admin]", "[source.more]\nkind = \"stream\"\n[admin]"));
    router.until("the configuration is in force", |router| reloads(router).iter().any(|what| what == "routes.toml"));
    let children = router.children();
    assert_eq!(router.signal("TERM"), 0);
    for child in children {
        let gone = || std::fs::read_to_string(format!("/proc/{child}/stat")).map_or(true, |stat| stat.contains(") Z "));
        while !gone() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_signal_ends_a_router_that_still_compiles_its_first_plugins() {
    let mut router = Router::new(&routes(&["bomb".to_owned(), "good".to_owned()]));
    router.deploy("bomb.wasm", bomb(0));
    router.deploy("good.wasm", std::fs::read(plugins().join("etl.wasm")).unwrap());
    router.launch(&["run"], &[]);
    router.until("the good one is compiled", |router| router.log().contains("plugin compiled"));
    assert_eq!(router.log().matches("compiling a plugin").count(), 2, "{}", router.log());
    assert!(!router.children().is_empty(), "{}", router.log());
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_file_that_two_routes_use_is_compiled_once() {
    let names = ["good".to_owned(), "other".to_owned()];
    let mut router = Router::new(&routes(&names).replace("other.wasm", "good.wasm"));
    router.deploy("good.wasm", std::fs::read(plugins().join("etl.wasm")).unwrap());
    router.launch(&["run"], &[]);
    router.until_ready();
    assert_eq!(router.log().matches("compiling a plugin").count(), 1, "{}", router.log());
    assert_eq!(router.signal("TERM"), 0);
}

/// Levels that each refer to the next one twice, through `link`.
fn doubling(levels: usize, link: impl Fn(Value) -> Value, last: Value) -> Value {
    let name = |level: usize| format!("{level}");
    let mut schema = json!({ "$ref": "#/$defs/0", "$defs": {} });
    for level in 0..levels {
        schema["$defs"][name(level)] = link(json!({ "$ref": format!("#/$defs/{}", level + 1) }));
    }
    schema["$defs"][name(levels)] = last;
    schema
}

/// A plugin with this schema in place of its own.
fn with_schema(schema: &Value) -> Vec<u8> {
    let own = include_bytes!("../../../../plugins/inventory/config.schema.json");
    let mut bytes = std::fs::read(plugins().join("inventory.wasm")).unwrap();
    let at = bytes.windows(own.len()).position(|window| window == own).unwrap();
    let text = schema.to_string();
    assert!(text.len() <= own.len(), "{} bytes", text.len());
    bytes[at..at + own.len()].fill(b' ');
    bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    bytes
}

#[test]
fn schemas_that_take_for_ever_are_given_up_with_codes_of_their_own() {
    let nested =
        |key: &str, depth: usize| (0..depth).fold(json!({ "type": "null" }), |inner, _| json!({ key: [inner] }));
    let schemas = [
        ("nested", nested("oneOf", 60)),
        ("one-of", doubling(24, |next| json!({ "oneOf": [next, next] }), json!({ "type": "object" }))),
        ("any-of", doubling(24, |next| json!({ "anyOf": [next, next] }), json!(false))),
        ("all-of", doubling(24, |next| json!({ "allOf": [next, next] }), json!(false))),
        ("not", doubling(20, |next| json!({ "not": { "allOf": [next, next] } }), json!(true))),
        ("if", doubling(18, |next| json!({ "if": next, "then": next, "else": next }), json!(false))),
        ("pattern", json!({ "additionalProperties": { "pattern": "((a{999}){999}){999}" } })),
        ("itself", json!({ "$ref": "#" })),
    ];
    let names: Vec<_> = schemas.iter().map(|(name, _)| (*name).to_owned()).collect();
    let router = Router::new(&routes(&names));
    for (name, schema) in &schemas {
        router.write(&format!("{name}.wasm"), with_schema(schema));
    }
    let output = router.run(&["validate", "--no-connect", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{text}");
    let given_up = text.matches("plugin::schema_time").count() + text.matches("plugin::schema_memory").count();
    assert!(given_up >= 3, "{text}");
}
