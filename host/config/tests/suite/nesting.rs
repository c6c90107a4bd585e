//! Tables and lists within each other: as many levels as can be read without danger, however they are written.

use crate::cases::env;
use esclusa_config::{Code, LoadedConfig, Problems, effective, engine_named, parse};
use std::path::Path;

/// The stack of a thread of tests and of tokio.
const STACK: usize = 2 << 20;

/// Reads a text on a thread with little stack, shows it and drops it there.
fn read(text: &str) -> Result<(), Problems> {
    let text = text.to_owned();
    let all = move || {
        let loaded = parse(&text, "routes.toml", Path::new(""), &env)?;
        let LoadedConfig { plan, .. } = &loaded;
        for route in &plan.routes {
            // The check of a plugin's configuration gets it as JSON.
            let json = serde_json::json!([{}, route.config]).to_string();
            serde_json::from_str::<serde_json::Value>(&json).unwrap();
        }
        drop(effective(&loaded));
        Ok(())
    };
    std::thread::Builder::new().stack_size(STACK / 4).spawn(all).unwrap().join().unwrap()
}

/// A key of so many parts.
fn key(parts: usize) -> String {
    vec!["a"; parts].join(".")
}

/// Tables in braces, so many within each other, each with a key of so many parts.
fn braces(tables: usize, parts: usize) -> String {
    let key = key(parts);
    format!("{}1{}", format!("{{ {key} = ").repeat(tables), " }".repeat(tables))
}

/// A configuration with an event of a source, which has 4 levels above it.
fn event(event: &str) -> String {
    format!(
        "version = 1\n[source.g]\nkind = \"generate\"\ninterval = \"1s\"\nevent = {event}\n\
         [[route]]\nname = \"r\"\nsource = \"g\"\nplugin = \"a.wasm\"\n"
    )
}

/// A configuration with a plugin's configuration, which has 4 levels above it.
fn config(lines: &str) -> String {
    format!("{}[route.config]\n{lines}\n", event("{ n = 1 }"))
}

#[test]
fn a_hundred_levels_are_read_with_little_stack() {
    for text in [
        event(&braces(8, 12)),
        event(&braces(2, 48)),
        event(&braces(78, 1)),
        config(&format!("{} = 1", key(64))),
        config(&format!("{} = {}", key(61), braces(5, 7))),
        config(&format!("a = {}1{}", "[".repeat(78), "]".repeat(78))),
        config(&format!("a = {}1{}", "[{ a.a = ".repeat(32), "}]".repeat(32))),
        format!("{}[route.config.{}]\n{} = 1", event("{ n = 1 }"), key(16), key(64)),
        format!("{}[[route.config.{}]]\na = 1\n", event("{ n = 1 }"), key(48)),
        config("a = [1.5, 2.5]\nb = { c = 1979-05-27T07:32:00.999Z, d = '.....' }\n"),
    ] {
        assert_eq!(read(&text), Ok(()), "{text}");
    }
}

#[test]
fn deeper_levels_are_refused_at_their_place_before_anything_reads_them() {
    const DEEP: &str = "this is nested more than 100 levels deep";
    const LONG: &str = "this key has more than 64 parts";
    for (text, (line, column), message) in [
        (event(&braces(30, 63)), (5, 141), DEEP),
        (event(&braces(45, 63)), (5, 141), DEEP),
        (event(&braces(9, 12)), (5, 9 + 8 * 28), DEEP),
        (event(&braces(100_000, 1)), (5, 9 + 96 * 6), DEEP),
        (event(&braces(1, 65)), (5, 11), LONG),
        (event(&format!("{}1", "[".repeat(200_000))), (5, 9 + 96), DEEP),
        (event(&format!("{}1", "[{ a.a = ".repeat(2_000))), (5, 9 + 32 * 9), DEEP),
        (config(&format!("{} = {}", key(61), braces(5, 8))), (11, 125 + 4 * 20 + 2), DEEP),
        (config(&format!("'a' . \"b\".{} = 1", key(200_000))), (11, 1), LONG),
        (format!("version = 1\n[{}]\n", key(51)), (2, 2), DEEP),
        (format!("version = 1\n[[{}]]\n", key(51)), (2, 3), DEEP),
        (format!("version = 1\n[{}]\n{} = 1\n", key(20), key(62)), (3, 1), DEEP),
        (format!("version = 1\n[[{}]]\na = {}\n", key(40), braces(3, 10)), (3, 53), DEEP),
        // Brackets that close nothing, and headers without an end.
        (format!("version = 1\na = {}", format!("{{ {} = {{ ] ", key(60)).repeat(40)), (2, 135), DEEP),
        (format!("version = 1\n[{}\n{} = 1\n", key(20), key(62)), (3, 1), DEEP),
        (format!("version = 1\n[a] {} = 1\n", braces(40, 60)), (2, 131), DEEP),
    ] {
        let problems = read(&text).unwrap_err();
        let first = &problems.0[0];
        let start: String = text.chars().take(200).collect();
        assert_eq!((first.code, first.message.as_str()), (Code::SYNTAX, message), "{start}");
        assert_eq!((first.line, first.column), (line, column), "{start}");
        assert_eq!(problems.0.len(), 1, "{start}");
    }
}

#[test]
fn a_mistake_is_not_taken_for_depth() {
    let lines = "a.b.c = 1.5\n".repeat(500);
    let problems = read(&format!("version = 1\nlist = [1, 2\n{lines}")).unwrap_err();
    assert!(problems.0.iter().all(|problem| !problem.message.contains("levels")), "{problems}");
}

#[test]
fn the_engines_directory_is_known_in_spite_of_mistakes_and_of_depth() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("routes.toml");
    let engine = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let file = file.clone();
        let named = move || engine_named(&file, &env);
        std::thread::Builder::new().stack_size(STACK).spawn(named).unwrap().join().unwrap()
    };
    assert_eq!(engine("nonsense = 1\n[engine]\npath = \"store\"\n"), Some(dir.path().join("store")));
    assert_eq!(engine("[engine]\npath = \"${FIVE}\"\n"), Some(dir.path().join("5")));
    assert_eq!(engine("[engine]\nmax_bytes = 1\n"), Some(dir.path().join("data")));
    assert_eq!(engine("[engine]\npath = \"${NOT_SET}\"\n"), None);
    assert_eq!(engine(&format!("a = {}\n", braces(75, 63))), None);
    assert_eq!(engine("no TOML"), None);
}
