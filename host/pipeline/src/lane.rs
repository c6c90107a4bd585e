//! The loop of one lane: pull, deliver, again. One task per lane.
//!
//! A lane that ends early (drained, lease lost, cancelled) drops its batch, which is then not done (invariant 2).

use crate::activity::ActivityGuard;
use crate::budget::BytesPermit;
use crate::commit::ProgressKind;
use crate::context::LaneContext;
use crate::deliver::{BatchDelivery, DeliveryEnd};
use crate::meter::worth_logging;
use crate::route::{Mode, Route, changed};
use crate::tries::{NextTry, Tries};
use esclusa_flow::batch::Batch;
use esclusa_flow::fault::Fault;
use esclusa_flow::retry::mix_text;
use esclusa_flow::sharding::Sharding;
use esclusa_flow::source::{Lane, Limit, Pull};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// The code of errors of a lane's pulls.
const PULL: &str = "source.pull";

/// How a lane ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LaneEnd {
    /// Its source will never give another event.
    Finished,
    /// The route stops.
    Stopped,
    /// Another poller or process has it, its position has moved, or it has passed a batch that was dropped. The route decides whether to
    /// open it again.
    Lost,
}

/// A batch with its permits of the route's limits.
struct InFlight<'a> {
    delivery: BatchDelivery<'a>,
    _bytes: BytesPermit,
    _concurrency: OwnedSemaphorePermit,
}

/// Works on a lane until it ends. `activity` marks the lane as busy from before its task begins.
pub(crate) async fn run(
    route: Arc<Route>,
    context: Arc<LaneContext>,
    mut lane: Box<dyn Lane>,
    activity: &ActivityGuard,
) -> LaneEnd {
    let mut mode = route.watch();
    let seed = route.seed ^ mix_text(lane.id());
    let (mut faults, mut pulls, mut next_batch, mut halted) = (0u32, Tries::new(&route.meter), None, false);
    loop {
        note_given_up(&route, lane.as_mut());
        let resting = next_batch.is_none().then_some(lane.as_mut());
        if wait_until_running(&route, &mut mode, activity, &context, resting).await != Mode::Running {
            return LaneEnd::Stopped;
        }
        // Counted before the pull: if it were counted after it, a commit in between could give this lane an event unnoticed.
        activity.busy();
        if halted && passes_dropped_batches(&route) {
            return LaneEnd::Lost;
        }
        let commits = (context.commit_count)();
        let next = next_batch.take().map(Pulled::Batch);
        // Without one back to the top, which decides by the new mode.
        let Some(pulled) = pulled(&route, &context, lane.as_mut(), &mut mode, next).await else { continue };
        if pulled.is_ok() {
            faults = 0;
            pulls.worked();
        }
        match pulled {
            Ok(Pulled::Batch(batch)) => {
                let (end, next) = deliver(&route, &context, lane.as_mut(), batch, activity).await;
                next_batch = next;
                match end {
                    DeliveryEnd::Settled => {}
                    DeliveryEnd::Halted => halted = true,
                    DeliveryEnd::Stopped => return LaneEnd::Stopped,
                    DeliveryEnd::Lost => return LaneEnd::Lost,
                }
            }
            Ok(Pulled::Nothing { drained }) => {
                // An event that is only hidden for now will come by itself: a lane that waits for it is not idle.
                if drained {
                    activity.idle(commits);
                }
                wait_for_events(lane.as_mut(), &context, &mut mode).await;
            }
            Ok(Pulled::Ended) => return LaneEnd::Finished,
            Err(Fault::LeaseLost(why)) => {
                tracing::info!(route = %route.spec.name, lane = lane.id(), why, "lane lost");
                return LaneEnd::Lost;
            }
            Err(fault) => {
                // With a seed of the lane's own: lanes that fail together must not all try again at the same instant.
                let wait = route.spec.policy.backoff.wait(faults, seed);
                pulls.failed(fault.code().unwrap_or(PULL), &fault.to_string(), NextTry::MayWait(wait));
                warn(&route, lane.id(), &fault, faults);
                pause(wait, &mut mode).await;
                faults = faults.saturating_add(1);
            }
        }
    }
}

