//! Bounds the log: of a warning or an error that comes again and again only the first is written, and then a line with the
//! count for each interval, as long as it comes.
//!
//! Lines are the same if they come from the same place of the program and are about the same things: route, code, output and so
//! on. Their texts may differ: those are often a producer's or a plugin's. The lines of plugins are bounded by the sandbox.

use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// How often the count of a line that comes again is written.
const INTERVAL: Duration = Duration::from_secs(60);
/// Lines that are told apart; further ones are counted by their place of the program alone.
const KEYS: usize = 1000;
/// Fields that say what a line is about. `why` has the reasons of an operator's own files: each is new to them.
const ABOUT: [&str; 14] = [
    "route", "code", "source", "output", "listener", "table", "what", "why", "plugin", "file", "path", "shard",
    "worker", "queue",
];
/// Fields that have the reason.
const REASONS: [&str; 3] = ["error", "reason", "fault"];
/// Fields with a number that is summed up over the lines that are left out.
const SUMMED: [&str; 3] = ["events", "lines", "messages"];
/// Most bytes of a text that is kept.
const TEXT: usize = 300;
/// The target of the lines with counts.
const TARGET: &str = "esclusa::repeated";

/// The filter of the layer that writes the log.
#[derive(Debug, Clone, Default)]
pub(super) struct Repeats(Arc<RepeatState>);

#[derive(Debug, Default)]
struct RepeatState {
    lines: Mutex<BTreeMap<LineKey, RepeatedLine>>,
    /// There is a line whose interval has an end.
    begun: Condvar,
}

/// The place of the program, and what the line is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LineKey(&'static str, String);

#[derive(Debug, Clone)]
struct RepeatedLine {
    since: Instant,
    level: Level,
    message: String,
    /// Lines that were left out in this interval.
    left_out: u64,
    /// The sum of a field of theirs.
    sum: u64,
    last: String,
}

/// A line as the filter reads it.
#[derive(Debug, Default)]
struct SeenLine {
    message: String,
    about: String,
    reason: String,
    number: u64,
}

impl Visit for SeenLine {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let (name, mut text) = (field.name(), Bounded::default());
        // A text that is cut ends with an error, which says nothing.
        let _ = write!(text, "{value:?}");
        self.take(name, &text.0);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.get(..value.floor_char_boundary(TEXT)).unwrap_or_default());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if SUMMED.contains(&field.name()) {
            self.number = value;
        }
    }
}

impl SeenLine {
    fn take(&mut self, name: &str, text: &str) {
        if name == "message" {
            text.clone_into(&mut self.message);
        } else if ABOUT.contains(&name) {
            let space = if self.about.is_empty() { "" } else { " " };
            self.about = format!("{}{space}{name}={text}", self.about);
        } else if REASONS.contains(&name) {
            text.clone_into(&mut self.reason);
        }
    }
}

/// A text that takes no more than [`TEXT`] bytes.
#[derive(Default)]
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let room = TEXT.saturating_sub(self.0.len());
        self.0.push_str(part.get(..part.floor_char_boundary(room)).unwrap_or_default());
        if part.len() > room { Err(std::fmt::Error) } else { Ok(()) }
    }
}

impl RepeatState {
    /// True if the line is to be written; otherwise it is counted.
    fn admits(&self, place: &'static str, level: Level, seen: SeenLine, now: Instant) -> bool {
        let mut lines = self.lines.lock();
        let mut key = LineKey(place, seen.about);
        if lines.len() >= KEYS && !lines.contains_key(&key) {
            key.1.clear();
        }
        if let Some(line) = lines.get_mut(&key) {
            line.left_out = line.left_out.saturating_add(1);
            line.sum = line.sum.saturating_add(seen.number);
            line.last = seen.reason;
            return false;
        }
        let (message, last) = (seen.message, String::new());
        lines.insert(key, RepeatedLine { since: now, level, message, left_out: 0, sum: 0, last });
        self.begun.notify_one();
        true
    }

    /// The lines whose interval is over at `now` and that came again in it; those that did not are new when they come next.
    fn over(&self, now: Instant) -> Vec<(LineKey, RepeatedLine)> {
        let mut told = Vec::new();
        self.lines.lock().retain(|key, line| {
            if now.saturating_duration_since(line.since) < INTERVAL {
                return true;
            }
            if line.left_out == 0 {
                return false;
            }
            told.push((key.clone(), line.clone()));
            (line.since, line.left_out, line.sum) = (now, 0, 0);
            true
        });
        told
    }

