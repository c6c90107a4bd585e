//! The retry policy of a route whose source is a queue: a failing message is released, and the route or SQS gives it up.

use crate::cases::env;
use esclusa_config::parse;
use esclusa_config::plan::RouteSpec;
use std::path::Path;

/// The route of a source and further keys of its own.
fn route(source: &str, keys: &str) -> RouteSpec {
    let text = format!(
        "version = 1\n[source.jobs]\n{source}\n[[route]]\nname = \"r\"\nsource = \"jobs\"\nplugin = \"p.wasm\"\n{keys}\n"
    );
    let loaded = parse(&text, "routes.toml", Path::new(""), &env).unwrap();
    loaded.plan.routes.into_iter().next().unwrap()
}

#[test]
fn who_gives_a_message_up_depends_on_its_queue_and_route() {
    for (source, keys, retries) in [
        ("kind = \"queue\"", "", Some(4)),
        ("kind = \"sqs\"", "", None),
        ("kind = \"sqs\"\nmax_receive_count = 3", "", Some(2)),
        ("kind = \"sqs\"", "max_retry_attempts = 7", Some(7)),
        ("kind = \"sqs\"\nmax_receive_count = 3", "max_retry_attempts = 7", Some(2)),
        ("kind = \"sqs\"\nmax_receive_count = 3", "max_retry_attempts = -1", Some(2)),
    ] {
        let policy = route(source, keys).policy;
        assert_eq!((policy.max_retry_attempts, policy.release), (retries, true), "{source} {keys}");
    }
}

#[test]
fn how_often_a_queue_delivers_says_nothing_about_the_messages_of_its_route() {
    for source in
        ["kind = \"queue\"\nmax_receive_count = 1", "kind = \"sqs\"\nmax_receive_count = 3", "kind = \"stream\""]
    {
        for (keys, retries) in [("", Some(10)), ("max_retry_attempts = 2", Some(2)), ("max_retry_attempts = -1", None)]
        {
            assert_eq!(route(source, keys).message_retries, retries, "{source} {keys}");
        }
    }
}

#[test]
fn what_is_not_a_queue_keeps_a_failing_event_and_bounds_its_retries() {
    for source in ["kind = \"kinesis\"", "kind = \"dynamodb-stream\"", "kind = \"stream\""] {
        let policy = route(source, "").policy;
        assert_eq!((policy.max_retry_attempts, policy.release), (Some(10), false), "{source}");
    }
}

#[test]
fn batches_have_lambdas_sizes() {
    for (source, size) in [("kinesis", 100), ("dynamodb-stream", 100), ("sqs", 10), ("queue", 10)] {
        assert_eq!(route(&format!("kind = \"{source}\""), "").batch_size, size, "{source}");
    }
    // More than ten messages come by several receives, in FIFO queues as well.
    let fifo = route("kind = \"sqs\"\nqueue = \"jobs.fifo\"", "batch_size = 1000\nbatch_window = \"1s\"");
    assert_eq!(fifo.batch_size, 1000);
}

#[test]
fn maximum_concurrency_is_lambdas_word_for_concurrency() {
    assert_eq!(route("kind = \"sqs\"", "maximum_concurrency = 20").concurrency, 20);
}
