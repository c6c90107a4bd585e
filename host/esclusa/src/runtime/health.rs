//! The health of a route: whether it does its work, and if not, why. It is derived from the status alone, so that
//! status, metrics and readiness agree.

use super::output_status::OutputStatus;
use esclusa_pipeline::breaker::OpenBreaker;
use esclusa_pipeline::meter::LastError;
use serde::{Deserialize, Serialize};

/// An output that has given up a message within this time counts as failing.
const FRESH_MILLIS: u64 = 30_000;

/// The code of a fault of the source's shards.
pub(super) const SHARDS: &str = "source.shards";

/// Whether a route does its work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    /// True if it does.
    pub healthy: bool,
    /// `ok`, a state in which it takes no events (`paused`, `halted`, `draining`, `stopped`), or the code of the
    /// failure.
    pub code: String,
    /// The failure as a message. It may contain text of a guest: escape it before showing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Health {
    /// The health of a route in this state; `reason` is why it is halted, `failure` what it tries again until it works, `now` is in
    /// milliseconds since the Unix epoch. With [`Health::with_breaker`] this decides everything that makes a route unhealthy: an error that
    /// an event causes does not, since it says nothing of the next event.
    #[must_use]
    pub(crate) fn at(
        now: u64,
        state: &str,
        reason: Option<&str>,
        failure: Option<&LastError>,
        outputs: &[OutputStatus],
    ) -> Self {
        let unwell = |code: &str, error: Option<String>| Health { healthy: false, code: code.to_owned(), error };
        if matches!(state, "paused" | "halted" | "draining" | "stopped") {
            return unwell(state, reason.map(str::to_owned));
        }
        if let Some(error) = failure {
            return unwell(&error.code, Some(error.message.clone()));
        }
        match outputs.iter().find_map(|output| failing(output, now)) {
            Some(error) => unwell("outbox.send", Some(error)),
            None => Health { healthy: true, code: "ok".to_owned(), error: None },
        }
    }
}

impl Health {
    /// The health of a route with this breaker. A route that is unhealthy for another reason stays so for that reason.
    #[must_use]
    pub(super) fn with_breaker(self, breaker: Option<&OpenBreaker>) -> Self {
        match breaker {
            Some(open) if self.healthy => {
                let error = format!("its plugin fails: {}: {}", open.code, open.message);
                Health { healthy: false, code: "breaker.open".to_owned(), error: Some(error) }
            }
            _ => self,
        }
    }
}

/// The failure of an output that has messages waiting or has just given some up; `None` if it works.
fn failing(output: &OutputStatus, now: u64) -> Option<String> {
    let messages = output.messages.as_ref().filter(|_| output.failing())?;
    let error = messages.last_error.as_ref()?;
    let at_present = messages.pending > 0 || now.saturating_sub(error.at.millis()) < FRESH_MILLIS;
    at_present.then(|| format!("output {:?}: {}", output.name, error.message))
}

#[cfg(test)]
mod tests {
    use super::{FRESH_MILLIS, Health, OutputStatus};
    use esclusa_flow::timestamp::Timestamp;
    use esclusa_pipeline::breaker::OpenBreaker;
    use esclusa_pipeline::meter::LastError;
    use esclusa_pipeline::output_meter::OutputReading;

    #[test]
    fn a_route_is_unhealthy_while_it_takes_no_events_or_something_fails() {
        let code = |state, error: Option<&str>| {
            let error = error.map(|code| LastError {
                at: Timestamp::from_millis(1_000_000),
                code: code.to_owned(),
                message: "no".to_owned(),
            });
            let health = Health::at(1_000_000, state, None, error.as_ref(), &[]);
            assert_eq!(health.healthy, health.code == "ok");
            health.code
        };
        assert_eq!(code("running", None), "ok");
        assert_eq!(code("finished", None), "ok");
        for failure in ["source.open", "source.shards", "kafka.no-topic", "engine.commit"] {
            assert_eq!(code("running", Some(failure)), failure);
        }
        for state in ["paused", "halted", "draining", "stopped"] {
            assert_eq!(code(state, Some("source.open")), state);
        }
    }

    #[test]
    fn a_route_is_unhealthy_while_its_breaker_is_open() {
        let at = Timestamp::from_millis(1);
        let [code, message] = ["plugin.trap", "no"].map(str::to_owned);
        let open = OpenBreaker { since: at, failed_probes: 0, next_probe: at, code, message };
        let health = |state, open| Health::at(2, state, None, None, &[]).with_breaker(open);
        assert_eq!(health("running", None).code, "ok");
        let unwell = health("running", Some(&open));
        assert_eq!((unwell.healthy, unwell.code.as_str()), (false, "breaker.open"));
        assert_eq!(unwell.error.as_deref(), Some("its plugin fails: plugin.trap: no"));
        assert_eq!(health("paused", Some(&open)).code, "paused");
    }

    #[test]
    fn a_route_is_unhealthy_while_an_output_holds_back_its_messages() {
        let error = LastError {
            at: Timestamp::from_millis(1_000_000),
            code: "outbox.send".to_owned(),
            message: "refused".to_owned(),
        };
        let health = |pending, failed_in_a_row, later| {
            let messages =
                OutputReading { pending, failed_in_a_row, last_error: Some(error.clone()), ..Default::default() };
            let [name, kind, delivery] = ["hook", "webhook", ""].map(str::to_owned);
            let output = OutputStatus { name, kind, delivery, messages: Some(messages) };
            Health::at(1_000_000 + later, "running", None, None, &[output])
        };
        let failing = health(3, 2, 10 * FRESH_MILLIS);
        assert_eq!(
            (failing.code.as_str(), failing.error.as_deref()),
            ("outbox.send", Some("output \"hook\": refused"))
        );
        assert!(!health(0, 1, 0).healthy, "it has just given up a message");
        assert!(health(0, 1, FRESH_MILLIS).healthy && health(3, 0, 0).healthy);
    }
}
