//! Messages on their way to their sinks, from try to try. The caller waits between tries, and keeps the messages meanwhile: recorded in an
//! engine, or in memory only.

use crate::dead_letter::{DeadLetter, OutboxOrigin};
use crate::effect::OutboxMessage;
use crate::engine::{Commit, SendError, Sink};
use crate::fault::Fault;
use crate::retry::{Backoff, mix_text};
use crate::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Observes the messages of a route on their way, output by output: for meters and logs.
pub trait SendObserver: Send + Sync {
    /// So many messages of an outbox wait to be sent to an output. Returns a number that names them in the other methods.
    fn waiting(&self, output: &str, messages: usize) -> u64;

    /// The messages were tried.
    fn tried(&self, output: &str, number: u64, tried: &SendAttempt<'_>);

    /// The messages that are left are tried again after so long.
    fn again(&self, output: &str, number: u64, wait: Duration);

    /// The messages that are left are not sent any more: their commit did not happen, and its events are called again or not.
    fn forgotten(&self, output: &str, number: u64);
}

/// The result of one try to send an outbox's messages to one output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendAttempt<'a> {
    /// How many were sent.
    pub sent: usize,
    /// How many failed, without those that had to wait for another message.
    pub failed: usize,
    /// How many of the failed ones were given up.
    pub given_up: usize,
    /// Why they failed: the fault of a message that is tried again, if there is one; else that of a message that was given up.
    pub fault: Option<&'a Fault>,
}

/// Observes nothing.
impl SendObserver for () {
    fn waiting(&self, _: &str, _: usize) -> u64 {
        0
    }

    fn tried(&self, _: &str, _: u64, _: &SendAttempt<'_>) {}

    fn again(&self, _: &str, _: u64, _: Duration) {}

    fn forgotten(&self, _: &str, _: u64) {}
}

/// Messages of one commit that are still to be sent, and those that were given up.
pub struct Outbox {
    /// Messages still to be sent, in order for each output.
    left: Vec<OutboxMessage>,
    /// Failed tries of those that have any, by message id.
    tries: BTreeMap<String, u32>,
    /// Dead letters of the messages that were given up.
    pub dead: Vec<DeadLetter>,
    observer: Arc<dyn SendObserver>,
    /// The observer's number for the messages of each output.
    numbers: BTreeMap<String, u64>,
    /// True if the messages are recorded: they wait on if this is dropped.
    recorded: bool,
}

/// How long to wait before the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryWait {
    /// The number of the wait: failed tries so far, less one, of the message that has most.
    pub round: u32,
    /// The longest wait that an output asked for.
    pub least: Duration,
}

impl RetryWait {
    /// The wait of all messages of the outbox. An output that asks for more than the longest wait of `backoff` does not get
    /// it: messages for other outputs wait as well.
    #[must_use]
    pub fn wait(self, backoff: &Backoff, seed: u64) -> Duration {
        backoff.wait(self.round, seed).max(self.least.min(backoff.max))
    }
}

