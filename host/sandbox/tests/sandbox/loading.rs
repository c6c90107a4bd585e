//! Files that are no plugins, or of another contract: each is refused with a message that names what was found and what
//! is expected.

use crate::bare::Core;
use crate::support::{hostile, load, order, sandbox, sandbox_with, settings, tight};
use esclusa_sandbox::{LoadError, MAX_FILE, SandboxConfig};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

async fn refused(bytes: Vec<u8>, says: &[&str]) {
    let error = load(&sandbox(), bytes).await.expect_err("it must not load").to_string();
    for part in says {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
}

#[tokio::test]
async fn files_of_other_kinds_are_named() {
    let whole = Core::default().build();
    let cut = |at: usize| whole[..at].to_vec();
    refused(Vec::new(), &["an empty file", "expected a WebAssembly component"]).await;
    refused(cut(6), &["cut off"]).await;
    refused(cut(whole.len() / 2), &["damaged or cut off"]).await;
    refused(cut(whole.len() - 1), &["damaged or cut off"]).await;
    refused(b"hello, plugin".to_vec(), &["found text"]).await;
    refused(b"(component)".to_vec(), &["WebAssembly text", "wasm-tools parse"]).await;
    refused(wat::parse_str("(module)").unwrap(), &["core WebAssembly module", "wasm32-wasip2"]).await;
    refused(std::fs::read("/proc/self/exe").unwrap()[..5000].to_vec(), &["ELF", "never taken from users"]).await;
    refused(vec![0xfe; 100], &["some other binary file"]).await;
    refused(vec![0; MAX_FILE + 1], &["larger than 32 MiB"]).await;
}

#[tokio::test]
async fn a_flipped_byte_anywhere_never_does_harm() {
    let whole = Core::default().build();
    let sandbox = sandbox();
    for at in (8..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        // Some flips are in names and harmless; it only matters that loading ends.
        let _ = load(&sandbox, bytes).await;
    }
    load(&sandbox, whole).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let error =
        esclusa_sandbox::PluginFile::read("no/such/plugin.wasm".as_ref()).await.map(drop).unwrap_err().to_string();
    assert!(error.starts_with("no/such/plugin.wasm cannot be read"), "{error}");
}

#[tokio::test]
async fn precompiled_code_is_refused_even_if_it_is_ours() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let cache_dir = Some(cache.clone());
    let sandbox = sandbox_with(SandboxConfig { cache_dir, ..SandboxConfig::default() });
    load(&sandbox, Core::default().build()).await.unwrap();
    let compiled = std::fs::read_dir(cache).unwrap().next().unwrap().unwrap().path();
    refused(std::fs::read(compiled).unwrap(), &["precompiled .cwasm", "never taken from users"]).await;
}

