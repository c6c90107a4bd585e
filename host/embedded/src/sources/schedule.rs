//! Events at the times of a cron expression, in UTC. Times that passed while the router was down become one event. A changed
//! expression holds from the change on: the position belongs to the expression that is stored with it.

use super::single_lane::{OpenLane, SingleLaneSource};
use super::template::{TemplateValues, render, time_text};
use crate::progress::SourceSpec;
use crate::store::Store;
use chrono::{DateTime, Utc};
use croner::Cron;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull};
use std::str::FromStr;
use std::time::Duration;
use tokio::time::sleep;

/// Longest sleep: the source notices after it if the wall clock was set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// A position so far in the future, in milliseconds, comes from a clock that was wrong.
const SET_BACK: u64 = 60_000;

/// The times of a cron expression as a source of one ordered lane.
pub type ScheduleSource = SingleLaneSource<ScheduleOpener>;

/// Opens a schedule as a lane.
pub struct ScheduleOpener {
    store: Store,
    spec: SourceSpec,
    cron: Cron,
    /// The expression, with one space between its fields.
    expression: String,
    event: serde_json::Value,
}

impl SingleLaneSource<ScheduleOpener> {
    /// A source that keeps its position in `store`.
    ///
    /// # Errors
    /// A [`Fault`]: the expression cannot be read.
    pub fn new(store: Store, spec: SourceSpec, cron: &str, event: serde_json::Value) -> Result<Self, Fault> {
        let parsed = Cron::from_str(cron)
            .map_err(|e| Fault::Permanent(format!("source {:?}: cron {cron:?}: {e}", spec.source)))?;
        let expression = cron.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(SingleLaneSource::of(ScheduleOpener { store, spec, cron: parsed, expression, event }))
    }
}

impl ScheduleOpener {
    /// The time from which on the schedule holds, milliseconds since the Unix epoch.
    async fn begin(&self) -> Result<u64, Fault> {
        let route_lane = self.spec.route_lane("");
        let memo = route_lane.memo(self.store.disk())?;
        let same = memo.as_ref().is_none_or(|memo| memo == self.expression.as_bytes());
        let now = crate::clock::wall_millis();
        let (done, kept) = match route_lane.position(self.store.disk())? {
            Some(Token::Offset(done)) if same && done <= now.saturating_add(SET_BACK) => (done, true),
            // Decided once: a schedule begins when the route is first opened with it.
            _ => (now, false),
        };
        // Stores of older versions have no expression: theirs is the one that is configured now.
        if memo.is_none() || !kept {
            let memo = Some(self.expression.clone().into_bytes());
            self.store.set_position(&self.spec, "", Some(Token::Offset(done)), memo).await?;
        }
        Ok(done)
    }
}

impl OpenLane for ScheduleOpener {
    fn open_lane(&self) -> BoxFuture<'_, Result<Box<dyn Lane>, Fault>> {
        Box::pin(async move {
            let done = self.begin().await?;
            let lane =
                ScheduleLane { spec: self.spec.clone(), cron: self.cron.clone(), event: self.event.clone(), done };
            Ok(Box::new(lane) as Box<dyn Lane>)
        })
    }
}

struct ScheduleLane {
    spec: SourceSpec,
    cron: Cron,
    event: serde_json::Value,
    /// The last time that was handed out, milliseconds since the Unix epoch.
    done: u64,
}

fn time(milliseconds: u64) -> Option<DateTime<Utc>> {
    i64::try_from(milliseconds).ok().and_then(DateTime::from_timestamp_millis)
}

impl ScheduleLane {
    /// The latest time of the schedule that has passed and was not handed out.
    fn due(&self, now: u64) -> Option<u64> {
        let latest = self.cron.find_previous_occurrence(&time(now)?, true).ok()?;
        u64::try_from(latest.timestamp_millis()).ok().filter(|latest| *latest > self.done)
    }

    fn pull_now(&mut self) -> Result<Pull, Fault> {
        let now = crate::clock::wall_millis();
        if self.done > now.saturating_add(SET_BACK) {
            // It would be silent until then. Opened again, the schedule holds from now on.
            return Err(Fault::LeaseLost("the clock was set back: the schedule holds from now on".to_owned()));
        }
        let Some(due) = self.due(now) else { return Ok(Pull::Empty { drained: true }) };
        let values = TemplateValues { sequence: due / 1000, now: due, seed: 0 };
        let scheduled = time_text(due);
        let data = render(&self.event, &values).to_string();
        let mut columns = Columns::default();
        let event = NewEvent {
            id: &scheduled,
            key: "",
            data: data.as_bytes(),
            attributes: &[("scheduled-time", &scheduled)],
            timestamp: due,
            attempt: 1,
        };
        columns.push(&event).map_err(|e| Fault::Permanent(e.to_string()))?;
        let previous = Some(Token::Offset(std::mem::replace(&mut self.done, due)));
        let claims = vec![Claim::new(Token::Offset(due))];
        Ok(Pull::Batch(Batch { origin: self.spec.origin("", true), columns: columns.into(), claims, previous }))
    }
}

impl Lane for ScheduleLane {
    fn id(&self) -> &str {
        ""
    }

    fn pull(&mut self, _limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(std::future::ready(self.pull_now()))
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        let now = crate::clock::wall_millis();
        let next = time(now.max(self.done)).and_then(|now| self.cron.find_next_occurrence(&now, false).ok());
        let wait = next
            .and_then(|next| u64::try_from(next.timestamp_millis()).ok())
            .map_or(u64::MAX, |next| next.saturating_sub(now));
        let wait = if self.due(now).is_some() { Duration::ZERO } else { Duration::from_millis(wait) };
        Box::pin(sleep(wait.min(LONGEST_SLEEP)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::StoreSchema;

    #[tokio::test]
    async fn a_clock_that_was_set_back_silences_no_schedule() {
        const YEAR: u64 = 365 * 86_400_000;
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreSchema::default()).unwrap();
        let spec = SourceSpec { route: "r".into(), source: "hourly".into(), kind: "schedule".into(), pollers: 1 };
        let (cron, event) = (Cron::from_str("0 * * * *").unwrap(), serde_json::Value::Null);
        let mut lane = ScheduleLane { spec: spec.clone(), cron: cron.clone(), event: event.clone(), done: 0 };
        assert!(matches!(lane.pull_now(), Ok(Pull::Batch(_))));
        // The clock was a year ahead when the last time was handed out.
        lane.done = crate::clock::wall_millis() + YEAR;
        assert!(matches!(lane.pull_now(), Err(Fault::LeaseLost(_))));
        let expression = "0 * * * *".to_owned();
        let memo = Some(expression.clone().into_bytes());
        store.set_position(&spec, "", Some(Token::Offset(lane.done)), memo).await.unwrap();
        let opener = ScheduleOpener { store: store.clone(), spec, cron, expression, event };
        let (before, begun) = (crate::clock::wall_millis(), opener.begin().await.unwrap());
        assert!((before..=crate::clock::wall_millis()).contains(&begun));
        assert_eq!(opener.begin().await.unwrap(), begun, "it is kept");
    }
}
