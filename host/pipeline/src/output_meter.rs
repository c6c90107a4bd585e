//! Meters of a route's outputs outside of the engine: how many messages wait, since when, the last error, and when they are tried
//! again. For status, metrics and the log.
//!
//! An output has a line in the log as soon as it fails, then ever more rarely, and one when it works again: by output, never by
//! message. Messages themselves are not kept here, only their number.

use crate::meter::{LastError, timestamp_now, worth_logging};
use esclusa_flow::outbox::{SendAttempt, SendObserver};
use esclusa_flow::timestamp::Timestamp;
use esclusa_flow::verdict::cut;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The code of errors of sending messages.
pub(crate) const SEND: &str = "outbox.send";

/// Failures that follow each other within this time are logged ever more rarely, also if the output works in between.
const QUIET: Duration = Duration::from_secs(60);

/// Most bytes of an error that are kept.
const LONGEST: usize = 500;

/// The messages of one output at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct OutputReading {
    /// Messages that wait to be sent, or are being sent.
    pub pending: u64,
    /// Since when the oldest of them waits; messages of an earlier run wait since this run began.
    pub oldest: Option<Timestamp>,
    /// When those that failed are tried again: the next of them.
    pub next_try: Option<Timestamp>,
    /// Messages sent.
    pub sent: u64,
    /// Messages given up: they are dead letters.
    pub given_up: u64,
    /// Tries of messages that failed.
    pub failed_tries: u64,
    /// Tries that failed since the output last worked; 0: it works.
    pub failed_in_a_row: u32,
    /// The last error.
    pub last_error: Option<LastError>,
}

/// The outputs of a route.
#[derive(Debug)]
pub struct OutputMeters {
    route: Arc<str>,
    outputs: BTreeMap<String, Mutex<OutputMeter>>,
    /// All outputs that are not in routes.toml any more, but have recorded messages.
    gone: Mutex<OutputMeter>,
}

/// One output.
#[derive(Debug, Default)]
struct OutputMeter {
    reading: OutputReading,
    /// Outboxes with messages that wait, by number.
    waiting: BTreeMap<u64, WaitingOutbox>,
    number: u64,
    /// How many of them have messages that failed and are tried again.
    failing: usize,
    failures: LogThrottle,
    letters: LogThrottle,
}

/// The messages of an outbox that wait.
#[derive(Debug)]
struct WaitingOutbox {
    since: Timestamp,
    left: u64,
    failing: bool,
    next: Option<Timestamp>,
    /// A line of the log is due, once the time of the next try is known.
    log_due: bool,
}

/// Thins out repeated lines of the log.
#[derive(Debug, Default)]
struct LogThrottle {
    times: u32,
    last: Timestamp,
    /// A line was logged since the output last worked.
    logged: bool,
}

impl LogThrottle {
    /// True if this failure is worth a line. `goes_on`: the output has not worked since the last failure.
    fn worth(&mut self, now: Timestamp, goes_on: bool) -> bool {
        if !goes_on && now.since(self.last) > QUIET {
            self.times = 0;
        }
        let worth = worth_logging(self.times);
        (self.times, self.last, self.logged) = (self.times.saturating_add(1), now, self.logged || worth);
        worth
    }
}

/// A change of an output that is worth a line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
enum OutputChange {
    /// It fails: tries in a row so far, and messages that wait.
    Fails { attempt: u32, pending: u64, error: String },
    /// Messages were given up, so many at once.
    GaveUp { messages: usize, error: String },
    /// It works again, after so many failed tries.
    Works { failed: u32 },
}

impl OutputMeter {
    fn waiting(&mut self, messages: u64, now: Timestamp) -> u64 {
        self.number = self.number.saturating_add(1);
        let waiting = WaitingOutbox { since: now, left: messages, failing: false, next: None, log_due: false };
        self.waiting.insert(self.number, waiting);
        self.reading.pending = self.reading.pending.saturating_add(messages);
        self.number
    }

    fn tried(&mut self, number: u64, tried: &SendAttempt<'_>, now: Timestamp) -> Vec<OutputChange> {
        let SendAttempt { sent, failed, given_up, fault } = *tried;
        let kept = failed > given_up;
        self.end(number, sent.saturating_add(given_up) as u64, kept);
        let reading = &mut self.reading;
        reading.sent = reading.sent.saturating_add(sent as u64);
        reading.given_up = reading.given_up.saturating_add(given_up as u64);
        reading.failed_tries = reading.failed_tries.saturating_add(failed as u64);
        let error = fault.map(|fault| cut(&fault.to_string(), LONGEST)).unwrap_or_default();
        if failed > 0 {
            reading.last_error = Some(LastError { at: now, code: SEND.to_owned(), message: error.clone() });
        }
        let (mut changes, goes_on) = (Vec::new(), reading.failed_in_a_row > 0);
        // It works again only once no other lane's messages are failing: lanes share an output, and one may send while the next
        // is refused.
        if sent > 0 && self.failing == 0 {
            let before = std::mem::take(&mut reading.failed_in_a_row);
            if std::mem::take(&mut self.failures.logged) && goes_on {
                changes.push(OutputChange::Works { failed: before });
            }
        } else if failed > 0 {
            reading.failed_in_a_row = reading.failed_in_a_row.saturating_add(1);
        }
        if given_up > 0 && self.letters.worth(now, goes_on) {
            changes.push(OutputChange::GaveUp { messages: given_up, error });
        }
        if kept && let Some(waiting) = self.waiting.get_mut(&number) {
            waiting.log_due = self.failures.worth(now, goes_on);
        }
        changes
    }