impl Outbox {
    /// Messages that are forgotten if this is dropped. Nothing is sent yet.
    #[must_use]
    pub fn new(messages: Vec<OutboxMessage>, observer: Arc<dyn SendObserver>) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for message in &messages {
            let count = counts.entry(&message.send.output).or_default();
            *count = count.saturating_add(1);
        }
        let number = |(output, count): (&str, usize)| (output.to_owned(), observer.waiting(output, count));
        let numbers = counts.into_iter().map(number).collect();
        Outbox { left: messages, tries: BTreeMap::new(), dead: Vec::new(), observer, numbers, recorded: false }
    }

    /// Messages that are recorded elsewhere: they wait on if this is dropped.
    #[must_use]
    pub fn recorded(messages: Vec<OutboxMessage>, observer: Arc<dyn SendObserver>) -> Self {
        let mut outbox = Outbox::new(messages, observer);
        outbox.recorded = true;
        outbox
    }

    /// How many messages were not sent: those that are still to be, and those that were given up.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.left.len().saturating_add(self.dead.len())
    }

    /// Tries to send each message that is left once, output by output and in order; calls `failed` for each that failed. A message
    /// is given up if its output refuses it for good, or after `retries` retries; one that had to wait for another message has
    /// used up no try. `None`: no message is left.
    pub async fn attempt(
        &mut self,
        sinks: &BTreeMap<String, Arc<dyn Sink>>,
        sender: &OutboxOrigin<'_>,
        retries: Option<u32>,
        mut failed: impl FnMut(&OutboxMessage, &Fault),
    ) -> Option<RetryWait> {
        let mut again = RetryWait { round: 0, least: Duration::ZERO };
        let mut rest = std::mem::take(&mut self.left);
        while let Some(first) = rest.first() {
            let output = first.send.output.clone();
            let (mine, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|m| m.send.output == output);
            rest = others;
            let results = match sinks.get(&output) {
                Some(sink) => sink.send(&mine).await,
                None => {
                    let fault = Fault::Permanent("it is not in routes.toml any more".to_owned());
                    vec![Err(fault.into()); mine.len()]
                }
            };
            let mut results = results.into_iter();
            let (mut sent, mut failures, dead, mut why) = (0, 0, self.dead.len(), None);
            for message in mine {
                let fault = match results.next() {
                    Some(Ok(())) => {
                        sent += 1;
                        continue;
                    }
                    Some(Err(SendError::NotTried)) => {
                        self.left.push(message);
                        continue;
                    }
                    Some(Err(SendError::Failed(fault))) => fault,
                    None => Fault::Bug("a sink gave too few results".to_owned()),
                };
                failed(&message, &fault);
                failures += 1;
                let kept = self.keep_or_give_up(message, &fault, sender, retries, &mut again);
                // A fault that keeps messages back matters more to an operator than one bad message.
                if why.is_none() || kept {
                    why = Some(fault);
                }
            }
            let given_up = self.dead.len().saturating_sub(dead);
            self.report(&output, &SendAttempt { sent, failed: failures, given_up, fault: why.as_ref() });
        }
        (!self.left.is_empty()).then_some(again)
    }

    /// Gives up a message that failed, or keeps it for another try; true if it is kept.
    fn keep_or_give_up(
        &mut self,
        message: OutboxMessage,
        fault: &Fault,
        sender: &OutboxOrigin<'_>,
        retries: Option<u32>,
        again: &mut RetryWait,
    ) -> bool {
        let before = self.tries.get(&message.id).copied().unwrap_or_default();
        let tries = before.saturating_add(1);
        if matches!(fault, Fault::Permanent(_)) || retries.is_some_and(|retries| before >= retries) {
            self.dead.push(DeadLetter::of_message(sender, message, fault, tries));
            return false;
        }
        if let Fault::Throttled { after, .. } = fault {
            again.least = again.least.max(*after);
        }
        again.round = again.round.max(before);
        self.tries.insert(message.id.clone(), tries);
        self.left.push(message);
        true
    }

    fn report(&self, output: &str, tried: &SendAttempt<'_>) {
        if let Some(number) = self.numbers.get(output) {
            self.observer.tried(output, *number, tried);
        }
    }

    /// Reports to the observer that the messages that are left are tried again after so long.
    pub fn waits(&self, wait: Duration) {
        for (output, number) in &self.numbers {
            if self.left.iter().any(|message| message.send.output == *output) {
                self.observer.again(output, *number, wait);
            }
        }
    }
}

/// Sends the messages of a commit before the commit, for engines whose source keeps its position elsewhere. A crash in between sends
/// them again, with the same ids.
pub struct CommitSender {
    /// Outputs by their name in routes.toml.
    pub sinks: BTreeMap<String, Arc<dyn Sink>>,
    /// Is notified of the results.
    pub observer: Arc<dyn SendObserver>,
    /// Waits between tries; none is longer than 30 seconds.
    pub backoff: Backoff,
}

/// The longest wait between tries to send before a commit: the lane waits as well, however long ago its receiver came back.
const LONGEST: Duration = Duration::from_secs(30);

