//! Values of items as DynamoDB's attribute values, and back; lists and maps are DynamoDB JSON in the router. Numbers
//! stay decimal text (failures.md E5).

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use esclusa_flow::item::dynamodb_json::DocumentNode;
use esclusa_flow::item::{Item, Value, number};
use esclusa_flow::settings::KeySchema;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// An item, as the SDK has it.
pub(crate) type AttributeMap = HashMap<String, AttributeValue>;

/// A value as DynamoDB takes it.
///
/// # Errors
/// Why DynamoDB would refuse it.
pub(crate) fn to_attribute(value: &Value) -> Result<AttributeValue, String> {
    Ok(match value {
        Value::Text(text) => AttributeValue::S(text.clone()),
        Value::Number(text) => AttributeValue::N(decimal(text)?),
        Value::Binary(bytes) => AttributeValue::B(Blob::new(bytes.clone())),
        Value::Boolean(yes) => AttributeValue::Bool(*yes),
        Value::Null => AttributeValue::Null(true),
        Value::TextSet(texts) => AttributeValue::Ss(members(texts.iter().cloned().map(Ok))?),
        Value::NumberSet(texts) => AttributeValue::Ns(members(texts.iter().map(|text| decimal(text)))?),
        Value::Document(json) => parse_document(json)?,
    })
}

/// A number in the one way that DynamoDB writes it too.
///
/// # Errors
/// Why it is none that DynamoDB stores.
pub(crate) fn decimal(text: &str) -> Result<String, String> {
    number::canonical(text).map_err(|e| e.to_string())
}

fn members(texts: impl Iterator<Item = Result<String, String>>) -> Result<Vec<String>, String> {
    let distinct: BTreeSet<String> = texts.collect::<Result<_, _>>()?;
    if distinct.is_empty() {
        return Err("an empty set: leave it out".to_owned());
    }
    Ok(distinct.into_iter().collect())
}

/// A value as the router has it. A set of binaries becomes a document: the router has no type for it.
#[must_use]
pub(crate) fn from_attribute(value: AttributeValue) -> Value {
    let plain = |text: String| number::canonical(&text).unwrap_or(text);
    match value {
        AttributeValue::S(text) => Value::Text(text),
        AttributeValue::N(text) => Value::Number(plain(text)),
        AttributeValue::B(bytes) => Value::Binary(bytes.into_inner()),
        AttributeValue::Bool(yes) => Value::Boolean(yes),
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Ss(mut texts) => {
            texts.sort_unstable();
            Value::TextSet(texts)
        }
        AttributeValue::Ns(texts) => {
            let mut texts: Vec<_> = texts.into_iter().map(plain).collect();
            texts.sort_unstable();
            Value::NumberSet(texts)
        }
        other => Value::Document(render_document(&other)),
    }
}

/// An item as DynamoDB takes it.
///
/// # Errors
/// Which attribute DynamoDB would refuse, and why.
pub(crate) fn to_attributes(item: &Item) -> Result<AttributeMap, String> {
    let mut attributes = HashMap::with_capacity(item.0.len());
    for (name, value) in &item.0 {
        if name.is_empty() {
            return Err("an attribute has no name".to_owned());
        }
        let value = to_attribute(value).map_err(|e| format!("the attribute {name:?}: {e}"))?;
        if attributes.insert(name.clone(), value).is_some() {
            return Err(format!("the attribute {name:?} is given twice"));
        }
    }
    Ok(attributes)
}

/// An item as the router has it: the key first, then the others by name, so that equal items are equal bytes to a
/// plugin.
#[must_use]
pub(crate) fn from_attributes(mut attributes: AttributeMap, key: &KeySchema) -> Item {
    let mut item = Item::default();
    for name in key.names() {
        if let Some(value) = attributes.remove(name) {
            item.0.push((name.to_owned(), from_attribute(value)));
        }
    }
    let others: BTreeMap<_, _> = attributes.into_iter().collect();
    item.0.extend(others.into_iter().map(|(name, value)| (name, from_attribute(value))));
    item
}

/// Bytes of an item, as DynamoDB counts them, or a little more.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>, November 2026.
#[must_use]
pub(crate) fn size(item: &Item) -> usize {
    item.0.iter().map(|(name, value)| name.len().saturating_add(value_size(value))).sum()
}

