//! Serves a route: opens its source, runs its lanes, opens lost ones again, until it finishes or stops.

use crate::activity::ActivityGuard;
use crate::context::LaneContext;
use crate::lane::{self, LaneEnd, REOPEN};
use crate::meter::worth_logging;
use crate::outbox::{self, REDRIVES, RecordedOutbox};
use crate::route::{Mode, Route};
use crate::send_order::SendSlot;
use crate::tries::{NextTry, Tries};
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

/// First interval for polling `caught_up`. A poll cancels a running `next_lane`. The interval doubles so that a slow request can
/// finish in the end.
const LOOK: Duration = Duration::from_millis(50);

/// The code of errors of opening a source, or of getting its lanes.
const OPEN: &str = "source.open";

/// Opens the route's source at its committed positions.
pub type OpenSource = Arc<dyn Fn() -> BoxFuture<'static, Result<Box<dyn Source>, Fault>> + Send + Sync>;

/// Serves a route until it finishes or stops. The tasks of its lanes end with this future.
/// `opening` marks the route as busy from before its task begins.
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
    // The slots are taken before a lane starts: messages of earlier commits go out before those of new ones.
    for (lane, pending) in recorded {
        let slot = if lane == REDRIVES { None } else { Some(route.send_order.take(lane.into()).await) };
        resumed.push(resume(&route, slot, pending));
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
    let (mut look, mut failures, mut pause) = (LOOK, FailureStreak::new(route), None);
    while more || !lanes.is_empty() || !lost.is_empty() {
        if !more || source.caught_up() {
            // Every lane that exists has a guard of its own now: the route is idle when they are.
            drop(opening.take());
        }
        // An arm must not wait: no lane could begin or end meanwhile. Only the arm for a panic waits, when no lane is left.
        tokio::select! {
            next = source.next_lane(), if more && pause.is_none() => match next {
                Ok(lane) => {
                    failures.end();
                    more = lane.is_some();
                    lane.into_iter().for_each(|lane| spawn(&mut lanes, route, context, lane));
                }
                Err(fault) => pause = Some(Box::pin(tokio::time::sleep(failures.report(&fault, true)))),
            },
            () = async { if let Some(pause) = &mut pause { pause.await } }, if pause.is_some() => pause = None,
            Some(ended) = lanes.join_next(), if !lanes.is_empty() => match ended {
                Ok((id, LaneEnd::Lost, guard)) => lost.push(after_loss(route, open, id, source.leased(), guard)),
                // Other lanes may follow it, such as the children of a shard: the route is busy until the source has caught up.
                Ok((_, _, guard)) => (opening, look) = (Some(guard), LOOK),
                Err(error) => {
                    tracing::error!(route = %route.spec.name, error = %error, "a lane broke; the source is opened again");
                    route.meter.error("lane.broke", &error.to_string());
                    // The panic may have left the source's shared state broken, so every lane starts anew. All of them stop before
                    // the source is opened again, so that no two tasks read the same lane.
                    lost.clear();
                    lanes.shutdown().await;
                    source.close().await;
                    let Some(again) = route.unless_leaving(reopen(route, open)).await else { return };
                    let Some(recorded) = recorded(route).await else { return };
                    // Sends only their recorded messages: `true`, because the new source gives these lanes by itself.
                    for lane in recorded.into_keys() {
                        lost.push(after_loss(route, open, lane, true, context.activity.guard()));
                    }
                    (source, more, pause, failures) = (again, true, None, FailureStreak::new(route));
                }
            },
            // `None`: the lane is gone, or the source gives it again.
            Some((lane, _guard)) = lost.next(), if !lost.is_empty() => {
                lane.into_iter().for_each(|lane| spawn(&mut lanes, route, context, lane));
            }
            // Asks `caught_up` again: some sources learn that they gave their last lane only inside `next_lane`.
            () = tokio::time::sleep(look), if opening.is_some() => look = look.saturating_mul(2),
            // With lanes at work the loop goes on until they have ended: they see the mode themselves.
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
    let (route, context, guard) = (route.clone(), context.clone(), context.activity.guard());
    lanes.spawn(async move {
        let id = lane.id().to_owned();
        let ended = lane::run(route, context, lane, &guard).await;
        (id, ended, guard)
    });
}

/// The recorded outboxes that nobody has confirmed, by lane. `None` if the route drains or stops before the engine answers.
async fn recorded(route: &Route) -> Option<BTreeMap<String, Vec<RecordedOutbox>>> {
    let mut failures = FailureStreak::new(route);
    let pending = loop {
        match route.engine.pending(&route.spec.name).await {
            Ok(pending) => break pending,
            Err(fault) => route.unless_leaving(tokio::time::sleep(failures.report(&fault, false))).await?,
        }
    };
    let mut lanes: BTreeMap<String, Vec<RecordedOutbox>> = BTreeMap::new();
    for outbox in pending {
        lanes.entry(outbox.lane.clone()).or_default().push(RecordedOutbox::of(route, outbox));
    }
    Some(lanes)
}

/// Sends a lane's recorded outboxes, before any message of a new commit: it holds the lane's slot, if the lane has an order.
async fn resume(route: &Route, _slot: Option<SendSlot<'_>>, recorded: Vec<RecordedOutbox>) {
    for outbox in recorded {
        tracing::info!(route = %route.spec.name, lane = outbox.lane(), messages = outbox.messages(), "sending recorded messages");
        if !outbox::send(route, outbox).await {
            return;
        }
    }
}

async fn reopen(route: &Route, open: &OpenSource) -> Box<dyn Source> {
    let mut failures = FailureStreak::new(route);
    loop {
        match open().await {
            Ok(source) => return source,
            Err(fault) => tokio::time::sleep(failures.report(&fault, false)).await,
        }
    }
}

/// Sends the recorded outboxes of a lane that ended early, and opens the lane again. Gives `None` if the lane is gone, or if it
/// is leased: the source then gives it again itself, here or in another process. `guard` keeps the route busy meanwhile.
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

/// Sends recorded outboxes that the lane's task did not send: it panicked between a commit and its messages, or got no answer
/// from a commit that happened. Pollers of an unordered source share the empty name, so an outbox of theirs may be one that
/// another poller is sending right now: those are sent at the next start.
async fn send_recorded(route: &Route, lane: &str) {
    if lane.is_empty() && !route.spec.ordered || lane == REDRIVES {
        return;
    }
    // Waits until no task sends for this lane. Whatever is still recorded then belongs to no task.
    let slot = route.send_order.take(lane.into()).await;
    if let Some(own) = recorded(route).await.and_then(|mut lanes| lanes.remove(lane)) {
        resume(route, Some(slot), own).await;
    }
}

/// Opens the lane called `id` again at its committed position, after [`REOPEN`]; `None` if it is gone.
async fn find(route: &Route, open: &OpenSource, id: &str) -> Option<Box<dyn Lane>> {
    tokio::time::sleep(REOPEN).await;
    let (mut source, mut failures) = (reopen(route, open).await, FailureStreak::new(route));
    loop {
        match source.next_lane().await {
            Ok(Some(lane)) if lane.id() == id => return Some(lane),
            // Other lanes have tasks already: opening one does not read from it.
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(fault) => tokio::time::sleep(failures.report(&fault, true)).await,
        }
    }
}

/// Counts attempts in a row that failed, for the wait before the next one and for the log. While they fail, the route is unhealthy.
struct FailureStreak<'a> {
    route: &'a Route,
    failures: u32,
    tries: Tries<'a>,
}

impl<'a> FailureStreak<'a> {
    fn new(route: &'a Route) -> Self {
        FailureStreak { route, failures: 0, tries: Tries::new(&route.meter) }
    }

    /// Reports a failure, ever more rarely while it lasts, and gives the wait before the next attempt: at most five seconds,
    /// so that a source that comes into being is found soon. `may_wait`: the next attempt may wait, for a lane, and not come back.
    fn report(&mut self, fault: &Fault, may_wait: bool) -> Duration {
        let route = self.route;
        if worth_logging(self.failures) {
            let name = &route.spec.name;
            let attempt = self.failures.saturating_add(1);
            tracing::warn!(route = %name, source = %route.spec.source, error = %fault, attempt, code = fault.code(), "cannot open the source; trying again");
        }
        let wait = route.spec.policy.backoff.wait(self.failures, route.seed).min(Duration::from_secs(5));
        let next = if may_wait { NextTry::MayWait(wait) } else { NextTry::Answers };
        self.tries.failed(fault.code().unwrap_or(OPEN), &fault.to_string(), next);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// An attempt worked: the error is over.
    fn end(&mut self) {
        self.failures = 0;
        self.tries.worked();
    }
}
