//! A batch that an open breaker holds: it waits, and probes in its turn.
//!
//! Nothing of it is reported to the delivery: no event uses up a try, none is given up, and none is released. If all of its
//! events fail as probes, it may be they that are bad, not the plugin: from time to time a usual try is made, which counts.

use super::{BatchInWork, DeliveryEnd, LaneSteps, keep};
use crate::activity::ActivityGuard;
use crate::context::LaneContext;
use crate::meter::WaitingEvents;
use crate::route::{Mode, Route, changed};
use esclusa_flow::call_output::{CallError, CallOutput};
use esclusa_flow::delivery::Delivery;
use esclusa_flow::index::EventIndex;
use esclusa_flow::retry::mix_text;
use esclusa_flow::source::Lane;
use tokio::sync::watch;

/// A usual try is made after so many failed probes of a batch. Probes are up to a minute apart: a plugin that fails on everything
/// gets a few tries an hour, and bad events get out of the way.
const PROBES_PER_TRY: usize = 10;

impl BatchInWork<'_> {
    /// Takes note of a call. False if its result must be dropped.
    pub(super) fn note_for_breaker(&self, events: &[EventIndex], result: &Result<CallOutput, CallError>) -> bool {
        let numbers = || {
            let lane = mix_text(&self.batch.origin.lane);
            let ids = events.iter().filter_map(|event| self.batch.columns.get(event.at()));
            ids.map(|event| lane ^ mix_text(event.id())).collect()
        };
        self.route.breaker.called(result, events.len(), numbers, self.now())
    }

    /// Takes the route's plugin, which may have been replaced.
    pub(super) fn renew_plugin(&mut self) {
        self.plugin = self.route.plugin();
        self.handler = self.route.handler(&self.plugin);
    }
}

impl LaneSteps<'_, '_, '_, '_> {
    /// Waits until the lane may make a call. True: it is a usual try of an open breaker.
    pub(super) async fn wait_for_turn(&mut self, delivery: &Delivery) -> Result<bool, DeliveryEnd> {
        let try_is_due = self.wait_for_breaker(delivery).await?;
        // A plugin may ask for another try for ever, so a commit need not come that tells the lane.
        if let Some(fault) = self.lane.as_deref().and_then(Lane::lost) {
            let (route, lane) = (&self.work.route.spec.name, &self.work.batch.origin.lane);
            tracing::info!(%route, %lane, error = %fault, "lane lost before its call");
            return Err(DeliveryEnd::Lost);
        }
        Ok(try_is_due)
    }

    /// Waits until the route's breaker is closed, or a usual try is due while it is open: then true. Returns at once if it is closed.
    ///
    /// Probes in its turn, with one event of the batch and another one each time, since one of them may be bad. The output of a
    /// probe is dropped: plugins are pure, so the events are called again when the breaker is closed.
    async fn wait_for_breaker(&mut self, delivery: &Delivery) -> Result<bool, DeliveryEnd> {
        let (route, context) = (self.work.route, self.work.context);
        if !route.breaker.is_open() {
            self.held = None;
            return Ok(false);
        }
        // It is the plugin that fails, whatever failed before.
        self.work.calls.worked();
        self.work.commits.worked();
        // Kept during the try, too: other lanes need not pull to have something to probe with.
        self.held.get_or_insert_with(|| route.breaker.hold());
        let mut waiting =
            Waiting { route, context, activity: self.activity, lane: &mut self.lane, mode: &mut self.mode };
        let try_after = self.probes.saturating_add(PROBES_PER_TRY);
        while route.breaker.is_open() && self.probes < try_after {
            if let Some(open) = route.breaker.open() {
                let attempt = delivery.next_event().map_or(0, |event| delivery.attempt(event));
                route.meter.waits(WaitingEvents { attempt, next: open.next_probe });
            }
            let Some(_turn) = waiting.until_closed(route.breaker.turn(context.start)).await?.flatten() else { break };
            self.work.renew_plugin();
            let Some(event) = delivery.open_events().cycle().nth(self.probes) else { break };
            self.probes = self.probes.saturating_add(1);
            let probe = self.work.call(delivery, std::slice::from_ref(&event), route.engine.reads());
            let Some(result) = waiting.until_closed(probe).await? else { break };
            route.breaker.probed(&result, self.work.now());
        }
        self.work.renew_plugin();
        self.activity.busy();
        let open = route.breaker.is_open();
        self.held.take_if(|_| !open);
        Ok(open && self.probes >= try_after)
    }
}

/// A lane that waits for its route's breaker. It counts as idle, as that of a halted route does.
struct Waiting<'s, 'l, 'd> {
    route: &'s Route,
    context: &'s LaneContext,
    activity: &'s ActivityGuard,
    lane: &'s mut Option<&'l mut (dyn Lane + 'd)>,
    mode: &'s mut watch::Receiver<Mode>,
}

impl Waiting<'_, '_, '_> {
    /// The result of `work`; `None` if the breaker is closed before. `Err`: the route drains or stops.
    async fn until_closed<T>(&mut self, work: impl Future<Output = T>) -> Result<Option<T>, DeliveryEnd> {
        tokio::pin!(work);
        loop {
            if matches!(*self.mode.borrow_and_update(), Mode::Draining | Mode::Stopped) {
                return Err(DeliveryEnd::Stopped);
            }
            self.activity.idle((self.context.commit_count)());
            tokio::select! {
                biased;
                done = &mut work => return Ok(Some(done)),
                () = self.route.breaker.closed() => return Ok(None),
                () = keep(self.lane) => {}
                () = self.context.activity.nudged() => {}
                () = changed(self.mode) => {}
            }
        }
    }
}
