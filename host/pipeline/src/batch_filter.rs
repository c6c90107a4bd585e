//! Applies a route's filter to a batch. A batch that takes long is filtered on a thread that no other task waits for; the
//! filter stops soon after its delivery is dropped.

use crate::route::Route;
use esclusa_flow::event::{Columns, EventRef};
use esclusa_flow::filter::{Filter, Undecided};
use esclusa_flow::index::EventIndex;
use esclusa_flow::step_budget::{Exhausted, StepBudget};
use esclusa_flow::verdict::{Reason, Verdict};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

/// Code of an event whose filter takes too many steps.
pub(crate) const CODE: &str = "limit.filter";

/// Most bytes of a batch that is filtered on the lane's own thread.
const SMALL: usize = 64 * 1024;
/// Steps that a batch may take on the lane's own thread: about a millisecond, while all other tasks of the thread wait.
const AT_ONCE: u64 = 256 * 1024;

/// Filters of long batches that run at the same time. They only compute, so more of them than cores would not be faster.
static RUNNING: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// The events that the plugin does not get, ascending: filtered, or given up because the filter takes too many steps.
pub type FilterVerdicts = Vec<(EventIndex, Verdict)>;

/// A filter at work on a batch. Dropping it ends the work.
pub struct FilterTask(JoinSet<FilterVerdicts>);

impl FilterTask {
    /// Waits for the filter. Cancel-safe: it goes on meanwhile.
    pub async fn end(&mut self) -> FilterVerdicts {
        match self.0.join_next().await.map(|joined| joined.map_err(JoinError::try_into_panic)) {
            Some(Ok(verdicts)) => verdicts,
            Some(Err(Ok(panic))) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: no task waits for an answer.
            Some(Err(Err(_))) | None => std::future::pending().await,
        }
    }
}

/// Filters a batch now if that is quick; else starts a task that filters it.
///
/// # Errors
/// Not an error: the filter at work on a batch that takes long.
pub fn filter_batch(route: &Route, events: &Arc<Columns>) -> Result<FilterVerdicts, FilterTask> {
    let Some(filter) = &route.spec.filter else { return Ok(FilterVerdicts::new()) };
    at_once(filter, &route.kind, events).ok_or_else(|| {
        let mut work = JoinSet::new();
        work.spawn(aside(filter.clone(), route.kind.clone(), events.clone()));
        FilterTask(work)
    })
}

/// Filters a batch on this thread; `None` if that takes too long.
fn at_once(filter: &Filter, kind: &str, events: &Columns) -> Option<FilterVerdicts> {
    if events.size() > SMALL {
        return None;
    }
    let (mut work, stop) = (StepBudget::of(AT_ONCE), AtomicBool::new(false));
    // An event that is out of steps here may have used up those of the others: it gets a full budget of its own aside.
    all(events, |event| filter.matches(kind, event, &mut work, &stop)).filter(|verdicts| !gives_up(verdicts))
}

/// True if an event is given up.
fn gives_up(verdicts: &FilterVerdicts) -> bool {
    verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Dead(_)))
}

/// Filters a batch on a thread that no other task waits for. If the future is dropped, the thread is free soon after.
async fn aside(filter: Filter, kind: Arc<str>, events: Arc<Columns>) -> FilterVerdicts {
    // The semaphore is never closed.
    let Ok(permit) = RUNNING.acquire().await else { return std::future::pending().await };
    let guard = StopOnDrop::default();
    let stop = guard.flag();
    let verdicts = tokio::task::spawn_blocking(move || {
        let verdicts = all(&events, |event| filter.matches(&kind, event, &mut filter.budget(event), &stop));
        drop(permit);
        verdicts
    });
    match verdicts.await.map_err(JoinError::try_into_panic) {
        Ok(Some(verdicts)) => verdicts,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The filter was stopped, or the runtime is shutting down: no task waits for an answer.
        Ok(None) | Err(Err(_)) => std::future::pending().await,
    }
}

/// Applies `matches` to every event of a batch; `None` if it was stopped.
fn all(events: &Columns, mut matches: impl FnMut(EventRef<'_>) -> Result<bool, Undecided>) -> Option<FilterVerdicts> {
    let mut verdicts = FilterVerdicts::new();
    for (at, event) in EventIndex::all(events.len()).zip(events.iter()) {
        match matches(event) {
            Ok(true) => {}
            Ok(false) => verdicts.push((at, Verdict::Filtered)),
            Err(Undecided::Exhausted(exhausted)) => verdicts.push((at, Verdict::Dead(too_much(event, exhausted)))),
            Err(Undecided::Stopped) => return None,
        }
    }
    Some(verdicts)
}

fn too_much(event: EventRef<'_>, exhausted: Exhausted) -> Reason {
    let bytes = event.size();
    Reason::new(CODE, format!("the route's filter gives no answer for these {bytes} bytes: {exhausted}"))
}

/// Sets a flag when it is dropped, which stops the thread that watches the flag.
#[derive(Default)]
pub struct StopOnDrop(Arc<AtomicBool>);

impl StopOnDrop {
    /// The flag, for the thread that it stops.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_flow::event::NewEvent;
    use serde_json::json;

    fn events(datas: &[String]) -> Arc<Columns> {
        let mut columns = Columns::default();
        for data in datas {
            columns.push(&NewEvent { data: data.as_bytes(), ..NewEvent::default() }).unwrap();
        }
        Arc::new(columns)
    }

    #[tokio::test]
    async fn what_takes_too_long_at_once_is_given_up_aside_and_nothing_else_is() {
        let wildcards: Vec<_> = (0..1000).map(|n| json!({ "wildcard": format!("*word-{n}*") })).collect();
        let filter = Filter::compile(&[json!({ "data": { "a": wildcards } })]).unwrap();
        let few = events(&[r#"{"a":"word-7"}"#.to_owned(), r#"{"a":"x"}"#.to_owned()]);
        assert_eq!(at_once(&filter, "stream", &few), Some(vec![(EventIndex(1), Verdict::Filtered)]));
        let many = |count| format!("{{\"a\":[{}]}}", vec!["\"x\""; count].join(","));
        let long = events(&[r#"{"a":"word-7"}"#.to_owned(), many(1000), many(100_000), r#"{"a":"x"}"#.to_owned()]);
        assert_eq!(at_once(&filter, "stream", &long), None);
        let verdicts = aside(filter.clone(), "stream".into(), long.clone()).await;
        let codes = verdicts.iter().map(|(event, verdict)| match verdict {
            Verdict::Dead(reason) => (event.0, reason.code.as_str()),
            _ => (event.0, "filtered"),
        });
        assert_eq!(codes.collect::<Vec<_>>(), [(1, "filtered"), (2, CODE), (3, "filtered")]);
        let small = events(&[many(1000)]);
        assert_eq!(at_once(&filter, "stream", &small), None, "a small batch may take long, too");
    }

    #[test]
    fn a_filter_whose_delivery_is_dropped_stops() {
        let guard = StopOnDrop::default();
        let flag = guard.flag();
        assert!(!flag.load(Ordering::Relaxed));
        drop(guard);
        assert!(flag.load(Ordering::Relaxed));
    }
}
