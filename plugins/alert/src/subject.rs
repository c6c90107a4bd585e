//! What rules look at: a record, or of a table's change the item after it.

use esclusa_plugin::change::Change;
use esclusa_plugin::json::{Json, Record};
use esclusa_plugin::{Event, EventError};
use serde_json::Value;
use std::borrow::Cow;

/// A record in two forms: with every digit for templates, and parsed for patterns.
pub struct Subject<'a> {
    /// For templates.
    pub record: Record<'a>,
    /// For patterns.
    pub document: Value,
}

impl<'a> Subject<'a> {
    /// What an event is about. A table's change gives the fields of the new image, the old image as `old` and
    /// `eventName`.
    ///
    /// # Errors
    /// [`EventError::Reject`] where the payload is no JSON object.
    pub fn of(event: Event<'a>) -> Result<Self, EventError> {
        let text = event.text()?;
        let record = Record::parse(text)?;
        let Some(change) = Change::of(&record)? else {
            return Ok(Subject { record, document: parse(text)? });
        };
        let mut record = change.new.unwrap_or_default();
        if let Some(old) = change.old {
            record.push("old", Json::Object(Cow::Owned(old.to_json())));
        }
        record.push("eventName", Json::Text(Cow::Borrowed(change.kind.name())));
        let document = parse(&record.to_json())?;
        Ok(Subject { record, document })
    }
}

fn parse(text: &str) -> Result<Value, EventError> {
    serde_json::from_str(text).map_err(|error| EventError::Reject(format!("the payload is not JSON: {error}")))
}
