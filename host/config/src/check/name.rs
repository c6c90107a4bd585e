//! Names: of sources, tables, routes, streams and so on. They become file names, metric labels and parts of URLs.

use crate::codes::Code;
use crate::report::{Finding, Findings};
use std::ops::Range;

/// Reports a name that has other characters than letters, digits, `_`, `.` and `-`, or more than 64 of them, or dots alone:
/// in a path they lead elsewhere.
pub fn check(findings: &Findings, what: &str, name: &str, span: &Range<usize>) {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let dots = name.chars().all(|c| c == '.');
    if dots || name.len() > 64 || !name.chars().all(good) {
        let finding = Finding::error(Code::BAD_NAME, span.clone(), format!("this is not a valid {what} name"));
        findings.add(finding.help("1 to 64 letters, digits, `_`, `.` or `-`, and not dots alone"));
    }
}
