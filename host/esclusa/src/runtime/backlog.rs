//! How much waits for each route, and how long this process would take for it: the numbers by which processes are added and removed.

use super::{RunningRoute, Runtime};
use crate::wiring::store_schema::ingest_stream;
use esclusa_config::plan::{Plan, RouteSpec, Source};
use esclusa_embedded::{LaneLag, Store};
use esclusa_flow::lag::Lag;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Weak;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How often it is counted what a route has settled.
const EVERY: Duration = Duration::from_secs(5);
/// Counts that are kept: those of ten minutes.
const KEPT: usize = 120;
/// Counts after which queues of SQS are asked how much waits.
const ASK_SQS: u32 = 3;

/// The events that wait in the source of a route, those in flight included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BacklogStatus {
    /// Events that wait.
    pub waiting: u64,
    /// Age of the oldest of them in milliseconds; `None` if the source does not say, or none waits.
    pub oldest_millis: Option<u64>,
    /// Seconds that this process alone would take for them; `None` until it has settled events.
    pub seconds: Option<f64>,
}

/// The most events a second that a route has settled within [`EVERY`], in the last ten minutes. A mean over quiet times would
/// say how much came, not how much the process can do.
#[derive(Debug, Default)]
pub(super) struct HandledRate(Mutex<RateWindows>);

#[derive(Debug, Default)]
struct RateWindows {
    last: Option<(Instant, u64)>,
    rates: VecDeque<f64>,
}

impl HandledRate {
    /// Takes the number of events that were settled so far.
    fn sample(&self, now: Instant, settled: u64) {
        let mut windows = self.0.lock();
        if let Some((since, before)) = windows.last.replace((now, settled)) {
            let seconds = now.saturating_duration_since(since).as_secs_f64().max(0.001);
            let rate = settled.saturating_sub(before) as f64 / seconds;
            windows.rates.push_back(rate);
            if windows.rates.len() > KEPT {
                windows.rates.pop_front();
            }
        }
    }

    /// Events a second; `None` if nothing was settled in the last ten minutes.
    fn per_second(&self) -> Option<f64> {
        self.0.lock().rates.iter().copied().max_by(f64::total_cmp).filter(|rate| *rate > 0.0)
    }
}

/// Counts what each route settles, until the router is dropped.
pub(super) async fn watch(runtime: Weak<Runtime>) {
    let mut counts = 0_u32;
    while let Some(router) = runtime.upgrade() {
        let now = Instant::now();
        for running in router.running().values() {
            running.handled.sample(now, running.route.meter.read().counts.settled());
        }
        if counts.is_multiple_of(ASK_SQS) {
            // A queue that does not answer must not hold up the counting of other routes: it keeps its last number.
            let _ = timeout(EVERY, router.queues.measure()).await;
        }
        counts = counts.wrapping_add(1);
        drop(router);
        sleep(EVERY).await;
    }
}

impl Runtime {
    /// How much waits for a route; `None` if its source does not say.
    pub(super) fn backlog(&self, plan: &Plan, running: &RunningRoute) -> Option<BacklogStatus> {
        let (waiting, oldest) = self.waiting(plan, &running.route.spec, running.lag.as_deref())?;
        let seconds = match waiting {
            0 => Some(0.0),
            _ => running.handled.per_second().map(|rate| waiting as f64 / rate),
        };
        let oldest_millis = oldest.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        Some(BacklogStatus { waiting, oldest_millis, seconds })
    }

    fn waiting(&self, plan: &Plan, spec: &RouteSpec, lag: Option<&Lag>) -> Option<(u64, Option<Duration>)> {
        if let Some(found) = lag.and_then(of_partitions) {
            return Some(found);
        }
        if let Source::Sqs { .. } = plan.sources.get(&spec.source)? {
            return Some((self.queues.waiting(&spec.source)?, None));
        }
        let lanes = lanes_behind(&self.store, plan, spec)?;
        Some((records(&lanes), lanes.iter().filter_map(|lane| lane.age).max()))
    }
}

/// Records of the partitions that this process works on; `None` if the source does not number its records one by one.
fn of_partitions(lag: &Lag) -> Option<(u64, Option<Duration>)> {
    let lanes = lag.lanes();
    let waiting = lanes.values().filter_map(|lane| Some(lane.place?.records)).reduce(u64::saturating_add)?;
    let oldest = lanes.values().filter_map(|lane| lane.behind_millis).max();
    Some((waiting, oldest.map(Duration::from_millis)))
}

/// Events that wait in the source of a route, those in flight included; `None` if the source does not know.
#[must_use]
pub(crate) fn behind(store: &Store, plan: &Plan, route: &RouteSpec) -> Option<u64> {
    lanes_behind(store, plan, route).map(|lanes| records(&lanes))
}

fn records(lanes: &[LaneLag]) -> u64 {
    lanes.iter().fold(0, |sum, lane| sum.saturating_add(lane.records))
}

/// How far a route is behind in each lane of an embedded source; `None` if the source does not know.
fn lanes_behind(store: &Store, plan: &Plan, route: &RouteSpec) -> Option<Vec<LaneLag>> {
    let (name, source) = (&route.name, &route.source);
    Some(match plan.sources.get(source)? {
        Source::Stream { stream, .. } => store.stream_lag(name, source, stream).ok()?,
        Source::Http { reply: false, .. } => store.stream_lag(name, source, &ingest_stream(source)).ok()?,
        Source::TableChanges { table, .. } => store.changes_lag(name, source, table).ok()?,
        Source::Queue { queue, .. } => vec![store.queue_lag(name, queue).ok()?],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_busiest_window_and_is_forgotten_after_ten_minutes() {
        let rate = HandledRate::default();
        let start = Instant::now();
        let sample = |count: u32, settled| rate.sample(start + EVERY * count, settled);
        assert_eq!(rate.per_second(), None);
        sample(0, 1_000);
        assert_eq!(rate.per_second(), None, "what an earlier run settled is no rate");
        sample(1, 1_500);
        sample(2, 1_501);
        assert_eq!(rate.per_second(), Some(100.0));
        for quiet in 3..KEPT as u32 + 2 {
            rate.sample(start + EVERY * quiet, 1_501);
        }
        assert_eq!(rate.per_second(), Some(0.2));
        rate.sample(start + EVERY * (KEPT as u32 + 2), 1_501);
        assert_eq!(rate.per_second(), None);
    }
}
