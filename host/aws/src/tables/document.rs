//! DynamoDB JSON, the text form of attribute values: what lists and maps of an item are in the router.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use esclusa_flow::item::dynamodb_json::DocumentNode;

/// Reads DynamoDB JSON.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(json: &str) -> Result<AttributeValue, String> {
    attribute(DocumentNode::parse(json)?)
}

/// Writes DynamoDB JSON.
#[must_use]
pub fn render(value: &AttributeValue) -> String {
    // A tree of texts and numbers as text has a JSON form always.
    serde_json::to_string(&node(value)).unwrap_or_default()
}

fn attribute(node: DocumentNode) -> Result<AttributeValue, String> {
    Ok(match node {
        DocumentNode::Text(text) => AttributeValue::S(text),
        DocumentNode::Number(text) => AttributeValue::N(super::attribute::decimal(&text)?),
        DocumentNode::Binary(text) => AttributeValue::B(blob(&text)?),
        DocumentNode::Boolean(yes) => AttributeValue::Bool(yes),
        DocumentNode::Null(_) => AttributeValue::Null(true),
        DocumentNode::Texts(texts) => AttributeValue::Ss(texts),
        DocumentNode::Numbers(texts) => {
            AttributeValue::Ns(texts.iter().map(|text| super::attribute::decimal(text)).collect::<Result<_, _>>()?)
        }
        DocumentNode::Binaries(texts) => {
            AttributeValue::Bs(texts.iter().map(|text| blob(text)).collect::<Result<_, _>>()?)
        }
        DocumentNode::List(nodes) => AttributeValue::L(nodes.into_iter().map(attribute).collect::<Result<_, _>>()?),
        DocumentNode::Map(nodes) => {
            let member = |(name, node)| Ok::<_, String>((name, attribute(node)?));
            AttributeValue::M(nodes.into_iter().map(member).collect::<Result<_, _>>()?)
        }
    })
}

fn blob(text: &str) -> Result<Blob, String> {
    STANDARD.decode(text).map(Blob::new).map_err(|e| format!("a document with a binary that is no base64: {e}"))
}

fn node(value: &AttributeValue) -> DocumentNode {
    match value {
        AttributeValue::S(text) => DocumentNode::Text(text.clone()),
        AttributeValue::N(text) => DocumentNode::Number(text.clone()),
        AttributeValue::B(bytes) => DocumentNode::Binary(STANDARD.encode(bytes)),
        AttributeValue::Bool(yes) => DocumentNode::Boolean(*yes),
        AttributeValue::Ss(texts) => DocumentNode::Texts(texts.clone()),
        AttributeValue::Ns(texts) => DocumentNode::Numbers(texts.clone()),
        AttributeValue::Bs(blobs) => DocumentNode::Binaries(blobs.iter().map(|bytes| STANDARD.encode(bytes)).collect()),
        AttributeValue::L(values) => DocumentNode::List(values.iter().map(node).collect()),
        AttributeValue::M(values) => {
            DocumentNode::Map(values.iter().map(|(name, value)| (name.clone(), node(value))).collect())
        }
        // A type that DynamoDB does not have yet.
        _ => DocumentNode::Null(true),
    }
}
