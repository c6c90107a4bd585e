//! The cost of one host call, the threads that guests run on, and whether a failure would repeat.

use crate::bare::Core;
use crate::support::{
    NoReads, call, configured, events, failure, hostile, order, ordered, origin, sandbox, sandbox_with, tight,
};
use esclusa_flow::BoxFuture;
use esclusa_flow::call_output::{CallError, FailureKind};
use esclusa_flow::item::Item;
use esclusa_flow::plugin::Plugin;
use esclusa_flow::reads::{ReadError, Reads, Selection};
use esclusa_flow::settings::{Instances, Limits};
use esclusa_sandbox::{RouteSettings, SandboxConfig};
use esclusa_testkit::allocations;
use std::sync::{Arc, Mutex};

const STREAMS: &str = "package wasi:io@0.2.0;
    interface streams { resource output-stream { write-zeroes: func(len: u64) -> result<_, stream-error>; } \
    variant stream-error { last-operation-failed(own<error>), closed } use error.{error}; }
    interface error { resource error; }";
const STDOUT: &str = "package wasi:cli@0.2.0;
    interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> own<output-stream>; }";

/// A guest that has so many zeros written to its standard output.
fn zeros(count: &str) -> Core {
    let module = r#"
        (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
        (import "wasi:io/streams@0.2.0" "[method]output-stream.write-zeroes" (func $zeros (param i32 i64 i32)))"#;
    Core {
        packages: vec![STREAMS, STDOUT],
        world: "import wasi:io/streams@0.2.0; import wasi:cli/stdout@0.2.0;",
        module: module.to_owned(),
        ..Core::handling(&format!("(call $zeros (call $stdout) {count} (i32.const 2048)) (i32.const 1024)"))
    }
}

#[tokio::test]
async fn zeros_that_a_guest_has_written_are_not_made_in_the_hosts_memory() {
    for count in ["(i64.const -1)", "(i64.const 0x1000000000)", "(i64.const 65537)"] {
        let failure = failure(&configured(&sandbox(), zeros(count).build()).await).await;
        assert_eq!(failure.kind, FailureKind::Trap, "{count}: {failure:?}");
        assert!(failure.message.contains("write-zeroes"), "{count}: {failure:?}");
    }
    let plugin = configured(&sandbox(), zeros("(i64.const 65536)").build()).await;
    assert!(call(&plugin, 1).await.is_ok());
}

#[tokio::test]
async fn what_all_host_calls_together_look_at_is_limited() {
    let logging = "package wasi:logging@0.1.0-draft;
        interface logging { enum level { trace, debug, info, warn, error, critical } \
        log: func(level: level, context: string, message: string); }";
    let log = "(loop $again (call $log (i32.const 2) (i32.const 0) (i32.const 65536) (i32.const 0) (i32.const 65536)) (br $again))";
    let core = Core {
        packages: vec![logging],
        world: "import wasi:logging/logging@0.1.0-draft;",
        module: r#"(import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))"#
            .to_owned(),
        ..Core::handling(&format!("{log} (i32.const 1024)"))
    };
    let loaded = sandbox().load(esclusa_sandbox::PluginFile::of("log", core.build()).unwrap()).await.unwrap();
    let limits = Limits { host_bytes: 1 << 20, host_calls: u64::MAX, ..tight() };
    let plugin = loaded.configure(crate::support::settings("{}", limits)).await.unwrap();
    let failure = failure(&plugin).await;
    assert_eq!(failure.kind, FailureKind::HostcallBytes, "{failure:?}");
    assert!(failure.message.contains("1048576 bytes"), "{failure:?}");
}

#[tokio::test]
async fn names_and_the_elements_of_lists_count_as_bytes_of_host_calls() {
    let get = r#"(import "esclusa:router/tables@0.2.0" "get" (func $get (param i32 i32 i32 i32 i32)))"#;
    let count = r#"(import "esclusa:router/metrics@0.2.0" "count" (func $count (param i32 i32 i32 i32 i64)))"#;
    // A name of 64 KiB of zeros again and again; 60,000 labels without a name and a text.
    let long = "(call $get (i32.const 0) (i32.const 65536) (i32.const 0) (i32.const 0) (i32.const 4096))";
    let many = "(call $count (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 60000) (i64.const 1))";
    for (import, call) in [(get, long), (count, many)] {
        let core = Core {
            memory: r#"(memory (export "memory") 250)"#,
            module: import.to_owned(),
            ..Core::handling(&format!("(loop $again {call} (br $again)) (i32.const 1024)"))
        };
        let loaded = sandbox().load(esclusa_sandbox::PluginFile::of("asks", core.build()).unwrap()).await.unwrap();
        let limits = Limits { host_bytes: 1 << 20, host_calls: 1000, ..tight() };
        let plugin = loaded.configure(crate::support::settings("{}", limits)).await.unwrap();
        let failure = failure(&plugin).await;
        assert_eq!(failure.kind, FailureKind::HostcallBytes, "{call}: {failure:?}");
    }
}

/// A custom section.
fn custom(name: &str, data: &[u8]) -> Vec<u8> {
    let number = |mut n: usize| {
        let mut bytes = Vec::new();
        while n > 0x7f {
            bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    };
    let content = [&number(name.len()), name.as_bytes(), data].concat();
    [&[0], &number(content.len())[..], &content].concat()
}

/// Debug information (DWARF 4) of units that all have the same ranges, which are there once.
fn debug_information(units: usize, ranges: u32) -> Vec<u8> {
    let (length, version, nothing) = (12_u32.to_le_bytes(), 4_u16.to_le_bytes(), 0_u32.to_le_bytes());
    let unit = [&length[..], &version, &nothing, &[4, 1], &nothing].concat();
    let mut pairs: Vec<u8> = (0..ranges).flat_map(|n| [2 * n + 1, 2 * n + 2]).flat_map(u32::to_le_bytes).collect();
    pairs.extend([0; 8]);
    [
        custom(".debug_abbrev", &[1, 0x11, 0, 0x55, 0x17, 0, 0, 0]),
        custom(".debug_info", &unit.repeat(units)),
        custom(".debug_ranges", &pairs),
    ]
    .concat()
}

#[tokio::test]
async fn what_a_plugin_says_of_its_lines_is_not_read_when_it_traps() {
    let core = Core { custom: debug_information(1_000, 1_000), ..Core::handling("unreachable") };
    let plugin = configured(&sandbox(), core.build()).await;
    let before = allocations::bytes();
    let failure = failure(&plugin).await;
    let spent = allocations::bytes() - before;
    assert!(failure.backtrace.is_some(), "{failure:?}");
    // If the debug information were read, it would give a million ranges.
    assert!(spent < 4 << 20, "{spent} bytes were allocated");
}

/// Reads that record the thread they are called on.
struct Where(Mutex<Vec<String>>);

impl Where {
    fn note(&self) {
        self.0.lock().unwrap().push(std::thread::current().name().unwrap_or_default().to_owned());
    }
}

impl Reads for Where {
    esclusa_testkit::no_other_reads!();

    fn get<'a>(&'a self, _: &'a str, _: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        self.note();
        Box::pin(async { Ok(None) })
    }

    fn query<'a>(&'a self, _: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        self.note();
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[test]
fn guests_run_on_the_threads_that_are_theirs() {
    let mut guests = tokio::runtime::Builder::new_multi_thread();
    let guests = guests.worker_threads(1).enable_time().thread_name("guests").build().unwrap();
    let threads = Some(guests.handle().clone());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let sandbox = sandbox_with(SandboxConfig { threads, ..SandboxConfig::default() });
        let loaded = sandbox.load(esclusa_sandbox::PluginFile::of("hostile", hostile()).unwrap()).await.unwrap();
        let plugin = loaded.configure(crate::support::settings(&order("read"), tight())).await.unwrap();
        let reads = Arc::new(Where(Mutex::default()));
        plugin.call(&origin(), &events(1), reads.clone()).await.unwrap();
        assert_eq!(*reads.0.lock().unwrap(), ["guests"]);
        // A guest that computes for ever blocks only the threads for guests, and ends with the future of its call.
        let endless = RouteSettings {
            limits: Limits { time: std::time::Duration::from_secs(3600), ..tight() },
            ..crate::support::settings(&order("loop"), tight())
        };
        let endless = loaded.configure(endless).await.unwrap();
        let (origin, one) = (origin(), events(1));
        let mut call = endless.call(&origin, &one, Arc::new(NoReads));
        let turns = std::future::poll_fn(|context| {
            let _ = call.as_mut().poll(context);
            std::task::Poll::Ready(1)
        });
        assert_eq!(turns.await, 1, "this thread goes on while the guest computes");
        drop(call);
        plugin.call(&origin, &one, reads.clone()).await.unwrap();
        assert_eq!(reads.0.lock().unwrap().len(), 2);
    });
}

