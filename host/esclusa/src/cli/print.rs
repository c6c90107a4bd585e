//! The output of commands: data on standard output, messages on standard error. In both, characters that could fool a reader are
//! escaped; JSON stays the same JSON.
//!
//! If the reader of standard output has gone (`| head`), the command ends quietly: that is an error type of its own.

use crate::sinks;
use crate::telemetry;
use chrono::SecondsFormat;
use esclusa_flow::hidden_text::escape_hidden;
use esclusa_pipeline::meter::epoch_millis;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Write;

/// The reader of standard output has closed it.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed by its reader")]
pub(super) struct ReaderGone;

/// The error of a write to standard output.
pub(super) fn failed(error: std::io::Error) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        ReaderGone.into()
    } else {
        anyhow::Error::new(error).context("cannot write the output")
    }
}

/// Writes a line of data.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{}", escape_hidden(text)).map_err(failed)
}

/// Writes several lines of data.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    std::io::stdout().lock().write_all(escape_hidden(text).as_bytes()).map_err(failed)
}

/// Writes a value as JSON on one line, for programs.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Writes a value as indented JSON, for people.
pub(super) fn pretty(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Writes a message.
pub(super) fn message(text: &str) {
    write_message("INFO", text);
}

/// Writes an error message.
pub(super) fn error(text: &str) {
    write_message("ERROR", text);
}

/// A problem that is at no place of routes.toml, in the form of those that are.
pub(super) fn problem(message: &str) -> Value {
    json!({"severity": "error", "message": message})
}

/// The answer of a command that failed, for programs: every command has this shape.
pub(super) fn failed_answer(problems: Vec<Value>) -> Value {
    let (warnings, errors): (Vec<Value>, Vec<Value>) =
        problems.into_iter().partition(|problem| problem["severity"] == "warning");
    json!({"ok": false, "errors": errors, "warnings": warnings})
}

fn write_message(level: &str, text: &str) {
    // If standard error cannot be written, there is no way left to report that.
    if telemetry::json() {
        let timestamp = time(epoch_millis());
        let line = json!({"timestamp": timestamp, "level": level, "message": text, "target": "esclusa::cli"});
        let _ = writeln!(std::io::stderr().lock(), "{}", escape_hidden(&line.to_string()));
    } else {
        let _ = writeln!(std::io::stderr().lock(), "{}", escape_hidden(text));
    }
}

/// Writes rows in aligned columns under a heading. Control characters in cells are escaped.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> anyhow::Result<()> {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| visible(cell))).collect();
    let heading = heading.map(str::to_owned);
    let mut widths = heading.each_ref().map(|cell| cell.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in std::iter::once(&heading).chain(&rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        line(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Escapes control characters of text that may come from a guest, so that it is safe for a terminal.
#[must_use]
pub(super) fn visible(text: &str) -> String {
    sinks::line(text.as_bytes())
}

/// At most `most` characters of a text, escaped as by [`visible`].
#[must_use]
pub(super) fn short(text: &str, most: usize) -> String {
    let visible = visible(text);
    if visible.chars().count() <= most {
        visible
    } else {
        visible.chars().take(most.saturating_sub(1)).chain(['…']).collect()
    }
}

/// Milliseconds since the Unix epoch as RFC 3339 in UTC, to the second.
#[must_use]
pub(super) fn time(millis: u64) -> String {
    let moment = i64::try_from(millis).ok().and_then(chrono::DateTime::from_timestamp_millis);
    moment.map_or_else(|| format!("{millis} ms"), |moment| moment.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::{short, time};

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_709_210_096_789), "2024-02-29T12:34:56Z");
        assert_eq!(time(1_795_317_291_000), "2026-11-22T03:14:51Z");
    }

    #[test]
    fn long_and_hostile_text_is_cut_and_escaped() {
        assert_eq!(short("abcdef", 4), "abc…");
        assert_eq!(short("\u{1b}[2J", 40), "\"\\u001b[2J\"");
    }
}
