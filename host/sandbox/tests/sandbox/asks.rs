//! What a plugin asks of the router beside queries: through the SDK on the guest's side, so that both ends are tried.

use crate::support::{order, origin, probe, sandbox, sent, settings, tight};
use esclusa_flow::BoxFuture;
use esclusa_flow::call_output::{CallError, CallOutput, FailureKind, Reply};
use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::index::CallIndex;
use esclusa_flow::item::{Item, Value};
use esclusa_flow::plugin::Plugin;
use esclusa_flow::reads::{
    ItemPage, ObjectBytes, ObjectList, ObjectPage, ObjectRead, ReadError, Reads, Selection, TableScan,
};
use esclusa_flow::settings::{KeySchema, Limits};
use esclusa_sandbox::{ConfiguredPlugin, MetricValue, PluginMetrics, Sandbox};
use std::sync::Arc;

/// Answers with what it was asked.
struct Echo;

fn answer<'a, T: Send + 'a>(answer: Result<T, ReadError>) -> BoxFuture<'a, Result<T, ReadError>> {
    Box::pin(std::future::ready(answer))
}

fn item(text: String) -> Item {
    Item(vec![("id".to_owned(), Value::Text(text))])
}

impl Reads for Echo {
    fn key_of<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<KeySchema, ReadError>> {
        answer(Ok(KeySchema { partition: format!("{table}-p"), sort: (table == "two").then(|| "s".to_owned()) }))
    }

    fn get<'a>(&'a self, _: &'a str, _: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        answer(Ok(None))
    }

    fn get_many<'a>(&'a self, table: &'a str, keys: &'a [Item]) -> BoxFuture<'a, Result<Vec<Option<Item>>, ReadError>> {
        if table == "down" {
            return answer(Err(ReadError::Unavailable("no answer".to_owned())));
        }
        answer(Ok(keys.iter().enumerate().map(|(at, key)| (at % 2 == 0).then(|| key.clone())).collect()))
    }

    fn query<'a>(&'a self, _: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        answer(Ok(Vec::new()))
    }

    fn scan<'a>(&'a self, scan: &'a TableScan) -> BoxFuture<'a, Result<ItemPage, ReadError>> {
        let next = scan.limit.map(|limit| limit.to_string());
        answer(Ok(ItemPage { items: vec![item(scan.token.clone().unwrap_or_default())], next }))
    }

    fn object<'a>(&'a self, read: &'a ObjectRead) -> BoxFuture<'a, Result<Option<ObjectBytes>, ReadError>> {
        if read.path == "missing" {
            return answer(Ok(None));
        }
        if read.path == "large" {
            return answer(Ok(Some(ObjectBytes { size: 1, bytes: vec![b'x'; 80 << 20] })));
        }
        let bytes = format!("{} {} {:?}", read.store, read.path, read.range).into_bytes();
        answer(Ok(Some(ObjectBytes { size: 1 << 40, bytes })))
    }

    fn objects<'a>(&'a self, list: &'a ObjectList) -> BoxFuture<'a, Result<ObjectPage, ReadError>> {
        if list.store == "secret" {
            return answer(Err(ReadError::NotGranted(list.store.clone())));
        }
        let entries = vec![(format!("{}a", list.prefix), 7), (format!("{}b", list.prefix), 1 << 40)];
        answer(Ok(ObjectPage { entries, next: list.token.clone() }))
    }
}

async fn plugin(sandbox: &Sandbox, route: &str, limits: Limits) -> ConfiguredPlugin {
    let loaded = sandbox.load(esclusa_sandbox::PluginFile::of("probe.wasm", probe()).unwrap()).await.unwrap();
    let settings = esclusa_sandbox::RouteSettings { route: route.into(), ..settings(&order("nothing"), limits) };
    loaded.configure(settings).await.unwrap()
}

async fn ask(plugin: &ConfiguredPlugin, questions: &[&str]) -> Result<CallOutput, CallError> {
    let mut columns = Columns::default();
    for question in questions {
        columns.push(&NewEvent { id: "1", data: question.as_bytes(), attempt: 1, ..NewEvent::default() }).unwrap();
    }
    plugin.call(&origin(), &Arc::new(columns), Arc::new(Echo)).await
}

