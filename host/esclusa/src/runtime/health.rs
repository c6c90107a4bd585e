//! The health of a route: whether it does its work, and if not, why. Made from its status and nothing else, so that
//! status, metrics and readiness say the same.

use super::status::{OutputStatus, RouteStatus};
use esclusa_pipeline::meter::epoch_millis;
use serde::{Deserialize, Serialize};

/// A source or an output that failed within this time counts as failing; both are tried again more often than that.
const FRESH_MILLIS: u64 = 30_000;

/// Whether a route does its work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// It does.
    pub healthy: bool,
    /// `ok`, a state in which it takes no events (`paused`, `halted`, `draining`, `stopped`), or the code of what fails.
    pub code: String,
    /// What fails, in words. May hold text of a guest: escape it where it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Health {
    /// The health of a route with this status. What makes a route unhealthy is decided here.
    #[must_use]
    pub fn of(route: &RouteStatus) -> Self {
        Health::at(route, epoch_millis())
    }

    fn at(route: &RouteStatus, now: u64) -> Self {
        let unwell = |code: &str, error: Option<String>| Health { healthy: false, code: code.to_owned(), error };
        if matches!(route.state.as_str(), "paused" | "halted" | "draining" | "stopped") {
            return unwell(&route.state, route.reason.clone());
        }
        if let Some(error) = &route.reading.last_error
            && error.code.starts_with("source.")
            && now.saturating_sub(error.at.millis()) < FRESH_MILLIS
        {
            return unwell(&error.code, Some(error.message.clone()));
        }
        match route.outputs.iter().find_map(|output| failure(output, now)) {
            Some(error) => unwell("outbox.send", Some(error)),
            None => Health { healthy: true, code: "ok".to_owned(), error: None },
        }
    }
}

/// What fails at an output: it holds back messages, or has just given some up.
fn failure(output: &OutputStatus, now: u64) -> Option<String> {
    let messages = output.messages.as_ref().filter(|_| output.failing())?;
    let error = messages.last_error.as_ref()?;
    let at_present = messages.pending > 0 || now.saturating_sub(error.at.millis()) < FRESH_MILLIS;
    at_present.then(|| format!("output {:?}: {}", output.name, error.message))
}

#[cfg(test)]
mod tests {
    use super::{FRESH_MILLIS, Health, OutputStatus, RouteStatus};
    use esclusa_flow::timestamp::Timestamp;
    use esclusa_pipeline::meter::LastError;
    use esclusa_pipeline::output_meter::OutputReading;

    fn route(state: &str, error: Option<&str>) -> RouteStatus {
        let mut route = RouteStatus { state: state.to_owned(), ..RouteStatus::default() };
        let message = "no".to_owned();
        route.reading.last_error =
            error.map(|code| LastError { at: Timestamp::from_millis(1_000_000), code: code.to_owned(), message });
        route
    }

    #[test]
    fn a_route_is_healthy_while_it_reads_its_source_whatever_becomes_of_single_events() {
        let code = |state, error, later| {
            let health = Health::at(&route(state, error), 1_000_000 + later);
            assert_eq!(health.healthy, health.code == "ok");
            health.code
        };
        assert_eq!(code("running", None, 0), "ok");
        assert_eq!(code("finished", None, 0), "ok");
        assert_eq!(code("running", Some("rejected"), 0), "ok");
        assert_eq!(code("running", Some("source.open"), 0), "source.open");
        assert_eq!(code("running", Some("source.open"), FRESH_MILLIS), "ok");
        for state in ["paused", "halted", "draining", "stopped"] {
            assert_eq!(code(state, Some("source.open"), 0), state);
        }
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
            let route = RouteStatus { state: "running".to_owned(), outputs: vec![output], ..RouteStatus::default() };
            Health::at(&route, 1_000_000 + later)
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
