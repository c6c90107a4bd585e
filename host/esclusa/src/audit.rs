//! The account of every route: received = done + skipped + filtered + dead-lettered + in flight (invariant 8).
//!
//! Two books are compared. The meter of a running route counts what came and went; the store counts what was
//! committed. Both must add up, and agree.

use crate::runtime::Runtime;
use crate::runtime::meter::Reading;
use crate::runtime::schema::ingest_stream;
use esclusa_config::plan::{Plan, Route, Source};
use esclusa_embedded::Store;
use esclusa_flow::counts::Counts;
use esclusa_flow::fault::Fault;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Looks at a busy route until both books are of one moment.
const LOOKS: u32 = 200;
/// Between two looks: a commit takes about as long.
const PAUSE: Duration = Duration::from_millis(3);

/// The account of a route.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// The route.
    pub route: String,
    /// Events taken from the source.
    pub received: u64,
    /// Where they ended.
    #[serde(flatten)]
    pub counts: Counts,
    /// Events taken and not settled; 0 where no router runs.
    pub in_flight: u64,
    /// Events that wait in the source, where it can tell.
    pub behind: Option<u64>,
    /// What does not add up.
    pub problems: Vec<String>,
}

/// The accounts of a router that runs.
///
/// # Errors
/// A fault of the store.
pub async fn running(runtime: &Runtime) -> Result<Vec<Account>, Fault> {
    let loaded = runtime.loaded();
    let mut accounts = Vec::new();
    for spec in &loaded.plan.routes {
        let Ok(route) = runtime.route(&spec.name) else { continue };
        let look = || -> Result<_, Fault> {
            let before = route.meter.read();
            let stored = runtime.store().counts(&spec.name)?;
            let after = route.meter.read();
            Ok((before.counts == after.counts, after, stored))
        };
        let (mut still, mut reading, mut stored) = look()?;
        for _ in 0..LOOKS {
            if still && stored == reading.counts {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            (still, reading, stored) = look()?;
        }
        accounts.push(Account {
            route: spec.name.to_string(),
            received: reading.received,
            counts: reading.counts,
            in_flight: reading.in_flight,
            behind: behind(runtime.store(), &loaded.plan, spec),
            problems: problems(&reading, &stored, still),
        });
    }
    Ok(accounts)
}

/// The accounts as the store keeps them, where no router runs.
///
/// # Errors
/// A fault of the store.
pub fn stopped(store: &Store, plan: &Plan) -> Result<Vec<Account>, Fault> {
    let account = |spec: &Route| {
        let counts = store.counts(&spec.name)?;
        Ok(Account {
            route: spec.name.to_string(),
            received: counts.settled(),
            counts,
            in_flight: 0,
            behind: behind(store, plan, spec),
            problems: Vec::new(),
        })
    };
    plan.routes.iter().map(account).collect()
}

fn problems(reading: &Reading, stored: &Counts, still: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let sum = reading.counts.settled().saturating_add(reading.in_flight);
    if reading.received != sum {
        problems.push(format!("received {} is not the sum of the rest, {sum}", reading.received));
    }
    // While commits go on, the store is ahead by what was committed just now, and never behind.
    let ahead = stored.done >= reading.counts.done && stored.dead >= reading.counts.dead;
    if *stored != reading.counts && (still || !ahead) {
        problems.push(format!("the store has {stored:?}, the route counted {:?}", reading.counts));
    }
    problems
}

/// Events that wait in the source of a route, in flight included; `None` where the source cannot tell.
#[must_use]
pub fn behind(store: &Store, plan: &Plan, route: &Route) -> Option<u64> {
    let (name, source) = (&route.name, &route.source);
    let lanes = match plan.sources.get(source)? {
        Source::Stream { stream, .. } => store.stream_lag(name, source, stream).ok()?,
        Source::Http { reply: false, .. } => store.stream_lag(name, source, &ingest_stream(source)).ok()?,
        Source::TableChanges { table, .. } => store.changes_lag(name, source, table).ok()?,
        Source::Queue { queue, .. } => vec![store.queue_lag(name, queue).ok()?],
        _ => return None,
    };
    Some(lanes.iter().fold(0, |sum: u64, lane| sum.saturating_add(lane.records)))
}

#[cfg(test)]
mod tests {
    use super::{Counts, Reading, problems};

    #[test]
    fn an_account_that_adds_up_has_no_problems_and_any_other_has() {
        let counts = Counts { done: 5, skipped: 1, filtered: 2, dead: 1 };
        let reading = Reading { received: 12, counts, in_flight: 3, ..Reading::default() };
        assert!(problems(&reading, &counts, true).is_empty());
        let lost = Reading { received: 13, ..reading.clone() };
        assert_eq!(problems(&lost, &counts, true).len(), 1);
        let other = Counts { done: 4, ..counts };
        assert_eq!(problems(&reading, &other, true).len(), 1, "an event was counted that was not committed");
        let ahead = Counts { done: 6, ..counts };
        assert!(problems(&reading, &ahead, false).is_empty());
        assert_eq!(problems(&reading, &other, false).len(), 1);
    }
}
