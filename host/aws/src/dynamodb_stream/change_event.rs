//! Changes as events: JSON in the shape of Lambda's DynamoDB event records.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>, 2026-11. Numbers keep every digit.
//!
//! The JSON is written straight from the record: a tree of it would take many times the memory of the change.

use crate::position::Position;
use crate::shards::ShardRecord;
use aws_sdk_dynamodbstreams::types::{self, AttributeValue, StreamRecord};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use esclusa_flow::fault::Fault;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use std::collections::{BTreeMap, HashMap};

/// A change as an event. `stream` is the ARN of its stream, `key` the table's partition key.
///
/// # Errors
/// [`Fault::Permanent`] if the record has no sequence number: it could not be settled.
pub(crate) fn event(record: &types::Record, stream: &str, key: &str) -> Result<ShardRecord, Fault> {
    let change = record.dynamodb();
    let sequence = change.and_then(StreamRecord::sequence_number);
    let sequence = sequence.ok_or_else(|| Fault::Permanent(format!("a record of {stream} has no sequence number")))?;
    let created = change.and_then(StreamRecord::approximate_creation_date_time);
    let seconds = created.and_then(|time| u64::try_from(time.secs()).ok()).unwrap_or_default();
    Ok(ShardRecord {
        position: Position { sequence: sequence.to_owned(), sub: None },
        id: record.event_id().unwrap_or(sequence).to_owned(),
        key: change.and_then(StreamRecord::keys).and_then(|keys| keys.get(key)).map(text).unwrap_or_default(),
        data: serde_json::to_vec(&EventJson(record, stream)).map_err(|error| Fault::Bug(error.to_string()))?,
        timestamp: seconds.saturating_mul(1000),
        refused: None,
    })
}

/// Writes the members of an object that have a value, in the order of their names: a redelivered event is the same,
/// byte for byte.
macro_rules! members {
    ($serializer:expr, $($name:literal => $value:expr),+ $(,)?) => {{
        let mut map = $serializer.serialize_map(None)?;
        $(if let Some(value) = $value {
            map.serialize_entry($name, &value)?;
        })+
        map.end()
    }};
}

struct EventJson<'a>(&'a types::Record, &'a str);

impl Serialize for EventJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let EventJson(record, stream) = self;
        members!(serializer,
            "awsRegion" => record.aws_region(),
            "dynamodb" => record.dynamodb().map(StreamRecordJson),
            "eventID" => record.event_id(),
            "eventName" => record.event_name().map(|name| name.as_str()),
            "eventSource" => record.event_source(),
            "eventSourceARN" => Some(stream),
            "eventVersion" => record.event_version(),
            "userIdentity" => record.user_identity().map(IdentityJson),
        )
    }
}

struct IdentityJson<'a>(&'a types::Identity);

impl Serialize for IdentityJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        members!(serializer, "principalId" => Some(self.0.principal_id()), "type" => Some(self.0.r#type()))
    }
}

struct StreamRecordJson<'a>(&'a StreamRecord);

impl Serialize for StreamRecordJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.0;
        members!(serializer,
            "ApproximateCreationDateTime" => record.approximate_creation_date_time().map(|time| time.secs()),
            "Keys" => record.keys().map(ImageJson),
            "NewImage" => record.new_image().map(ImageJson),
            "OldImage" => record.old_image().map(ImageJson),
            "SequenceNumber" => record.sequence_number(),
            "SizeBytes" => record.size_bytes(),
            "StreamViewType" => record.stream_view_type().map(|kind| kind.as_str()),
        )
    }
}

struct ImageJson<'a>(&'a HashMap<String, AttributeValue>);

impl Serialize for ImageJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sorted: BTreeMap<_, _> = self.0.iter().collect();
        serializer.collect_map(sorted.into_iter().map(|(name, value)| (name, ValueJson(value))))
    }
}

struct ValueJson<'a>(&'a AttributeValue);

impl Serialize for ValueJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            AttributeValue::S(text) => map.serialize_entry("S", text)?,
            AttributeValue::N(digits) => map.serialize_entry("N", digits)?,
            AttributeValue::B(bytes) => map.serialize_entry("B", &STANDARD.encode(bytes))?,
            AttributeValue::Bool(yes) => map.serialize_entry("BOOL", yes)?,
            AttributeValue::Null(yes) => map.serialize_entry("NULL", yes)?,
            AttributeValue::Ss(texts) => map.serialize_entry("SS", texts)?,
            AttributeValue::Ns(digits) => map.serialize_entry("NS", digits)?,
            AttributeValue::Bs(all) => {
                map.serialize_entry("BS", &all.iter().map(|bytes| STANDARD.encode(bytes)).collect::<Vec<_>>())?;
            }
            AttributeValue::L(values) => map.serialize_entry("L", &ListJson(values))?,
            AttributeValue::M(values) => map.serialize_entry("M", &ImageJson(values))?,
            // A type that DynamoDB may add later: an empty object shows it, without a guess.
            _ => {}
        }
        map.end()
    }
}

struct ListJson<'a>(&'a [AttributeValue]);

impl Serialize for ListJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ValueJson))
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
    use serde_json::{Value, json};

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
    fn the_same_change_is_the_same_bytes_in_the_order_of_names() {
        let item = |names: [&str; 3]| names.map(|name| attribute(name, AttributeValue::Null(true))).into();
        let data = |names| {
            let change = StreamRecord::builder().sequence_number("5").set_new_image(Some(item(names)));
            let record = types::Record::builder().event_id("e").dynamodb(change.build()).build();
            String::from_utf8(event(&record, ARN, "pk").unwrap().data).unwrap()
        };
        let expected = format!(
            r#"{{"dynamodb":{{"NewImage":{{"a":{{"NULL":true}},"b":{{"NULL":true}},"c":{{"NULL":true}}}},"SequenceNumber":"5"}},"eventID":"e","eventSourceARN":"{ARN}"}}"#
        );
        for names in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
            assert_eq!(data(names), expected);
        }
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