    /// So many messages of an outbox wait no more; `failing`: other messages of the outbox have failed.
    fn end(&mut self, number: u64, messages: u64, failing: bool) {
        let Some(waiting) = self.waiting.get_mut(&number) else { return };
        let messages = messages.min(waiting.left);
        self.reading.pending = self.reading.pending.saturating_sub(messages);
        waiting.left = waiting.left.saturating_sub(messages);
        let failing = failing && waiting.left > 0;
        self.failing = self.failing.saturating_add(usize::from(failing)).saturating_sub(usize::from(waiting.failing));
        (waiting.failing, waiting.next, waiting.log_due) = (failing, None, false);
        if waiting.left == 0 {
            self.waiting.remove(&number);
        }
    }

    fn again(&mut self, number: u64, next: Timestamp) -> Option<OutputChange> {
        let waiting = self.waiting.get_mut(&number)?;
        waiting.next = Some(next);
        let error = self.reading.last_error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
        let (attempt, pending) = (self.reading.failed_in_a_row, self.reading.pending);
        std::mem::take(&mut waiting.log_due).then_some(OutputChange::Fails { attempt, pending, error })
    }

    fn forgotten(&mut self, number: u64) {
        let left = self.waiting.get(&number).map_or(0, |waiting| waiting.left);
        self.end(number, left, false);
    }

    fn read(&self) -> OutputReading {
        OutputReading {
            oldest: self.waiting.values().next().map(|waiting| waiting.since),
            next_try: self.waiting.values().filter_map(|waiting| waiting.next).min(),
            ..self.reading.clone()
        }
    }
}

impl OutputMeters {
    /// Outputs with these names; nothing waits.
    #[must_use]
    pub fn of<'a>(route: &Arc<str>, outputs: impl IntoIterator<Item = &'a String>) -> Arc<Self> {
        let outputs = outputs.into_iter().map(|name| (name.clone(), Mutex::default())).collect();
        Arc::new(OutputMeters { route: route.clone(), outputs, gone: Mutex::default() })
    }

    /// An output at this moment; `None`: there is none of this name.
    #[must_use]
    pub fn read(&self, output: &str) -> Option<OutputReading> {
        Some(lock(self.outputs.get(output)?).read())
    }

    /// Messages that wait, over all outputs.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let all = self.outputs.values().chain([&self.gone]);
        all.fold(0, |sum: u64, meter| sum.saturating_add(lock(meter).reading.pending))
    }

    /// A message was sent that did not wait here: a redrive of one that was given up.
    pub fn sent(&self, output: &str) {
        let number = self.waiting(output, 1);
        self.tried(output, number, &SendAttempt { sent: 1, failed: 0, given_up: 0, fault: None });
    }

    fn meter(&self, output: &str) -> MutexGuard<'_, OutputMeter> {
        lock(self.outputs.get(output).unwrap_or(&self.gone))
    }

    fn log(&self, output: &str, change: OutputChange, wait: Duration) {
        let route = &self.route;
        match change {
            OutputChange::Fails { attempt, pending, error } => {
                let next = format!("{:.1} s", wait.as_secs_f64());
                tracing::warn!(%route, output, error, attempt, pending, next, "an output does not take messages; trying again");
            }
            OutputChange::GaveUp { messages, error } => {
                tracing::error!(%route, output, messages, error, "messages were given up; see `esclusa dlq ls`");
            }
            OutputChange::Works { failed } => tracing::info!(%route, output, failed, "the output takes messages again"),
        }
    }
}

fn lock(meter: &Mutex<OutputMeter>) -> MutexGuard<'_, OutputMeter> {
    meter.lock()
}

impl SendObserver for OutputMeters {
    fn waiting(&self, output: &str, messages: usize) -> u64 {
        self.meter(output).waiting(messages as u64, timestamp_now())
    }

    fn tried(&self, output: &str, number: u64, tried: &SendAttempt<'_>) {
        let changes = self.meter(output).tried(number, tried, timestamp_now());
        changes.into_iter().for_each(|change| self.log(output, change, Duration::ZERO));
    }

    fn again(&self, output: &str, number: u64, wait: Duration) {
        let next = timestamp_now().after(wait);
        let change = self.meter(output).again(number, next);
        if let Some(change) = change {
            self.log(output, change, wait);
        }
    }

