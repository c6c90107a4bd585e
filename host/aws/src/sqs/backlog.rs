//! What a queue says of its backlog: whether it is drained, and whether it withholds messages.

use std::time::Duration;
use tokio::time::Instant;

/// How often a queue is asked at most.
pub const PAUSE: Duration = Duration::from_secs(1);
/// Messages in flight from which a queue may withhold others, and answers as if it were empty: the lower of the two
/// quotas that AWS has documented for FIFO queues (20,000 and 120,000; standard queues 120,000). Only a warning depends
/// on it. <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>, 2026-11.
const MANY_IN_FLIGHT: u64 = 20_000;

/// Numbers of messages, as far as SQS knows at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Ready to be received.
    pub visible: u64,
    /// Received, and neither deleted nor shown again.
    pub in_flight: u64,
    /// Sent with a delay that has not passed.
    pub delayed: u64,
}

impl Backlog {
    /// True where nothing will come without a new message from outside.
    pub fn drained(&self) -> bool {
        self.visible == 0 && self.in_flight == 0 && self.delayed == 0
    }

    /// True where an empty answer means that too much is in flight, not that nothing is there (reliability Q4).
    pub fn withheld(&self) -> bool {
        self.visible > 0 && self.in_flight >= MANY_IN_FLIGHT
    }
}

/// The last answer of a queue, shared by its workers, so that they ask at most once in [`PAUSE`].
#[derive(Debug, Default)]
pub struct Answers {
    asked: Option<Instant>,
    drained: bool,
}

/// What to make of an empty receive.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the queue.
    Ask,
    /// It is drained, or may not be.
    Known(bool),
}

impl Answers {
    /// What to do about an empty receive; where it says ask, the caller does.
    pub fn next(&mut self, now: Instant) -> Next {
        match self.asked {
            Some(asked) if now.saturating_duration_since(asked) < PAUSE => Next::Known(self.drained),
            _ => {
                (self.asked, self.drained) = (Some(now), false);
                Next::Ask
            }
        }
    }

    /// The queue's answer.
    pub fn answered(&mut self, drained: bool) {
        self.drained = drained;
    }

    /// Messages came: whatever was answered is out of date.
    pub fn outdated(&mut self) {
        self.drained = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_until_messages_come_and_no_question_follows_too_soon() {
        let (mut answers, start) = (Answers::default(), Instant::now());
        assert_eq!(answers.next(start), Next::Ask);
        answers.answered(true);
        assert_eq!(answers.next(start + PAUSE / 2), Next::Known(true));
        answers.outdated();
        assert_eq!(answers.next(start + PAUSE / 2), Next::Known(false));
        assert_eq!(answers.next(start + PAUSE), Next::Ask);
    }

    // Q4: with too much in flight, a receive is empty and no error.
    #[test]
    fn an_empty_answer_of_a_full_queue_is_told_from_a_blocked_group() {
        let full = Backlog { visible: 1, in_flight: 20_000, delayed: 0 };
        assert!(full.withheld() && !full.drained());
        let blocked = Backlog { visible: 500, in_flight: 50, delayed: 0 };
        assert!(!blocked.withheld() && !blocked.drained());
        assert!(Backlog::default().drained());
    }
}
