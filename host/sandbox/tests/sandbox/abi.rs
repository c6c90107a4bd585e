//! Guests that break the canonical ABI: each is an ordinary failure of its call, and nothing else.

use crate::bare::Core;
use crate::support::{call, configured, events, failure, load, origin, sandbox, settings, tight};
use esclusa_flow::BoxFuture;
use esclusa_flow::call_output::{CallError, CallOutput, FailureKind};
use esclusa_flow::item::{Item, Value};
use esclusa_flow::plugin::Plugin;
use esclusa_flow::reads::{ReadError, Reads, Selection};
use esclusa_testkit::allocations;
use std::sync::Arc;
use wit_component::StringEncoding;

#[tokio::test]
async fn a_guest_that_does_nothing_gives_an_empty_output() {
    let plugin = configured(&sandbox(), Core::default().build()).await;
    assert_eq!(call(&plugin, 1000).await.unwrap(), CallOutput::default());
}

#[tokio::test]
async fn answers_that_break_the_abi_are_traps() {
    let sandbox = sandbox();
    let attacks = [
        ("address out of bounds", Core::handling("(i32.const -16)")),
        ("address misaligned", Core::handling("(i32.const 1025)")),
        ("unknown variant", Core::answering("\\07")),
        ("list out of bounds", Core::answering("\\00\\00\\00\\00\\f0\\ff\\ff\\ff\\01\\00\\00\\00")),
        ("list misaligned", Core::answering("\\00\\00\\00\\00\\01\\04\\00\\00\\01\\00\\00\\00")),
        (
            "not UTF-8",
            Core::answering("\\01\\00\\00\\00\\00\\00\\00\\00\\10\\08\\00\\00\\04\\00\\00\\00\\ff\\fe\\fd\\fc"),
        ),
        (
            "lone surrogate",
            Core {
                encoding: StringEncoding::UTF16,
                ..Core::answering("\\01\\00\\00\\00\\00\\00\\00\\00\\10\\08\\00\\00\\01\\00\\00\\00\\00\\d8")
            },
        ),
        (
            "lone surrogate, tagged as UTF-16",
            Core {
                encoding: StringEncoding::CompactUTF16,
                ..Core::answering("\\01\\00\\00\\00\\00\\00\\00\\00\\10\\08\\00\\00\\01\\00\\00\\80\\00\\d8")
            },
        ),
        ("trap in post-return", Core { post: "unreachable".into(), ..Core::default() }),
    ];
    for (attack, core) in attacks {
        let plugin = configured(&sandbox, core.build()).await;
        let failure = failure(&plugin).await;
        assert_eq!(failure.kind, FailureKind::Trap, "{attack}: {failure:?}");
    }
}

#[tokio::test]
async fn a_hostile_allocator_is_a_trap_or_harms_only_itself() {
    // `init` gets a text too and allocates for it, so the allocator turns hostile afterwards.
    let hostile = |body: &str| {
        let realloc = format!("(if (global.get $armed) (then {body})) (i32.const 65536)");
        let init = "(global.set $armed (i32.const 1)) (i32.const 1024)".to_owned();
        Core { module: "(global $armed (mut i32) (i32.const 0))".to_owned(), realloc, init, ..Core::default() }
    };
    for (attack, body, kind) in [
        ("trap", "unreachable", FailureKind::Trap),
        ("out of bounds", "(return (i32.const -64))", FailureKind::Trap),
        ("misaligned", "(return (i32.const 65537))", FailureKind::Trap),
        ("endless", "(loop (br 0))", FailureKind::Cpu),
    ] {
        let plugin = configured(&sandbox(), hostile(body).build()).await;
        let failure = failure(&plugin).await;
        assert_eq!(failure.kind, kind, "{attack}: {failure:?}");
    }
    let overlapping = configured(&sandbox(), hostile("(return (i32.const 0))").build()).await;
    let _ = call(&overlapping, 3).await;
}

