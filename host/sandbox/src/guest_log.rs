//! The output and log lines of a guest on their way into the router's log: split into lines, escaped, cut and counted.
//!
//! A guest cannot forge lines, move the cursor of a terminal or flood the log: control characters, ANSI sequences and
//! characters that reorder text are escaped, lines are cut, each call has a budget of bytes and each route one of
//! lines. Secrets of the route are hidden before anything is escaped; of a long line that is cut before, so is what the cut left of one.

mod escape;

pub(crate) use escape::escape;

use esclusa_flow::secrets::Secrets;
use esclusa_flow::verdict::CUT;
use parking_lot::{Mutex, MutexGuard};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a line that are shown.
pub const LINE: usize = 4096;
/// Lines that are kept for the report of a failure.
const KEPT: usize = 20;
/// Lines that a route may log at once, over all its calls.
pub const LINES: u32 = 1000;
/// Lines that it may log per second beyond that: a plugin that logs each of its events must not fill the disk.
pub const LINES_PER_SECOND: u32 = 20;

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogLevel {
    /// For developers.
    Trace,
    /// For developers.
    Debug,
    /// Ordinary.
    Info,
    /// For operators: probably a problem.
    Warn,
    /// For operators: a problem.
    Error,
}

/// The channel that a line came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogOrigin {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// `wasi:logging`.
    Logging,
    /// `esclusa:router/log`.
    Log,
}

impl LogOrigin {
    fn name(self) -> &'static str {
        match self {
            LogOrigin::Stdout => "stdout",
            LogOrigin::Stderr => "stderr",
            LogOrigin::Logging => "logging",
            LogOrigin::Log => "log",
        }
    }
}

/// The budget of lines of a route, shared by its calls.
#[derive(Debug)]
pub(crate) struct LogRate(Mutex<LineBudget>);

#[derive(Debug)]
struct LineBudget {
    left: u32,
    /// Lines were added up to this moment.
    since: Instant,
}

impl Default for LogRate {
    fn default() -> Self {
        LogRate(Mutex::new(LineBudget { left: LINES, since: Instant::now() }))
    }
}

impl LogRate {
    fn admits(&self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / LINES_PER_SECOND;
        let mut budget = self.0.lock();
        let earned = now.saturating_duration_since(budget.since).as_millis() / each.as_millis();
        let earned = u32::try_from(earned).unwrap_or(LINES).min(LINES);
        if earned > 0 {
            budget.left = budget.left.saturating_add(earned).min(LINES);
            budget.since = if budget.left == LINES { now } else { budget.since + each * earned };
        }
        let admitted = budget.left > 0;
        budget.left = budget.left.saturating_sub(1);
        admitted
    }
}

/// The journal of one call, shared with the streams that the guest writes to.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Arc<Mutex<JournalLines>>);

#[derive(Debug)]
struct JournalLines {
    route: Arc<str>,
    rate: Arc<LogRate>,
    secrets: Secrets,
    budget: usize,
    left_out: u64,
    quiet: bool,
    last: VecDeque<String>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Journal {
    /// An empty journal with a budget in bytes.
    pub(crate) fn new(route: Arc<str>, rate: Arc<LogRate>, secrets: Secrets, budget: usize) -> Self {
        Journal(Arc::new(Mutex::new(JournalLines {
            route,
            rate,
            secrets,
            budget,
            left_out: 0,
            quiet: false,
            last: VecDeque::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
        })))
    }

    fn lines(&self) -> MutexGuard<'_, JournalLines> {
        self.0.lock()
    }

    /// A text without the secrets of the route.
    pub(crate) fn masked(&self, text: String) -> String {
        self.lines().secrets.mask(text)
    }

    /// Takes bytes that were written to a stream.
    pub(crate) fn write(&self, origin: LogOrigin, bytes: &[u8]) {
        self.lines().write(origin, bytes);
    }

    /// Takes a whole message. Its time grows with the bytes of the message and the lines that are shown; a long
    /// `context` is cut first.
    pub(crate) fn log(&self, origin: LogOrigin, level: LogLevel, context: &str, message: &str) {
        let mut lines = self.lines();
        let prefix = match context {
            "" => Vec::new(),
            context => [&cut(context.as_bytes(), lines.secrets.reach(LINE)), &b": "[..]].concat(),
        };
        lines.block(level, origin, &prefix, message.as_bytes());
    }

