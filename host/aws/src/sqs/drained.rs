//! Whether a queue is drained, and whether it withholds messages, by the numbers of messages that SQS reports.

use std::time::Duration;
use tokio::time::Instant;

/// Least time between two requests to one queue.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// Messages in flight from which a queue may withhold others, and answers as if it were empty: the lower of the two
/// quotas that AWS has documented for FIFO queues (20,000 and 120,000; standard queues 120,000). Only a warning depends
/// on it. <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>, 2026-11.
const MANY_IN_FLIGHT: u64 = 20_000;

/// Numbers of messages, as far as SQS knows at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QueueBacklog {
    /// Ready to be received.
    pub visible: u64,
    /// Received, and neither deleted nor released.
    pub in_flight: u64,
    /// Sent with a delay that has not passed.
    pub delayed: u64,
}

impl QueueBacklog {
    /// True if nothing will come unless somebody sends a message.
    pub(crate) fn drained(&self) -> bool {
        self.visible == 0 && self.in_flight == 0 && self.delayed == 0
    }

    /// True if SQS answers a receive with nothing because too many messages are in flight (failures.md Q4).
    pub(crate) fn withheld(&self) -> bool {
        self.visible > 0 && self.in_flight >= MANY_IN_FLIGHT
    }
}

/// Whether a queue is drained, as far as a pull can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Nothing will come unless somebody sends a message.
    Yes,
    /// Messages exist that are hidden for now, or come soon.
    No,
    /// To be asked at this time again: the last question is too recent.
    AskAt(Instant),
}

/// The last answer of a queue, shared by the pollers of a route, so that they ask at most once in [`PAUSE`].
#[derive(Debug, Default)]
pub struct DrainedAnswer(Option<(Instant, bool)>);

impl DrainedAnswer {
    /// The last answer for a pull that began at `began`; `None`: the queue is to be asked. An answer from before the
    /// pull began does not count: messages may have come since.
    pub fn for_pull(&self, began: Instant, now: Instant) -> Option<Drained> {
        let (asked, drained) = self.0?;
        match asked >= began {
            true if drained => Some(Drained::Yes),
            true => Some(Drained::No),
            false => Some(asked + PAUSE).filter(|again| *again > now).map(Drained::AskAt),
        }
    }

    /// Notes the answer to a request that was sent at `asked`.
    pub fn note(&mut self, asked: Instant, drained: bool) {
        self.0 = Some((asked, drained));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_pulls_that_began_before_the_question() {
        let (mut answer, start) = (DrainedAnswer::default(), Instant::now());
        assert_eq!(answer.for_pull(start, start), None);
        let asked = start + PAUSE / 4;
        answer.note(asked, true);
        assert_eq!(answer.for_pull(start, asked), Some(Drained::Yes));
        answer.note(asked, false);
        assert_eq!(answer.for_pull(start, asked), Some(Drained::No));
        let later = start + PAUSE / 2;
        assert_eq!(answer.for_pull(later, later), Some(Drained::AskAt(asked + PAUSE)), "messages may have come since");
        assert_eq!(answer.for_pull(later, asked + PAUSE), None);
    }

    // Q4: with too much in flight, a receive is empty and no error.
    #[test]
    fn an_empty_answer_of_a_full_queue_is_told_from_a_blocked_group() {
        let full = QueueBacklog { visible: 1, in_flight: 20_000, delayed: 0 };
        assert!(full.withheld() && !full.drained());
        let blocked = QueueBacklog { visible: 500, in_flight: 50, delayed: 0 };
        assert!(!blocked.withheld() && !blocked.drained());
        assert!(QueueBacklog::default().drained());
    }
}