#[tokio::test]
async fn questions_and_answers_cross_the_boundary_whole() {
    let plugin = plugin(&sandbox(), "reads", tight()).await;
    let asked = [
        (r#"{"key-of": "one"}"#, "one-p "),
        (r#"{"key-of": "two"}"#, "two-p s"),
        (r#"{"get-many": "t", "ids": ["é", "b"]}"#, r#"[Some(Item([("id", Text("é"))])), None]"#),
        (r#"{"get-many": "t"}"#, "[]"),
        (r#"{"scan": "t"}"#, r#"[Item([("id", Text(""))])] "#),
        (r#"{"scan": "t", "token": "next", "limit": 3}"#, r#"[Item([("id", Text("next"))])] 3"#),
        (r#"{"object": "lake", "path": "a/b"}"#, "1099511627776 lake a/b None"),
        (r#"{"object": "lake", "path": "a", "range": [5000000000, 7]}"#, "1099511627776 lake a Some((5000000000, 7))"),
        (r#"{"object": "lake", "path": "missing"}"#, "none"),
        (r#"{"objects": "lake", "path": "x/", "token": "t"}"#, "x/a=7,x/b=1099511627776 t"),
        (
            r#"{"objects": "secret"}"#,
            r#"error: object store "secret" is not granted: add it to the route's read_objects"#,
        ),
    ];
    let output = ask(&plugin, &asked.map(|(question, _)| question)).await.unwrap();
    assert_eq!(sent(&output), asked.map(|(_, expected)| expected));
}

#[tokio::test]
async fn a_read_that_the_host_cannot_answer_is_the_hosts_failure_only_if_the_plugin_passes_it_on() {
    let plugin = plugin(&sandbox(), "down", tight()).await;
    let output = ask(&plugin, &[r#"{"get-many": "down"}"#]).await.unwrap();
    assert_eq!(sent(&output), ["error: no answer"]);
}

#[tokio::test]
async fn an_answer_counts_against_the_bytes_of_a_call() {
    let plugin = plugin(&sandbox(), "bytes", tight()).await;
    match ask(&plugin, &[r#"{"object": "lake", "path": "large"}"#]).await {
        Err(CallError::Failed(failure)) => assert_eq!(failure.kind, FailureKind::HostcallBytes, "{}", failure.message),
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[tokio::test]
async fn a_reply_has_its_headers() {
    let plugin = plugin(&sandbox(), "replies", tight()).await;
    let question = r#"{"reply": 201, "text": "made", "headers": [["location", "/a/1"], ["x-é", ""]]}"#;
    let output = ask(&plugin, &[r#"{}"#, question]).await.unwrap();
    let headers = vec![("location".to_owned(), "/a/1".to_owned()), ("x-é".to_owned(), String::new())];
    let (event, content_type, body) = (CallIndex(1), "text/plain".to_owned(), b"made".to_vec());
    assert_eq!(output.replies, [Reply { event, status: 201, content_type, headers, body }]);
}

fn metrics(sandbox: &Sandbox, route: &str) -> PluginMetrics {
    sandbox.metrics().into_iter().find(|metrics| metrics.route == route).unwrap()
}

#[tokio::test]
async fn a_call_that_succeeds_adds_its_metrics_and_one_that_fails_adds_none() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, "metrics", tight()).await;
    let count = r#"{"count": "orders", "value": 2, "labels": [["kind", "late"]]}"#;
    ask(&plugin, &[count, count, r#"{"gauge": "depth", "value": -1.5}"#]).await.unwrap();
    ask(&plugin, &[count, r#"{"observe": "seconds", "value": 0.3}"#]).await.unwrap();
    ask(&plugin, &[count, r#"{"fail": true}"#]).await.unwrap_err();
    let read = metrics(&sandbox, "metrics");
    assert_eq!(read.refused, 0);
    let shown: Vec<_> = read.series.iter().map(|(series, value)| (series.name.as_str(), value)).collect();
    assert_eq!(shown[0], ("depth", &MetricValue::Gauge(-1.5)));
    assert_eq!(shown[1], ("orders", &MetricValue::Counter(6)));
    assert_eq!(read.series[1].0.labels, [("kind".to_owned(), "late".to_owned())]);
    assert!(matches!(shown[2], ("seconds", MetricValue::Histogram(counts, _)) if counts.iter().sum::<u64>() == 1));
    drop(plugin);
    assert!(sandbox.metrics().iter().all(|metrics| metrics.route != "metrics"), "its plugin is gone");
}

#[tokio::test]
async fn a_flood_of_metrics_is_stopped_by_the_limit_of_host_calls() {
    let sandbox = sandbox();
    let plugin = plugin(&sandbox, "flood", tight()).await;
    let questions: Vec<String> = (0..2_000).map(|n| format!(r#"{{"count": "m{n}", "value": 1}}"#)).collect();
    let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
    match ask(&plugin, &questions).await {
        Err(CallError::Failed(failure)) => assert_eq!(failure.kind, FailureKind::HostCalls, "{}", failure.message),
        other => panic!("expected a failure, got {other:?}"),
    }
    assert!(metrics(&sandbox, "flood").series.is_empty());
}
