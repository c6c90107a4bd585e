//! The loop of one lane: pull, deliver, again. One task per lane.
//!
//! A lane that ends early (drained, lease lost, cancelled) drops its batch, which is then not done (invariant 2).

use crate::activity::ActivityGuard;
use crate::budget::BytesPermit;
use crate::deliver::{Delivering, DeliveryEnd};
use crate::meter::worth_telling;
use crate::route::{Mode, Route, changed};
use crate::shared::Shared;
use esclusa_flow::batch::Batch;
use esclusa_flow::fault::Fault;
use esclusa_flow::sharding::Sharding;
use esclusa_flow::source::{Lane, Limit, Pull};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// The code of what goes wrong when a lane pulls.
const PULL: &str = "source.pull";

/// How a lane ended.
#[derive(Debug, PartialEq, Eq)]
pub enum LaneEnd {
    /// Its source has nothing more, ever.
    Finished,
    /// The route stops.
    Stopped,
    /// It belongs to somebody else now, or has to be opened again at its committed position.
    Lost,
}

/// A batch with its shares of the route's limits.
struct InFlight<'a> {
    delivering: Delivering<'a>,
    _share: BytesPermit,
    _permit: OwnedSemaphorePermit,
}

/// Works on a lane until it ends. `note` says that it is busy, from before its task begins.
pub async fn run(route: Arc<Route>, shared: Arc<Shared>, mut lane: Box<dyn Lane>, note: &ActivityGuard) -> LaneEnd {
    let mut mode = route.watch();
    let (mut faults, mut works, mut ahead) = (0u32, false, None);
    loop {
        note_given_up(&route, lane.as_mut());
        if wait_until_running(&mut mode, note, &shared).await != Mode::Running {
            return LaneEnd::Stopped;
        }
        note.busy();
        let version = (shared.version)();
        let pulled = match ahead.take() {
            Some(held) => Ok(Next::Batch(held)),
            None => tokio::select! {
                biased;
                () = changed(&mut mode) => continue,
                pulled = pull(&route, &shared, lane.as_mut()) => pulled,
            },
        };
        if pulled.is_ok() && !works {
            (faults, works) = (0, true);
            route.meter.recovered(PULL);
        }
        match pulled {
            Ok(Next::Batch(held)) => {
                let (end, next) = deliver(&route, &shared, lane.as_mut(), held).await;
                ahead = next;
                match end {
                    DeliveryEnd::Settled => {}
                    DeliveryEnd::Halted => continue,
                    DeliveryEnd::Stopped => return LaneEnd::Stopped,
                    DeliveryEnd::Lost => return LaneEnd::Lost,
                }
            }
            Ok(Next::Nothing { drained }) => {
                if drained {
                    note.idle(version);
                }
                tokio::select! {
                    () = lane.ready() => {}
                    () = shared.idle.nudged() => {}
                    () = changed(&mut mode) => {}
                }
            }
            Ok(Next::Ended) => return LaneEnd::Finished,
            Err(Fault::LeaseLost(why)) => {
                tracing::info!(route = %route.spec.name, lane = lane.id(), why, "lane lost");
                return LaneEnd::Lost;
            }
            Err(fault) => {
                report(&route, lane.id(), &fault, faults);
                let wait = route.spec.policy.backoff.wait(faults, u64::from(faults));
                (faults, works) = (faults.saturating_add(1), false);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = changed(&mut mode) => {}
                }
            }
        }
    }
}

/// Counts what the source itself has given up: it passed no delivery.
fn note_given_up(route: &Route, lane: &mut dyn Lane) {
    let events = lane.given_up();
    if events > 0 {
        route.meter.change(|r| {
            r.received = r.received.saturating_add(events);
            r.counts.dead = r.counts.dead.saturating_add(events);
        });
        route.meter.error("max-receives", "received too often without success");
        tracing::error!(route = %route.spec.name, events, code = "max-receives", "given up; see `esclusa dlq`");
    }
}

