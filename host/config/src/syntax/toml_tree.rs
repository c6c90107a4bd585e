//! The document as a tree: every key and value with its place in the text.

use esclusa_flow::secrets::MASK;
use serde_json::Value as Json;
use std::ops::Range;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct TomlNode {
    /// The place of the value; for a table with a header, the header's.
    pub span: Range<usize>,
    /// The value.
    pub value: TomlValue,
}

/// A value, with texts already interpolated.
#[derive(Debug, Clone)]
pub(crate) enum TomlValue {
    /// A text.
    Text(TomlText),
    /// A whole number.
    Integer(i64),
    /// Any other number, with every digit.
    Float(serde_json::Number),
    /// A truth value.
    Boolean(bool),
    /// A date or time, as it is written.
    Datetime(String),
    /// A list.
    List(Vec<TomlNode>),
    /// A table.
    Table(TomlTable),
    /// A value that could not be read; it has been reported.
    Broken,
}

/// A text.
#[derive(Debug, Clone)]
pub(crate) struct TomlText {
    /// After interpolation.
    pub text: String,
    /// True if a value was put in; such a text may be a secret, so no message repeats it.
    pub interpolated: bool,
    /// The values that were put in from variables and files. Defaults are no secrets: they stand in the file.
    pub values: Vec<String>,
}

/// A table, its keys in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct TomlTable {
    /// The entries.
    pub entries: Vec<TomlEntry>,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct TomlEntry {
    /// The key.
    pub key: String,
    /// The place of the key.
    pub key_span: Range<usize>,
    /// Its value.
    pub node: TomlNode,
}

impl TomlTable {
    /// The entry of a key.
    pub(crate) fn entry(&self, key: &str) -> Option<&TomlEntry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&TomlNode> {
        self.entry(key).map(|entry| &entry.node)
    }
}

impl TomlNode {
    /// This node's table.
    pub(crate) fn table(&self) -> Option<&TomlTable> {
        if let TomlValue::Table(table) = &self.value { Some(table) } else { None }
    }

    /// The place of a key's value in this table; this node's own place if there is no such key.
    pub(crate) fn value_span(&self, key: &str) -> Range<usize> {
        self.table().and_then(|table| table.get(key)).map_or_else(|| self.span.clone(), |node| node.span.clone())
    }

    /// The node that one step of an RFC 6901 pointer leads to.
    pub(crate) fn child(&self, step: &str) -> Option<&TomlNode> {
        let name = step.replace("~1", "/").replace("~0", "~");
        match &self.value {
            TomlValue::Table(table) => table.get(&name),
            TomlValue::List(list) => name.parse().ok().and_then(|at: usize| list.get(at)),
            _ => None,
        }
    }

    /// The place that an RFC 6901 pointer leads to, or its longest prefix that exists. For a table the place of its key.
    pub(crate) fn at_pointer(&self, pointer: &str) -> Range<usize> {
        let mut here = self;
        let mut span = self.span.clone();
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            match &here.value {
                TomlValue::Table(table) => {
                    let Some(entry) = table.entry(&token) else { break };
                    here = &entry.node;
                    span = if entry.node.table().is_some() { entry.key_span.clone() } else { entry.node.span.clone() };
                }
                TomlValue::List(list) => {
                    let Some(node) = token.parse().ok().and_then(|at: usize| list.get(at)) else { break };
                    here = node;
                    span = node.span.clone();
                }
                _ => break,
            }
        }
        span
    }

    /// The kind of value, as a message names it.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            TomlValue::Text(_) => "a text",
            TomlValue::Integer(_) => "a whole number",
            TomlValue::Float(_) => "a fraction",
            TomlValue::Boolean(_) => "true or false",
            TomlValue::Datetime(_) => "a date",
            TomlValue::List(_) => "a list",
            TomlValue::Table(_) => "a table",
            TomlValue::Broken => "nothing",
        }
    }
}

/// The node as JSON: a route's `config`, a filter, a sample event. Dates become texts, and a broken value null: it has been
/// reported.
pub(crate) fn json(node: &TomlNode) -> Json {
    convert(node, false)
}

/// The node as JSON to be shown: interpolated texts may be secrets, so they are masked.
pub(crate) fn masked(node: &TomlNode) -> Json {
    convert(node, true)
}

/// The values that were put into the texts of a node.
pub(crate) fn values(node: &TomlNode) -> Vec<String> {
    match &node.value {
        TomlValue::Text(text) => text.values.clone(),
        TomlValue::List(list) => list.iter().flat_map(values).collect(),
        TomlValue::Table(table) => table.entries.iter().flat_map(|entry| values(&entry.node)).collect(),
        _ => Vec::new(),
    }
}

fn convert(node: &TomlNode, mask: bool) -> Json {
    match &node.value {
        TomlValue::Text(text) if text.interpolated && mask => Json::String(MASK.to_owned()),
        TomlValue::Text(text) => Json::String(text.text.clone()),
        TomlValue::Integer(number) => Json::from(*number),
        TomlValue::Float(number) => Json::Number(number.clone()),
        TomlValue::Boolean(value) => Json::Bool(*value),
        TomlValue::Datetime(time) => Json::String(time.clone()),
        TomlValue::List(list) => Json::Array(list.iter().map(|node| convert(node, mask)).collect()),
        TomlValue::Table(table) => {
            Json::Object(table.entries.iter().map(|entry| (entry.key.clone(), convert(&entry.node, mask))).collect())
        }
        TomlValue::Broken => Json::Null,
    }
}