impl CommitSender {
    /// Sends `messages`, those of `commit`, until each is confirmed or refused for good; gives the dead letters of the refused ones.
    /// It does not give up by itself: the letter would be kept before the commit, which may not happen, or happen with another
    /// message. `now` tells the time, and `sleep` waits. Dropping the future leaves the batch undone: it is delivered again.
    pub async fn send<W: Future<Output = ()>>(
        &self,
        messages: Vec<OutboxMessage>,
        commit: &Commit,
        now: impl Fn() -> Timestamp,
        sleep: impl Fn(Duration) -> W,
    ) -> Vec<DeadLetter> {
        let backoff = Backoff { max: self.backoff.max.min(LONGEST), ..self.backoff };
        let seed = messages.first().map_or(0, |first| mix_text(&first.id));
        let mut outbox = Outbox::new(messages, self.observer.clone());
        loop {
            let Some(again) = outbox.attempt(&self.sinks, &commit.sender(now()), None, |_, _| {}).await else {
                return std::mem::take(&mut outbox.dead);
            };
            let wait = again.wait(&backoff, seed);
            outbox.waits(wait);
            sleep(wait).await;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if !self.recorded {
            self.numbers.iter().for_each(|(output, number)| self.observer.forgotten(output, *number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoxFuture;
    use crate::dead_letter::Handler;
    use crate::effect::SendMessage;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    /// Gives these results, and then nothing.
    struct Scripted(Mutex<Vec<Result<(), SendError>>>, Mutex<Vec<String>>);

    impl Sink for Scripted {
        fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
            self.1.lock().unwrap().extend(messages.iter().map(|m| m.id.clone()));
            let mut results = self.0.lock().unwrap();
            let some = messages.len().min(results.len());
            Box::pin(std::future::ready(results.drain(..some).collect()))
        }
    }

    /// The calls of an observer, a line each.
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Heard {
        fn note(&self, line: String) {
            self.0.lock().unwrap().push(line);
        }
    }

    impl SendObserver for Heard {
        fn waiting(&self, output: &str, messages: usize) -> u64 {
            self.note(format!("{output}: {messages} wait"));
            7
        }

        fn tried(&self, output: &str, number: u64, tried: &SendAttempt<'_>) {
            let SendAttempt { sent, failed, given_up, fault } = tried;
            let fault = fault.map(Fault::to_string).unwrap_or_default();
            assert_eq!(number, 7);
            self.note(format!("{output}: {sent} sent, {failed} failed, {given_up} given up: {fault}"));
        }

        fn again(&self, output: &str, _: u64, wait: Duration) {
            self.note(format!("{output}: again after {} s", wait.as_secs()));
        }

        fn forgotten(&self, output: &str, _: u64) {
            self.note(format!("{output}: forgotten"));
        }
    }

    #[test]
    fn what_is_recorded_waits_on_when_nobody_sends_it_and_what_is_not_is_forgotten() {
        let heard = Arc::new(Heard::default());
        drop(Outbox::recorded(vec![message("1", "out")], heard.clone()));
        assert_eq!(*heard.0.lock().unwrap(), ["out: 1 wait"]);
        drop(Outbox::new(vec![message("1", "out")], heard.clone()));
        assert_eq!(heard.0.lock().unwrap().last().unwrap(), "out: forgotten");
    }

    fn message(id: &str, output: &str) -> OutboxMessage {
        let send = SendMessage { output: output.into(), key: Some("k".into()), data: vec![1], attributes: Vec::new() };
        OutboxMessage { id: id.into(), send }
    }

    fn attempt(outbox: &mut Outbox, sink: &Arc<Scripted>, retries: Option<u32>) -> (Option<RetryWait>, usize) {
        let sinks = BTreeMap::from([("out".to_owned(), sink.clone() as Arc<dyn Sink>)]);
        let handler = Handler { kind: "queue".into(), plugin: "p.wasm".into(), digest: "d".into() };
        let sender =
            OutboxOrigin { route: "r", source: "s", lane: "l", handler: &handler, now: Timestamp::from_millis(7) };
        let mut failures = 0;
        let again = match pin!(outbox.attempt(&sinks, &sender, retries, |_, _| failures += 1))
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(again) => again,
            Poll::Pending => panic!("nothing here waits"),
        };
        (again, failures)
    }

    #[test]
    fn what_failed_for_now_is_left_in_order_and_what_is_refused_is_a_whole_letter() {
        let slow = Fault::Throttled { after: Duration::from_secs(3), reason: "slow".into() };
        let results = vec![Err(slow.into()), Ok(()), Err(Fault::Permanent("never".into()).into()), Ok(()), Ok(())];
        let sink = Arc::new(Scripted(Mutex::new(results), Mutex::default()));
        let heard = Arc::new(Heard::default());
        let mut outbox = Outbox::new(
            vec![
                message("1", "out"),
                message("x", "gone"),
                message("2", "out"),
                message("3", "out"),
                message("4", "out"),
            ],
            heard.clone(),
        );
        let (again, failures) = attempt(&mut outbox, &sink, None);
        assert_eq!((again, failures), (Some(RetryWait { round: 0, least: Duration::from_secs(3) }), 3));
        assert_eq!((outbox.left.len(), outbox.unsent()), (1, 3));
        outbox.waits(Duration::from_secs(3));
        assert_eq!(attempt(&mut outbox, &sink, None), (None, 0));
        assert_eq!(
            *heard.0.lock().unwrap(),
            [
                "gone: 1 wait",
                "out: 4 wait",
                "out: 2 sent, 2 failed, 1 given up: throttled: slow",
                "gone: 0 sent, 1 failed, 1 given up: it is not in routes.toml any more",
                "out: again after 3 s",
                "out: 1 sent, 0 failed, 0 given up: ",
            ]
        );
        assert_eq!(*sink.1.lock().unwrap(), ["1", "2", "3", "4", "1"]);
        let events: Vec<_> = outbox.dead.iter().map(|l| (l.event.as_str(), l.output.as_deref(), l.attempts)).collect();
        assert_eq!(events, [("3", Some("out"), 1), ("x", Some("gone"), 1)]);
        let letter = &outbox.dead[0];
        assert_eq!((&*letter.kind, &*letter.plugin, &*letter.digest, &*letter.lane), ("queue", "p.wasm", "d", "l"));
        assert_eq!((&*letter.key, letter.died.millis(), letter.data.as_slice()), ("k", 7, &[1][..]));
    }

    #[test]
    fn messages_of_a_commit_are_tried_until_they_are_taken_or_refused_with_the_waits_of_the_route() {
        let fail = || Err(Fault::Transient("no".into()).into());
        // A hundred times; then the first is taken, the second refused, and the third fails once more.
        let mut results: Vec<_> = (0..300).map(|_| fail()).collect();
        results.extend([Ok(()), Err(Fault::Permanent("never".into()).into()), fail(), Ok(())]);
        let sink: Arc<dyn Sink> = Arc::new(Scripted(Mutex::new(results), Mutex::default()));
        let backoff = Backoff { base: Duration::from_millis(10), max: Duration::from_millis(25) };
        let sender =
            CommitSender { sinks: BTreeMap::from([("out".to_owned(), sink)]), observer: Arc::new(()), backoff };
        let (time, waits) = (Mutex::new(7), Mutex::new(Vec::new()));
        let now = || Timestamp::from_millis(*time.lock().unwrap());
        let sleep = |wait: Duration| {
            *time.lock().unwrap() += 100;
            waits.lock().unwrap().push(wait);
            std::future::ready(())
        };
        let messages = ["1", "2", "3"].map(|id| message(id, "out")).into();
        let commit = commit();
        let sending = pin!(sender.send(messages, &commit, now, sleep));
        let Poll::Ready(dead) = sending.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nothing here waits");
        };
        let dead: Vec<_> = dead.iter().map(|letter| (&*letter.event, letter.died.millis(), letter.attempts)).collect();
        assert_eq!(dead, [("2", 7 + 100 * 100, 101)]);
        let waits = waits.lock().unwrap();
        assert_eq!(waits.len(), 101);
        assert!(waits[0] <= Duration::from_millis(10) && waits[99] > Duration::from_millis(10), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(25)));
    }

    #[test]
    fn a_lane_waits_half_a_minute_for_a_receiver_that_came_back_whatever_the_route_waits() {
        let results = vec![Err(Fault::Transient("no".into()).into()), Ok(())];
        let sink: Arc<dyn Sink> = Arc::new(Scripted(Mutex::new(results), Mutex::default()));
        let backoff = Backoff { base: Duration::from_secs(3_600), max: Duration::from_secs(43_200) };
        let sender =
            CommitSender { sinks: BTreeMap::from([("out".to_owned(), sink)]), observer: Arc::new(()), backoff };
        let waits = Mutex::new(Vec::new());
        let sleep = |wait: Duration| {
            waits.lock().unwrap().push(wait);
            std::future::ready(())
        };
        let (commit, messages) = (commit(), vec![message("1", "out")]);
        let sending = pin!(sender.send(messages, &commit, || Timestamp::from_millis(7), sleep));
        assert!(sending.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        let waits = waits.lock().unwrap();
        assert!(waits.len() == 1 && waits[0] <= Duration::from_secs(30), "{waits:?}");
    }

    fn commit() -> Commit {
        let handler = Handler { kind: "kinesis".into(), plugin: "p.wasm".into(), digest: "d".into() };
        Commit::empty("r".into(), "s".into(), "l".into(), handler)
    }

    #[test]
    fn an_output_is_waited_for_as_long_as_it_asks_and_no_longer_than_the_longest_wait() {
        let backoff = Backoff { base: Duration::from_millis(10), max: Duration::from_secs(5) };
        let wait = |seconds| RetryWait { round: 0, least: Duration::from_secs(seconds) }.wait(&backoff, 1);
        assert!(wait(0) <= Duration::from_millis(10));
        assert_eq!((wait(3), wait(86_400)), (Duration::from_secs(3), Duration::from_secs(5)));
    }

    #[test]
    fn what_waits_for_a_message_that_is_given_up_has_all_its_tries_left() {
        let fail = || Err(Fault::Transient("no".into()).into());
        let not_tried = || Err(SendError::NotTried);
        let results = vec![fail(), not_tried(), fail(), not_tried(), fail(), Ok(())];
        let sink = Arc::new(Scripted(Mutex::new(results), Mutex::default()));
        let mut outbox = Outbox::new(vec![message("poison", "out"), message("good", "out")], Arc::new(()));
        let wait = |round| Some(RetryWait { round, least: Duration::ZERO });
        assert_eq!(attempt(&mut outbox, &sink, Some(1)), (wait(0), 1));
        assert_eq!(attempt(&mut outbox, &sink, Some(1)), (wait(0), 1), "the poison is given up");
        assert_eq!((outbox.dead.len(), outbox.dead[0].attempts), (1, 2));
        assert_eq!(attempt(&mut outbox, &sink, Some(1)), (wait(0), 1), "its first try");
        assert_eq!(attempt(&mut outbox, &sink, Some(1)), (None, 0));
        assert_eq!(outbox.unsent(), 1);
    }

    #[test]
    fn a_message_is_given_up_after_its_retries_and_one_without_answer_is_kept() {
        let sink = Arc::new(Scripted(Mutex::default(), Mutex::default()));
        let mut outbox = Outbox::new(vec![message("1", "out")], Arc::new(()));
        for round in 0..2 {
            assert_eq!(attempt(&mut outbox, &sink, Some(2)).0, Some(RetryWait { round, least: Duration::ZERO }));
        }
        assert_eq!(attempt(&mut outbox, &sink, Some(2)).0, None);
        assert_eq!((outbox.dead.len(), outbox.dead[0].attempts), (1, 3));
    }
}
