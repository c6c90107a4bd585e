//! Logs: text or JSON lines on standard error, never on standard output.
//!
//! With JSON every line of standard error is an object, messages of the command line included.
//!
//! Messages are constant; all that varies is in fields. Text of guests is escaped before it is logged, and what could fool a
//! reader of any other text when it is written.

use crate::visible::VisibleWriter;
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::filter::Targets;
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
    // fjall logs its own housekeeping at `info`: operators need only its warnings.
    let targets: Targets = format!("fjall=warn,lsm_tree=warn,{filter}")
        .parse()
        .map_err(|error| format!("{filter:?} is not a log filter: {error}"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(|| VisibleWriter::new(std::io::stderr()));
    let logs = tracing_subscriber::registry().with(targets);
    let started = match format {
        LogFormat::Text => logs.with(lines.with_ansi(colour()).with_target(false)).try_init(),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
            logs.with(lines).try_init()
        }
    };
    // Fails if logging was started before: in tests, which then keep the first start.
    drop(started);
    Ok(())
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
