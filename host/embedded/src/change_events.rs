//! Changes of a table as events: the records of a DynamoDB stream as Lambda gives them to functions, made when they
//! are read.

use crate::catalog::Catalog;
use crate::codec::{Damaged, read_item};
use crate::json::push_dynamo_object;
use crate::records::StoredRecord;
use crate::streams::read_change;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use esclusa_data::json::write_text;
use esclusa_flow::item::{Item, Value};
use esclusa_flow::settings::KeySchema;
use std::fmt::Write as _;

/// What a stream of DynamoDB says of a delete that its Time to Live made.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html>, November 2026.
const EXPIRED: &str = r#","userIdentity":{"principalId":"dynamodb.amazonaws.com","type":"Service"}"#;

/// Renders the changes of a table.
pub(crate) struct ChangeJson {
    table: String,
    key: Option<KeySchema>,
}

/// A change as an event.
pub(crate) struct ChangeEvent {
    timestamp: u64,
    key: String,
    json: String,
    hops: u32,
}

impl ChangeEvent {
    /// As a record that can be pushed.
    pub(crate) fn as_record(&self) -> StoredRecord<'_> {
        let (timestamp, attributes) = (self.timestamp, Vec::new());
        StoredRecord { timestamp, key: &self.key, attributes, hops: self.hops, data: self.json.as_bytes() }
    }
}

impl ChangeJson {
    /// For the table of this name.
    pub(crate) fn new(catalog: &Catalog, table: &str) -> Self {
        ChangeJson { table: table.to_owned(), key: catalog.tables.get(table).map(|table| table.key.clone()) }
    }

    /// The event of a stored change.
    pub(crate) fn render(&self, sequence: u64, value: &[u8]) -> Result<ChangeEvent, Damaged> {
        let change = read_change(value)?;
        let old = change.old.map(read_item).transpose()?;
        let new = change.new.map(read_item).transpose()?;
        let keys = self.keys(new.as_ref().or(old.as_ref()));
        let name = match (&old, &new) {
            (None, _) => "INSERT",
            (Some(_), Some(_)) => "MODIFY",
            (Some(_), None) => "REMOVE",
        };
        let size = change.old.map_or(0, <[u8]>::len) + change.new.map_or(0, <[u8]>::len);
        let mut json = String::with_capacity(400 + 2 * size);
        json.push_str("{\"eventID\":");
        write_text(&format!("{}-{sequence}", self.table), &mut json);
        // Writing to a string does not fail.
        let _ = write!(
            json,
            ",\"eventName\":\"{name}\",\"eventVersion\":\"1.1\",\"eventSource\":\"aws:dynamodb\",\"awsRegion\":\"local\",\
             \"dynamodb\":{{\"ApproximateCreationDateTime\":{},\"Keys\":",
            change.timestamp / 1000
        );
        push_dynamo_object(&keys, &mut json);
        for (field, image) in [(",\"NewImage\":", &new), (",\"OldImage\":", &old)] {
            if let Some(image) = image {
                json.push_str(field);
                push_dynamo_object(image, &mut json);
            }
        }
        let _ = write!(
            json,
            ",\"SequenceNumber\":\"{sequence}\",\"SizeBytes\":{size},\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"}}"
        );
        if change.expired {
            json.push_str(EXPIRED);
        }
        json.push('}');
        Ok(ChangeEvent { timestamp: change.timestamp, key: self.partition_text(&keys), json, hops: change.hops })
    }

    fn keys(&self, image: Option<&Item>) -> Item {
        let (Some(key), Some(image)) = (&self.key, image) else { return Item::default() };
        image.0.iter().filter(|(name, _)| key.contains(name)).cloned().collect()
    }

    fn partition_text(&self, keys: &Item) -> String {
        match self.key.as_ref().and_then(|key| keys.get(&key.partition)) {
            Some(Value::Text(text) | Value::Number(text)) => text.clone(),
            Some(Value::Binary(bytes)) => STANDARD.encode(bytes),
            _ => String::new(),
        }
    }
}