    fn forgotten(&self, output: &str, number: u64) {
        self.meter(output).forgotten(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_flow::fault::Fault;

    const NO: SendAttempt<'_> = SendAttempt { sent: 0, failed: 1, given_up: 0, fault: None };

    fn sent(sent: usize) -> SendAttempt<'static> {
        SendAttempt { sent, failed: 0, given_up: 0, fault: None }
    }

    fn gave_up(given_up: usize) -> SendAttempt<'static> {
        SendAttempt { sent: 0, failed: given_up, given_up, fault: None }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Fails once more, at a time; true if the log has a line of it.
    fn fail(meter: &mut OutputMeter, number: u64, now: Timestamp) -> bool {
        assert_eq!(meter.tried(number, &NO, now), []);
        meter.again(number, now.after(Duration::from_millis(10))).is_some()
    }

    #[test]
    fn messages_wait_from_when_they_are_recorded_until_they_are_sent_or_given_up() {
        let mut meter = OutputMeter::default();
        let (first, second) = (meter.waiting(3, at(100)), meter.waiting(2, at(200)));
        let waits = |meter: &OutputMeter| (meter.read().pending, meter.read().oldest, meter.read().next_try);
        assert_eq!(waits(&meter), (5, Some(at(100)), None), "also while the first try hangs");
        let fault = Fault::Transient("x".repeat(2000));
        meter.tried(first, &SendAttempt { sent: 1, failed: 1, given_up: 0, fault: Some(&fault) }, at(300));
        meter.again(first, at(400));
        assert_eq!(waits(&meter), (4, Some(at(100)), Some(at(400))));
        let error = meter.read().last_error.unwrap();
        assert_eq!((error.at, error.code.as_str(), error.message), (at(300), "outbox.send", "x".repeat(LONGEST) + "…"));
        meter.tried(first, &gave_up(2), at(500));
        assert_eq!(waits(&meter), (2, Some(at(200)), None));
        meter.tried(second, &sent(2), at(600));
        assert_eq!(waits(&meter), (0, None, None));
        let OutputReading { sent, given_up, failed_tries, failed_in_a_row, .. } = meter.read();
        assert_eq!((sent, given_up, failed_tries, failed_in_a_row), (3, 2, 3, 0));
        assert!(meter.waiting.is_empty() && meter.failing == 0);
    }

    #[test]
    fn an_output_that_fails_is_logged_at_once_then_ever_more_rarely_and_once_when_it_works() {
        let mut meter = OutputMeter::default();
        // Over several lanes: failures are counted by output.
        let numbers: Vec<u64> = (0..4).map(|_| meter.waiting(1, at(0))).collect();
        let logged = (0..1000).filter(|n| fail(&mut meter, numbers[n % 4], at(*n as u64 * 100_000))).count();
        assert_eq!(logged, 10, "the first, second, fourth … of 1000");
        for number in &numbers[1..] {
            assert_eq!(meter.tried(*number, &sent(1), at(0)), [], "another one still fails");
        }
        assert_eq!(meter.read().failed_in_a_row, 1000);
        assert_eq!(meter.tried(numbers[0], &sent(1), at(0)), [OutputChange::Works { failed: 1000 }]);
        assert_eq!(meter.read().failed_in_a_row, 0);
        let next = meter.waiting(1, at(0));
        assert_eq!(meter.tried(next, &sent(1), at(0)), []);
    }

    #[test]
    fn one_that_fails_and_works_by_turns_does_not_fill_the_log() {
        let (mut meter, mut lines) = (OutputMeter::default(), 0);
        for n in 0..1000 {
            let number = meter.waiting(2, at(n));
            lines += usize::from(fail(&mut meter, number, at(n))) + meter.tried(number, &sent(2), at(n)).len();
            let number = meter.waiting(1, at(n));
            lines += meter.tried(number, &gave_up(1), at(n)).len();
        }
        assert!(lines < 50, "{lines}");
        let number = meter.waiting(1, at(0));
        assert_eq!(meter.tried(number, &sent(1), at(2000)), []);
        let number = meter.waiting(1, at(0));
        assert!(fail(&mut meter, number, at(2000).after(QUIET)), "after a while it is news again");
    }

    #[test]
    fn an_output_that_refuses_everything_fails_although_nothing_waits() {
        let mut meter = OutputMeter::default();
        let refuse = |meter: &mut OutputMeter| {
            let number = meter.waiting(1, at(0));
            meter.tried(number, &gave_up(1), at(0)).len()
        };
        let lines: usize = (0..100).map(|_| refuse(&mut meter)).sum();
        assert_eq!((lines, meter.read().failed_in_a_row, meter.read().pending), (7, 100, 0));
        // One bad message among good ones says nothing of the output.
        let number = meter.waiting(2, at(0));
        meter.tried(number, &SendAttempt { sent: 1, failed: 1, given_up: 1, fault: None }, at(0));
        assert_eq!(meter.read().failed_in_a_row, 0);
    }

    #[test]
    fn what_is_forgotten_waits_no_more_and_stands_in_the_way_of_nothing() {
        let mut meter = OutputMeter::default();
        let (dropped, other) = (meter.waiting(5, at(0)), meter.waiting(1, at(0)));
        assert!(fail(&mut meter, dropped, at(0)));
        meter.forgotten(dropped);
        meter.forgotten(dropped);
        assert_eq!(meter.read().pending, 1);
        assert_eq!(meter.tried(other, &sent(1), at(0)), [OutputChange::Works { failed: 1 }]);
    }
}