    /// Waits until the interval of some line is over.
    fn wait(&self) {
        let mut lines = self.lines.lock();
        loop {
            match lines.values().map(|line| line.since + INTERVAL).min() {
                None => self.begun.wait(&mut lines),
                Some(end) if end <= Instant::now() => return,
                Some(end) => drop(self.begun.wait_until(&mut lines, end)),
            }
        }
    }

    /// All lines that came again since their counts were told.
    fn rest(&self) -> Vec<(LineKey, RepeatedLine)> {
        std::mem::take(&mut *self.lines.lock()).into_iter().filter(|(_, line)| line.left_out > 0).collect()
    }
}

fn tell(told: Vec<(LineKey, RepeatedLine)>) {
    for (LineKey(_, about), RepeatedLine { level, message: line, left_out, sum, last, since }) in told {
        let seconds = since.elapsed().as_secs();
        // A level is part of the place of the program.
        if level == Level::ERROR {
            tracing::error!(target: TARGET, line, about, left_out, sum, seconds, last, "the same again");
        } else {
            tracing::warn!(target: TARGET, line, about, left_out, sum, seconds, last, "the same again");
        }
    }
}

/// The filter of the log that was started.
static STARTED: OnceLock<Repeats> = OnceLock::new();

impl Repeats {
    /// A filter, and a thread that tells the counts.
    pub(super) fn start() -> Self {
        let repeats = STARTED.get_or_init(Repeats::default).clone();
        let state = repeats.0.clone();
        let tells = move || {
            loop {
                state.wait();
                tell(state.over(Instant::now()));
            }
        };
        // Without the thread the counts are told at the end only.
        drop(std::thread::Builder::new().name("esclusa-log".to_owned()).spawn(tells));
        repeats
    }
}

/// Tells the counts that were not told yet, before the process ends.
pub(crate) fn finish() {
    if let Some(repeats) = STARTED.get() {
        tell(repeats.0.rest());
    }
}

impl<S> Filter<S> for Repeats {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || matches!(metadata.target(), TARGET | "guest") {
            return true;
        }
        let mut seen = SeenLine::default();
        event.record(&mut seen);
        self.0.admits(metadata.name(), *metadata.level(), seen, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(about: &str, reason: &str) -> SeenLine {
        SeenLine { message: "m".to_owned(), about: about.to_owned(), reason: reason.to_owned(), number: 2 }
    }

    #[test]
    fn the_first_is_written_and_the_others_are_counted_once_an_interval_as_long_as_they_come() {
        let (state, start) = (RepeatState::default(), Instant::now());
        assert!(state.admits("here", Level::ERROR, seen("route=a", "1"), start));
        for n in 0..5000 {
            assert!(!state.admits("here", Level::ERROR, seen("route=a", &n.to_string()), start));
        }
        assert!(state.admits("here", Level::ERROR, seen("route=b", "1"), start), "another route");
        assert!(state.admits("there", Level::ERROR, seen("route=a", "1"), start), "another line");
        assert!(state.over(start + INTERVAL / 2).is_empty());
        let told = state.over(start + INTERVAL);
        let [(LineKey("here", about), line)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((about.as_str(), line.left_out, line.sum, line.last.as_str()), ("route=a", 5000, 10_000, "4999"));
        // It goes on: counted, not written.
        assert!(!state.admits("here", Level::ERROR, seen("route=a", "x"), start + INTERVAL));
        assert_eq!(state.over(start + INTERVAL * 2)[0].1.left_out, 1);
        // It has not come for an interval: the next one is the first.
        assert!(state.over(start + INTERVAL * 3).is_empty());
        assert!(state.admits("here", Level::ERROR, seen("route=a", "y"), start + INTERVAL * 3));
    }

    #[test]
    fn no_text_makes_it_grow_without_bounds() {
        let (state, start) = (RepeatState::default(), Instant::now());
        let written = (0..50_000).filter(|n| {
            let about = format!("file={n}");
            state.admits("here", Level::WARN, seen(&about, ""), start)
        });
        assert_eq!(written.count(), KEYS + 1);
        assert_eq!(state.lines.lock().len(), KEYS + 1);
        let mut cut = Bounded::default();
        assert!(write!(cut, "{}", "ä".repeat(TEXT)).is_err());
        assert_eq!(cut.0.len(), TEXT);
    }

    #[test]
    fn the_rest_is_told_at_the_end() {
        let (state, start) = (RepeatState::default(), Instant::now());
        for _ in 0..3 {
            state.admits("here", Level::WARN, seen("", ""), start);
        }
        assert_eq!(state.rest().iter().map(|(_, line)| line.left_out).collect::<Vec<_>>(), [2]);
        assert!(state.rest().is_empty());
    }
}
