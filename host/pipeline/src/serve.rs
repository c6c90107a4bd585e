//! Serves a route: opens its source, runs its lanes, opens lost ones again, until it finishes or stops.

use crate::activity::ActivityGuard;
use crate::context::LaneContext;
use crate::lane::{self, LaneEnd, REOPEN};
use crate::meter::worth_telling;
use crate::outbox::{self, RecordedOutbox};
use crate::route::{Mode, Route};
use crate::send_order::SendSlot;
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Source};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// First interval for polling `caught_up`; it doubles each time, so that a slow `next_lane` request can finish.
const LOOK: Duration = Duration::from_millis(50);

/// The code of what goes wrong when a source is opened, or gives its lanes.
const OPEN: &str = "source.open";

/// Opens the route's source at its committed positions.
pub type OpenSource = Arc<dyn Fn() -> BoxFuture<'static, Result<Box<dyn Source>, Fault>> + Send + Sync>;

/// Serves a route until it finishes or stops. The tasks of its lanes end with this future.
/// `opening` says that it is busy, from before its task begins.
// Boxed here, so that it is compiled with this crate's optimisation and not with its caller's.
pub fn serve(
    route: Arc<Route>,
    context: Arc<LaneContext>,
    open: OpenSource,
    opening: ActivityGuard,
) -> BoxFuture<'static, ()> {
    Box::pin(run(route, context, open, opening))
}

async fn run(route: Arc<Route>, context: Arc<LaneContext>, open: OpenSource, opening: ActivityGuard) {
    let Some(recorded) = recorded(&route).await else { return };
    let (sending, mut resumed) = (context.activity.guard(), Vec::new());
    for (lane, pending) in recorded {
        resumed.push(resume(&route, route.send_order.take(lane.into()).await, pending));
    }
    let resume = async {
        join_all(resumed).await;
        drop(sending);
    };
    tokio::join!(resume, serve_source(&route, &context, &open, opening));
}

async fn serve_source(route: &Arc<Route>, context: &Arc<LaneContext>, open: &OpenSource, opening: ActivityGuard) {
    let mut opening = Some(opening);
    let Some(mut source) = route.unless_leaving(reopen(route, open)).await else { return };
    let (mut lanes, mut lost, mut more) = (JoinSet::new(), FuturesUnordered::new(), true);
    let (mut look, mut failures, mut pause) = (LOOK, FailureStreak::default(), None);
    while more || !lanes.is_empty() || !lost.is_empty() {
        if !more || source.caught_up() {
            // Every lane that exists is known and has a guard of its own now.
            drop(opening.take());
        }
        // No arm waits after it was chosen: meanwhile no other lane would begin, or end.
        tokio::select! {
            next = source.next_lane(), if more && pause.is_none() => match next {
                Ok(Some(lane)) => {
                    failures = FailureStreak::default();
                    spawn(&mut lanes, route, context, lane);
                }
                Ok(None) => more = false,
                Err(fault) => pause = Some(Box::pin(tokio::time::sleep(failures.report(route, &fault)))),
            },
            () = async { if let Some(pause) = &mut pause { pause.await } }, if pause.is_some() => pause = None,
            Some(ended) = lanes.join_next(), if !lanes.is_empty() => match ended {
                Ok((id, LaneEnd::Lost, guard)) => lost.push(after_loss(route, open, id, source.leased(), guard)),
                // Others may follow it: the children of a shard.
                Ok((_, _, guard)) => (opening, look) = (Some(guard), LOOK),
                Err(error) => {
                    tracing::error!(route = %route.spec.name, error = %error, "a lane broke; the source is opened again");
                    route.meter.error("bug", &error.to_string());
                    // All lanes stop before the source opens anew, so that no two read the same lane.
                    lost.clear();
                    lanes.shutdown().await;
                    source.close().await;
                    let Some(again) = route.unless_leaving(reopen(route, open)).await else { return };
                    let Some(recorded) = recorded(route).await else { return };
                    for lane in recorded.into_keys() {
                        lost.push(after_loss(route, open, lane, true, context.activity.guard()));
                    }
                    (source, more, pause) = (again, true, None);
                }
            },
            // The lane may be gone for good.
            Some((lane, _guard)) = lost.next(), if !lost.is_empty() => {
                lane.into_iter().for_each(|lane| spawn(&mut lanes, route, context, lane));
            }
            // A source may find out that it has given all lanes while it waits for the next one. The request is made again.
            () = tokio::time::sleep(look), if opening.is_some() => look = look.saturating_mul(2),
            () = route.leaving(), if lanes.is_empty() => break,
            else => break,
        }
        if matches!(route.mode(), Mode::Draining | Mode::Stopped) {
            more = false;
            lost.clear();
        }
    }
    // A process that is killed before this leaves its leases and messages to expire.
    source.close().await;
}

