//! Guests that break the canonical ABI: each is an ordinary failure of its call, and nothing else.

use crate::bare::Core;
use crate::support::{call, configured, failure, load, sandbox, settings, tight};
use esclusa_flow::output::{FailureKind, Output};
use wit_component::StringEncoding;

#[tokio::test]
async fn a_guest_that_does_nothing_gives_an_empty_output() {
    let plugin = configured(&sandbox(), Core::default().build()).await;
    assert_eq!(call(&plugin, 1000).await.unwrap(), Output::default());
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
    // `init` has a text to allocate for too, so the allocator turns hostile afterwards.
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
    let module = r#"(import "esclusa:router/tables@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32)))"#.to_owned();
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
    let failure = failure(&configured(&sandbox(), core.build()).await).await;
    assert_eq!(failure.kind, FailureKind::Effects, "{failure:?}");
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