#[tokio::test]
async fn an_allocator_that_calls_the_host_is_a_trap() {
    let module = r#"(import "esclusa:router/tables@0.2.0" "get" (func $get (param i32 i32 i32 i32 i32)))"#.to_owned();
    let get = "(call $get (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 4096)) (i32.const 65536)";
    let core = Core { module, realloc: get.to_owned(), ..Core::default() };
    let loaded = load(&sandbox(), core.build()).await.unwrap();
    let error = loaded.configure(settings("{}", tight())).await.unwrap_err().to_string();
    assert!(error.contains("cannot leave component instance"), "{error}");
}

#[tokio::test]
async fn lists_that_are_small_in_the_guest_and_large_in_the_host_are_limited() {
    // 100,000 effects of zeros, which take the guest no work and would take the host tens of megabytes.
    let core = Core {
        memory: r#"(memory (export "memory") 250)"#,
        ..Core::answering("\\00\\00\\00\\00\\00\\00\\02\\00\\a0\\86\\01\\00")
    };
    let plugin = configured(&sandbox(), core.build()).await;
    let before = allocations::bytes();
    let failure = failure(&plugin).await;
    let spent = allocations::bytes() - before;
    assert_eq!(failure.kind, FailureKind::Effects, "{failure:?}");
    assert!(spent < 4 << 20, "{spent} bytes were allocated");
}

#[tokio::test]
async fn a_component_of_many_memories_is_refused() {
    let text = format!(
        "(component {} {})",
        r#"(core module $m (memory (export "m") 1))"#,
        "(core instance (instantiate $m))".repeat(3)
    );
    let error = load(&sandbox(), wat::parse_str(text).unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("memories"), "{error}");
}

/// A guest that answers with one effect of these 52 bytes; missing ones are zeros. Further bytes are at 0x860.
fn effect(bytes: &[(usize, &[u8])], more: &[u8]) -> Core {
    // `ok`, then a list of one effect at 0x820, 32 bytes behind the answer.
    let mut answer = vec![0; 0x60];
    answer.splice(4..12, [0x20, 0x08, 0, 0, 1, 0, 0, 0]);
    for (at, part) in bytes {
        answer.splice(0x20 + at..0x20 + at + part.len(), part.iter().copied());
    }
    answer.extend_from_slice(more);
    Core::answering(&answer.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>())
}

#[tokio::test]
async fn every_discriminant_of_an_effect_is_checked() {
    let sandbox = sandbox();
    let fine = effect(&[(8, &[4])], &[]);
    assert_eq!(call(&configured(&sandbox, fine.build()).await, 1).await.unwrap().effects.len(), 1, "a message");
    // An item of one attribute at 0x860: no name, and a value of this kind.
    let put: &[(usize, &[u8])] = &[(8, &[0]), (20, &[0x60, 0x08, 0, 0, 1])];
    let attribute = |kind: u8| [[0; 8], [kind, 0, 0, 0, 0, 0, 0, 0], [0; 8]].concat();
    let plain = effect(put, &attribute(4));
    assert_eq!(call(&configured(&sandbox, plain.build()).await, 1).await.unwrap().effects.len(), 1, "a null");
    let guarded = |otherwise: u8| effect(&[(8, &[0]), (28, &[1]), (40, &[otherwise])], &[]);
    assert_eq!(call(&configured(&sandbox, guarded(1).build()).await, 1).await.unwrap().effects.len(), 1, "a guard");
    for (attack, core) in [
        ("unknown option", effect(&[(0, &[2]), (8, &[4])], &[])),
        ("unknown action", effect(&[(8, &[5])], &[])),
        ("unknown value", effect(put, &attribute(8))),
        ("unknown enum", guarded(2)),
        ("bytes without end", effect(&[(8, &[4]), (36, &[0xff; 4])], &[])),
        ("a gigabyte", effect(&[(8, &[4]), (36, &[0, 0, 0, 0x40])], &[])),
    ] {
        let failure = failure(&configured(&sandbox, core.build()).await).await;
        assert_eq!(failure.kind, FailureKind::Trap, "{attack}: {failure:?}");
    }
}