/// Reports a failed pull, ever more rarely while pulls go on failing.
fn report(route: &Route, lane: &str, fault: &Fault, before: u32) {
    route.meter.error(PULL, &fault.to_string());
    if worth_telling(before) {
        tracing::warn!(route = %route.spec.name, source = %route.spec.source, lane, error = %fault, "cannot read from the source; trying again");
    }
}

/// What a lane has next.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Next<'a> {
    Batch(InFlight<'a>),
    Nothing { drained: bool },
    Ended,
}

/// Waits for a share of the route's limits, and pulls. Cancel-safe.
async fn pull<'a>(route: &'a Route, shared: &'a Shared, lane: &mut dyn Lane) -> Result<Next<'a>, Fault> {
    // Neither is ever closed.
    let Ok(permit) = route.concurrency.clone().acquire_owned().await else { return Ok(Next::Ended) };
    let Some(share) = route.budget.share(route.spec.batch_bytes).await else { return Ok(Next::Ended) };
    Ok(match lane.pull(limit(route)).await? {
        Pull::Batch(batch) => Next::Batch(hold(route, shared, batch, share, permit)),
        Pull::Empty { drained } => Next::Nothing { drained },
        Pull::Ended => Next::Ended,
    })
}

fn hold<'a>(
    route: &'a Route,
    shared: &'a Shared,
    batch: Batch,
    mut share: BytesPermit,
    permit: OwnedSemaphorePermit,
) -> InFlight<'a> {
    share.shrink(batch.columns.size());
    InFlight { delivering: Delivering::new(route, shared, batch), _share: share, _permit: permit }
}

/// Delivers a batch. Where the lane allows it the next one is pulled and its plugin called meanwhile, so that one
/// computes while the other is written; it is committed after this one, and dropped where this one is not settled.
async fn deliver<'a>(
    route: &'a Route,
    shared: &'a Shared,
    lane: &mut dyn Lane,
    mut held: InFlight<'a>,
) -> (DeliveryEnd, Option<InFlight<'a>>) {
    if !lane.runs_ahead() {
        return (held.delivering.run(Some(lane)).await, None);
    }
    let mut next = None;
    let end = {
        let run = held.delivering.run(None);
        let ahead = ahead(route, shared, lane, &mut next);
        tokio::pin!(run, ahead);
        tokio::select! {
            biased;
            end = &mut run => {
                if end == DeliveryEnd::Settled {
                    let mut mode = route.watch();
                    tokio::select! {
                        () = ahead => {}
                        () = changed(&mut mode) => {}
                    }
                }
                end
            }
            () = &mut ahead => run.await,
        }
    };
    let settled = end == DeliveryEnd::Settled;
    (end, next.filter(|_| settled))
}

/// Pulls the next batch into `next` and makes its first call, as far as the route's limits have room for it now.
async fn ahead<'a>(route: &'a Route, shared: &'a Shared, lane: &mut dyn Lane, next: &mut Option<InFlight<'a>>) {
    let Ok(permit) = route.concurrency.clone().try_acquire_owned() else { return };
    let Some(share) = route.budget.try_share(route.spec.batch_bytes) else { return };
    // Whatever else a pull gives, it gives again in its turn.
    if let Ok(Pull::Batch(batch)) = lane.pull(limit(route)).await {
        next.insert(hold(route, shared, batch, share, permit)).delivering.call_ahead().await;
    }
}

fn limit(route: &Route) -> Limit {
    let events = route.split().map_or(route.spec.batch_size.max(1), Sharding::events);
    Limit { events, bytes: route.spec.batch_bytes, window: route.spec.batch_window }
}

/// Waits while the route is paused or halted; gives what it does then. A paused route counts as idle.
async fn wait_until_running(mode: &mut watch::Receiver<Mode>, note: &ActivityGuard, shared: &Shared) -> Mode {
    loop {
        let now = mode.borrow_and_update().clone();
        match now {
            Mode::Paused | Mode::Halted(_) => {}
            other => return other,
        }
        note.idle((shared.version)());
        tokio::select! {
            changed = mode.changed() => if changed.is_err() { return Mode::Stopped },
            () = shared.idle.nudged() => {}
        }
    }
}

/// How long a lane waits before it is opened again.
pub const REOPEN: Duration = Duration::from_millis(100);
