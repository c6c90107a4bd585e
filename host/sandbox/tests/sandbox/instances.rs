//! Instances: a new one for each batch, or kept for a while; and the memory that a dropped version frees.

use crate::bare::Core;
use crate::support::{call, failure, hostile, load, order, ordered, sandbox, sandbox_with, sent, settings, tight};
use esclusa_flow::call_output::FailureKind;
use esclusa_flow::settings::{Instances, Limits};
use esclusa_sandbox::{ConfiguredPlugin, RouteSettings, SandboxConfig};

async fn reusing(what: &str, max_invocations: u32, memory_high_water: usize) -> ConfiguredPlugin {
    let loaded = load(&sandbox(), hostile()).await.unwrap();
    let instances = Instances::Reuse { max_invocations, memory_high_water };
    loaded.configure(RouteSettings { instances, ..settings(&order(what), Limits::default()) }).await.unwrap()
}

async fn counts(plugin: &ConfiguredPlugin, calls: usize) -> Vec<String> {
    let mut counts = Vec::new();
    for _ in 0..calls {
        counts.extend(sent(&call(plugin, 1).await.unwrap()));
    }
    counts
}

#[tokio::test]
async fn a_fresh_instance_knows_nothing_of_the_last_call() {
    assert_eq!(counts(&ordered("count", Limits::default()).await, 3).await, ["1", "1", "1"]);
}

#[tokio::test]
async fn a_kept_instance_is_recycled_after_so_many_calls() {
    assert_eq!(counts(&reusing("count", 3, 64 << 20).await, 7).await, ["1", "2", "3", "1", "2", "3", "1"]);
}

#[tokio::test]
async fn a_kept_instance_is_recycled_when_it_has_grown() {
    assert_eq!(counts(&reusing("count", 100, 1 << 10).await, 3).await, ["1", "1", "1"]);
}

#[tokio::test]
async fn an_instance_that_failed_is_never_used_again() {
    let once = "(global $n (mut i32) (i32.const 0))";
    let core = Core {
        module: once.to_owned(),
        ..Core::handling(
            "(global.set $n (i32.add (global.get $n) (i32.const 1)))
             (if (i32.eq (global.get $n) (i32.const 2)) (then unreachable))
             (if (i32.gt_u (global.get $n) (i32.const 2)) (then (return (i32.const 1))))
             (i32.const 1024)",
        )
    };
    let loaded = load(&sandbox(), core.build()).await.unwrap();
    let instances = Instances::Reuse { max_invocations: 100, memory_high_water: 1 << 30 };
    let plugin = loaded.configure(RouteSettings { instances, ..settings("{}", tight()) }).await.unwrap();
    for _ in 0..5 {
        call(&plugin, 1).await.unwrap();
        let failure = failure(&plugin).await;
        assert_eq!(failure.kind, FailureKind::Trap);
        assert!(failure.message.contains("unreachable"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_guest_finds_nothing_of_another_in_its_memory() {
    let sandbox = sandbox_with(SandboxConfig { instances: 1, ..SandboxConfig::default() });
    let loaded = load(&sandbox, hostile()).await.unwrap();
    for route in ["one", "two", "one", "two", "two"] {
        let settings = RouteSettings { route: route.into(), ..settings(&order("probe"), Limits::default()) };
        let plugin = loaded.configure(settings).await.unwrap();
        assert_eq!(counts(&plugin, 2).await, ["0", "0"]);
    }
}

#[tokio::test]
async fn two_versions_run_side_by_side_and_dropping_one_frees_its_code() {
    let sandbox = sandbox();
    let version = |n: u32| Core { module: format!("(func (result i32) (i32.const {n}))"), ..Core::default() }.build();
    let old = load(&sandbox, version(0)).await.unwrap().configure(settings("{}", tight())).await.unwrap();
    let before = code();
    let mut newer = Vec::new();
    for n in 1..=100 {
        let loaded = load(&sandbox, version(n)).await.unwrap();
        newer.push(loaded.configure(settings("{}", tight())).await.unwrap());
    }
    call(&old, 1).await.unwrap();
    call(&newer[50], 1).await.unwrap();
    let during = code();
    drop(newer);
    // Other tests of this process load and drop plugins meanwhile.
    assert!(during > before + 80 && code() < before + 50, "{before} {during} {}", code());
    call(&old, 1).await.unwrap();
}

/// Mappings of this process that hold code.
fn code() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| line.contains(" r-xp ")).count()
}