/// Import of `tables.get`, and a call of it with address and length of the table's name and of the key.
const GET: &str = r#"(import "esclusa:router/tables@0.2.0" "get" (func $get (param i32 i32 i32 i32 i32)))"#;

fn get(name: (i64, i64), key: (i64, i64)) -> String {
    let [name, key] = [name, key].map(|(at, length)| format!("(i32.const {at}) (i32.const {length})"));
    format!("(call $get {name} {key} (i32.const 4096)) (i32.const 1024)")
}

#[tokio::test]
async fn arguments_that_break_the_abi_are_traps() {
    // A key of one attribute whose value has an unknown kind, and one whose name ends outside of the memory.
    let data = r#"(data (i32.const 2048) "\00\00\00\00\00\00\00\00\63") (data (i32.const 2080) "\00\00\00\00\ff\ff\ff\7f\04") (data (i32.const 2112) "\ff\fe")"#;
    for (attack, handle) in [
        ("unknown value", get((0, 0), (2048, 1))),
        ("a name without end", get((0, 0), (2080, 1))),
        ("text without end", get((0, 0xffff_ffff), (0, 0))),
        ("list without end", get((0, 0), (0, 0xffff_ffff))),
        ("text out of bounds", get((0xffff_fff0, 8), (0, 0))),
        ("list misaligned", get((0, 0), (2049, 1))),
        ("not UTF-8", get((2112, 2), (0, 0))),
    ] {
        let core = Core { module: format!("{GET} {data}"), ..Core::handling(&handle) };
        let failure = failure(&configured(&sandbox(), core.build()).await).await;
        assert_eq!(failure.kind, FailureKind::Trap, "{attack}: {failure:?}");
    }
}

/// Reads that always find an item.
struct Found;

impl Reads for Found {
    esclusa_testkit::no_other_reads!();

    fn get<'a>(&'a self, _: &'a str, _: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        let item = [("name".to_owned(), Value::Text("value".repeat(100)))].into_iter().collect();
        Box::pin(async { Ok(Some(item)) })
    }

    fn query<'a>(&'a self, _: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[tokio::test]
async fn an_allocator_that_turns_hostile_when_the_host_answers_is_a_trap_or_harms_only_itself() {
    let hostile = |body: &str| {
        let module = format!("{GET} (global $armed (mut i32) (i32.const 0))");
        // Batches lie at the end of the second page at most.
        let realloc = format!("(if (global.get $armed) (then {body})) (i32.const 65536)");
        Core {
            module,
            realloc,
            ..Core::handling(&format!("(global.set $armed (i32.const 1)) {}", get((0, 0), (0, 0))))
        }
    };
    let again = get((0, 0), (0, 0)).replace("(i32.const 1024)", "");
    for (attack, body, expected) in [
        ("trap", "unreachable", Some(FailureKind::Trap)),
        ("out of bounds", "(return (i32.const -64))", Some(FailureKind::Trap)),
        ("misaligned", "(return (i32.const 65537))", Some(FailureKind::Trap)),
        ("endless", "(loop (br 0))", Some(FailureKind::Cpu)),
        ("calls the host", &again, Some(FailureKind::Trap)),
        ("null", "(return (i32.const 0))", None),
        ("the old address", "(return (i32.const 65536))", None),
        ("the answer's own address", "(return (i32.const 4096))", None),
    ] {
        let plugin = configured(&sandbox(), hostile(body).build()).await;
        let result = plugin.call(&origin(), &events(1), Arc::new(Found)).await;
        match (result, expected) {
            (Err(CallError::Failed(failure)), Some(kind)) => assert_eq!(failure.kind, kind, "{attack}: {failure:?}"),
            (Ok(output), None) => assert_eq!(output, CallOutput::default(), "{attack}"),
            (result, _) => panic!("{attack}: {result:?}"),
        }
    }
}
