//! What commands write: data to standard output, messages to standard error.
//!
//! A reader that has gone (`| head`) ends the command quietly, by an error of its own.

use crate::sinks;
use crate::telemetry;
use chrono::SecondsFormat;
use esclusa_pipeline::meter::epoch_millis;
use serde::Serialize;
use serde_json::json;
use std::io::Write;

/// Whoever read standard output has seen enough.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(super) struct ReaderGone;

/// Why standard output could not be written.
pub(super) fn failed(error: std::io::Error) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        ReaderGone.into()
    } else {
        anyhow::Error::new(error).context("cannot write the output")
    }
}

/// A line of data.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(failed)
}

/// Data as it is.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(failed)
}

/// A value as JSON for programs: on one line.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// A value as JSON for people: indented.
pub(super) fn pretty(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// A message for whoever sits there.
pub(super) fn message(text: &str) {
    tell("INFO", text);
}

/// A message that something went wrong.
pub(super) fn error(text: &str) {
    tell("ERROR", text);
}

/// A line of JSON instead of messages.
pub(super) fn problems(json: &serde_json::Value) {
    // Nobody is left to be told where this fails.
    let _ = writeln!(std::io::stderr().lock(), "{json}");
}

fn tell(level: &str, text: &str) {
    if telemetry::json() {
        let timestamp = time(epoch_millis());
        problems(&json!({"timestamp": timestamp, "level": level, "message": text, "target": "esclusa::cli"}));
    } else {
        // As above.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// Rows in aligned columns under a heading. Cells are shown without control characters.
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

/// Text that may come from a guest, made safe for a terminal.
#[must_use]
pub(super) fn visible(text: &str) -> String {
    sinks::line(text.as_bytes())
}

/// At most so many characters of a text.
#[must_use]
pub(super) fn short(text: &str, most: usize) -> String {
    let visible = visible(text);
    if visible.chars().count() <= most {
        visible
    } else {
        visible.chars().take(most.saturating_sub(1)).chain(['…']).collect()
    }
}

/// A moment of the wall clock as RFC 3339 in UTC, to the second.
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
