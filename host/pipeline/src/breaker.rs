//! The breaker of a running route, which its lanes share: it holds batches while the plugin fails, and lets one lane at a
//! time probe. `esclusa_flow::breaker` decides when it opens.

use crate::meter::timestamp_now;
use esclusa_flow::breaker::{Breaker, FailedCall, Standstill};
use esclusa_flow::call_output::{CallError, CallOutput, Disposition};
use esclusa_flow::delivery::Moment;
use esclusa_flow::retry::RetryPolicy;
use esclusa_flow::timestamp::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

/// What a call says of the plugin.
#[derive(Debug, PartialEq, Eq)]
enum Evidence {
    /// It works: it handled an event. An event that it rejects is handled, too, and so is a batch at which it halts the route:
    /// if these counted as failures, a sender of bad events could stop the route for all others.
    Works,
    /// It failed, or asked for every event again.
    Fails,
    /// Nothing: the host could not carry out the call.
    Nothing,
}

/// The breaker of a route.
#[derive(Debug)]
pub(crate) struct RouteBreaker {
    name: Arc<str>,
    policy: RetryPolicy,
    state: Mutex<BreakerState>,
    view: watch::Sender<View>,
    /// Held by the lane that probes. Fair, so that lanes probe in turn, each with events of its own.
    turn: Semaphore,
}

#[derive(Debug)]
struct BreakerState {
    breaker: Breaker,
    /// Set while it is open.
    open: Option<OpenBreaker>,
    /// The last time that it was open, if it is closed.
    last: Option<Standstill>,
}

/// An open breaker, for status and page.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct OpenBreaker {
    /// When it opened.
    pub since: Timestamp,
    /// Probes that have failed.
    pub failed_probes: u32,
    /// When the next probe is due.
    pub next_probe: Timestamp,
    /// Code of the failure that opened it.
    pub code: String,
    /// That failure in words. May hold text of a guest: escape it before you show it.
    pub message: String,
}

/// The state of the breaker that lanes wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct View {
    open: bool,
    /// Batches that it holds.
    holds: usize,
}

impl RouteBreaker {
    pub(crate) fn new(name: Arc<str>, after: Duration, policy: RetryPolicy, seed: u64) -> Self {
        let breaker = Breaker::new(after, policy.backoff.max, seed);
        let state = Mutex::new(BreakerState { breaker, open: None, last: None });
        RouteBreaker { name, policy, state, view: watch::Sender::default(), turn: Semaphore::new(1) }
    }

    /// The breaker if it is open.
    pub(crate) fn open(&self) -> Option<OpenBreaker> {
        self.state.lock().open.clone()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.view.borrow().open
    }

    /// Waits until it is closed.
    pub(crate) async fn closed(&self) {
        self.reached(|view| !view.open).await;
    }

    /// True if lanes may pull. While it is open they pull only if it holds no batch to probe with: a pull uses up receives.
    pub(crate) fn lets_pull(&self) -> bool {
        self.view.borrow().lets_pull()
    }

    /// Waits until lanes may pull.
    pub(crate) async fn pullable(&self) {
        self.reached(View::lets_pull).await;
    }

    async fn reached(&self, wanted: impl Fn(&View) -> bool) {
        // It fails only if the sender is gone, and the breaker itself owns the sender.
        let _ = self.view.subscribe().wait_for(wanted).await;
    }