/// True if a lane has passed a batch that was dropped: only one that is opened anew, at its committed position, gives it again. The
/// messages of a queue come again by themselves.
fn passes_dropped_batches(route: &Route) -> bool {
    route.rules.progress == ProgressKind::Position
}

/// Waits until a pull may give an event, or the route changes its mode.
async fn wait_for_events(lane: &mut dyn Lane, context: &LaneContext, mode: &mut watch::Receiver<Mode>) {
    tokio::select! {
        () = lane.ready() => {}
        () = context.activity.nudged() => {}
        () = changed(mode) => {}
    }
}

/// Waits for so long, or until the route changes its mode.
async fn pause(wait: Duration, mode: &mut watch::Receiver<Mode>) {
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = changed(mode) => {}
    }
}

/// Counts events that the source itself has given up. They never reached a delivery, which would count them.
fn note_given_up(route: &Route, lane: &mut dyn Lane) {
    let events = lane.given_up();
    if events > 0 {
        route.meter.given_up(events);
        route.meter.error("max-receives", "received too often without success");
        tracing::error!(route = %route.spec.name, events, code = "max-receives", "given up; see `esclusa dlq`");
    }
}

/// Logs a failed pull, ever more rarely while pulls go on failing.
fn warn(route: &Route, lane: &str, fault: &Fault, before: u32) {
    if worth_logging(before) {
        tracing::warn!(route = %route.spec.name, source = %route.spec.source, lane, error = %fault, "cannot read from the source; trying again");
    }
}

/// What was pulled before, or the result of a pull; `None` if the route changes its mode meanwhile.
async fn pulled<'a>(
    route: &'a Route,
    context: &'a LaneContext,
    lane: &mut dyn Lane,
    mode: &mut watch::Receiver<Mode>,
    before: Option<Pulled<'a>>,
) -> Option<Result<Pulled<'a>, Fault>> {
    if let Some(before) = before {
        return Some(Ok(before));
    }
    tokio::select! {
        biased;
        // The cancelled pull leaves nothing behind that only it knew of.
        () = changed(mode) => None,
        pulled = pull(route, context, lane) => Some(pulled),
    }
}

/// The result of a pull, with its permits.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Pulled<'a> {
    Batch(InFlight<'a>),
    Nothing { drained: bool },
    Ended,
}

/// Waits for permits of the route's limits, and pulls. Cancel-safe.
async fn pull<'a>(route: &'a Route, context: &'a LaneContext, lane: &mut dyn Lane) -> Result<Pulled<'a>, Fault> {
    // Permits before the pull, so that a source is not polled past the route's limits. Neither semaphore is ever closed.
    let Ok(concurrency) = route.concurrency.clone().acquire_owned().await else { return Ok(Pulled::Ended) };
    let Some(bytes) = route.budget.take(route.spec.batch_bytes).await else { return Ok(Pulled::Ended) };
    Ok(match lane.pull(limit(route)).await? {
        Pull::Batch(batch) => Pulled::Batch(in_flight(route, context, batch, bytes, concurrency)),
        Pull::Empty { drained } => Pulled::Nothing { drained },
        Pull::Ended => Pulled::Ended,
    })
}

fn in_flight<'a>(
    route: &'a Route,
    context: &'a LaneContext,
    batch: Batch,
    mut bytes: BytesPermit,
    concurrency: OwnedSemaphorePermit,
) -> InFlight<'a> {
    // The pull needed bytes for the largest batch; most batches are smaller.
    bytes.shrink(batch.columns.size());
    InFlight { delivery: BatchDelivery::new(route, context, batch), _bytes: bytes, _concurrency: concurrency }
}

