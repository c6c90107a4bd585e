//! DynamoDB JSON, the form that lists and maps have within items.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A value of DynamoDB JSON; maps are sorted, so that equal values are equal texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentNode {
    /// A text.
    #[serde(rename = "S")]
    Text(String),
    /// A number, as its digits.
    #[serde(rename = "N")]
    Number(String),
    /// Bytes, in base64.
    #[serde(rename = "B")]
    Binary(String),
    /// A boolean.
    #[serde(rename = "BOOL")]
    Boolean(bool),
    /// Nothing.
    #[serde(rename = "NULL")]
    Null(bool),
    /// A set of texts.
    #[serde(rename = "SS")]
    Texts(Vec<String>),
    /// A set of numbers.
    #[serde(rename = "NS")]
    Numbers(Vec<String>),
    /// A set of bytes.
    #[serde(rename = "BS")]
    Binaries(Vec<String>),
    /// A list.
    #[serde(rename = "L")]
    List(Vec<DocumentNode>),
    /// A map.
    #[serde(rename = "M")]
    Map(BTreeMap<String, DocumentNode>),
}

impl DocumentNode {
    /// Reads DynamoDB JSON.
    ///
    /// # Errors
    /// In words, if the text is no DynamoDB JSON.
    pub fn parse(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|e| format!("a document that is no DynamoDB JSON: {e}"))
    }
}
