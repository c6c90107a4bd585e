//! Templates of generated events: a placeholder that there is not would be sent as it stands.

use crate::codes::Code;
use crate::report::{Finding, Findings};
use crate::syntax::tree::{Node, Value};
use esclusa_flow::event_template::{EventTemplatePart, parts};
use std::ops::Range;

/// Reports every placeholder that there is not, in all texts of an event.
pub fn check(findings: &Findings, node: &Node) {
    match &node.value {
        Value::Text(text) => check_text(findings, &text.text, &node.span),
        Value::List(nodes) => nodes.iter().for_each(|node| check(findings, node)),
        Value::Table(table) => table.entries.iter().for_each(|entry| check(findings, &entry.node)),
        _ => {}
    }
}

fn check_text(findings: &Findings, text: &str, span: &Range<usize>) {
    let wrong = parts(text).find_map(|part| match part {
        EventTemplatePart::Unknown(text) => Some(text),
        _ => None,
    });
    if let Some(text) = wrong {
        let message = match text.ends_with('}') {
            true => format!("there is no placeholder {text}"),
            false => "a `{` without its `}`".to_owned(),
        };
        let help = "there are {seq}, {now}, {random:N} and {pick:a|b}; write {{ for a brace";
        findings.add(Finding::error(Code::BAD_VALUE, span.clone(), message).help(help));
    }
}
