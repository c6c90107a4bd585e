//! TOML text to a tree: syntax errors with their places, texts interpolated.

use super::interpolation::Interpolation;
use super::nesting::{TooDeep, too_deep};
use super::repeated_keys;
use super::toml_tree::{TomlEntry, TomlNode, TomlTable, TomlText, TomlValue};
use crate::codes::Code;
use crate::report::{Finding, Findings, SourceText};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What the levels are that a text may have.
const LEVELS: &str = "a level is a bracket, a brace or a part of a key; each part of a section's header is two, because it may be a list";

/// The parser's message for a repeated key.
const REPEATED: &str = "duplicate key";

/// The file as a tree. Problems are added to `findings`; after a syntax error there is no tree.
pub(crate) fn read(source: &SourceText, interpolation: &Interpolation<'_>, findings: &Findings) -> Option<TomlNode> {
    // Before parsing: the parser's own tree would already have this depth.
    if let Some(TooDeep { span, message }) = too_deep(&source.text) {
        findings.add(Finding::error(Code::SYNTAX, span, message).help(LEVELS));
        return None;
    }
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty()
        && let Some((language, span)) = other_language(&source.text)
    {
        let message = format!("this is {language}, and the configuration is TOML");
        let help = "write `[source.NAME]` for a section and `key = \"value\"` for a key; docs/reference/configuration.md lists them";
        findings.add(Finding::error(Code::SYNTAX, span, message).help(help));
        return None;
    }
    let (twice, others): (Vec<_>, Vec<_>) = errors.iter().partition(|error| error.message() == REPEATED);
    for error in others {
        findings.add(Finding::error(Code::SYNTAX, error.span().unwrap_or_default(), error.message()));
    }
    let twice = twice.into_iter().filter_map(toml::de::Error::span);
    repeated_keys::findings(&source.text, twice).into_iter().for_each(|finding| findings.add(finding));
    if !errors.is_empty() {
        return None;
    }
    let walk = Walk { source, interpolation, findings };
    Some(TomlNode { span: 0..0, value: TomlValue::Table(walk.table(root.get_ref())) })
}

/// The language of a text that is no TOML, by its first line, and the place of that: one message says more than an error for
/// each line.
fn other_language(text: &str) -> Option<(&'static str, Range<usize>)> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let (content, at) = (line.trim(), start + line.len() - line.trim_start().len());
        start += line.len();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let span = at..at + content.len();
        let key = content.split_once(':').filter(|(_, value)| value.is_empty() || value.starts_with(' '));
        let bare = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        return match content {
            "---" => Some(("YAML", span)),
            _ if content.starts_with('{') => Some(("JSON", span)),
            _ if key.is_some_and(|(key, _)| bare(key)) => Some(("YAML", span)),
            _ => None,
        };
    }
    None
}

struct Walk<'a> {
    source: &'a SourceText,
    interpolation: &'a Interpolation<'a>,
    findings: &'a Findings,
}

impl Walk<'_> {
    fn table(&self, table: &DeTable<'_>) -> TomlTable {
        let entries = table.iter().map(|(key, value)| TomlEntry {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            node: self.node(value),
        });
        TomlTable { entries: entries.collect() }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> TomlNode {
        let span = value.span();
        let value = match value.get_ref() {
            DeValue::String(text) => self.text(text, &span),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => TomlValue::Integer(number),
                Err(_) => self.broken(&span, "this number does not fit into 64 bits"),
            },
            DeValue::Float(number) => match float(number.as_str()) {
                Some(number) => TomlValue::Float(number),
                None => self.broken(&span, "this number is infinite, not a number, or too large"),
            },
            DeValue::Boolean(value) => TomlValue::Boolean(*value),
            DeValue::Datetime(time) => TomlValue::Datetime(time.to_string()),
            DeValue::Array(list) => TomlValue::List(list.iter().map(|value| self.node(value)).collect()),
            DeValue::Table(table) => TomlValue::Table(self.table(table)),
        };
        TomlNode { span, value }
    }

    fn text(&self, text: &str, span: &Range<usize>) -> TomlValue {
        if !text.contains('$') {
            return TomlValue::Text(TomlText { text: text.to_owned(), interpolated: false, values: Vec::new() });
        }
        match self.interpolation.expand(text) {
            Ok(text) => TomlValue::Text(text),
            Err(failure) => {
                let finding = Finding::error(Code::INTERPOLATION, self.place(span, &failure.found), failure.message);
                self.findings.add(finding.help(failure.help));
                TomlValue::Broken
            }
        }
    }

    /// The place of a part of a text. The part is searched in the raw text: escapes before it would shift a computed place.
    fn place(&self, span: &Range<usize>, part: &str) -> Range<usize> {
        match self.source.slice(span).find(part) {
            Some(at) => span.start + at..span.start + at + part.len(),
            None => span.clone(),
        }
    }

    fn broken(&self, span: &Range<usize>, message: &str) -> TomlValue {
        self.findings.add(Finding::error(Code::OUT_OF_RANGE, span.clone(), message));
        TomlValue::Broken
    }
}

/// A number as it is written, with every digit; `None` if it is infinite or none.
fn float(text: &str) -> Option<serde_json::Number> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    // Other than TOML, JSON has no `+` in front.
    text.strip_prefix('+').unwrap_or(text).parse().ok()
}
