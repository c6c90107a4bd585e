//! The account of every route: received = done + skipped + filtered + dead-lettered + in flight (invariant 8).
//!
//! Two sets of counts are compared: the meter of a running route counts events that were received and settled; the
//! store counts events whose end was committed. Each must add up, and both must agree.

use crate::runtime::Runtime;
use crate::runtime::backlog::behind;
use esclusa_config::plan::{Plan, RouteSpec};
use esclusa_embedded::Store;
use esclusa_flow::counts::Counts;
use esclusa_flow::engine::Engine as _;
use esclusa_flow::fault::Fault;
use esclusa_pipeline::meter::Reading;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Most looks at a busy route, until meter and store agree.
const LOOKS: u32 = 200;
/// Pause between two looks: about the time of a commit.
const PAUSE: Duration = Duration::from_millis(3);

/// The account of a route.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RouteAccount {
    /// The route.
    pub route: String,
    /// Events taken from the source.
    pub received: u64,
    /// How many of them ended, by outcome.
    #[serde(flatten)]
    pub counts: Counts,
    /// Events that were received and not settled; 0 if no router runs.
    pub in_flight: u64,
    /// Events that wait in the source; `None` if it does not know.
    pub behind: Option<u64>,
    /// Messages to outputs that are not delivered yet, of events that are done or in flight.
    #[serde(default)]
    pub undelivered: u64,
    /// The sums that are wrong; empty if the account adds up.
    pub problems: Vec<String>,
}

/// Meter and store of a route at nearly one moment.
struct Books {
    /// The meter, read before the store.
    before: Counts,
    /// The counts of the store.
    stored: Counts,
    /// The meter, read after the store.
    after: Reading,
    /// See [`RouteAccount::undelivered`].
    undelivered: u64,
}

impl Books {
    /// True if nothing was settled between the two reads of the meter.
    fn still(&self) -> bool {
        self.before == self.after.counts
    }

    /// True if the counts of the store lie between the two reads of the meter.
    fn agree(&self) -> bool {
        reaches(&self.stored, &self.before) && reaches(&self.after.counts, &self.stored)
    }
}

/// The accounts of a running router. A route that is just being restarted has the account of the store.
///
/// # Errors
/// The [`Fault`] of the store.
pub(crate) async fn running(runtime: &Runtime) -> Result<Vec<RouteAccount>, Fault> {
    let (loaded, store) = (runtime.loaded(), runtime.store());
    let mut accounts = Vec::new();
    for spec in &loaded.plan.routes {
        let mut books = look(runtime, &spec.name)?;
        for _ in 0..LOOKS {
            // A busy route settles events between the reads: it is looked at again, until the counts agree or nothing
            // is settled in between.
            if books.as_ref().is_none_or(Books::agree) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            books = look(runtime, &spec.name)?;
        }
        accounts.push(match books {
            Some(books) => RouteAccount {
                route: spec.name.to_string(),
                received: books.after.received,
                counts: books.after.counts,
                in_flight: books.after.in_flight,
                behind: behind(store, &loaded.plan, spec),
                undelivered: books.undelivered,
                problems: problems(&books),
            },
            None => stored(store, &loaded.plan, spec).await?,
        });
    }
    Ok(accounts)
}

/// Reads meter and store of a route; `None` if it does not run. If the route was restarted in between, the meter was
/// that of the old one: both are read again.
fn look(runtime: &Runtime, name: &str) -> Result<Option<Books>, Fault> {
    while let Ok(route) = runtime.route(name) {
        let before = route.meter.read().counts;
        let stored = runtime.store().counts(name)?;
        let after = route.meter.read();
        if runtime.route(name).is_ok_and(|now| Arc::ptr_eq(&now, &route)) {
            return Ok(Some(Books { before, stored, after, undelivered: route.outputs.pending() }));
        }
    }
    Ok(None)
}

/// The accounts of the store, if no router runs.
///
/// # Errors
/// The [`Fault`] of the store.
pub(crate) async fn stopped(store: &Store, plan: &Plan) -> Result<Vec<RouteAccount>, Fault> {
    let mut accounts = Vec::with_capacity(plan.routes.len());
    for spec in &plan.routes {
        accounts.push(stored(store, plan, spec).await?);
    }
    Ok(accounts)
}

/// The account of a route from the store alone.
async fn stored(store: &Store, plan: &Plan, spec: &RouteSpec) -> Result<RouteAccount, Fault> {
    let counts = store.counts(&spec.name)?;
    let recorded = store.pending(&spec.name).await?;
    Ok(RouteAccount {
        route: spec.name.to_string(),
        received: counts.settled(),
        counts,
        in_flight: 0,
        behind: behind(store, plan, spec),
        undelivered: recorded.iter().map(|outbox| outbox.messages.len() as u64).sum(),
        problems: Vec::new(),
    })
}

fn problems(books: &Books) -> Vec<String> {
    let Books { before, stored, after, .. } = books;
    let mut problems = Vec::new();
    let sum = after.counts.settled().saturating_add(after.in_flight);
    if after.received != sum {
        problems.push(format!("received {} is not the sum of the other counts, {sum}", after.received));
    }
    // The meter counts after the commit: a busy store may be ahead of the meter, but never behind it.
    if !books.agree() && (books.still() || !reaches(stored, before)) {
        problems.push(format!("the store has {}, the route counted {}", words(stored), words(&after.counts)));
    }
    problems
}

/// True if each count of `counts` is at least that of `least`.
fn reaches(counts: &Counts, least: &Counts) -> bool {
    counts.done >= least.done
        && counts.skipped >= least.skipped
        && counts.filtered >= least.filtered
        && counts.dead >= least.dead
}

fn words(counts: &Counts) -> String {
    let Counts { done, skipped, filtered, dead } = counts;
    format!("{done} done, {skipped} skipped, {filtered} filtered and {dead} dead")
}

#[cfg(test)]
mod tests {
    use super::{Books, Counts, Reading, problems};

    #[test]
    fn an_account_that_adds_up_has_no_problems_and_any_other_has() {
        let counts = Counts { done: 5, skipped: 1, filtered: 2, dead: 1 };
        let fewer = Counts { done: 4, ..counts };
        let reading = |received| Reading { received, counts, in_flight: 3, ..Reading::default() };
        let books =
            |before, stored, received| problems(&Books { before, stored, after: reading(received), undelivered: 0 });
        assert!(books(counts, counts, 12).is_empty());
        assert_eq!(books(counts, counts, 13).len(), 1, "an event was lost");
        let problems_found = books(counts, fewer, 12);
        assert_eq!(
            problems_found,
            [
                "the store has 4 done, 1 skipped, 2 filtered and 1 dead, the route counted 5 done, 1 skipped, 2 filtered and 1 dead"
            ],
            "an event was counted that was not committed"
        );
    }

    #[test]
    fn a_busy_route_may_commit_between_two_looks() {
        let counts = |done| Counts { done, ..Counts::default() };
        let books = |before, stored, after| {
            let after = Reading { received: after, counts: counts(after), ..Reading::default() };
            problems(&Books { before: counts(before), stored: counts(stored), after, undelivered: 0 })
        };
        assert!(books(4, 6, 5).is_empty(), "committed, and not counted yet");
        assert!(books(4, 5, 6).is_empty(), "committed and counted after the store was read");
        assert_eq!(books(4, 3, 5).len(), 1, "counted, and not committed");
    }
}
