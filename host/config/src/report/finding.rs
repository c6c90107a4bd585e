//! A problem at a place in the text, and the list of all of them: checking goes on after each.

use super::source_text::SourceText;
use super::{Diagnostic, Severity};
use crate::codes::Code;
use esclusa_flow::secrets::Secrets;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Suggestions per file. Nobody reads more, and searching a huge file for close names takes long.
const SUGGESTIONS: u32 = 50;

/// A problem and its place in the text.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(super) code: Code,
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) span: Range<usize>,
    pub(super) help: Option<String>,
    pub(super) related: Vec<(Range<usize>, String)>,
}

impl Finding {
    /// An error at a place.
    pub(crate) fn error(code: Code, span: Range<usize>, message: impl Into<String>) -> Self {
        Finding { code, severity: Severity::Error, message: message.into(), span, help: None, related: Vec::new() }
    }

    /// A warning at a place.
    pub(crate) fn warning(code: Code, span: Range<usize>, message: impl Into<String>) -> Self {
        Finding { severity: Severity::Warning, ..Finding::error(code, span, message) }
    }

    /// Adds the help: what to do about it.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Finding { help: Some(help.into()), ..self }
    }

    /// Sets the help, if there is one.
    pub(crate) fn help_maybe(self, help: Option<String>) -> Self {
        Finding { help, ..self }
    }

    /// Adds another place that belongs to the problem.
    pub(crate) fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }
}

/// All findings in a file.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: RefCell<Vec<Finding>>,
    suggestions: Cell<u32>,
}

impl Findings {
    /// Adds a finding.
    pub(crate) fn add(&self, finding: Finding) {
        self.list.borrow_mut().push(finding);
    }

    /// True if one more suggestion may be searched for; counts it.
    pub(crate) fn may_suggest(&self) -> bool {
        self.suggestions.set(self.suggestions.get().saturating_add(1));
        self.suggestions.get() <= SUGGESTIONS
    }

    /// True if there is an error among them.
    pub(crate) fn any_error(&self) -> bool {
        self.list.borrow().iter().any(|finding| finding.severity == Severity::Error)
    }

    /// All findings as diagnostics of `source`, in the order of the file, without secrets.
    pub(crate) fn into_diagnostics(self, source: &Arc<SourceText>, secrets: &Secrets) -> Vec<Diagnostic> {
        let mut list = self.list.into_inner();
        list.sort_by_key(|finding| finding.span.start);
        // Some values are read twice, and each time their finding is added.
        let mut seen = BTreeSet::new();
        list.retain(|finding| {
            seen.insert((finding.span.start, finding.span.end, finding.code, finding.message.clone()))
        });
        list.into_iter().map(|finding| Diagnostic::new(finding, source, secrets)).collect()
    }
}
