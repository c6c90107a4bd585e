//! Changes of a table, as a `table-changes` source or a `dynamodb-stream` delivers them: `eventName`, and in
//! `dynamodb` the images before and after. The images are given as plain records.

use crate::json::{Json, JsonError, Record, document};
use std::borrow::Cow;

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Insert,
    /// It was changed or replaced.
    Modify,
    /// It was deleted.
    Remove,
}

/// A change of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChange<'a> {
    /// The kind of the change.
    pub kind: ChangeKind,
    /// The key attributes; empty if the record has none.
    pub keys: Record<'a>,
    /// The item before; `None` for an insert, or if the feed does not keep it.
    pub old: Option<Record<'a>>,
    /// The item after; `None` for a removal, or if the feed does not keep it.
    pub new: Option<Record<'a>>,
}

impl ChangeKind {
    /// As `eventName` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ChangeKind::Insert => "INSERT",
            ChangeKind::Modify => "MODIFY",
            ChangeKind::Remove => "REMOVE",
        }
    }
}

impl<'a> TableChange<'a> {
    /// The change that a record describes; `None` for a record that is no change of a table.
    ///
    /// # Errors
    /// [`JsonError`] if an image is malformed.
    pub fn of(record: &Record<'a>) -> Result<Option<Self>, JsonError> {
        let kind = match record.text("eventName") {
            Some("INSERT") => ChangeKind::Insert,
            Some("MODIFY") => ChangeKind::Modify,
            Some("REMOVE") => ChangeKind::Remove,
            _ => return Ok(None),
        };
        let Some(Json::Object(Cow::Borrowed(body))) = record.get("dynamodb") else { return Ok(None) };
        let body = Record::parse(body)?;
        let image = |name: &str| match body.get(name) {
            Some(Json::Object(Cow::Borrowed(image))) => document::record(image).map(Some),
            _ => Ok(None),
        };
        Ok(Some(TableChange {
            kind,
            keys: image("Keys")?.unwrap_or_default(),
            old: image("OldImage")?,
            new: image("NewImage")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFY: &str = r#"{"eventID":"1","eventName":"MODIFY","dynamodb":{"Keys":{"id":{"S":"a"}},
        "OldImage":{"id":{"S":"a"},"n":{"N":"1.50"}},
        "NewImage":{"id":{"S":"a"},"n":{"N":"2"},"l":{"L":[{"N":"1"},{"M":{"x":{"BOOL":true}}}]},"z":{"NULL":true},
        "s":{"NS":["1","2"]}}}}"#;

    #[test]
    fn images_are_plain_records() {
        let change = TableChange::of(&Record::parse(MODIFY).unwrap()).unwrap().unwrap();
        assert_eq!(change.kind, ChangeKind::Modify);
        assert_eq!(change.keys.text("id"), Some("a"));
        assert_eq!(change.old.unwrap().get("n"), Some(&Json::Number("1.50".into())));
        let new = change.new.unwrap();
        assert_eq!(new.get("l"), Some(&Json::Array(r#"[1,{"x":true}]"#.into())));
        assert_eq!(new.get("z"), Some(&Json::Null));
        assert_eq!(new.get("s"), Some(&Json::Array("[1,2]".into())));
    }

    #[test]
    fn other_records_are_no_changes_and_malformed_images_are_errors() {
        assert_eq!(TableChange::of(&Record::parse(r#"{"eventName":"order"}"#).unwrap()), Ok(None));
        assert_eq!(TableChange::of(&Record::parse(r#"{"a":1}"#).unwrap()), Ok(None));
        let malformed = Record::parse(r#"{"eventName":"INSERT","dynamodb":{"NewImage":{"a":"plain"}}}"#).unwrap();
        assert!(TableChange::of(&malformed).is_err());
    }
}