    /// Counts a batch as held, until the guard is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.view.send_modify(|view| view.holds = view.holds.saturating_add(1));
        Held(self)
    }

    /// Waits for this lane's turn to probe, and until a probe is due. `now` is on the monotonic clock that began at `start`.
    pub(crate) async fn turn(&self, start: tokio::time::Instant) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        let turn = self.turn.acquire().await.ok()?;
        let due = self.state.lock().breaker.probe_due()?;
        tokio::time::sleep_until(start + due).await;
        Some(turn)
    }

    /// Takes note of a call of so many events; `numbers` gives a number for each of them, and is asked if the call failed. False if the
    /// breaker is open: then its result counts only if it was a try that was due.
    pub(crate) fn called(
        &self,
        result: &Result<CallOutput, CallError>,
        events: usize,
        numbers: impl FnOnce() -> Vec<u64>,
        now: Moment,
    ) -> bool {
        match evidence(result, events) {
            Evidence::Nothing => true,
            Evidence::Works => {
                self.works(now);
                true
            }
            Evidence::Fails => {
                let numbers = numbers();
                let mut state = self.state.lock();
                let fated = matches!(result, Err(CallError::Failed(failure)) if failure.fated);
                let endless = self.policy.max_retry_attempts.is_none() && !self.policy.release && !fated;
                if state.breaker.failed(FailedCall { events: &numbers, endless }, now.monotonic) {
                    self.opened(&mut state, result, now);
                }
                !state.breaker.is_open()
            }
        }
    }

    /// Takes note of a probe.
    pub(crate) fn probed(&self, result: &Result<CallOutput, CallError>, now: Moment) {
        if evidence(result, 1) == Evidence::Works {
            return self.works(now);
        }
        let state = &mut *self.state.lock();
        state.breaker.probe_failed(now.monotonic);
        if let (Some(open), Some(due)) = (&mut state.open, state.breaker.probe_due()) {
            open.failed_probes = open.failed_probes.saturating_add(1);
            open.next_probe = now.wall.after(due.saturating_sub(now.monotonic));
        }
    }

    /// Closes it: the plugin was replaced, or an operator resumed the route.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.breaker.close();
        self.note_closed(&mut state, timestamp_now());
    }

    /// The last time that the route stood still.
    pub(crate) fn stood_still(&self) -> Option<Standstill> {
        let state = self.state.lock();
        let open = state.open.as_ref().map(|open| Standstill { from: open.since, to: timestamp_now() });
        open.or(state.last)
    }

    fn works(&self, now: Moment) {
        let mut state = self.state.lock();
        if state.breaker.handled() {
            self.note_closed(&mut state, now.wall);
        }
    }

    fn opened(&self, state: &mut BreakerState, result: &Result<CallOutput, CallError>, now: Moment) {
        let (code, message) = match result {
            Err(CallError::Failed(failure)) => (failure.kind.code(), failure.message.clone()),
            Err(CallError::Retry(reason)) => ("plugin.retry", reason.clone()),
            _ => ("plugin.retry", "the plugin asked to retry every event".to_owned()),
        };
        let wait = state.breaker.probe_due().unwrap_or_default().saturating_sub(now.monotonic);
        tracing::error!(route = %self.name, code, error = message, "the plugin's calls fail, so the route's breaker is open: \
            events wait, and a probe is made from time to time; reload the plugin, or `esclusa resume` closes it");
        let (since, next_probe) = (now.wall, now.wall.after(wait));
        state.open = Some(OpenBreaker { since, failed_probes: 0, next_probe, code: code.to_owned(), message });
        self.view.send_modify(|view| view.open = true);
    }

    fn note_closed(&self, state: &mut BreakerState, to: Timestamp) {
        let Some(open) = state.open.take() else { return };
        state.last = Some(Standstill { from: open.since, to });
        tracing::info!(route = %self.name, failed_probes = open.failed_probes, "the route's breaker is closed again");
        self.view.send_modify(|view| view.open = false);
    }
}

impl View {
    fn lets_pull(&self) -> bool {
        !self.open || self.holds == 0
    }
}

/// A batch that an open breaker holds.
pub(crate) struct Held<'a>(&'a RouteBreaker);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.view.send_modify(|view| view.holds = view.holds.saturating_sub(1));
    }
}

/// What a call of so many events says of the plugin.
fn evidence(result: &Result<CallOutput, CallError>, events: usize) -> Evidence {
    match result {
        Ok(output) => {
            let again = output.outcomes.iter().filter(|outcome| matches!(outcome.disposition, Disposition::Retry(_)));
            let again: BTreeSet<usize> = again.map(|outcome| outcome.event.at()).collect();
            if again.len() >= events { Evidence::Fails } else { Evidence::Works }
        }
        Err(CallError::Retry(_) | CallError::Failed(_)) => Evidence::Fails,
        Err(CallError::Halt(_)) => Evidence::Works,
        Err(CallError::Host(_)) => Evidence::Nothing,
    }
}
