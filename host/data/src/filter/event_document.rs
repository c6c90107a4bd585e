//! The document that a pattern sees, by the kind of the source: Lambda's shapes.
//!
//! Every event has the fields of [`is_event_field`]; queues, streams and changes of tables have the names that Lambda gives
//! their records as well. The record of a change is the document itself. Payloads are read last, and only if
//! a pattern is undecided without them.

use super::FieldValue;
use super::effort::Undecided;
use super::evaluation::Evaluation;
use super::payload_scan;
use super::program::{PatternNode, ROOT, is_event_field};
use super::value_check::Leaf;
use crate::event::EventRef;

/// Fields of a queue's messages.
const MESSAGE: [&str; 3] = ["body", "messageId", "messageAttributes"];
/// Fields of a stream's records.
const RECORD: [&str; 1] = ["sequenceNumber"];
/// Fields of a table's changes. Source: Amazon DynamoDB Streams API, Record, November 2026.
const CHANGE: [&str; 8] =
    ["awsRegion", "dynamodb", "eventID", "eventName", "eventSource", "eventSourceARN", "eventVersion", "userIdentity"];

/// The family of a source kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceFamily {
    Queue,
    Stream,
    Changes,
    Other,
}

/// The content of a field of an event.
enum DocumentField<'a> {
    Text(&'a str),
    Number(u64),
    Attributes,
    /// Attributes of which each is also an object.
    MessageAttributes,
    Payload,
    /// Maybe a field of the record that the payload is.
    OfRecord,
    None,
}

/// True if events from a source of this kind have a field of this name.
pub(super) fn knows(kind: &str, name: &str) -> bool {
    let own: &[&str] = match family(kind) {
        SourceFamily::Queue => &MESSAGE,
        SourceFamily::Stream => &RECORD,
        SourceFamily::Changes => &CHANGE,
        SourceFamily::Other => &[],
    };
    is_event_field(name) || own.contains(&name)
}

/// True if any pattern matches the document of an event from a source of this kind. `own` says for each pattern whether it
/// names fields that not every event has.
pub(super) fn matches(
    evaluation: &mut Evaluation<'_, '_>,
    own: &[bool],
    kind: &str,
    event: EventRef<'_>,
) -> Result<bool, Undecided> {
    let family = family(kind);
    let Some(root) = evaluation.node(ROOT) else { return Ok(false) };
    let has_unread = envelope(evaluation, root, family, event)?;
    // A pattern that names a field of the record matches only if there is one, whatever else it asks for.
    let without_record = |pattern: usize| family != SourceFamily::Changes || own.get(pattern) == Some(&false);
    if evaluation.any_pattern(false, without_record)? {
        return Ok(true);
    }
    // Taking every unread field for a match shows whether the payload could make any difference. Mostly it cannot.
    if !has_unread || !evaluation.any_pattern(true, |_| true)? {
        return Ok(false);
    }
    let has_record = payloads(evaluation, root, family, event)?;
    evaluation.any_pattern(false, |pattern| has_record || without_record(pattern))
}

/// Reads everything but payloads; true if the patterns ask for something in them.
fn envelope(
    evaluation: &mut Evaluation<'_, '_>,
    root: &PatternNode,
    family: SourceFamily,
    event: EventRef<'_>,
) -> Result<bool, Undecided> {
    let mut has_unread = false;
    for (name, at) in &root.fields {
        evaluation.effort.spend(1)?;
        match field(family, event, name) {
            DocumentField::None => continue,
            DocumentField::Payload | DocumentField::OfRecord => {
                has_unread = true;
                evaluation.set_unread(*at, true);
            }
            DocumentField::Text(text) => {
                evaluation.enter(*at);
                evaluation.leaf(*at, Leaf::Text(text))?;
            }
            DocumentField::Number(number) => {
                evaluation.enter(*at);
                evaluation.leaf(*at, Leaf::number(&number.to_string()))?;
            }
            DocumentField::Attributes => attributes(evaluation, *at, event, false)?,
            DocumentField::MessageAttributes => attributes(evaluation, *at, event, true)?,
        }
    }
    Ok(has_unread)
}

