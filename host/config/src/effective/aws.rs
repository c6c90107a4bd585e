//! Sections of AWS as they hold.

use super::{joined, position};
use crate::plan::{Ambiguous, Aws, Coordination, Output, Receiver, ServiceLocation, Source, TableStream};
use crate::syntax::unit::show_duration;
use serde_json::{Value, json};

/// `[aws]`.
pub fn section(aws: &Aws) -> Value {
    joined(place(&aws.place), json!({ "dedup_table": aws.dedup_table }))
}

/// Where a resource is.
pub fn place(place: &ServiceLocation) -> Value {
    json!({ "region": place.region, "endpoint_url": place.endpoint_url })
}

/// A source in AWS; nothing for another.
pub fn source(source: &Source) -> Value {
    match source {
        Source::Kinesis { stream, start, consumer, ordered, coordination, place: at } => {
            let (word, time) = position(*start);
            let value = json!({ "kind": "kinesis", "stream": stream, "starting_position": word,
                "starting_position_timestamp": time, "consumer": consumer, "ordering": ordering(*ordered) });
            joined(joined(value, shared(coordination)), place(at))
        }
        Source::DynamodbStream { of, start, ordered, coordination, place: at } => {
            let (table, arn) = match of {
                TableStream::Table(table) => (Some(table), None),
                TableStream::Arn(arn) => (None, Some(arn)),
            };
            let value = json!({ "kind": "dynamodb-stream", "table": table, "stream_arn": arn,
                "starting_position": position(*start).0, "ordering": ordering(*ordered) });
            joined(joined(value, shared(coordination)), place(at))
        }
        Source::Sqs { queue, visibility_timeout, max_receive_count, place: at } => {
            let value = json!({ "kind": "sqs", "queue": queue,
                "visibility_timeout": visibility_timeout.map(show_duration), "max_receive_count": max_receive_count });
            joined(value, place(at))
        }
        _ => json!({}),
    }
}

fn ordering(ordered: bool) -> &'static str {
    if ordered { "key" } else { "none" }
}

fn shared(coordination: &Coordination) -> Value {
    match coordination {
        Coordination::Leases { table, duration } => json!({ "coordination": "leases",
            "lease_table": table.as_deref().unwrap_or("esclusa-ROUTE"), "lease_duration": show_duration(*duration) }),
        Coordination::None => json!({ "coordination": "none" }),
    }
}

/// An output in AWS; nothing for another.
pub fn output(output: &Output) -> Value {
    match output {
        Output::Kinesis { stream, strict_order, place: at } => {
            joined(json!({ "kind": "kinesis", "stream": stream, "strict_order": strict_order }), place(at))
        }
        Output::Sqs { queue, place: at } => joined(json!({ "kind": "sqs", "queue": queue }), place(at)),
        Output::Sns { receiver, place: at } => {
            let (topic, phone) = match receiver {
                Receiver::Topic(arn) => (Some(arn), None),
                Receiver::Phone(number) => (None, Some(number)),
                Receiver::Attribute => (None, None),
            };
            joined(json!({ "kind": "sns", "topic_arn": topic, "phone_number": phone }), place(at))
        }
        Output::Ses { from, to, subject, rate, ambiguous, place: at } => {
            let ambiguous = match ambiguous {
                Ambiguous::Retry => "retry",
                Ambiguous::DeadLetter => "dead-letter",
            };
            let value = json!({ "kind": "ses", "from": from, "to": to, "subject": subject, "rate": rate,
                "ambiguous": ambiguous });
            joined(value, place(at))
        }
        Output::S3 { bucket, prefix, path_style, place: at } => {
            let value = json!({ "kind": "s3", "bucket": bucket, "prefix": prefix, "path_style": path_style });
            joined(value, place(at))
        }
        _ => json!({}),
    }
}