/// Bytes of a value, likewise. The text of a document is longer than what DynamoDB counts.
#[must_use]
pub(crate) fn value_size(value: &Value) -> usize {
    const NUMBER: usize = 21;
    match value {
        Value::Text(text) | Value::Document(text) => text.len(),
        Value::Number(_) => NUMBER,
        Value::Binary(bytes) => bytes.len(),
        Value::Boolean(_) | Value::Null => 1,
        Value::TextSet(texts) => texts.iter().map(String::len).sum(),
        Value::NumberSet(texts) => texts.len().saturating_mul(NUMBER),
    }
}

/// Reads DynamoDB JSON.
///
/// # Errors
/// Why the text is no DynamoDB JSON.
pub(super) fn parse_document(json: &str) -> Result<AttributeValue, String> {
    attribute(DocumentNode::parse(json)?)
}

/// Writes DynamoDB JSON.
#[must_use]
pub(super) fn render_document(value: &AttributeValue) -> String {
    // A tree of texts and numbers as text has a JSON form always.
    serde_json::to_string(&node(value)).unwrap_or_default()
}

fn attribute(node: DocumentNode) -> Result<AttributeValue, String> {
    Ok(match node {
        DocumentNode::Text(text) => AttributeValue::S(text),
        DocumentNode::Number(text) => AttributeValue::N(decimal(&text)?),
        DocumentNode::Binary(text) => AttributeValue::B(blob(&text)?),
        DocumentNode::Boolean(yes) => AttributeValue::Bool(yes),
        DocumentNode::Null(_) => AttributeValue::Null(true),
        DocumentNode::Texts(texts) => AttributeValue::Ss(texts),
        DocumentNode::Numbers(texts) => {
            AttributeValue::Ns(texts.iter().map(|text| decimal(text)).collect::<Result<_, _>>()?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digits() -> impl Strategy<Value = String> {
        "-?[1-9][0-9]{0,37}".prop_map(|text: String| number::canonical(&text).unwrap())
    }

    fn leaf() -> impl Strategy<Value = AttributeValue> {
        prop_oneof![
            ".*".prop_map(AttributeValue::S),
            digits().prop_map(AttributeValue::N),
            any::<Vec<u8>>().prop_map(|b| AttributeValue::B(Blob::new(b))),
            any::<bool>().prop_map(AttributeValue::Bool),
            Just(AttributeValue::Null(true)),
            proptest::collection::btree_set(".*", 1..4).prop_map(|s| AttributeValue::Ss(s.into_iter().collect())),
            proptest::collection::btree_set(digits(), 1..4).prop_map(|s| AttributeValue::Ns(s.into_iter().collect())),
            proptest::collection::vec(any::<Vec<u8>>(), 1..3)
                .prop_map(|s| AttributeValue::Bs(s.into_iter().map(Blob::new).collect())),
        ]
    }

    fn tree() -> impl Strategy<Value = AttributeValue> {
        leaf().prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::L),
                proptest::collection::hash_map(".*", inner, 0..4).prop_map(AttributeValue::M),
            ]
        })
    }

    proptest! {
        // E5: what DynamoDB gave goes back as it was, with every digit.
        #[test]
        fn a_value_survives_the_way_through_the_router(value in tree()) {
            prop_assert_eq!(to_attribute(&from_attribute(value.clone())).unwrap(), value);
        }
    }

    // E5: a number is never a float on its way, and what DynamoDB cannot hold is said before it is sent.
    #[test]
    fn a_number_is_canonical_or_refused() {
        let number = |text: &str| to_attribute(&Value::Number(text.to_owned()));
        assert_eq!(number("1.0"), Ok(AttributeValue::N("1".to_owned())));
        let long = "12345678901234567890123456789012345678";
        assert_eq!(number(long), Ok(AttributeValue::N(long.to_owned())));
        assert!(number(&format!("{long}9")).is_err());
        assert!(number("NaN").is_err());
        assert!(to_attribute(&Value::Document(r#"{"L":[{"N":"one"}]}"#.to_owned())).is_err());
        assert!(to_attribute(&Value::TextSet(Vec::new())).is_err());
    }
}
