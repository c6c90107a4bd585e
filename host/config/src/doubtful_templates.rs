//! Templates in a plugin's configuration that do what they say, and probably not what is meant: keys that different values share, and
//! JSON into which a value can write fields.
//!
//! A schema marks the template of a key with `"format": "esclusa-key"`, and that of a message with `"esclusa-message"`. Templates
//! are those of the SDK: `{field}`, `{field:format}`, and `{{` and `}}` for braces. They have been found valid before.

use crate::codes::Code;
use crate::marked_texts;
use serde_json::Value;

/// A template to think about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoubtfulTemplate {
    /// Its place in the configuration, an RFC 6901 pointer.
    pub pointer: String,
    /// The code that explains it.
    pub code: Code,
    /// What it does, and how to mend it.
    pub message: String,
}

/// The templates in `config` that `schema` marks and that are doubtful, in the order of the configuration.
#[must_use]
pub fn doubtful(schema: &Value, config: &Value) -> Vec<DoubtfulTemplate> {
    let mut found: Vec<DoubtfulTemplate> = Vec::new();
    marked_texts::each(schema, config, &mut |format, template, pointer| {
        let doubt = match format {
            "esclusa-key" => shared_key(template).map(|message| (Code::PLUGIN_SHARED_KEY, message)),
            "esclusa-message" => open_json(template).map(|message| (Code::PLUGIN_OPEN_JSON, message)),
            _ => None,
        };
        let Some((code, message)) = doubt else { return };
        let doubt = DoubtfulTemplate { pointer: pointer.to_owned(), code, message };
        if !found.contains(&doubt) {
            found.push(doubt);
        }
    });
    found
}

/// Two fields that may hold any text: what is between them may be in them, too.
fn shared_key(template: &str) -> Option<String> {
    let (fields, _) = fields(template);
    let plain: Vec<&str> = fields.into_iter().filter(|field| !field.contains(':')).collect();
    let [first, second, ..] = plain.as_slice() else { return None };
    Some(format!(
        "the key {template:?} can be the same for different values of {first:?} and {second:?}, because each may contain what is between \
         them; write {{{first}:json}} and {{{second}:json}} if they are not known to be free of it"
    ))
}

/// A field as it is in a message that is JSON.
fn open_json(template: &str) -> Option<String> {
    let (fields, text) = fields(template);
    let text = text.trim();
    let json = (text.starts_with('{') && text.ends_with('}')) || (text.starts_with('[') && text.ends_with(']'));
    let field = fields.into_iter().find(|field| !field.contains(':')).filter(|_| json)?;
    Some(format!(
        "the message is JSON, and a text in {field:?} can end its string and add fields; write {{{field}:json}}, without quotes around it"
    ))
}

/// The fields of a template, each with its format, and its text with a zero in place of each.
fn fields(template: &str) -> (Vec<&str>, String) {
    let (mut fields, mut text, mut rest) = (Vec::new(), String::new(), template);
    while let Some((before, after)) = rest.find(['{', '}']).and_then(|at| rest.split_at_checked(at)) {
        text.push_str(before);
        if let Some(tail) = after.strip_prefix("{{").or_else(|| after.strip_prefix("}}")) {
            text.push_str(after.get(..1).unwrap_or_default());
            rest = tail;
        } else if let Some((field, tail)) = after.strip_prefix('{').and_then(|field| field.split_once('}')) {
            fields.push(field);
            text.push('0');
            rest = tail;
        } else {
            // The plugin refuses it.
            return (Vec::new(), String::new());
        }
    }
    text.push_str(rest);
    (fields, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn codes(key: &str, message: &str) -> Vec<(String, Code)> {
        let schema = json!({ "properties": {
            "key": { "additionalProperties": { "type": "string", "format": "esclusa-key" } },
            "rule": { "items": { "properties": { "message": { "format": "esclusa-message" } } } },
            "other": { "type": "string" },
        } });
        let config = json!({ "key": { "id": key }, "rule": [{ "message": message }], "other": "{a}{b}" });
        doubtful(&schema, &config).into_iter().map(|doubt| (doubt.pointer, doubt.code)).collect()
    }

    #[test]
    fn keys_of_two_fields_that_may_hold_anything_are_doubtful() {
        for doubtful in ["{a}#{b}", "{a}{b}", "x{a}-{b}-{at:date}", "{a.b}/{c}/{d}"] {
            assert_eq!(codes(doubtful, ""), [("/key/id".to_owned(), Code::PLUGIN_SHARED_KEY)], "{doubtful}");
        }
        for sound in ["{a}", "{a}#x", "{a:json}#{b:json}", "{a}#{at:date}", "{{a}}#{{b}}", "", "{a}#{b", "}{a}{b}"] {
            assert_eq!(codes(sound, ""), [], "{sound}");
        }
    }

    #[test]
    fn messages_of_json_with_a_field_as_it_is_are_doubtful() {
        for doubtful in [r#"{{"text": "{a}"}}"#, "[{n}]", r#" {{"a": {a:json}, "b": "{b}"}} "#] {
            assert_eq!(codes("", doubtful), [("/rule/0/message".to_owned(), Code::PLUGIN_OPEN_JSON)], "{doubtful}");
        }
        for sound in [r#"{{"a": {a:json}}}"#, "{a} is low", "low: {a}", r#"{{"a": 1}}"#, "{a}", "[a] {b}"] {
            assert_eq!(codes("", sound), [], "{sound}");
        }
    }
}
