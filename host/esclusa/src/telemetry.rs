//! Logs: text or JSON lines on standard error, never on standard output.
//!
//! With JSON every line of standard error is an object, messages of the command line included.
//!
//! Messages are constant; all that varies is in fields. Text of guests is escaped before it is logged, and what could fool a
//! reader of any other text when it is written.

mod repeats;

pub(crate) use repeats::finish;

use crate::visible::VisibleWriter;
use repeats::Repeats;
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::prelude::*;

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people; coloured on a terminal unless NO_COLOR is set.
    #[default]
    Text,
    /// For machines: an object a line, with timestamp, level, target, message and fields.
    Json,
}

/// The format of the command line; empty before it is read.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Starts logging. `filter` is a level (`info`) or directives (`warn,esclusa=debug`).
///
/// # Errors
/// The mistake in the filter.
pub(crate) fn start(format: LogFormat, filter: &str) -> Result<(), String> {
    let format = *FORMAT.get_or_init(|| format);
    let targets = targets(filter)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(|| VisibleWriter::new(std::io::stderr()));
    let logs = tracing_subscriber::registry().with(targets);
    let repeats = Repeats::start();
    let started = match format {
        LogFormat::Text => logs.with(lines.with_ansi(colour()).with_target(false).with_filter(repeats)).try_init(),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
            logs.with(lines.with_filter(repeats)).try_init()
        }
    };
    // Fails if logging was started before: in tests, which then keep the first start.
    drop(started);
    Ok(())
}

/// Reads a filter. A word that is no level would be taken for a target, and everything else would be mute.
fn targets(filter: &str) -> Result<Targets, String> {
    let wrong = |why: &str| {
        let levels = "off, error, warn, info, debug or trace";
        format!("{filter:?} is not a log filter: {why}; write {levels}, or directives such as warn,esclusa=debug")
    };
    let words = filter.split(',').map(str::trim).filter(|word| !word.is_empty());
    for word in words.clone() {
        let (target, level) = word.split_once('=').unwrap_or(("", word));
        level.trim().parse::<LevelFilter>().map_err(|_| wrong(&format!("{level:?} is no level")))?;
        if let Some(other) = target.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '_' | ':' | '-'))) {
            return Err(wrong(&format!("{target:?} is no target: it has a {other:?}")));
        }
    }
    if words.clone().next().is_none() {
        return Err(wrong("it is empty"));
    }
    // fjall logs its own housekeeping at `info`: operators need only its warnings. notify warns of watches that have ended with
    // their directory, as they do at every update of a ConfigMap.
    let words: Vec<&str> = ["fjall=warn", "lsm_tree=warn", "notify=error"].into_iter().chain(words).collect();
    words.join(",").parse().map_err(|error: ParseError| wrong(&error.to_string()))
}

/// True if every line of standard error has to be JSON.
#[must_use]
pub(crate) fn json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// True if standard error shows colours.
#[must_use]
pub(crate) fn colour() -> bool {
    !json() && std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn a_filter_has_levels_and_targets_with_levels_and_nothing_else() {
        for filter in ["info", "WARN", "off", "warn,esclusa=debug", " warn , esclusa=debug ,", "esclusa=trace", "3"] {
            assert!(targets(filter).is_ok(), "{filter}");
        }
        for filter in ["nosuch", "info,nosuch", "esclusa=nosuch", "esclusa", "", ",", "warn;esclusa=debug"] {
            let why = targets(filter).unwrap_err();
            assert!(why.contains("is not a log filter") && why.contains("esclusa=debug"), "{why}");
        }
    }
}
