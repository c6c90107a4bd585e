//! Fills in the templates of generated events. The values follow from the event's number alone, so that the same event is
//! made again after a crash.

use chrono::{DateTime, SecondsFormat};
use esclusa_flow::event_template::{EventTemplatePart, parts};
use esclusa_flow::retry::mix;
use serde_json::Value;

/// The values of an event's placeholders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TemplateValues {
    /// The event's number, from 1.
    pub sequence: u64,
    /// Its time, milliseconds since the Unix epoch.
    pub now: u64,
    /// Differs between sources.
    pub seed: u64,
}

/// The event that a template makes. A text that is one placeholder for a number becomes a number.
pub(crate) fn render(template: &Value, values: &TemplateValues) -> Value {
    render_node(template, values, &mut 0)
}

/// Likewise, for a text.
pub(crate) fn render_text(template: &str, values: &TemplateValues) -> String {
    expand(template, values, &mut 0)
}

fn render_node(node: &Value, values: &TemplateValues, drawn: &mut u64) -> Value {
    match node {
        Value::String(text) => match lone_number(text, values, drawn) {
            Some(number) => Value::from(number),
            None => Value::String(expand(text, values, drawn)),
        },
        Value::Array(nodes) => nodes.iter().map(|node| render_node(node, values, drawn)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, node)| (name.clone(), render_node(node, values, drawn))).collect())
        }
        other => other.clone(),
    }
}

/// The value of a text that is one placeholder for a number.
fn lone_number(text: &str, values: &TemplateValues, drawn: &mut u64) -> Option<u64> {
    let mut parts = parts(text);
    match (parts.next()?, parts.next()) {
        (EventTemplatePart::Sequence, None) => Some(values.sequence),
        (EventTemplatePart::Random(below), None) => Some(draw(values, drawn) % below),
        _ => None,
    }
}

fn expand(text: &str, values: &TemplateValues, drawn: &mut u64) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for part in parts(text) {
        match part {
            EventTemplatePart::Text(text) | EventTemplatePart::Unknown(text) => out.push_str(text),
            EventTemplatePart::Sequence => out.push_str(&values.sequence.to_string()),
            EventTemplatePart::Now => out.push_str(&time_text(values.now)),
            EventTemplatePart::Random(below) => out.push_str(&(draw(values, drawn) % below).to_string()),
            EventTemplatePart::Pick(choices) => {
                let at = draw(values, drawn) % (choices.split('|').count() as u64);
                out.push_str(choices.split('|').nth(at as usize).unwrap_or_default());
            }
        }
    }
    out
}

fn draw(values: &TemplateValues, drawn: &mut u64) -> u64 {
    *drawn += 1;
    mix(mix(values.seed ^ values.sequence.wrapping_mul(0x9e37_79b9)) ^ *drawn)
}

/// A time as RFC 3339, in UTC, with milliseconds.
pub(crate) fn time_text(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(String::new, |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const VALUES: TemplateValues = TemplateValues { sequence: 7, now: 1_700_000_000_123, seed: 1 };

    #[test]
    fn a_lone_placeholder_for_a_number_is_a_number() {
        let event =
            render(&json!({"id": "{seq}", "t": "o-{seq}", "n": ["{random:1}"], "at": "{now}", "k": true}), &VALUES);
        assert_eq!(event, json!({"id": 7, "t": "o-7", "n": [0], "at": "2023-11-14T22:13:20.123Z", "k": true}));
    }

    #[test]
    fn the_same_number_gives_the_same_event() {
        let template = json!({"a": "{random:1000000}", "b": "{random:1000000}", "c": "{pick:x|y|z}"});
        assert_eq!(render(&template, &VALUES), render(&template, &VALUES));
        assert_ne!(render(&template, &VALUES), render(&template, &TemplateValues { sequence: 8, ..VALUES }));
        let event = render(&template, &VALUES);
        assert_ne!(event["a"], event["b"], "each placeholder draws anew");
    }

    #[test]
    fn braces_and_unknown_placeholders_stay() {
        assert_eq!(render_text("{{seq}} {what} {seq", &VALUES), "{seq} {what} {seq");
        assert_eq!(render_text("{pick:only}", &VALUES), "only");
    }
}
