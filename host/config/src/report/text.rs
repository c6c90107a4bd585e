//! Diagnostics as text, drawn by the renderer that rustc's messages come from. It is given the lines concerned only: a
//! file may be megabytes long.

use super::{Diagnostic, Severity};
use crate::syntax::source::SourceText;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use std::ops::Range;

pub fn render(diagnostic: &Diagnostic, source: &SourceText, colour: bool) -> String {
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
