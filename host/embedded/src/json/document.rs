//! Lists and maps within items: DynamoDB JSON, checked before it is stored, and made plain for people.

use esclusa_data::json::write_text;
use esclusa_flow::item::dynamodb_json::DocumentNode;
use esclusa_flow::item::number;

/// Refuses every text but a list or map in DynamoDB JSON.
pub(crate) fn check_document(json: &str) -> Result<(), String> {
    let node = DocumentNode::parse(json)?;
    match node {
        DocumentNode::List(_) | DocumentNode::Map(_) => check(&node),
        _ => Err("a document that is neither a list nor a map".to_owned()),
    }
}

fn check(node: &DocumentNode) -> Result<(), String> {
    match node {
        DocumentNode::Number(text) => number::check(text).map_err(|e| e.to_string()),
        DocumentNode::Numbers(texts) => texts.iter().try_for_each(|t| number::check(t).map_err(|e| e.to_string())),
        DocumentNode::List(nodes) => nodes.iter().try_for_each(check),
        DocumentNode::Map(nodes) => nodes.values().try_for_each(check),
        _ => Ok(()),
    }
}

/// Appends a number as a JSON number; a text that is no number becomes a string.
pub(crate) fn push_number(text: &str, out: &mut String) {
    match number::canonical(text) {
        Ok(number) => out.push_str(&number),
        Err(_) => write_text(text, out),
    }
}

/// Appends a document without its type letters. A text that is no DynamoDB JSON becomes a string: it cannot have been
/// stored.
pub(crate) fn push_plain(json: &str, out: &mut String) {
    match DocumentNode::parse(json) {
        Ok(node) => push_node(&node, out),
        Err(_) => write_text(json, out),
    }
}

fn push_node(node: &DocumentNode, out: &mut String) {
    match node {
        DocumentNode::Text(text) | DocumentNode::Binary(text) => write_text(text, out),
        DocumentNode::Number(text) => push_number(text, out),
        DocumentNode::Boolean(yes) => out.push_str(if *yes { "true" } else { "false" }),
        DocumentNode::Null(_) => out.push_str("null"),
        DocumentNode::Texts(texts) | DocumentNode::Binaries(texts) => {
            super::list(texts, out, |text, out| write_text(text, out))
        }
        DocumentNode::Numbers(texts) => super::list(texts, out, |text, out| push_number(text, out)),
        DocumentNode::List(nodes) => super::list(nodes, out, push_node),
        DocumentNode::Map(nodes) => {
            out.push('{');
            for (i, (name, node)) in nodes.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                push_node(node, out);
            }
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_or_map_is_refused() {
        for bad in ["", "1", "{}", r#"{"a":1}"#, r#"{"S":"x"}"#, r#"{"M":{"a":{"N":"x"}}}"#, r#"{"L":[1]}"#] {
            assert!(check_document(bad).is_err(), "{bad}");
        }
        assert_eq!(check_document(r#"{"M":{"a":{"L":[{"N":"1"}]}}}"#), Ok(()));
    }

    #[test]
    fn a_document_nested_too_deep_is_refused_without_overflow() {
        let deep = format!("{}{}", r#"{"L":["#.repeat(100_000), "]}".repeat(100_000));
        assert!(check_document(&deep).is_err());
    }
}