#[tokio::test]
async fn a_failure_says_whether_it_will_repeat() {
    for (what, expected) in [
        ("panic", true),
        ("abort", true),
        ("some-effects", true),
        ("big-effect", true),
        ("clock-loop", true),
        ("grow", true),
        ("loop", false),
    ] {
        let failure = failure(&ordered(what, tight()).await).await;
        assert_eq!(failure.fated, expected, "{what}: {failure:?}");
    }
}

#[tokio::test]
async fn what_failed_after_a_read_may_go_well_the_next_time() {
    let plugin = ordered("read-panic", tight()).await;
    let reads = Arc::new(Where(Mutex::default()));
    match plugin.call(&origin(), &events(1), reads.clone()).await {
        Err(CallError::Failed(failure)) => assert!(!failure.fated, "{failure:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(reads.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn memory_that_earlier_calls_have_grown_is_no_fate() {
    // Grows by 100 pages in every call, and traps when it gets no more.
    let grow = "(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable)) (i32.const 1024)";
    let loaded =
        sandbox().load(esclusa_sandbox::PluginFile::of("grow", Core::handling(grow).build()).unwrap()).await.unwrap();
    let instances = Instances::Reuse { max_invocations: 100, memory_high_water: usize::MAX };
    let reused = RouteSettings { instances, ..crate::support::settings("{}", tight()) };
    let plugin = loaded.configure(reused).await.unwrap();
    assert!(call(&plugin, 1).await.is_ok());
    let grown = loop {
        if let Err(CallError::Failed(failure)) = call(&plugin, 1).await {
            break failure;
        }
    };
    assert_eq!((grown.kind, grown.fated), (FailureKind::Memory, false));
}
