//! Diagnostics as JSON, for `--json` and editors.

use super::Diagnostic;
use crate::syntax::source::SourceText;
use serde_json::{Value, json};

pub fn diagnostic(diagnostic: &Diagnostic, source: &SourceText) -> Value {
    let related = diagnostic.related.iter().map(|(span, label)| {
        let (line, column) = source.position(span.start);
        json!({ "message": label, "line": line, "column": column, "span": [span.start, span.end] })
    });
    json!({
        "code": diagnostic.code.as_str(),
        "severity": diagnostic.severity.as_str(),
        "message": diagnostic.message,
        "file": diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "span": [diagnostic.span.start, diagnostic.span.end],
        "help": diagnostic.help,
        "related": related.collect::<Vec<_>>(),
    })
}
