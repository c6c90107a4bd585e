//! The loop of one lane: pull, deliver, again. One task per lane.
//!
//! A lane that ends early (drained, lease lost, cancelled) drops its batch, which is then not done (invariant 2).

use super::deliver::{self, End};
use super::idle::{Idle, Note};
use super::route::{Mode, Route};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What lanes of all routes share.
pub struct Shared {
    /// Who is idle.
    pub idle: Arc<Idle>,
    /// Start of the monotonic clock.
    pub start: Instant,
    /// The engine's version.
    pub version: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// How a lane ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its source has nothing more, ever.
    Finished,
    /// The route stops.
    Stopped,
    /// It belongs to somebody else now, or has to be opened again at its committed position.
    Lost,
}

/// Works on a lane until it ends. `note` says that it is busy, from before its task begins.
pub async fn run(route: Arc<Route>, shared: Arc<Shared>, mut lane: Box<dyn Lane>, note: Note) -> Ended {
    let mut mode = route.watch();
    let mut faults = 0u32;
    loop {
        match wait_until_running(&mut mode, &note, &shared).await {
            Mode::Running => {}
            _ => return Ended::Stopped,
        }
        note.busy();
        let Ok(_permit) = route.concurrency.clone().acquire_owned().await else { return Ended::Stopped };
        let Some(mut share) = route.budget.share(route.spec.batch_bytes).await else { return Ended::Stopped };
        let version = (shared.version)();
        let pulled = tokio::select! {
            biased;
            () = changed(&mut mode) => continue,
            pulled = lane.pull(limit(&route)) => pulled,
        };
        match pulled {
            Ok(Pull::Batch(batch)) => {
                faults = 0;
                share.shrink(batch.columns.size());
                match deliver::deliver(&route, &shared, lane.as_mut(), batch).await {
                    End::Settled => {}
                    End::Halted => continue,
                    End::Stopped => return Ended::Stopped,
                    End::Lost => return Ended::Lost,
                }
            }
            Ok(Pull::Empty { drained }) => {
                drop((_permit, share));
                if drained {
                    note.idle(version);
                }
                tokio::select! {
                    () = lane.ready() => {}
                    () = shared.idle.nudged() => {}
                    () = changed(&mut mode) => {}
                }
            }
            Ok(Pull::Ended) => return Ended::Finished,
            Err(Fault::LeaseLost(why)) => {
                tracing::info!(route = %route.spec.name, lane = lane.id(), why, "lane lost");
                return Ended::Lost;
            }
            Err(fault) => {
                drop((_permit, share));
                route.meter.error("source.pull", &fault.to_string());
                tracing::warn!(route = %route.spec.name, source = %route.spec.source, lane = lane.id(), error = %fault, "cannot read from the source; trying again");
                let wait = route.spec.policy.backoff.wait(faults, u64::from(faults));
                faults = faults.saturating_add(1);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = changed(&mut mode) => {}
                }
            }
        }
    }
}

fn limit(route: &Route) -> Limit {
    Limit { events: route.spec.batch_size.max(1), bytes: route.spec.batch_bytes, window: route.spec.batch_window }
}

/// Waits for the next change of mode. Once the route is gone, nothing changes any more.
pub async fn changed(mode: &mut watch::Receiver<Mode>) {
    if mode.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits while the route is paused or halted; gives what it does then. A paused route counts as idle.
async fn wait_until_running(mode: &mut watch::Receiver<Mode>, note: &Note, shared: &Shared) -> Mode {
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
