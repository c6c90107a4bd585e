//! The text of a configuration file, and the places of its lines.

use std::ops::Range;

/// A file and its text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SourceText {
    /// The name of the file, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
    /// The first byte of each line.
    starts: Vec<usize>,
}

impl SourceText {
    /// A text and the name to show for it.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        SourceText { file: file.to_owned(), text: text.to_owned(), starts }
    }

    /// The text at `span`; empty if `span` is not within the text.
    pub(crate) fn slice(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let column = self.text.get(self.start(line)..offset).map_or(0, |before| before.chars().count());
        (line + 1, column + 1)
    }

    /// The whole lines that `span` touches, without the last line's end.
    pub(crate) fn lines(&self, span: &Range<usize>) -> Range<usize> {
        let first = self.start(self.line(span.start));
        let end = self.starts.get(self.line(span.end.max(span.start)) + 1).map_or(self.text.len(), |next| next - 1);
        first..end.max(first)
    }

    /// `span` without what follows its first line.
    pub(crate) fn first_line(&self, span: &Range<usize>) -> Range<usize> {
        let start = span.start.min(self.text.len());
        let end = self.lines(&(start..start)).end;
        start..span.end.clamp(start, end.max(start))
    }

    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    fn start(&self, line: usize) -> usize {
        self.starts.get(line).copied().unwrap_or_default()
    }
}