    /// Switches quiet mode: lines are only kept for failures, and not logged.
    pub(crate) fn quiet(&self, quiet: bool) {
        let mut lines = self.lines();
        lines.flush();
        lines.quiet = quiet;
    }

    /// Ends the call: logs unfinished lines, and the number of lines that were left out. Gives the last lines, and sets
    /// the budget of the next call.
    pub(crate) fn close(&self, budget: usize) -> Vec<String> {
        let mut lines = self.lines();
        lines.flush();
        lines.budget = budget;
        lines.last.drain(..).collect()
    }
}

impl JournalLines {
    fn write(&mut self, origin: LogOrigin, bytes: &[u8]) {
        let most = self.secrets.reach(LINE);
        let Some(first) = bytes.iter().position(|b| *b == b'\n') else {
            return push(self.partial(origin), bytes, most);
        };
        let (begun, rest) = bytes.split_at(first);
        let mut whole = std::mem::take(self.partial(origin));
        push(&mut whole, begun, most);
        self.block(JournalLines::level(origin), origin, &[], &whole);
        let rest = rest.get(1..).unwrap_or_default();
        let (block, unfinished) = match rest.iter().rposition(|b| *b == b'\n') {
            Some(last) => {
                (rest.get(..last).unwrap_or_default(), rest.get(last..).and_then(|r| r.get(1..)).unwrap_or_default())
            }
            None => (&[][..], rest),
        };
        self.block(JournalLines::level(origin), origin, &[], block);
        whole.clear();
        push(&mut whole, unfinished, most);
        *self.partial(origin) = whole;
    }

    fn level(origin: LogOrigin) -> LogLevel {
        if origin == LogOrigin::Stderr { LogLevel::Warn } else { LogLevel::Info }
    }

    fn partial(&mut self, origin: LogOrigin) -> &mut Vec<u8> {
        if origin == LogOrigin::Stderr { &mut self.stderr } else { &mut self.stdout }
    }

    /// Takes a block of whole lines, and logs them as long as the budgets last. The others are only counted, and the
    /// last of them kept: a line costs a guest one byte, and would cost the host a string.
    fn block(&mut self, level: LogLevel, origin: LogOrigin, prefix: &[u8], block: &[u8]) {
        let mut rest = block;
        while !rest.is_empty() && !self.quiet {
            let (line, after) = match rest.iter().position(|b| *b == b'\n') {
                Some(end) => (rest.get(..end).unwrap_or_default(), rest.get(end..).and_then(|r| r.get(1..))),
                None => (rest, None),
            };
            let Some(text) = self.visible(prefix, line) else {
                rest = after.unwrap_or_default();
                continue;
            };
            if text.len() > self.budget || !self.rate.admits(Instant::now()) {
                break;
            }
            rest = after.unwrap_or_default();
            self.budget = self.budget.saturating_sub(text.len());
            emit(level, &self.route, origin.name(), &text);
            self.keep(text);
        }
        self.leave_out(prefix, rest);
    }

    /// Counts lines that are not logged, and keeps the last ones.
    fn leave_out(&mut self, prefix: &[u8], rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        if !self.quiet {
            let lines = rest.split(|b| *b == b'\n').filter(|line| !matches!(line, [] | [b'\r'])).count();
            self.left_out = self.left_out.saturating_add(lines as u64);
        }
        let last = rest.rsplit(|b| *b == b'\n').filter_map(|line| self.visible(prefix, line)).take(KEPT);
        let last: Vec<String> = last.collect();
        last.into_iter().rev().for_each(|text| self.keep(text));
    }