fn spawn(
    lanes: &mut JoinSet<(String, LaneEnd, ActivityGuard)>,
    route: &Arc<Route>,
    context: &Arc<LaneContext>,
    lane: Box<dyn Lane>,
) {
    route.meter.recovered(OPEN);
    let (route, context, guard) = (route.clone(), context.clone(), context.activity.guard());
    lanes.spawn(async move {
        let id = lane.id().to_owned();
        let ended = lane::run(route, context, lane, &guard).await;
        (id, ended, guard)
    });
}

/// What an earlier run recorded and did not confirm, by lane; `None`: the route leaves before that is known.
async fn recorded(route: &Route) -> Option<BTreeMap<String, Vec<RecordedOutbox>>> {
    let mut failures = FailureStreak::default();
    let pending = loop {
        match route.engine.pending(&route.spec.name).await {
            Ok(pending) => break pending,
            Err(fault) => route.unless_leaving(tokio::time::sleep(failures.report(route, &fault))).await?,
        }
    };
    let mut lanes: BTreeMap<String, Vec<RecordedOutbox>> = BTreeMap::new();
    for outbox in pending {
        lanes.entry(outbox.lane.clone()).or_default().push(RecordedOutbox::of(route, outbox));
    }
    Some(lanes)
}

/// Sends what is recorded of a lane before anything new of it.
async fn resume(route: &Route, _slot: SendSlot<'_>, recorded: Vec<RecordedOutbox>) {
    for outbox in recorded {
        tracing::info!(route = %route.spec.name, lane = outbox.lane(), messages = outbox.messages(), "sending recorded messages");
        if !outbox::send(route, outbox).await {
            return;
        }
    }
}

async fn reopen(route: &Route, open: &OpenSource) -> Box<dyn Source> {
    let mut failures = FailureStreak::default();
    loop {
        match open().await {
            Ok(source) => {
                route.meter.recovered(OPEN);
                return source;
            }
            Err(fault) => tokio::time::sleep(failures.report(route, &fault)).await,
        }
    }
}

/// Sends what is recorded of a lane that ended early, and opens it again; `None` if it is gone, or if it is leased: the source
/// gives a leased lane again, here or in another process. `guard` says meanwhile that something is to be done.
async fn after_loss(
    route: &Route,
    open: &OpenSource,
    id: String,
    leased: bool,
    guard: ActivityGuard,
) -> (Option<Box<dyn Lane>>, ActivityGuard) {
    send_recorded(route, &id).await;
    let lane = if leased { None } else { find(route, open, &id).await };
    (lane, guard)
}

/// Sends what is recorded of a lane and was not sent by its task: that broke between a commit and its messages, or did not
/// hear that its commit happened. Workers of an unordered source share the empty name, so that nobody can tell which of them
/// is still sending: what is recorded of those is sent at the next start.
async fn send_recorded(route: &Route, lane: &str) {
    if lane.is_empty() {
        return;
    }
    // Waits for the task that is sending messages of the lane, if there is one: what is recorded after that is sent by nobody.
    let slot = route.send_order.take(lane.into()).await;
    if let Some(own) = recorded(route).await.and_then(|mut lanes| lanes.remove(lane)) {
        resume(route, slot, own).await;
    }
}

/// The lane called `id`, opened again at its committed position, after a moment; `None` if it is gone.
async fn find(route: &Route, open: &OpenSource, id: &str) -> Option<Box<dyn Lane>> {
    tokio::time::sleep(REOPEN).await;
    let (mut source, mut failures) = (reopen(route, open).await, FailureStreak::default());
    loop {
        match source.next_lane().await {
            Ok(Some(lane)) if lane.id() == id => return Some(lane),
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(fault) => tokio::time::sleep(failures.report(route, &fault)).await,
        }
    }
}

/// Attempts in a row that failed.
#[derive(Default)]
struct FailureStreak(u32);

impl FailureStreak {
    /// Reports a failure, ever more rarely while it lasts, and gives the wait before the next attempt: at most five seconds,
    /// so that a source that comes into being is found soon.
    fn report(&mut self, route: &Route, fault: &Fault) -> Duration {
        if worth_telling(self.0) {
            let name = &route.spec.name;
            tracing::warn!(route = %name, source = %route.spec.source, error = %fault, attempt = self.0 + 1, "cannot open the source; trying again");
        }
        route.meter.error(OPEN, &fault.to_string());
        let wait = route.spec.policy.backoff.wait(self.0, route.seed).min(Duration::from_secs(5));
        self.0 = self.0.saturating_add(1);
        wait
    }
}
