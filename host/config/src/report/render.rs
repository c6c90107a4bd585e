//! Diagnostics as text, drawn by the renderer that rustc's messages come from, and as JSON, for `--json` and editors. The
//! renderer is given the lines concerned only: a file may be megabytes long.

use super::source_text::SourceText;
use super::{Diagnostic, Severity};
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};
use std::ops::Range;

pub(super) fn text(diagnostic: &Diagnostic, source: &SourceText, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str());
    let mut group = Group::with_title(title);
    if source.text.is_empty() {
        group = group.element(annotate_snippets::Origin::path(source.file.as_str()));
    } else {
        group = group.element(snippet(source, &diagnostic.span, AnnotationKind::Primary, None));
        for (span, label) in &diagnostic.related {
            group = group.element(snippet(source, span, AnnotationKind::Context, Some(label)));
        }
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = renderer.render(&[group]);
    text.push('\n');
    text
}

/// The lines of a span, with the span underlined.
fn snippet<'a>(
    source: &'a SourceText,
    span: &Range<usize>,
    kind: AnnotationKind,
    label: Option<&'a String>,
) -> Snippet<'a, Annotation<'a>> {
    let span = source.first_line(span);
    let window = source.lines(&span);
    let (line, _) = source.position(window.start);
    let inside = span.start.saturating_sub(window.start)..span.end.saturating_sub(window.start);
    let annotation = kind.span(inside).label(label.map(String::as_str));
    Snippet::source(source.slice(&window)).line_start(line).path(source.file.as_str()).annotation(annotation)
}

pub(super) fn as_json(diagnostic: &Diagnostic, source: &SourceText) -> Value {
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