    /// A line as it is logged; `None` for an empty one.
    fn visible(&self, prefix: &[u8], line: &[u8]) -> Option<String> {
        let most = self.secrets.reach(LINE);
        // Of a long line the end is not there, so a carriage return at its end is one within it.
        let ends = line.len() <= most;
        let line = line.strip_suffix(b"\r").filter(|_| ends).unwrap_or(line);
        if line.is_empty() {
            return None;
        }
        let shown = cut(line, most);
        if prefix.is_empty() {
            return Some(escape(&self.secrets.mask_bytes(&shown), LINE));
        }
        Some(escape(&self.secrets.mask_bytes(&[prefix, &shown].concat()), LINE))
    }

    fn keep(&mut self, text: String) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(text);
    }

    fn flush(&mut self) {
        for origin in [LogOrigin::Stdout, LogOrigin::Stderr] {
            let rest = std::mem::take(self.partial(origin));
            self.block(JournalLines::level(origin), origin, &[], &rest);
        }
        if self.left_out > 0 {
            // Not of the target of guests: the router counts lines of its own that come again and again.
            tracing::warn!(route = &*self.route, lines = self.left_out, "guest lines left out");
            self.left_out = 0;
        }
    }
}

/// The first `most` bytes of a text. A cut is marked: the secrets before it are longer than their masks, so the end of what is looked
/// at may come to be shown, and what it has of a secret is hidden by the mark.
fn cut(text: &[u8], most: usize) -> Cow<'_, [u8]> {
    let Some(shown) = text.get(..most).filter(|shown| shown.len() < text.len()) else { return Cow::Borrowed(text) };
    Cow::Owned([shown, CUT.to_string().as_bytes()].concat())
}

/// Appends to an unfinished line, keeping a byte more of it than `most`, so that [`cut`] marks the cut.
fn push(line: &mut Vec<u8>, more: &[u8], most: usize) {
    let room = most.saturating_add(1).saturating_sub(line.len());
    line.extend_from_slice(more.get(..room).unwrap_or(more));
}

