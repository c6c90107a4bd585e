//! Keys and tables that a file has twice: one finding for each, with the place of the first one.
//!
//! The parser reports a repeated table's header and then also each key that both tables have; the keys are left out here.

use crate::codes::Code;
use crate::report::Finding;
use std::ops::Range;

/// The findings for repeated keys at these places, ascending. A line within a text of several lines is taken for a line
/// of the file; this can only cost a finding the place of the first one.
pub(crate) fn findings(text: &str, places: impl Iterator<Item = Range<usize>>) -> Vec<Finding> {
    let lines = lines(text);
    let mut list = Vec::new();
    let mut covered = 0;
    for place in places {
        if place.start < covered {
            continue;
        }
        let at = lines.partition_point(|line| line.start <= place.start).saturating_sub(1);
        let (before, rest) = lines.split_at(at);
        let Some(line) = rest.first() else { continue };
        let (message, span, first) = if is_header(line) {
            let next = rest.iter().skip(1).find(|line| is_header(line));
            covered = next.map_or(text.len(), |line| line.start);
            let header = line.text.trim_start();
            let first = before.iter().find(|line| line.text.trim_start() == header);
            (format!("{header} is in the file twice"), line.span(), first)
        } else {
            let key = text.get(place.clone()).unwrap_or_default();
            let section = before.iter().rev().take_while(|line| !is_header(line));
            let first = section.filter(|line| is_key(line, key)).last();
            (format!("{key} is in this table twice"), place, first)
        };
        let finding = Finding::error(Code::SYNTAX, span, message);
        list.push(match first {
            Some(line) => finding.related(line.span(), "here for the first time"),
            None => finding,
        });
    }
    list
}

/// A line without the white space at its end and, if it is a header, without its comment.
struct FileLine<'t> {
    start: usize,
    text: &'t str,
}

impl FileLine<'_> {
    fn span(&self) -> Range<usize> {
        let indent = self.text.len() - self.text.trim_start().len();
        self.start + indent..self.start + self.text.len()
    }
}

fn lines(text: &str) -> Vec<FileLine<'_>> {
    let mut start = 0;
    let line = |line| {
        let at = start;
        start += str::len(line);
        let text = if line.trim_start().starts_with('[') { line.split('#').next().unwrap_or_default() } else { line };
        FileLine { start: at, text: text.trim_end() }
    };
    text.split_inclusive('\n').map(line).collect()
}

fn is_header(line: &FileLine<'_>) -> bool {
    line.text.trim_start().starts_with('[')
}

fn is_key(line: &FileLine<'_>, key: &str) -> bool {
    let rest = line.text.trim_start().strip_prefix(key);
    rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
}