/// Delivers a batch. A lane that runs ahead meanwhile pulls the next batch and calls the plugin on it, while the engine writes
/// this one. The next batch is committed after this one, and dropped if this one is not settled.
async fn deliver<'a>(
    route: &'a Route,
    context: &'a LaneContext,
    lane: &mut dyn Lane,
    mut batch: InFlight<'a>,
    activity: &ActivityGuard,
) -> (DeliveryEnd, Option<InFlight<'a>>) {
    if !lane.runs_ahead() {
        return (batch.delivery.run(Some(lane), activity).await, None);
    }
    let mut next = None;
    let end = {
        let run = batch.delivery.run(None, activity);
        // A route that drains or stops pulls no more.
        let run_ahead = route.unless_leaving(pull_and_call_next(route, context, lane, &mut next));
        tokio::pin!(run, run_ahead);
        tokio::select! {
            biased;
            end = &mut run => {
                // This batch ended first. If it is settled, the next batch's call goes on: cancelling it would only repeat it. But
                // a route that changes its mode does not wait for it.
                if end == DeliveryEnd::Settled {
                    let mut mode = route.watch();
                    tokio::select! {
                        _ = run_ahead => {}
                        () = changed(&mut mode) => {}
                    }
                }
                end
            }
            _ = &mut run_ahead => run.await,
        }
    };
    // The next batch was called on the assumption that this one is settled: if not, it is dropped and comes again after this one.
    let settled = end == DeliveryEnd::Settled;
    (end, next.filter(|_| settled))
}

/// Pulls the next batch into `next` and makes its first call, as far as the route's limits have room for it now.
async fn pull_and_call_next<'a>(
    route: &'a Route,
    context: &'a LaneContext,
    lane: &mut dyn Lane,
    next: &mut Option<InFlight<'a>>,
) {
    if route.breaker.is_open() {
        return;
    }
    // Without a wait: this lane's own batch may hold the last permit until it is settled.
    let Ok(concurrency) = route.concurrency.clone().try_acquire_owned() else { return };
    let Some(bytes) = route.budget.try_take(route.spec.batch_bytes) else { return };
    // Ignores `Empty`, `Ended` and faults: the regular pull meets them again, and reports them.
    if let Ok(Pull::Batch(batch)) = lane.pull(limit(route)).await {
        next.insert(in_flight(route, context, batch, bytes, concurrency)).delivery.call_ahead().await;
    }
}

fn limit(route: &Route) -> Limit {
    // With sharding a batch feeds several calls, of `batch_size` events each.
    let events = route.sharding().map_or(route.spec.batch_size.max(1), Sharding::events);
    Limit { events, bytes: route.spec.batch_bytes, window: route.spec.batch_window }
}

/// Waits while the route is paused or halted, or its breaker does not let the lane pull, and gives the route's next mode. `resting` is the
/// lane; `None` for one with a batch, which need not pull. A lane that waits counts as idle.
async fn wait_until_running(
    route: &Route,
    mode: &mut watch::Receiver<Mode>,
    activity: &ActivityGuard,
    context: &LaneContext,
    mut resting: Option<&mut (dyn Lane + '_)>,
) -> Mode {
    let has_batch = resting.is_none();
    loop {
        let now = mode.borrow_and_update().clone();
        let running = now == Mode::Running;
        match now {
            Mode::Paused | Mode::Halted(_) => {}
            Mode::Running if !has_batch && !route.breaker.lets_pull() => {}
            other => return other,
        }
        if let Some(lane) = &mut resting {
            lane.rests();
        }
        activity.idle((context.commit_count)());
        tokio::select! {
            changed = mode.changed() => if changed.is_err() { return Mode::Stopped },
            () = route.breaker.pullable(), if running => {}
            () = context.activity.nudged() => {}
        }
    }
}

/// How long a lane waits before it is opened again.
pub(crate) const REOPEN: Duration = Duration::from_millis(100);