fn emit(level: LogLevel, route: &str, stream: &str, line: &str) {
    match level {
        LogLevel::Trace => tracing::trace!(target: "guest", route, stream, "{line}"),
        LogLevel::Debug => tracing::debug!(target: "guest", route, stream, "{line}"),
        LogLevel::Info => tracing::info!(target: "guest", route, stream, "{line}"),
        LogLevel::Warn => tracing::warn!(target: "guest", route, stream, "{line}"),
        LogLevel::Error => tracing::error!(target: "guest", route, stream, "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_testkit::allocations::{self, Counting};

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    fn journal(budget: usize) -> Journal {
        Journal::new("r".into(), Arc::default(), Secrets::default(), budget)
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_written_and_wherever_a_line_is_cut() {
        const SECRET: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
        let secrets = Secrets::new([SECRET.to_owned(), "\u{1b}[31mhidden".to_owned()]);
        let journal = Journal::new("r".into(), Arc::default(), secrets, 1 << 20);
        for byte in format!("key={SECRET};\n").bytes() {
            journal.write(LogOrigin::Stderr, &[byte]);
        }
        journal.log(LogOrigin::Log, LogLevel::Info, SECRET, "\u{1b}[31mhidden");
        assert_eq!(journal.close(1 << 20), ["key=***;", "***: ***"]);
        // Shown is the beginning of a line: not even the beginning of a secret that the cut goes through.
        for before in LINE - SECRET.len() - 3..=LINE {
            let line = format!("{}{SECRET}", "x".repeat(before));
            journal.write(LogOrigin::Stdout, line.as_bytes());
            journal.write(LogOrigin::Stdout, b"end\n");
            journal.log(LogOrigin::Logging, LogLevel::Info, &line, "text");
            journal.log(LogOrigin::Logging, LogLevel::Info, "c", &line);
            for shown in journal.close(1 << 20) {
                assert!(!shown.contains("sk_"), "{before}: {}", shown.get(LINE - 50..).unwrap_or(&shown));
            }
        }
        // Many secrets are far longer than their masks, so the line that is looked at ends long before LINE: within a secret, too.
        for before in 0..SECRET.len() {
            let line = format!("{}{}", "x".repeat(before), SECRET.repeat(2 * LINE / SECRET.len()));
            journal.write(LogOrigin::Stdout, line.as_bytes());
            journal.write(LogOrigin::Stdout, b"end\n");
            journal.write(LogOrigin::Stderr, format!("{line}\n").as_bytes());
            journal.log(LogOrigin::Logging, LogLevel::Info, &line, "text");
            journal.log(LogOrigin::Logging, LogLevel::Info, "c", &line);
            let lines = journal.close(1 << 20);
            assert_eq!(lines.len(), 4);
            for shown in lines {
                assert!(
                    !shown.contains("sk_l"),
                    "{before}: {}",
                    shown.get(shown.len().saturating_sub(60)..).unwrap_or(&shown)
                );
            }
        }
    }

    #[test]
    fn writes_become_lines_however_they_are_cut() {
        let journal = journal(1000);
        for part in ["one\ntw", "o", "\r\n\nthr", "ee"] {
            journal.write(LogOrigin::Stdout, part.as_bytes());
        }
        assert_eq!(journal.close(0), ["one", "two", "three"]);
    }

    #[test]
    fn a_huge_line_is_cut_and_its_buffer_stays_small() {
        let journal = journal(100_000);
        for _ in 0..1000 {
            journal.write(LogOrigin::Stderr, &[b'x'; 10_000]);
        }
        assert!(journal.lines().stderr.len() <= LINE + 1, "without secrets no more is kept");
        let lines = journal.close(0);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].len() < LINE + 20, "{}", lines[0].len());
        assert!(lines[0].ends_with("…"), "{}", lines[0]);
    }

    #[test]
    fn lines_over_the_budget_are_counted_and_the_last_ones_are_kept() {
        let journal = journal(10);
        for i in 0..100 {
            journal.write(LogOrigin::Stdout, format!("line {i}\n").as_bytes());
        }
        assert_eq!(journal.lines().left_out, 99);
        let last = journal.close(10);
        assert_eq!((last.len(), last.last().map(String::as_str)), (KEPT, Some("line 99")));
    }

    #[test]
    fn a_long_context_is_cut_before_it_stands_in_front_of_a_million_lines() {
        let journal = journal(64 << 10);
        let (context, message) = ("c".repeat(2 << 20), "x\n".repeat(1_000_000));
        let before = allocations::bytes();
        journal.log(LogOrigin::Logging, LogLevel::Info, &context, &message);
        let spent = allocations::bytes() - before;
        assert!(spent < 1 << 20, "{spent} bytes were allocated");
        let shown = (64 << 10) / (LINE + "…".len()) as u64;
        assert_eq!(journal.lines().left_out, 1_000_000 - shown);
        let last = journal.close(0);
        assert_eq!(last.len(), KEPT);
        assert!(last.iter().all(|line| line.len() == LINE + "…".len()));
    }

    #[test]
    fn a_million_lines_of_a_stream_cost_no_text_each_once_the_budget_is_used() {
        for quiet in [false, true] {
            let journal = journal(1_000);
            journal.quiet(quiet);
            let bytes = "x\r\n".repeat(1_000_000);
            let before = allocations::bytes();
            journal.write(LogOrigin::Stdout, bytes.as_bytes());
            let spent = allocations::bytes() - before;
            assert!(spent < 1 << 20, "{spent} bytes were allocated");
            let left_out = if quiet { 0 } else { 1_000_000 - u64::from(LINES) };
            assert!(journal.lines().left_out.abs_diff(left_out) <= 1, "{}", journal.lines().left_out);
            assert_eq!(journal.close(0), ["x"; KEPT]);
        }
    }

    #[test]
    fn a_route_has_a_budget_of_lines_over_its_calls() {
        let (rate, start) = (LogRate::default(), Instant::now());
        let admitted = |now| (0..LINES * 3).filter(|_| rate.admits(now)).count();
        assert_eq!(admitted(start), LINES as usize);
        assert_eq!(admitted(start + Duration::from_secs(1)), LINES_PER_SECOND as usize);
        assert_eq!(admitted(start + Duration::from_millis(1_025)), 0);
        assert_eq!(admitted(start + Duration::from_millis(1_050)), 1, "parts of a second are not lost");
        assert_eq!(admitted(start + Duration::from_secs(86_400)), LINES as usize);
    }
}
