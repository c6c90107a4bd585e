//! Secrets of a route, hidden in texts that are logged, kept or shown: the values that `${…}` put into the plugin's configuration.
//!
//! A plugin knows them, so its texts may hold them, by mistake mostly. Hidden are a value itself, and its forms in JSON, in Rust's
//! own notation, percent-encoded, in hex and in base64; and the beginning of any of them, if a text was cut there. Effects and
//! replies are data, not text: they stay as they are. This helps against mistakes; a plugin that wants to tell a secret can write
//! it backwards.

use crate::call_output::{CallError, CallFailure, CallOutput, Disposition};
use crate::engine::{CommitError, SendError};
use crate::fault::Fault;
use crate::verdict::CUT;
use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

/// The text that stands for a secret.
pub const MASK: &str = "***";
/// Values with fewer bytes are not hidden: they would hide ordinary words and numbers.
pub const SHORTEST: usize = 8;
/// Of longer values only the lines are hidden, as they are, up to so many bytes of each.
pub const LONGEST: usize = 4 << 10;
/// Bytes of all values of a route: further ones are not hidden.
const TOTAL: usize = 16 << 10;

/// A text may have been cut within a secret: [`CUT`] marks it. Of the secret's beginning, fewer bytes than this stay before the mark.
/// It is more than one: if somebody can write texts and read them masked, each byte could be guessed by itself.
const PART: usize = 4;

/// The values to hide, and the automaton that finds them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Arc<BTreeSet<String>>,
    finder: Option<Arc<Finder>>,
}

/// Finds the forms of the values.
struct Finder {
    whole: AhoCorasick,
    /// All of them, in the order of their bytes.
    forms: Vec<String>,
}

impl Finder {
    /// Bytes at the end of a text that are the beginning of a form, if they are [`PART`] or more.
    fn part(&self, text: &[u8]) -> usize {
        let most = text.len().min(self.whole.max_pattern_len());
        let begins = |bytes: usize| {
            let end = text.get(text.len().saturating_sub(bytes)..).unwrap_or_default();
            let at = self.forms.partition_point(|form| form.as_bytes() < end);
            self.forms.get(at).is_some_and(|form| form.as_bytes().starts_with(end))
        };
        (PART..=most).rev().find(|bytes| begins(*bytes)).unwrap_or(0)
    }

    /// Where secrets are in a text, and what cuts left of them: ascending, none within another. A short secret may be in the beginning of a
    /// long one, so all are sought before any is replaced.
    fn hidden(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut mark = [0; CUT.len_utf8()];
        let mark = CUT.encode_utf8(&mut mark).as_bytes();
        let mut hidden: Vec<_> = self.whole.find_iter(text).map(|found| found.range()).collect();
        let (whole, mut begin) = (hidden.len(), 0);
        for (at, _) in text.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark) {
            let part = self.part(text.get(begin..at).unwrap_or_default());
            if part > 0 {
                hidden.push(at.saturating_sub(part)..at);
            }
            begin = at.saturating_add(mark.len());
        }
        if hidden.len() > whole {
            hidden.sort_by_key(|range| range.start);
            hidden.dedup_by(|next, last| {
                let within = next.start < last.end;
                last.end = if within { last.end.max(next.end) } else { last.end };
                within
            });
        }
        hidden
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}

impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Secrets {
    /// Hides these values, as far as they have [`SHORTEST`] bytes or more.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let values: BTreeSet<String> = values.into_iter().collect();
        let (mut patterns, mut left) = (BTreeSet::new(), TOTAL);
        let mut shortest_first: Vec<&String> = values.iter().collect();
        shortest_first.sort_by_key(|value| value.len());
        for value in shortest_first {
            left = left.saturating_sub(value.len());
            if left > 0 {
                add_forms(value, &mut patterns);
            }
        }
        patterns.retain(|pattern| pattern.len() >= SHORTEST);
        // It fails for more patterns than a number can count, which TOTAL excludes.
        let whole = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns);
        let finder = whole.ok().filter(|_| !patterns.is_empty());
        let finder = finder.map(|whole| Arc::new(Finder { whole, forms: patterns.into_iter().collect() }));
        Secrets { finder, values: Arc::new(values) }
    }

    /// True if no text changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.finder.is_none()
    }

    /// How many bytes of a text have to be looked at so that the first `bytes` of it show no part of a secret.
    #[must_use]
    pub fn reach(&self, bytes: usize) -> usize {
        bytes.saturating_add(self.finder.as_ref().map_or(0, |finder| finder.whole.max_pattern_len()))
    }

    /// Bytes of a text with [`MASK`] in place of every secret, and of what a cut left of one.
    #[must_use]
    pub fn mask_bytes<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let Some(finder) = &self.finder else { return Cow::Borrowed(text) };
        let hidden = finder.hidden(text);
        if hidden.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut masked, mut copied) = (Vec::with_capacity(text.len()), 0);
        for Range { start, end } in hidden {
            masked.extend_from_slice(text.get(copied..start).unwrap_or_default());
            masked.extend_from_slice(MASK.as_bytes());
            copied = end;
        }
        masked.extend_from_slice(text.get(copied..).unwrap_or_default());
        Cow::Owned(masked)
    }

    /// A text with [`MASK`] in place of every secret.
    #[must_use]
    pub fn mask(&self, text: String) -> String {
        match self.mask_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => text,
            // Only whole characters were replaced: nothing is lost.
            Cow::Owned(masked) => String::from_utf8_lossy(&masked).into_owned(),
        }
    }

    /// The texts of an output: the reasons of its outcomes.
    #[must_use]
    pub fn mask_output(&self, mut output: CallOutput) -> CallOutput {
        if self.is_empty() {
            return output;
        }
        for outcome in &mut output.outcomes {
            if let Disposition::Reject(why) | Disposition::Skip(why) = &mut outcome.disposition {
                *why = self.mask(std::mem::take(why));
            }
        }
        output
    }

    /// The texts of a call that failed.
    #[must_use]
    pub fn mask_call_error(&self, error: CallError) -> CallError {
        match error {
            CallError::Retry(why) => CallError::Retry(self.mask(why)),
            CallError::Halt(why) => CallError::Halt(self.mask(why)),
            CallError::Failed(failure) => CallError::Failed(Box::new(self.mask_failure(*failure))),
            CallError::Host(fault) => CallError::Host(self.mask_fault(fault)),
        }
    }

    /// The texts of a failure.
    #[must_use]
    pub fn mask_failure(&self, failure: CallFailure) -> CallFailure {
        CallFailure {
            message: self.mask(failure.message),
            backtrace: failure.backtrace.map(|text| self.mask(text)),
            logs: failure.logs.into_iter().map(|line| self.mask(line)).collect(),
            ..failure
        }
    }

    /// The text of a fault: it may name what the plugin asked for.
    #[must_use]
    pub fn mask_fault(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Transient(why) => Fault::Transient(self.mask(why)),
            Fault::Permanent(why) => Fault::Permanent(self.mask(why)),
            Fault::LeaseLost(why) => Fault::LeaseLost(self.mask(why)),
            Fault::Bug(why) => Fault::Bug(self.mask(why)),
            Fault::Throttled { reason, after } => Fault::Throttled { reason: self.mask(reason), after },
            Fault::Refused { code, reason } => Fault::Refused { code, reason: self.mask(reason) },
        }
    }

    /// The texts of a commit that did not happen.
    #[must_use]
    pub fn mask_commit_error(&self, error: CommitError) -> CommitError {
        match error {
            CommitError::Refused(refused) => {
                CommitError::Refused(refused.into_iter().map(|(action, why)| (action, self.mask(why))).collect())
            }
            CommitError::Fault(fault) => CommitError::Fault(self.mask_fault(fault)),
            other => other,
        }
    }

    /// The text of a message that was not sent.
    #[must_use]
    pub fn mask_send_error(&self, error: SendError) -> SendError {
        match error {
            SendError::Failed(fault) => SendError::Failed(self.mask_fault(fault)),
            SendError::NotTried => SendError::NotTried,
        }
    }
}

/// All texts in which a value may be met.
fn add_forms(value: &str, patterns: &mut BTreeSet<String>) {
    // The log has lines: of a value with several of them each is met alone.
    for line in value.lines() {
        patterns.insert(line.get(..line.floor_char_boundary(LONGEST)).unwrap_or_default().to_owned());
    }
    if value.len() > LONGEST || value.len() < SHORTEST {
        return;
    }
    patterns.insert(value.to_owned());
    let json = serde_json::to_string(value).unwrap_or_default();
    let debug = format!("{value:?}");
    for quoted in [&*json, &debug, &ascii_json(&json), &json.replace('/', "\\/")] {
        patterns.insert(quoted.trim_matches('"').to_owned());
    }
    patterns.insert(value.escape_default().to_string());
    // RFC 3986, JavaScript's encodeURIComponent and encodeURI, and HTML forms keep different characters.
    for kept in ["-._~", "-_.!~*'()", "-_.!~*'();,/?:@&=+$#", "*-._", "-._~/"] {
        for upper in [true, false] {
            patterns.insert(percent_encoded(value, kept, "%20", upper));
            patterns.insert(percent_encoded(value, kept, "+", upper));
        }
    }
    patterns.insert(hex::encode_upper(value));
    patterns.insert(hex::encode(value));
    (0..3).for_each(|before| add_base64(value, before, patterns));
}

/// JSON in ASCII alone.
fn ascii_json(json: &str) -> String {
    json.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a text does not fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
        text
    })
}

fn percent_encoded(value: &str, kept: &str, space: &str, upper: bool) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        let c = char::from(byte);
        // Writing to a text does not fail.
        let _ = match c {
            ' ' => write!(text, "{space}"),
            c if c.is_ascii_alphanumeric() || kept.contains(c) => write!(text, "{c}"),
            _ if upper => write!(text, "%{byte:02X}"),
            _ => write!(text, "%{byte:02x}"),
        };
        text
    })
}

/// A value in base64, as a part of something longer: `before` bytes of it stand in the same group of three as the value's first.
/// Characters that depend on the neighbours are left out.
fn add_base64(value: &str, before: usize, patterns: &mut BTreeSet<String>) {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(value.as_bytes());
    let (from, to) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    for alphabet in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        let text = alphabet.encode(&bytes);
        patterns.insert(text.get(from..to).unwrap_or_default().to_owned());
    }
}

#[cfg(test)]
mod tests;
