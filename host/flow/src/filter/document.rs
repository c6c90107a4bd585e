//! The document that a pattern sees, by the kind of the source: Lambda's shapes.
//!
//! Every event has the fields of [`EVERY`]; queues, streams and changes of tables have the names that Lambda gives
//! their records as well. Of a change, the record itself lies at the top.

use super::view::{Opened, View};
use crate::event::EventRef;

/// Fields of every event.
const EVERY: [&str; 6] = ["data", "key", "partitionKey", "id", "attributes", "timestamp"];
/// Fields of a queue's messages.
const MESSAGE: [&str; 3] = ["body", "messageId", "messageAttributes"];
/// Fields of a stream's records.
const RECORD: [&str; 1] = ["sequenceNumber"];
/// Fields of a table's changes. Source: Amazon DynamoDB Streams API, Record, November 2026.
const CHANGE: [&str; 8] =
    ["awsRegion", "dynamodb", "eventID", "eventName", "eventSource", "eventSourceARN", "eventVersion", "userIdentity"];

/// The family of a source kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Queue,
    Stream,
    Changes,
    Other,
}

/// Looks for fields of an event.
pub(super) fn open<'a>(kind: &str, event: EventRef<'a>, names: &[String]) -> Opened<'a> {
    let family = family(kind);
    let envelope = |name: &String| field(family, event, name);
    if family != Family::Changes || names.iter().all(|name| EVERY.contains(&name.as_str())) {
        return Opened::Object(names.iter().map(envelope).collect());
    }
    match View::Data(event.data()).open(names) {
        Opened::Object(record) => Opened::Object(
            names
                .iter()
                .zip(record)
                .map(|(name, change)| match EVERY.contains(&name.as_str()) {
                    true => envelope(name),
                    false => change,
                })
                .collect(),
        ),
        Opened::Array(_) | Opened::Scalar | Opened::NotJson => Opened::NotJson,
    }
}

/// True where events from a source of this kind have a field of this name.
pub(super) fn knows(kind: &str, name: &str) -> bool {
    let own: &[&str] = match family(kind) {
        Family::Queue => &MESSAGE,
        Family::Stream => &RECORD,
        Family::Changes => &CHANGE,
        Family::Other => &[],
    };
    EVERY.contains(&name) || own.contains(&name)
}

/// The value of an attribute; the last one where there are several.
pub(super) fn attribute<'a>(event: EventRef<'a>, name: &str) -> Option<&'a str> {
    event.attributes().filter(|(n, _)| *n == name).last().map(|(_, value)| value)
}

fn family(kind: &str) -> Family {
    match kind {
        "queue" | "sqs" => Family::Queue,
        "stream" | "kinesis" => Family::Stream,
        "table-changes" | "dynamodb-stream" => Family::Changes,
        _ => Family::Other,
    }
}

fn field<'a>(family: Family, event: EventRef<'a>, name: &str) -> Option<View<'a>> {
    match (name, family) {
        ("data", _) | ("body", Family::Queue) => Some(View::Data(event.data())),
        ("key" | "partitionKey", _) => Some(event.key()).filter(|key| !key.is_empty()).map(View::Text),
        ("id", _) | ("messageId", Family::Queue) | ("sequenceNumber", Family::Stream) => Some(View::Text(event.id())),
        ("timestamp", _) => Some(View::Number(event.timestamp)),
        ("attributes", _) => Some(View::Attributes(event)),
        ("messageAttributes", Family::Queue) => Some(View::MessageAttributes(event)),
        _ => None,
    }
}