#[tokio::test]
async fn proposals_that_are_off_are_named() {
    for (text, proposal) in [
        ("(component (core module (memory 1 1 shared)))", "\"threads\""),
        ("(component (core module (memory i64 1)))", "\"memory64\""),
        ("(component (core module (memory 1) (memory 1)))", "\"multi-memory\""),
        ("(component (core module (type (struct))))", "\"gc\""),
        ("(component (core module (tag)))", "\"exceptions\""),
        ("(component (core module (type $f (func)) (type (cont $f))))", "\"stack-switching\""),
        ("(component (type (stream u8)))", "\"cm-async\""),
        (
            "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
                (func (export \"run\") (canon lift (core func $i \"f\") async)))",
            "\"cm-async\"",
        ),
        ("(component (core func (canon task.cancel)))", "\"cm-async\""),
        ("(component (type error-context))", "\"cm-error-context\""),
        ("(component (core func (canon thread.index)))", "\"cm-threading\""),
        (
            "(component (core module (func (result v128) (i32x4.relaxed_trunc_f32x4_s (v128.const i64x2 0 0)))))",
            "\"relaxed-simd\"",
        ),
    ] {
        refused(wat::parse_str(text).unwrap(), &["proposal", proposal]).await;
    }
}

#[tokio::test]
async fn compile_bombs_are_refused_before_the_compiler_sees_them() {
    let module = |text: String| wat::parse_str(format!("(component (core module {text}))")).unwrap();
    let locals = format!("(func (local {}))", "i32 ".repeat(40_000));
    refused(module(locals), &["too large to compile", "40000 locals"]).await;
    refused(module("(func)".repeat(70_000)), &["too large to compile", "functions"]).await;
    refused(module(format!("(func {})", "nop ".repeat(1_100_000))), &["too large to compile", "bytes"]).await;
    let nested = format!("(component {})", "(core module)".repeat(300));
    refused(wat::parse_str(nested).unwrap(), &["too large to compile", "modules"]).await;
}

#[tokio::test]
async fn every_unmet_import_is_listed() {
    let text = r#"(component
        (import "wasi:sockets/network@0.2.0" (instance))
        (import "wasi:http/outgoing-handler@0.2.0" (instance))
        (import "wasi:clocks/wall-clock@0.2.3" (instance))
        (import "wasi:config/store@0.2.0-rc.1" (instance))
        (import "acme:thing/api@1.0.0" (instance)))"#;
    let error = load(&sandbox(), wat::parse_str(text).unwrap()).await.unwrap_err();
    let LoadError::Imports(unmet) = &error else { panic!("{error}") };
    assert_eq!(unmet.len(), 4, "{unmet:?}");
    let text = error.to_string();
    for part in [
        "wasi:sockets/network@0.2.0 (plugins have no network",
        "wasi:http/",
        "wasi:config/store@",
        "acme:thing/api@1.0.0",
        "offered are",
    ] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[tokio::test]
async fn names_of_a_file_are_shown_on_one_line_and_cut() {
    // The escape sequence would clear the screen, and the line would look like one of the log.
    let forged = r"a\1b[2J\0a2026-11-30T00:00:00Z ERROR forged\u{202e}";
    for name in [forged, &"x".repeat(50_000)] {
        let imports = format!("(component (import \"url=<{name}>\" (instance)))");
        let error = load(&sandbox(), wat::parse_str(imports).unwrap()).await.unwrap_err();
        assert!(matches!(error, LoadError::Imports(_)), "{error}");
        shown(&error);
    }
    // A name that the validator refuses is in its message.
    let malformed = wat::parse_str("(component (import \"\\1b[2J\\0aforged\" (instance)))").unwrap();
    let error = load(&sandbox(), malformed).await.unwrap_err();
    assert!(matches!(error, LoadError::Malformed(_)), "{error}");
    shown(&error);
}

fn shown(error: &LoadError) {
    let text = error.to_string();
    assert!(text.len() < 3_000 && !text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
}

/// A component of another WIT.
fn of(wit: &str, core: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("other.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

#[tokio::test]
async fn a_component_of_another_world_is_told_what_is_missing() {
    let other = of("package acme:other@1.0.0; world w { export run: func(); }", r#"(module (func (export "run")))"#);
    refused(other, &["does not export esclusa:router/lifecycle@0.2.0, esclusa:router/handler@0.2.0", "it exports run"])
        .await;
    let half = of(
        "package esclusa:router@0.2.0; interface lifecycle { init: func(); } world w { export lifecycle; }",
        r#"(module (func (export "esclusa:router/lifecycle@0.2.0#init")))"#,
    );
    refused(half, &["does not export esclusa:router/handler@0.2.0;"]).await;
}

#[tokio::test]
async fn a_component_of_another_version_of_the_contract_is_told_to_be_built_again() {
    for (wit, core) in [
        (
            "package esclusa:router@0.1.0; interface lifecycle { init: func(); } world w { export lifecycle; }",
            r#"(module (func (export "esclusa:router/lifecycle@0.1.0#init")))"#,
        ),
        (
            "package esclusa:router@0.3.0-rc.1; interface tables { get: func(); } world w { import tables; }",
            r#"(module (import "esclusa:router/tables@0.3.0-rc.1" "get" (func)))"#,
        ),
    ] {
        let version = wit.split(['@', ';']).nth(1).unwrap();
        let expected = format!("was built for version {version} of the contract esclusa:router");
        refused(of(wit, core), &[&expected, "this router speaks 0.2.0; build it again"]).await;
    }
}

#[tokio::test]
async fn an_export_of_another_type_is_told_what_it_should_be() {
    let wit = "package esclusa:router@0.2.0;
        interface lifecycle { init: func(config: u32); }
        interface handler { handle: func(); }
        world w { export lifecycle; export handler; }";
    let core = r#"(module
        (func (export "esclusa:router/lifecycle@0.2.0#init") (param i32))
        (func (export "esclusa:router/handler@0.2.0#handle")))"#;
    refused(of(wit, core), &["lifecycle@0.2.0#describe", "func() -> info", "it is missing"]).await;
    let wit = wit.replace("interface lifecycle {", "interface lifecycle { record info { name: string, version: string, description: string, config-schema: option<string> } describe: func() -> info;");
    let core = core.replace(
        "(module",
        r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "esclusa:router/lifecycle@0.2.0#describe") (result i32) unreachable)"#,
    );
    refused(
        of(&wit, &core),
        &["lifecycle@0.2.0#init", "func(config: string) -> result<_, string>", "expected `string` found `u32`"],
    )
    .await;
}

#[tokio::test]
async fn a_plugin_that_fails_to_describe_itself_is_refused() {
    let trap = Core { describe: "unreachable".to_owned(), ..Core::default() };
    refused(trap.build(), &["asked to describe itself", "unreachable"]).await;
}

#[tokio::test]
async fn a_bad_version_leaves_the_good_one_as_it_was() {
    let sandbox = sandbox();
    let good = load(&sandbox, hostile()).await.unwrap();
    let running = good.configure(settings(&order("echo"), Default::default())).await.unwrap();
    let before = crate::support::call(&running, 5).await.unwrap();
    load(&sandbox, hostile()[..1000].to_vec()).await.unwrap_err();
    good.configure(settings(&order("init-panic"), tight())).await.unwrap_err();
    assert_eq!(crate::support::call(&running, 5).await.unwrap(), before);
}

#[tokio::test]
async fn digest_and_description_are_those_of_the_bytes() {
    let bytes = hostile();
    let expected = Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    let loaded = load(&sandbox(), bytes).await.unwrap();
    assert_eq!(&*loaded.digest, expected);
    assert_eq!((loaded.info.name.as_str(), loaded.info.version.as_str()), ("hostile", "1.0.0"));
    assert!(loaded.info.config_schema.as_ref().unwrap().contains("\"do\""));
}
