//! Generated events: a log that nobody writes. Event number n follows from n and from the time at which the first
//! one was due, so a batch that comes again is the same.

use super::single_lane::{OpenLane, SingleLaneSource};
use super::template::{TemplateValues, render, render_text};
use crate::progress::SourceSpec;
use crate::store::Store;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::retry::mix_text;
use esclusa_flow::source::{Lane, Limit, Pull};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::sleep;

/// A route that stood still for longer, in milliseconds, goes on with present events instead of catching up: the router was down,
/// the route was paused or halted, or the machine slept.
const CATCH_UP: u64 = 60_000;
/// The clock may go back by so much, in milliseconds, before the events are numbered from a new moment.
const SET_BACK: u64 = 1_000;
/// Longest sleep: the source notices after it if the wall clock was set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The events to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorSettings {
    /// Time between two ticks.
    pub interval: Duration,
    /// Events per tick.
    pub per_tick: u32,
    /// Stop after so many events; `None`: never.
    pub count: Option<u64>,
    /// The events, taken in turn; texts in them are templates.
    pub events: Vec<serde_json::Value>,
    /// Template of the event's key; empty: none.
    pub key: String,
}

/// Generated events as a source of one ordered lane.
pub type GenerateSource = SingleLaneSource<GenerateOpener>;

/// Opens generated events as a lane.
pub struct GenerateOpener {
    store: Store,
    spec: SourceSpec,
    generated: GeneratorSettings,
}

/// Event number `sequence` is due at `at`; the ones behind it follow in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct GenerateAnchor {
    sequence: u64,
    at: u64,
    /// The steps that it was made with; `None`: an older version stored it.
    #[serde(default)]
    steps: Option<GenerateSteps>,
}

/// The steps of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct GenerateSteps {
    /// Time between two ticks, milliseconds.
    interval: u64,
    /// Events per tick.
    per_tick: u32,
}

impl GenerateAnchor {
    /// When an event is due, milliseconds since the Unix epoch.
    fn due(&self, sequence: u64, steps: GenerateSteps) -> u64 {
        let ticks = sequence.saturating_sub(self.sequence) / u64::from(steps.per_tick);
        self.at.saturating_add(ticks.saturating_mul(steps.interval))
    }

    /// True if event number `next` is due at a likely time: neither long ago nor later than an interval from now.
    fn holds(&self, next: u64, steps: GenerateSteps, now: u64) -> bool {
        let (due, latest) = (self.due(next, steps), now.saturating_add(steps.interval));
        due.saturating_add(CATCH_UP) >= now && due <= latest.saturating_add(SET_BACK)
    }

    /// The same, if event number `next` is due at a likely time; otherwise one that begins with it.
    fn kept(self, next: u64, steps: GenerateSteps, now: u64) -> Self {
        let made_with = self.steps.unwrap_or(steps);
        let latest = now.saturating_add(steps.interval);
        if made_with == steps && self.holds(next, steps, now) {
            return GenerateAnchor { steps: Some(steps), ..self };
        }
        // After the event before it, as if it had always been so; at once, if that has passed.
        let before = self.due(next.saturating_sub(1), made_with);
        let at = if next > 1 { before.saturating_add(steps.interval).clamp(now, latest) } else { now };
        GenerateAnchor { sequence: next, at, steps: Some(steps) }
    }
}

impl SingleLaneSource<GenerateOpener> {
    /// A source that keeps its position in `store`.
    #[must_use]
    pub fn new(store: Store, spec: SourceSpec, generated: GeneratorSettings) -> Self {
        SingleLaneSource::of(GenerateOpener { store, spec, generated })
    }
}

impl GenerateOpener {
    async fn open(&self) -> Result<GenerateLane, Fault> {
        let route_lane = self.spec.route_lane("");
        let position = route_lane.position(self.store.disk())?;
        let next = match position {
            Some(Token::Offset(done)) => done + 1,
            _ => 1,
        };
        let stored =
            route_lane.memo(self.store.disk())?.and_then(|bytes| serde_json::from_slice::<GenerateAnchor>(&bytes).ok());
        let now = crate::clock::wall_millis();
        let steps = GenerateSteps {
            interval: u64::try_from(self.generated.interval.as_millis()).unwrap_or(u64::MAX),
            per_tick: self.generated.per_tick.max(1),
        };
        let ended = self.generated.count.is_some_and(|count| next > count);
        let anchor = match stored {
            Some(anchor) if ended => anchor,
            Some(anchor) => anchor.kept(next, steps, now),
            None => GenerateAnchor { sequence: next, at: now, steps: Some(steps) },
        };
        if stored != Some(anchor) {
            let memo = serde_json::to_vec(&anchor).map_err(|e| Fault::Bug(e.to_string()))?;
            self.store.set_position(&self.spec, "", position.clone(), Some(memo)).await?;
        }
        let (spec, generated) = (self.spec.clone(), self.generated.clone());
        let seed = mix_text(&self.spec.source);
        Ok(GenerateLane { spec, generated, seed, steps, anchor, previous: position, next })
    }
}

impl OpenLane for GenerateOpener {
    fn open_lane(&self) -> BoxFuture<'_, Result<Box<dyn Lane>, Fault>> {
        Box::pin(async move { Ok(Box::new(self.open().await?) as Box<dyn Lane>) })
    }
}

struct GenerateLane {
    spec: SourceSpec,
    generated: GeneratorSettings,
    seed: u64,
    steps: GenerateSteps,
    anchor: GenerateAnchor,
    previous: Option<Token>,
    next: u64,
}

