//! Templates of generated events, which `esclusa-embedded` fills in: a placeholder that it does not know would be sent as it
//! stands.

use crate::codes::Code;
use crate::report::{Finding, Findings};
use crate::syntax::tree::{Node, Value};
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
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        if let Some(escaped) = after.strip_prefix('{') {
            rest = escaped;
            continue;
        }
        let (message, next) = match after.split_once('}') {
            Some((placeholder, next)) if known(placeholder) => (None, next),
            Some((placeholder, next)) => (Some(format!("there is no placeholder {{{placeholder}}}")), next),
            None => (Some("a `{` without its `}`".to_owned()), ""),
        };
        if let Some(message) = message {
            let help = "there are {seq}, {now}, {random:N} and {pick:a|b}; write {{ for a brace";
            findings.add(Finding::error(Code::BAD_VALUE, span.clone(), message).help(help));
            return;
        }
        rest = next;
    }
}

fn known(placeholder: &str) -> bool {
    match placeholder.split_once(':') {
        None => matches!(placeholder, "seq" | "now"),
        Some(("random", below)) => below.trim().parse::<u64>().is_ok_and(|below| below > 0),
        Some(("pick", choices)) => !choices.is_empty(),
        Some(_) => false,
    }
}
