//! Diagnostics: a problem, its place, and the help for it; shown as text or as JSON.

mod finding;
mod render;
mod source_text;

pub(crate) use finding::{Finding, Findings};
pub(crate) use source_text::SourceText;

use crate::codes::Code;
use esclusa_flow::secrets::Secrets;
use std::ops::Range;
use std::sync::Arc;

/// Whether the file can be used in spite of the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is not used.
    Error,
    /// The file is used, though its author probably means something else.
    Warning,
}

impl Severity {
    /// As messages show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// A problem and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind of problem; `esclusa explain` describes it.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// The problem, lower-case, without a period.
    pub message: String,
    /// The file.
    pub file: String,
    /// Line, from 1; 0 if the problem is the whole file.
    pub line: usize,
    /// Column in characters, from 1; 0 if the problem is the whole file.
    pub column: usize,
    /// The place in the text, bytes.
    pub span: Range<usize>,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that belong to the problem, each with a label.
    pub related: Vec<(Range<usize>, String)>,
    source: Arc<SourceText>,
}

impl Diagnostic {
    /// A finding in a file. Its texts may quote what `${…}` has put in, so the secrets are hidden in them.
    pub(crate) fn new(finding: Finding, source: &Arc<SourceText>, secrets: &Secrets) -> Self {
        let Finding { code, severity, message, span, help, related } = finding;
        let (message, help) = (secrets.mask(message), help.map(|help| secrets.mask(help)));
        let related = related.into_iter().map(|(span, label)| (span, secrets.mask(label))).collect();
        // A file that cannot be read has no lines.
        let (line, column) = if source.text.is_empty() { (0, 0) } else { source.position(span.start) };
        let file = source.file.clone();
        Diagnostic { code, severity, message, file, line, column, span, help, related, source: Arc::clone(source) }
    }

    /// Text with the offending lines underlined; ends with a newline.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        render::text(self, &self.source, colour)
    }

    /// As a JSON object.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        render::as_json(self, &self.source)
    }
}

/// Every problem of a file, in the order of the file; at least one of them is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Diagnostic>);

impl Problems {
    /// Every problem as text, and how many there are; ends with a newline.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for diagnostic in &self.0 {
            out.push_str(&diagnostic.render(colour));
            out.push('\n');
        }
        out.push_str(&self.summary());
        out.push('\n');
        out
    }

    /// How many errors and warnings there are, in a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        let errors = self.0.iter().filter(|d| d.severity == Severity::Error).count();
        let warnings = self.0.len() - errors;
        match warnings {
            0 => counted(errors, "error"),
            _ => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
        }
    }

    /// As a JSON array.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.0.iter().map(Diagnostic::to_json).collect()
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A message of a library in our form: with a small first letter and without a period.
pub(crate) fn lower_case(message: &str) -> String {
    let message = message.trim_end_matches('.');
    let mut chars = message.chars();
    let first = chars.next();
    // An abbreviation keeps its capitals.
    if chars.clone().next().is_some_and(char::is_uppercase) {
        return message.to_owned();
    }
    first.into_iter().flat_map(char::to_lowercase).chain(chars).collect()
}
