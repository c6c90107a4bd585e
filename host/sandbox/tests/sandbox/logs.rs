//! The output of guests in the router's log: with their route, escaped, and within a budget.

use crate::bare::Core;
use crate::support::{call, configured, ordered, sandbox, tight};
use esclusa_flow::settings::Limits;
use esclusa_sandbox::ConfiguredPlugin;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A log that keeps the guests' lines for the test.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<String>>>);

/// A line as text: level, then the fields in their order.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Captured {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["guest", "esclusa_sandbox::guest_log"].contains(&metadata.target())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The lines that a call logs. The log is watched on the test's thread, and the runtime has no other.
async fn logged(plugin: &ConfiguredPlugin) -> Vec<String> {
    let captured = Captured::default();
    let watched = tracing::subscriber::set_default(captured.clone());
    let _ = call(plugin, 1).await;
    drop(watched);
    captured.0.lock().unwrap().clone()
}

#[tokio::test]
async fn lines_carry_their_route_and_cannot_fool_a_reader() {
    let lines = logged(&ordered("log", Limits::default()).await).await;
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert_eq!(lines[0], r#"INFO message=plain route="test" stream="stdout""#);
    assert_eq!(lines[1], r#"INFO message=\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}gnol route="test" stream="stdout""#);
    assert_eq!(lines[2], r#"WARN message=INFO forged=true route="test" stream="stderr""#);
    assert_eq!(lines[3], r#"INFO message=no end route="test" stream="stdout""#);
    assert!(!lines.concat().contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']));
}

#[tokio::test]
async fn a_flood_is_cut_and_counted() {
    let lines = logged(&ordered("flood", tight()).await).await;
    let bytes: usize = lines.iter().map(String::len).sum();
    assert!(bytes < 16 << 10, "{bytes}");
    assert!(lines.last().unwrap().contains("guest lines left out"), "{lines:#?}");
}

#[tokio::test]
async fn a_plugin_logs_with_levels_through_wasi_logging() {
    let core = Core {
        packages: vec![
            "package wasi:logging@0.1.0-draft; interface logging { \
             enum level { trace, debug, info, warn, error, critical } \
             log: func(level: level, context: string, message: string); }",
        ],
        world: "import wasi:logging/logging@0.1.0-draft;",
        module: r#"(import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))
            (data (i32.const 2048) "orders") (data (i32.const 2064) "two\0alines")"#
            .to_owned(),
        ..Core::handling(
            "(call $log (i32.const 4) (i32.const 2048) (i32.const 6) (i32.const 2064) (i32.const 9)) (i32.const 1024)",
        )
    };
    let plugin = configured(&sandbox(), core.build()).await;
    let lines = logged(&plugin).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("ERROR message=orders: two "), "{lines:?}");
    assert!(lines[1].starts_with("ERROR message=orders: lines "), "{lines:?}");
}

#[tokio::test]
async fn a_plugin_logs_with_levels_through_the_contract() {
    for (level, expected) in ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].into_iter().enumerate() {
        let core = Core {
            module: r#"(import "esclusa:router/log@0.2.0" "write" (func $log (param i32 i32 i32)))
                (data (i32.const 2064) "two\0alines")"#
                .to_owned(),
            ..Core::handling(&format!(
                "(call $log (i32.const {level}) (i32.const 2064) (i32.const 9)) (i32.const 1024)"
            ))
        };
        let plugin = configured(&sandbox(), core.build()).await;
        let lines = logged(&plugin).await;
        let line = |text: &str| format!(r#"{expected} message={text} route="test" stream="log""#);
        assert_eq!(lines, [line("two"), line("lines")]);
    }
}

#[tokio::test]
async fn what_a_plugin_says_of_its_configuration_is_logged_once() {
    let core = Core {
        packages: vec![
            "package wasi:logging@0.1.0-draft; interface logging { \
             enum level { trace, debug, info, warn, error, critical } \
             log: func(level: level, context: string, message: string); }",
        ],
        world: "import wasi:logging/logging@0.1.0-draft;",
        module: r#"(import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))
            (data (i32.const 2048) "init") (data (i32.const 2064) "handle")"#
            .to_owned(),
        init: "(call $log (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const 4)) (i32.const 1024)"
            .to_owned(),
        ..Core::handling(
            "(call $log (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 2064) (i32.const 6)) (i32.const 1024)",
        )
    };
    let captured = Captured::default();
    let watched = tracing::subscriber::set_default(captured.clone());
    let plugin = configured(&sandbox(), core.build()).await;
    for _ in 0..2 {
        call(&plugin, 1).await.unwrap();
    }
    drop(watched);
    let lines: Vec<String> =
        captured.0.lock().unwrap().iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(lines, ["message=init", "message=handle", "message=handle"]);
}
