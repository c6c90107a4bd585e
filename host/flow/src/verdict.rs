//! How an event ended, or that it was released; and why an event was given up.

use std::time::Duration;

/// How an event ended. Every event ends in exactly one counted state (invariant 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its effects are confirmed.
    Done,
    /// The plugin finished it on purpose without effects.
    Skipped(String),
    /// The route's filter does not match it.
    Filtered,
    /// It becomes a dead letter.
    Dead(Reason),
    /// Released to its queue, hidden for so long. Not final: the event will come again.
    Released(Duration),
}

/// Why an event was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Stable code: `rejected`, `retries-exhausted`, `expired`, or that of what went wrong, such as `limit.hops`. `esclusa explain` has a page
    /// for each.
    pub code: String,
    /// In words.
    pub message: String,
    /// The guest's backtrace, if there is one.
    pub backtrace: Option<String>,
    /// The guest's last log lines.
    pub logs: Vec<String>,
}

impl Reason {
    /// A reason without backtrace and logs.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Reason { code: code.to_owned(), message: short(message), backtrace: None, logs: Vec::new() }
    }
}

/// Most bytes of a message about a failure. A guest's own text, or the name of an attribute, may be megabytes long, and the
/// message is logged, kept in dead letters and shown.
pub const MESSAGE: usize = 4096;

/// The end of a text that was cut. [`Secrets`](crate::secrets::Secrets) looks for what a cut left of a secret before it.
pub const CUT: char = '…';

/// At most [`MESSAGE`] bytes of a message; [`CUT`] marks the cut.
#[must_use]
pub fn short(message: impl Into<String>) -> String {
    cut(&message.into(), MESSAGE)
}

/// At most so many bytes of a text; [`CUT`] comes after them if that is not all.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    let mut shown = text.get(..text.floor_char_boundary(most)).unwrap_or_default().to_owned();
    if shown.len() < text.len() {
        shown.push(CUT);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_megabytes_is_cut_between_characters() {
        let reason = Reason::new("rejected", "ä".repeat(1 << 20) + "end");
        assert_eq!(reason.message, "ä".repeat(MESSAGE / 2) + "…");
        assert_eq!(Reason::new("rejected", "x".repeat(MESSAGE)).message.len(), MESSAGE);
    }
}
