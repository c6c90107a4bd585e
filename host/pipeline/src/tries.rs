//! What a route tries again until it works: to open its source, to pull, to commit. While one of these fails, the route does not do its
//! work, whatever the code of the failure. A failure that an event causes is none of them: it says nothing of the next event.

use crate::meter::{LastError, Meter, timestamp_now};
use std::time::Duration;

/// How long a failure counts after the next try has begun, if that try may wait and so never say that it works. A request without an answer
/// ends before, after a minute.
pub(crate) const FRESH: Duration = Duration::from_secs(90);

/// The tries of one thing. When it is dropped, nobody tries any more, and the failure is over.
pub(crate) struct Tries<'m> {
    meter: &'m Meter,
    /// The number of its failure.
    failed: Option<u64>,
}

/// What the next try does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NextTry {
    /// It works or fails.
    Answers,
    /// It begins after this time, and may then wait, such as for a new lane, or for the limits of the route.
    MayWait(Duration),
}

impl<'m> Tries<'m> {
    pub(crate) fn new(meter: &'m Meter) -> Self {
        Tries { meter, failed: None }
    }

    /// A try failed. It counts until one works; if the next one may wait, at most until [`FRESH`] after that has begun.
    pub(crate) fn failed(&mut self, code: &str, message: &str, next: NextTry) {
        let error = LastError { at: timestamp_now(), code: code.to_owned(), message: message.to_owned() };
        let until = match next {
            NextTry::Answers => u64::MAX,
            NextTry::MayWait(wait) => {
                let counts = u64::try_from(wait.saturating_add(FRESH).as_millis()).unwrap_or(u64::MAX);
                error.at.millis().saturating_add(counts)
            }
        };
        self.failed = Some(self.meter.fails(self.failed, error, until));
    }

    /// A try worked: the failure is over.
    pub(crate) fn worked(&mut self) {
        // Without a failure no lock is taken: lanes call this for each batch.
        if let Some(number) = self.failed.take() {
            self.meter.works(number);
        }
    }
}

impl Drop for Tries<'_> {
    fn drop(&mut self) {
        self.worked();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::epoch_millis;

    #[test]
    fn a_failure_lasts_until_the_same_thing_works_whatever_else_works_or_fails() {
        let meter = Meter::default();
        let (now, code) = (epoch_millis(), |meter: &Meter, now| meter.failure(now).map(|failure| failure.code));
        let (mut pull, mut commit) = (Tries::new(&meter), Tries::new(&meter));
        for _ in 0..2 {
            commit.failed("engine.commit", "no table", NextTry::Answers);
        }
        pull.worked();
        meter.error("rejected", "a bad event");
        assert_eq!(code(&meter, u64::MAX - 1).as_deref(), Some("engine.commit"));
        assert_eq!(meter.read().last_error.unwrap().code, "rejected");
        commit.worked();
        assert_eq!(code(&meter, now), None);
        assert_eq!(meter.read().last_error.unwrap().code, "rejected", "it was not the error that is over");
        // A pull may wait for an event and not come back: its failure counts for a time only.
        let wait = Duration::from_secs(600);
        pull.failed("kafka.denied", "no right", NextTry::MayWait(wait));
        let at = meter.failure(now).unwrap().at.millis();
        let longest = u64::try_from((wait + FRESH).as_millis()).unwrap();
        assert_eq!(code(&meter, at + longest - 1).as_deref(), Some("kafka.denied"));
        assert_eq!(code(&meter, at + longest), None);
        // Nobody tries any more.
        drop(pull);
        assert_eq!((code(&meter, now), meter.read().last_error), (None, None));
    }
}
