//! The batch that a plugin gets, the output that it returns, and the interfaces that it can reach.

use crate::bare::Core;
use crate::support::{NoReads, call, configured, events, failure, ordered, origin, sandbox, sent, tight};
use esclusa_flow::BoxFuture;
use esclusa_flow::call_output::{CallError, Disposition, EventOutcome, FailureKind};
use esclusa_flow::fault::Fault;
use esclusa_flow::index::CallIndex;
use esclusa_flow::item::{Item, Value};
use esclusa_flow::plugin::Plugin;
use esclusa_flow::reads::{ReadError, Reads, Selection};
use esclusa_flow::settings::Limits;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn events_go_in_and_effects_come_out() {
    let output = call(&ordered("echo", Limits::default()).await, 3).await.unwrap();
    assert_eq!(sent(&output), [r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#]);
    assert_eq!(
        output.effects.iter().map(|effect| effect.cause.map(|cause| cause.0)).collect::<Vec<_>>(),
        [Some(0), Some(1), Some(2)]
    );
    let output = call(&ordered("skip", Limits::default()).await, 3).await.unwrap();
    assert_eq!(
        output.outcomes,
        [EventOutcome { event: CallIndex(0), disposition: Disposition::Skip("asked to".to_owned()) }]
    );
}

#[tokio::test]
async fn an_empty_batch_is_a_batch() {
    assert_eq!(call(&ordered("echo", Limits::default()).await, 0).await.unwrap().effects, []);
}

#[tokio::test]
async fn a_plugin_may_refuse_a_batch() {
    let limits = Limits::default();
    assert_eq!(call(&ordered("retry", limits).await, 1).await, Err(CallError::Retry("not now".to_owned())));
    assert_eq!(call(&ordered("halt", limits).await, 1).await, Err(CallError::Halt("look at this".to_owned())));
}

#[tokio::test]
async fn a_panic_says_where_and_why() {
    let failure = failure(&ordered("panic", Limits::default()).await).await;
    assert_eq!(failure.kind, FailureKind::Trap);
    assert!(failure.message.contains("src/attack.rs:") && failure.message.ends_with("this is"), "{}", failure.message);
    assert!(failure.logs.iter().any(|line| line == "the end"), "{:?}", failure.logs);
    let backtrace = failure.backtrace.unwrap();
    assert!(backtrace.contains("hostile::"), "{backtrace}");
    assert!(!backtrace.contains("wasmtime") && !backtrace.contains("tokio"), "{backtrace}");
}

#[tokio::test]
async fn nothing_of_the_host_is_visible() {
    assert!(std::env::vars_os().next().is_some() && std::env::args_os().next().is_some(), "there is something to hide");
    let output = call(&ordered("environment", Limits::default()).await, 1).await.unwrap();
    assert_eq!(sent(&output), ["[] [] true true Ok(0)"]);
}

/// Reads that always give the same answer.
struct Answer(Option<Result<Option<Item>, ReadError>>);

impl Reads for Answer {
    esclusa_testkit::no_other_reads!();

    fn get<'a>(&'a self, _: &'a str, key: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        assert_eq!(key.get("id"), Some(&Value::Text("1".to_owned())));
        match self.0.clone() {
            Some(answer) => Box::pin(async { answer }),
            None => Box::pin(std::future::pending()),
        }
    }

    fn query<'a>(&'a self, _: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

async fn reading(what: &str, answer: Option<Result<Option<Item>, ReadError>>) -> Result<Vec<String>, CallError> {
    let plugin = ordered(what, tight()).await;
    plugin.call(&origin(), &events(1), Arc::new(Answer(answer))).await.map(|output| sent(&output))
}

#[tokio::test]
async fn a_plugin_reads_tables_while_it_handles_a_batch() {
    let item = [("n".to_owned(), Value::Number("12345678901234567890.5".to_owned()))].into_iter().collect();
    let found = reading("read", Some(Ok(Some(item)))).await.unwrap();
    assert!(found[0].contains("12345678901234567890.5"), "{found:?}");
    assert_eq!(reading("read", Some(Ok(None))).await.unwrap(), ["None"]);
}

#[tokio::test]
async fn a_plugin_is_told_why_a_read_fails() {
    let denied = reading("read", Some(Err(ReadError::NotGranted("t".to_owned())))).await;
    assert_eq!(denied, Err(CallError::Halt("Error::NotGranted(\"t\")".to_owned())));
}

#[tokio::test]
async fn a_read_that_does_not_answer_is_the_hosts_fault() {
    let down = || Some(Err(ReadError::Unavailable("the table sleeps".to_owned())));
    let fault = Err(CallError::Host(Fault::Transient("the table sleeps".to_owned())));
    assert_eq!(reading("read", down()).await, fault);
    assert_eq!(reading("read-panic", down()).await, fault);
}

#[tokio::test]
async fn a_read_that_never_ends_is_cut_off() {
    match reading("read", None).await {
        Err(CallError::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Time, "{failure:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_table_cannot_be_read_before_there_is_a_batch() {
    let module = r#"(import "esclusa:router/tables@0.2.0" "get" (func $get (param i32 i32 i32 i32 i32)))"#.to_owned();
    let read = "(call $get (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 4096))";
    let trap_unless_error =
        format!("{read} (if (i32.eqz (i32.load8_u (i32.const 4096))) (then unreachable)) (i32.const 1024)");
    let core = Core { module, init: trap_unless_error, ..Core::default() };
    configured(&sandbox(), core.build()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_events_and_outputs_pass_within_the_limits() {
    let plugin = ordered("echo", Limits { time: Duration::from_secs(60), ..Limits::default() }).await;
    let mut columns = esclusa_flow::event::Columns::default();
    let data = vec![b'x'; 10 << 20];
    columns.push(&esclusa_flow::event::NewEvent { id: "big", data: &data, ..Default::default() }).unwrap();
    let output = plugin.call(&origin(), &columns.into(), Arc::new(NoReads)).await.unwrap();
    assert_eq!(sent(&output)[0].len(), 10 << 20);
}