impl GenerateLane {
    /// When an event is due, milliseconds since the Unix epoch.
    fn due(&self, sequence: u64) -> u64 {
        self.anchor.due(sequence, self.steps)
    }

    fn push(&self, sequence: u64, columns: &mut Columns) -> Result<(), Fault> {
        let now = self.due(sequence);
        let values = TemplateValues { sequence, now, seed: self.seed };
        let templates = self.generated.events.len().max(1) as u64;
        let template = usize::try_from((sequence - 1) % templates).ok().and_then(|i| self.generated.events.get(i));
        let data = template.map(|template| render(template, &values)).unwrap_or_default().to_string();
        let event = NewEvent {
            id: &sequence.to_string(),
            key: &render_text(&self.generated.key, &values),
            data: data.as_bytes(),
            attributes: &[],
            timestamp: now,
            attempt: 1,
        };
        columns.push(&event).map_err(|e| Fault::Permanent(e.to_string()))
    }

    fn pull_now(&mut self, limit: Limit) -> Result<Pull, Fault> {
        let now = crate::clock::wall_millis();
        let ended = self.generated.count.is_some_and(|count| self.next > count);
        // Without an interval all events are due at once, however long that takes.
        if !ended && self.steps.interval > 0 && !self.anchor.holds(self.next, self.steps, now) {
            // Opened again, it numbers its events from now on, and keeps that with its position.
            let why = "the clock was set, or the route stood still for more than a minute: it goes on from now on";
            return Err(Fault::LeaseLost(why.to_owned()));
        }
        let mut columns = Columns::default();
        let mut claims = Vec::new();
        let mut next = self.next;
        while claims.len() < limit.events.max(1)
            && self.due(next) <= now
            && self.generated.count.is_none_or(|c| next <= c)
        {
            // An event is small; the limit may be passed by the last one's size at most.
            if !claims.is_empty() && columns.size() >= limit.bytes {
                break;
            }
            self.push(next, &mut columns)?;
            claims.push(Claim::new(Token::Offset(next)));
            next += 1;
        }
        if claims.is_empty() {
            return Ok(if ended { Pull::Ended } else { Pull::Empty { drained: false } });
        }
        self.next = next;
        let previous = self.previous.replace(Token::Offset(next - 1));
        Ok(Pull::Batch(Batch { origin: self.spec.origin("", true), columns: columns.into(), claims, previous }))
    }
}

impl Lane for GenerateLane {
    fn id(&self) -> &str {
        ""
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(std::future::ready(self.pull_now(limit)))
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        let wait = self.due(self.next).saturating_sub(crate::clock::wall_millis());
        Box::pin(sleep(Duration::from_millis(wait).min(LONGEST_SLEEP)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::StoreSchema;

    const LIMIT: Limit = Limit { events: 1_000_000, bytes: 64 << 20, window: Duration::ZERO };

    fn opener(store: &Store, interval: Duration) -> GenerateOpener {
        let spec = SourceSpec { route: "r".into(), source: "ticks".into(), kind: "generate".into(), pollers: 1 };
        let events = vec![serde_json::json!({"n": "{seq}"})];
        let generated = GeneratorSettings { interval, per_tick: 1, count: None, events, key: String::new() };
        GenerateOpener { store: store.clone(), spec, generated }
    }

    #[tokio::test]
    async fn a_route_that_stood_still_and_a_clock_that_was_set_give_neither_a_flood_nor_silence() {
        const DAY: u64 = 86_400_000;
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreSchema::default()).unwrap();
        let open = || async { opener(&store, Duration::from_secs(10)).open().await.unwrap() };
        let mut lane = open().await;
        assert!(matches!(lane.pull_now(LIMIT), Ok(Pull::Batch(batch)) if batch.len() == 1));
        // Paused, halted or asleep for a day; or the clock was set forward.
        lane.anchor.at -= DAY;
        assert!(matches!(lane.pull_now(LIMIT), Err(Fault::LeaseLost(_))));
        // The clock was set back by a day: the next event would be due tomorrow.
        lane.anchor.at += 2 * DAY;
        assert!(matches!(lane.pull_now(LIMIT), Err(Fault::LeaseLost(_))));
        // Opened again after either, the next event is due within an interval.
        for at in [lane.anchor.at - 2 * DAY, lane.anchor.at] {
            let memo = serde_json::to_vec(&GenerateAnchor { at, ..lane.anchor }).unwrap();
            store.set_position(&lane.spec, "", Some(Token::Offset(1)), Some(memo)).await.unwrap();
            let mut again = open().await;
            let now = crate::clock::wall_millis();
            assert!((now.saturating_sub(20_000)..=now + 10_000).contains(&again.due(2)), "{} {now}", again.due(2));
            let events = match again.pull_now(LIMIT).unwrap() {
                Pull::Batch(batch) => batch.len(),
                _ => 0,
            };
            assert!(events <= 1, "{events}");
        }
    }

    #[tokio::test]
    async fn events_without_an_interval_are_all_due_however_long_they_take() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreSchema::default()).unwrap();
        let mut lane = opener(&store, Duration::ZERO).open().await.unwrap();
        lane.anchor.at -= 2 * CATCH_UP;
        let few = Limit { events: 10, ..LIMIT };
        assert!(matches!(lane.pull_now(few), Ok(Pull::Batch(batch)) if batch.len() == 10));
    }
}
