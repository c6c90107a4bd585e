//! Changes as events: JSON in the shape of Lambda's DynamoDB event records.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>, 2026-11. Numbers keep every digit.

use crate::shards::Record;
use crate::shards::position::Position;
use aws_sdk_dynamodbstreams::types::{self, AttributeValue, StreamRecord};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use esclusa_flow::fault::Fault;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// A change as an event. `stream` is the ARN of its stream, `key` the table's partition key.
///
/// # Errors
/// [`Fault::Permanent`] where the record has no sequence number: it cannot be settled.
pub fn event(record: &types::Record, stream: &str, key: &str) -> Result<Record, Fault> {
    let change = record.dynamodb();
    let sequence = change.and_then(StreamRecord::sequence_number);
    let sequence = sequence.ok_or_else(|| Fault::Permanent(format!("a record of {stream} has no sequence number")))?;
    let created = change.and_then(StreamRecord::approximate_creation_date_time);
    let seconds = created.and_then(|time| u64::try_from(time.secs()).ok()).unwrap_or_default();
    Ok(Record {
        position: Position { sequence: sequence.to_owned(), sub: None },
        id: record.event_id().unwrap_or(sequence).to_owned(),
        key: change.and_then(StreamRecord::keys).and_then(|keys| keys.get(key)).map(text).unwrap_or_default(),
        data: document(record, stream).to_string().into_bytes(),
        timestamp: seconds.saturating_mul(1000),
    })
}

fn document(record: &types::Record, stream: &str) -> Value {
    let mut document = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            document.insert(name.to_owned(), value);
        }
    };
    add("eventID", record.event_id().map(Value::from));
    add("eventName", record.event_name().map(|name| name.as_str().into()));
    add("eventVersion", record.event_version().map(Value::from));
    add("eventSource", record.event_source().map(Value::from));
    add("awsRegion", record.aws_region().map(Value::from));
    add("dynamodb", record.dynamodb().map(change));
    add(
        "userIdentity",
        record.user_identity().map(|who| json!({ "principalId": who.principal_id(), "type": who.r#type() })),
    );
    add("eventSourceARN", Some(stream.into()));
    Value::Object(document)
}

fn change(record: &StreamRecord) -> Value {
    let mut change = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            change.insert(name.to_owned(), value);
        }
    };
    add("ApproximateCreationDateTime", record.approximate_creation_date_time().map(|time| time.secs().into()));
    add("Keys", record.keys().map(item));
    add("NewImage", record.new_image().map(item));
    add("OldImage", record.old_image().map(item));
    add("SequenceNumber", record.sequence_number().map(Value::from));
    add("SizeBytes", record.size_bytes().map(Value::from));
    add("StreamViewType", record.stream_view_type().map(|kind| kind.as_str().into()));
    Value::Object(change)
}

fn item(attributes: &HashMap<String, AttributeValue>) -> Value {
    Value::Object(attributes.iter().map(|(name, value)| (name.clone(), typed(value))).collect())
}

fn typed(value: &AttributeValue) -> Value {
    let base64 = |bytes: &aws_smithy_types::Blob| STANDARD.encode(bytes);
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(digits) => json!({ "N": digits }),
        AttributeValue::B(bytes) => json!({ "B": base64(bytes) }),
        AttributeValue::Bool(yes) => json!({ "BOOL": yes }),
        AttributeValue::Null(yes) => json!({ "NULL": yes }),
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::Ns(digits) => json!({ "NS": digits }),
        AttributeValue::Bs(all) => json!({ "BS": all.iter().map(base64).collect::<Vec<_>>() }),
        AttributeValue::L(values) => json!({ "L": values.iter().map(typed).collect::<Vec<_>>() }),
        AttributeValue::M(values) => json!({ "M": item(values) }),
        // A type that DynamoDB may invent: visible, and no guess.
        _ => json!({}),
    }
}

/// A key attribute as the key of the event.
fn text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        AttributeValue::B(bytes) => STANDARD.encode(bytes),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodbstreams::types::{Identity, OperationType, StreamViewType};
    use aws_smithy_types::{Blob, DateTime};

    const ARN: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2026-11-22T00:00:00.000";

    fn attribute(name: &str, value: AttributeValue) -> (String, AttributeValue) {
        (name.to_owned(), value)
    }

    #[test]
    fn a_change_has_the_shape_of_lambda() {
        let digits = "12345678901234567890123456789012345678";
        let new = [
            attribute("pk", AttributeValue::S("a\"é\n".into())),
            attribute("n", AttributeValue::N(digits.into())),
            attribute("b", AttributeValue::B(Blob::new([0, 255]))),
            attribute("bs", AttributeValue::Bs(vec![Blob::new([1])])),
            attribute("ss", AttributeValue::Ss(vec!["x".into()])),
            attribute(
                "m",
                AttributeValue::M([attribute("l", AttributeValue::L(vec![AttributeValue::Null(true)]))].into()),
            ),
            attribute("yes", AttributeValue::Bool(true)),
        ];
        let change = StreamRecord::builder()
            .approximate_creation_date_time(DateTime::from_secs(1_700_000_000))
            .keys("pk", AttributeValue::S("a\"é\n".into()))
            .set_new_image(Some(new.into()))
            .sequence_number("111")
            .size_bytes(26)
            .stream_view_type(StreamViewType::NewAndOldImages);
        let record = types::Record::builder().event_id("c4ca").event_name(OperationType::Insert).event_version("1.1");
        let record = record.event_source("aws:dynamodb").aws_region("us-east-1").dynamodb(change.build()).build();
        let event = event(&record, ARN, "pk").unwrap();
        assert_eq!((event.id.as_str(), event.key.as_str(), event.timestamp), ("c4ca", "a\"é\n", 1_700_000_000_000));
        let json: Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!(
            json,
            json!({
                "eventID": "c4ca", "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
                "awsRegion": "us-east-1", "eventSourceARN": ARN,
                "dynamodb": {
                    "ApproximateCreationDateTime": 1_700_000_000, "Keys": { "pk": { "S": "a\"é\n" } },
                    "NewImage": {
                        "pk": { "S": "a\"é\n" }, "n": { "N": digits }, "b": { "B": "AP8=" }, "bs": { "BS": ["AQ=="] },
                        "ss": { "SS": ["x"] }, "m": { "M": { "l": { "L": [{ "NULL": true }] } } }, "yes": { "BOOL": true },
                    },
                    "SequenceNumber": "111", "SizeBytes": 26, "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
            })
        );
    }

    #[test]
    fn an_item_that_expired_says_who_removed_it() {
        let who = Identity::builder().principal_id("dynamodb.amazonaws.com").r#type("Service").build();
        let change = StreamRecord::builder().sequence_number("5").build();
        let record =
            types::Record::builder().event_name(OperationType::Remove).user_identity(who).dynamodb(change).build();
        let json: Value = serde_json::from_slice(&event(&record, ARN, "pk").unwrap().data).unwrap();
        assert_eq!(json["userIdentity"], json!({ "principalId": "dynamodb.amazonaws.com", "type": "Service" }));
    }

    #[test]
    fn a_record_without_sequence_number_is_an_error() {
        assert!(matches!(event(&types::Record::builder().build(), ARN, "pk"), Err(Fault::Permanent(_))));
    }
}
