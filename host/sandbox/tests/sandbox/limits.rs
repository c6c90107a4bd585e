//! Guests that use too much of a resource: each hits a limit with a name of its own, and other guests are not disturbed.

use crate::bare::Core;
use crate::support::{NoReads, hostile, sandbox_with};
use crate::support::{call, configured, events, failure, load, order, ordered, origin, sandbox, sent, settings, tight};
use esclusa_flow::call_output::{CallError, FailureKind};
use esclusa_flow::plugin::Plugin;
use esclusa_flow::settings::Limits;
use esclusa_sandbox::{LoadError, SandboxConfig};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_excess_fails_by_its_own_name() {
    for (what, kind) in [
        ("loop", FailureKind::Cpu),
        ("copy-loop", FailureKind::Cpu),
        ("loop-after-time", FailureKind::HostCalls),
        ("clock-loop", FailureKind::HostCalls),
        ("wall-loop", FailureKind::HostCalls),
        ("sleep-loop", FailureKind::HostCalls),
        ("log-loop", FailureKind::HostCalls),
        ("read-loop", FailureKind::HostCalls),
        ("grow", FailureKind::Memory),
        ("allocate", FailureKind::Memory),
        ("some-effects", FailureKind::Effects),
        ("many-effects", FailureKind::Memory),
        ("big-effect", FailureKind::Effects),
        ("big-read", FailureKind::HostcallBytes),
        ("recurse", FailureKind::Trap),
        ("exit", FailureKind::Trap),
        ("abort", FailureKind::Trap),
    ] {
        let plugin = ordered(what, tight()).await;
        let started = Instant::now();
        let failure = failure(&plugin).await;
        assert_eq!(failure.kind, kind, "{what}: {failure:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{what} took {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn the_stack_of_webassembly_ends_before_that_of_its_thread() {
    let deep = failure(&ordered("recurse", tight()).await).await;
    assert!(deep.message.contains("call stack exhausted"), "{deep:?}");
}

#[tokio::test]
async fn a_million_effects_are_refused_as_too_many() {
    let plugin = ordered("many-effects", Limits { memory: 1 << 30, ..Limits::default() }).await;
    let failure = failure(&plugin).await;
    assert_eq!(failure.kind, FailureKind::Effects, "{failure:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_route_does_not_change_what_others_do() {
    let patient = Limits { time: Duration::from_secs(60), ..Limits::default() };
    let neighbour = ordered("echo", patient).await;
    let before = call(&neighbour, 100).await.unwrap();
    let hostiles: Vec<_> = ["loop", "copy-loop", "grow", "clock-loop", "recurse", "panic", "log-loop", "big-effect"]
        .map(|what| tokio::spawn(async move { failure(&ordered(what, tight()).await).await }))
        .into();
    let mut during = 0;
    while hostiles.iter().any(|hostile| !hostile.is_finished()) {
        assert_eq!(call(&neighbour, 100).await.unwrap(), before);
        during += 1;
    }
    for hostile in hostiles {
        hostile.await.unwrap();
    }
    assert!(during > 3, "the neighbour was called {during} times meanwhile");
    assert_eq!(call(&neighbour, 100).await.unwrap(), before);
}

#[tokio::test]
async fn memory_of_failed_guests_is_given_back() {
    let plugin = ordered("grow", Limits { memory: 64 << 20, ..tight() }).await;
    for _ in 0..4 {
        failure(&plugin).await;
    }
    let before = resident();
    for _ in 0..40 {
        failure(&plugin).await;
    }
    // Other tests run in this process too; forty leaked guests would be 2.5 GiB.
    assert!(resident() < before + (512 << 20), "from {before} to {}", resident());
}

fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn a_guest_may_live_with_a_refused_growth() {
    let output = call(&ordered("grow-politely", tight()).await, 1).await.unwrap();
    assert_eq!(sent(&output), ["\u{1}"]);
}

#[tokio::test]
async fn memories_and_tables_count_together() {
    let grow = |kind: &str| format!("(if (i32.eq (i32.const -1) ({kind})) (then unreachable)) (i32.const 1024)");
    let wide = Limits { memory: 1 << 20, ..tight() };
    for (core, what) in [
        (Core::handling(&grow("memory.grow (i32.const 65000)")), "one memory"),
        (
            Core {
                module: "(table $t 1 funcref)".to_owned(),
                ..Core::handling(&grow("table.grow $t (ref.null func) (i32.const 0x7fffffff)"))
            },
            "one table",
        ),
        (
            Core {
                module: "(table $t 1 funcref)".to_owned(),
                ..Core::handling(&format!(
                    "(drop (memory.grow (i32.const 8))) {}",
                    grow("table.grow $t (ref.null func) (i32.const 50000)")
                ))
            },
            "both",
        ),
    ] {
        let loaded = load(&sandbox(), core.build()).await.unwrap();
        let failure = failure(&loaded.configure(settings("{}", wide)).await.unwrap()).await;
        assert_eq!(failure.kind, FailureKind::Memory, "{what}: {failure:?}");
    }
}

#[tokio::test]
async fn a_guest_that_starts_too_large_is_refused_by_its_memory() {
    let core = Core { memory: r#"(memory (export "memory") 300)"#, ..Core::default() };
    match load(&sandbox(), core.build()).await {
        Err(LoadError::Describe(CallError::Failed(failure))) => {
            assert_eq!(failure.kind, FailureKind::Memory, "{failure:?}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleeping_takes_no_real_time() {
    let plugin = ordered("sleep", Limits { time: Duration::from_secs(60), ..tight() }).await;
    let started = Instant::now();
    call(&plugin, 1).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(50));
}

#[tokio::test]
async fn a_loop_in_a_start_function_cannot_be_loaded() {
    let module = "(func $for_ever (loop (br 0))) (start $for_ever)".to_owned();
    match load(&sandbox(), Core { module, ..Core::default() }.build()).await {
        Err(LoadError::Describe(CallError::Failed(failure))) => {
            assert_eq!(failure.kind, FailureKind::Cpu, "{failure:?}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_bad_configuration_is_found_before_traffic() {
    let loaded = load(&sandbox(), hostile()).await.unwrap();
    for (what, says) in [
        ("init-refuse", "plugin.init: the key \"table\" is missing"),
        ("init-panic", "plugin.init: panicked at"),
        ("init-loop", "limit.cpu: the guest computed for longer than 500ms"),
    ] {
        let error = loaded.configure(settings(&order(what), tight())).await.unwrap_err().to_string();
        assert!(error.contains(says), "{what}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_frees_its_place() {
    let sandbox = sandbox_with(SandboxConfig { instances: 1, ..SandboxConfig::default() });
    let loaded = load(&sandbox, hostile()).await.unwrap();
    let endless = Limits { time: Duration::from_secs(3600), ..tight() };
    let looping = loaded.configure(settings(&order("loop"), endless)).await.unwrap();
    for _ in 0..20 {
        let dropped = tokio::time::timeout(Duration::from_millis(20), call(&looping, 1)).await;
        assert!(dropped.is_err());
    }
    let fine = loaded.configure(settings(&order("echo"), Limits::default())).await.unwrap();
    assert_eq!(call(&fine, 2).await.unwrap().effects.len(), 2);
}

#[tokio::test]
async fn more_calls_than_instances_wait_for_their_turn() {
    let sandbox = sandbox_with(SandboxConfig { instances: 2, ..SandboxConfig::default() });
    let loaded = load(&sandbox, hostile()).await.unwrap();
    let plugin = Arc::new(loaded.configure(settings(&order("echo"), Limits::default())).await.unwrap());
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let plugin = plugin.clone();
            tokio::spawn(async move { plugin.call(&origin(), &events(3), Arc::new(NoReads)).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().effects.len(), 3);
    }
}

#[tokio::test]
async fn too_many_random_bytes_are_refused() {
    let core = Core {
        packages: vec!["package wasi:random@0.2.0; interface random { get-random-bytes: func(len: u64) -> list<u8>; }"],
        world: "import wasi:random/random@0.2.0;",
        module: r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#.to_owned(),
        ..Core::handling("(call $random (i64.shl (i64.const 1) (i64.const 40)) (i32.const 2048)) (i32.const 1024)")
    };
    let failure = failure(&configured(&sandbox(), core.build()).await).await;
    assert_eq!(failure.kind, FailureKind::HostcallBytes, "{failure:?}");
}

#[tokio::test]
async fn handles_that_a_guest_heaps_up_are_limited() {
    let own = Core {
        world: "export things: interface { resource thing { constructor(); } }",
        module: r#"(import "[export]things" "[resource-new]thing" (func $new (param i32) (result i32)))
            (func (export "things#[constructor]thing") (result i32) (call $new (i32.const 0)))"#
            .to_owned(),
        ..Core::handling(
            "(local $n i32) (loop (drop (call $new (i32.const 1))) (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000)))) (i32.const 1024)",
        )
    };
    let failed = failure(&configured(&sandbox(), own.build()).await).await;
    assert_eq!(failed.kind, FailureKind::Trap, "{failed:?}");
    assert!(failed.message.contains("handle"), "{failed:?}");
    let hosts = Core {
        packages: vec![
            "package wasi:io@0.2.0; interface streams { resource output-stream; }",
            "package wasi:cli@0.2.0; interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }",
        ],
        world: "import wasi:cli/stdout@0.2.0;",
        module: r#"(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))"#.to_owned(),
        ..Core::handling("(loop (drop (call $stdout)) (br 0)) (i32.const 1024)")
    };
    let loaded = load(&sandbox(), hosts.build()).await.unwrap();
    // Far fewer than wasmtime itself would let a guest hold.
    for (host_calls, kind) in [(100, FailureKind::HostCalls), (10_000, FailureKind::Trap)] {
        let plugin = loaded.configure(settings("{}", Limits { host_calls, ..tight() })).await.unwrap();
        let failed = failure(&plugin).await;
        assert_eq!(failed.kind, kind, "{failed:?}");
    }
}