/// Reads the attributes as an object at a node; of several of one name the last one counts.
fn attributes(
    evaluation: &mut Evaluation<'_, '_>,
    at: usize,
    event: EventRef<'_>,
    are_objects: bool,
) -> Result<(), Undecided> {
    evaluation.enter(at);
    let began = evaluation.now();
    for (name, value) in event.attributes() {
        evaluation.effort.spend(name.len().saturating_add(1))?;
        let Some(field) = evaluation.field(at, name) else { continue };
        evaluation.enter(field);
        if !are_objects {
            evaluation.leaf(field, Leaf::Text(value))?;
            continue;
        }
        // A message attribute is a text for lists and an object for objects: both forms are written.
        evaluation.leaf_of_lists(field, Leaf::Text(value))?;
        let began = evaluation.now();
        for (name, text) in [("stringValue", value), ("dataType", "String")] {
            if let Some(part) = evaluation.field(field, name) {
                evaluation.enter(part);
                evaluation.leaf(part, Leaf::Text(text))?;
            }
        }
        evaluation.finish(field, began)?;
    }
    evaluation.finish(at, began)
}

/// Reads the payload for the fields that were left unread; true if the payload is a record, and the patterns ask for its fields.
fn payloads(
    evaluation: &mut Evaluation<'_, '_>,
    root: &PatternNode,
    family: SourceFamily,
    event: EventRef<'_>,
) -> Result<bool, Undecided> {
    let mut of_record = false;
    for (name, at) in &root.fields {
        match field(family, event, name) {
            DocumentField::Payload => {
                evaluation.enter(*at);
                if !payload_scan::payload(evaluation, *at, event.data())? {
                    // A text for lists. For objects it is nothing, not even a value without fields.
                    evaluation.enter(*at);
                    evaluation.leaf_of_lists(*at, Leaf::Text(&String::from_utf8_lossy(event.data())))?;
                }
            }
            DocumentField::OfRecord => {
                of_record = true;
                evaluation.set_unread(*at, false);
            }
            _ => {}
        }
    }
    Ok(of_record && payload_scan::record(evaluation, event.data())?)
}

/// Reads an object at the root whose fields the caller gives; false if the text of one is no JSON.
pub(super) fn fields<'a>(
    evaluation: &mut Evaluation<'_, '_>,
    field: impl Fn(&str) -> Option<FieldValue<'a>>,
) -> Result<bool, Undecided> {
    let began = evaluation.now();
    let Some(root) = evaluation.node(ROOT) else { return Ok(false) };
    for (name, at) in &root.fields {
        let Some(value) = field(name) else { continue };
        evaluation.enter(*at);
        match value {
            FieldValue::Null => evaluation.leaf(*at, Leaf::Null)?,
            FieldValue::Boolean(boolean) => evaluation.leaf(*at, Leaf::Boolean(boolean))?,
            FieldValue::Number(digits) => evaluation.leaf(*at, Leaf::number(digits))?,
            FieldValue::Text(text) => evaluation.leaf(*at, Leaf::Text(text))?,
            FieldValue::Json(text) => {
                if !payload_scan::payload(evaluation, *at, text.as_bytes())? {
                    return Ok(false);
                }
            }
        }
    }
    evaluation.finish(ROOT, began)?;
    Ok(true)
}

fn family(kind: &str) -> SourceFamily {
    match kind {
        "queue" | "sqs" => SourceFamily::Queue,
        "stream" | "kinesis" => SourceFamily::Stream,
        "table-changes" | "dynamodb-stream" => SourceFamily::Changes,
        _ => SourceFamily::Other,
    }
}

fn field<'a>(family: SourceFamily, event: EventRef<'a>, name: &str) -> DocumentField<'a> {
    match (name, family) {
        ("data", _) | ("body", SourceFamily::Queue) => DocumentField::Payload,
        ("key" | "partitionKey", _) if event.key().is_empty() => DocumentField::None,
        ("key" | "partitionKey", _) => DocumentField::Text(event.key()),
        ("id", _) | ("messageId", SourceFamily::Queue) | ("sequenceNumber", SourceFamily::Stream) => {
            DocumentField::Text(event.id())
        }
        ("timestamp", _) => DocumentField::Number(event.timestamp),
        ("attributes", _) => DocumentField::Attributes,
        ("messageAttributes", SourceFamily::Queue) => DocumentField::MessageAttributes,
        (_, SourceFamily::Changes) => DocumentField::OfRecord,
        _ => DocumentField::None,
    }
}
