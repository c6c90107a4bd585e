//! Live trials: events of one's own go the way of a batch, and what the plugin wants is carried out.
//!
//! Filter, call, splitting, guards and commit are those of a delivery, with one try and without progress. Whoever asked
//! hears what became of each event and effect: nothing is repeated, no dead letter is written, and what failed is not
//! counted. Every trial gives its events new ids, so the same events do the same again.

use super::show::{self, ShownEffect};
use super::{InvokeEvent, call, columns, origin, sifted};
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::call_output::{CallError, CallOutput, Reply};
use esclusa_flow::counts::Counts;
use esclusa_flow::dead::Sender;
use esclusa_flow::delivery::{Delivery, Moment, Settlement, Step};
use esclusa_flow::effect::{Action, Effect, OutboxMessage};
use esclusa_flow::engine::{Commit, CommitError, Committed};
use esclusa_flow::outbox::Outbox;
use esclusa_flow::retry::{Backoff, Policy};
use esclusa_flow::verdict::{Reason, Verdict};
use esclusa_pipeline::commit::{self, Facts, Settle};
use esclusa_pipeline::meter::epoch_millis;
use esclusa_pipeline::route::Route;
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits for competitors, the only thing that is tried again.
const WAIT: Backoff = Backoff { base: Duration::from_millis(5), max: Duration::from_millis(100) };

/// What a live trial did.
#[derive(Debug, Serialize)]
pub(crate) struct LiveReport {
    route: String,
    plugin: Json,
    events: usize,
    live: bool,
    /// True where anything was not done.
    failed: bool,
    /// What ended the trial early; the events that it did not come to are not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Json>,
    /// What was carried out, or was to be.
    effects: Vec<ShownEffect>,
    /// What became of each event.
    outcomes: Vec<Json>,
    replies: Vec<Json>,
}

/// Delivers the events to the route as one batch, and carries out what its plugin wants.
///
/// # Errors
/// What is wrong with the events; nothing was done then.
pub(crate) async fn live(route: &Route, events: &[InvokeEvent]) -> Result<LiveReport, String> {
    let columns = columns(events, &format!("trial-{}", uuid::Uuid::new_v4()))?;
    let bisect = route.spec.policy.bisect;
    let once = Policy { max_retry_attempts: Some(0), max_record_age: None, bisect, release: false, backoff: WAIT };
    let mut delivery = Delivery::new(&columns, route.spec.ordered, once, epoch_millis());
    delivery.sifted(sifted(route, &columns).await);
    let claims = (0..columns.len() as u64).map(|at| Claim::new(Token::Offset(at))).collect();
    let batch = Batch { origin: origin(route), columns, claims, previous: None };
    let mut trying =
        Trying { route, batch, ends: BTreeMap::new(), effects: Vec::new(), replies: Vec::new(), failed: false };
    let failure = trying.run(delivery).await;
    Ok(trying.live(failure))
}

/// A trial on its way.
struct Trying<'a> {
    route: &'a Route,
    batch: Batch,
    ends: BTreeMap<u32, Verdict>,
    effects: Vec<ShownEffect>,
    replies: Vec<Reply>,
    failed: bool,
}

impl Trying<'_> {
    /// Goes on until every event has its end; gives what ends it earlier.
    async fn run(&mut self, mut delivery: Delivery) -> Option<Reason> {
        let (start, mut output) = (Instant::now(), CallOutput::default());
        let now = || Moment { monotonic: start.elapsed(), wall: epoch_millis() };
        loop {
            match delivery.step(now()) {
                Step::Finished => return None,
                Step::Halted(reason) => return Some(Reason::new("plugin.halt", reason)),
                Step::Wait(due) => tokio::time::sleep(due.saturating_sub(start.elapsed())).await,
                Step::Call(events) => {
                    let columns = self.batch.columns.select(&events).into();
                    let result = call(self.route, &self.batch.origin, &columns).await;
                    if let Err(CallError::Host(fault)) = &result {
                        return Some(Reason::new("host.call", fault.to_string()));
                    }
                    delivery.called(result.as_ref(), now());
                    output = result.unwrap_or_default();
                }
                Step::Commit(settlement) => match self.commit(&settlement, std::mem::take(&mut output)).await {
                    Ok(()) => delivery.committed(),
                    Err(NotCommitted { causes, error }) => match error {
                        CommitError::Conflict => delivery.conflicted(now()),
                        CommitError::TooLarge if !settlement.called.is_empty() => delivery.too_large(now()),
                        CommitError::DoneBefore(marks) => delivery.done_before(&settlement.marked(&marks)),
                        CommitError::Refused(refused) => delivery.refused(&commit::caused(refused, &causes), now()),
                        error => return Some(Reason::new("engine.commit", error.to_string())),
                    },
                },
            }
        }
    }

    /// Commits a settlement, sends its messages, and notes what became of everything.
    async fn commit(&mut self, settlement: &Settlement, output: CallOutput) -> Result<(), NotCommitted> {
        let facts = Facts {
            settle: Settle::Nothing,
            marks: self.route.marks,
            external: self.route.sinks.keys().cloned().collect(),
            on_failure: None,
            handler: self.route.handler(&self.route.version()),
        };
        let wanted: Vec<Effect> = output.effects.iter().filter(|e| settlement.keeps(e.cause)).cloned().collect();
        let replies = output.replies.clone();
        let prepared = commit::prepare(&facts, &self.batch, settlement, output, None, |_| 1, epoch_millis());
        let (mut commit, causes) = (prepared.commit, prepared.causes);
        let messages = std::mem::take(&mut commit.outbox);
        commit.dead.clear();
        commit.counts.dead = 0;
        let committed = self.carry_out(commit).await.map_err(|error| NotCommitted { causes, error })?;
        let ids: Vec<String> = messages.iter().map(|message| message.id.clone()).collect();
        let refused = self.send(messages).await;
        self.note_effects(settlement, wanted, &committed, &ids, &refused);
        let event = |local: u32| settlement.called.get(local as usize).copied();
        self.replies.extend(replies.into_iter().filter_map(|r| Some(Reply { event: event(r.event)?, ..r })));
        self.failed |= settlement.verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Dead(_)));
        self.ends.extend(settlement.verdicts.iter().cloned());
        Ok(())
    }

    async fn carry_out(&self, commit: Commit) -> Result<Committed, CommitError> {
        let counts = commit.counts;
        if counts == Counts::default() && commit.actions.is_empty() {
            return Ok(Committed::default());
        }
        let committed = self.route.engine.commit(commit).await?;
        self.route.meter.change(|r| {
            r.received = r.received.saturating_add(counts.settled());
            r.counts.merge(&counts);
            r.commits = r.commits.saturating_add(1);
            r.skipped_writes = r.skipped_writes.saturating_add(committed.skipped.len() as u64);
        });
        Ok(committed)
    }

    /// Sends messages once; gives those that were not sifted, by id, and why.
    async fn send(&self, messages: Vec<OutboxMessage>) -> BTreeMap<String, String> {
        let (count, mut refused) = (messages.len(), BTreeMap::new());
        let (spec, handler) = (&self.route.spec, self.route.handler(&self.route.version()));
        let lane = &self.batch.origin.lane;
        let sender = Sender { route: &spec.name, source: &spec.source, lane, handler: &handler, now: epoch_millis() };
        let failed = |message: &OutboxMessage, fault: &_| drop(refused.insert(message.id.clone(), format!("{fault}")));
        Outbox::new(messages, Arc::new(())).attempt(&self.route.sinks, &sender, Some(0), failed).await;
        let sent = count.saturating_sub(refused.len()) as u64;
        self.route.meter.change(|r| r.sent = r.sent.saturating_add(sent));
        refused
    }

    /// Notes what became of the effects, which are in the order of the commit's actions and of its messages.
    fn note_effects(
        &mut self,
        settlement: &Settlement,
        wanted: Vec<Effect>,
        committed: &Committed,
        ids: &[String],
        refused: &BTreeMap<String, String>,
    ) {
        let (mut actions, mut messages) = (0_usize.., ids.iter());
        for effect in wanted {
            let outside = matches!(&effect.action, Action::Send(send) if self.route.sinks.contains_key(&send.output));
            let sent = matches!(effect.action, Action::Send(_));
            let cause = effect.cause.and_then(|local| settlement.called.get(local as usize).copied());
            let shown = show::effect(&Effect { cause, action: effect.action });
            let why = if outside { messages.next().and_then(|id| refused.get(id)) } else { None };
            let skipped = !outside && actions.next().is_some_and(|at| committed.skipped.contains(&at));
            self.failed |= why.is_some();
            self.effects.push(match why {
                Some(why) => shown.ended("failed", Some(why.clone())),
                None if skipped => shown.ended("skipped", None),
                None => shown.ended(if sent { "sent" } else { "written" }, None),
            });
        }
    }

    fn live(self, failure: Option<Reason>) -> LiveReport {
        let outcomes = (0..self.batch.len() as u32).map(|event| outcome(event, self.ends.get(&event))).collect();
        LiveReport {
            route: self.route.spec.name.to_string(),
            plugin: show::plugin(self.route),
            events: self.batch.len(),
            live: true,
            failed: self.failed || failure.is_some(),
            failure: failure.map(|reason| json!({"code": reason.code, "message": reason.message})),
            effects: self.effects,
            outcomes,
            replies: self.replies.iter().map(show::reply).collect(),
        }
    }
}

/// A commit that did not happen, and what caused its actions.
struct NotCommitted {
    causes: Vec<Option<u32>>,
    error: CommitError,
}

impl LiveReport {
    /// True where anything was not done.
    #[must_use]
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }
}

fn outcome(event: u32, verdict: Option<&Verdict>) -> Json {
    match verdict {
        Some(Verdict::Done) => json!({"event": event, "outcome": "done"}),
        Some(Verdict::Skipped(reason)) => json!({"event": event, "outcome": "skip", "reason": reason}),
        Some(Verdict::Filtered) => json!({"event": event, "outcome": "filtered"}),
        Some(Verdict::Dead(reason)) => {
            let mut shown = json!({"event": event, "outcome": "failed", "code": reason.code, "reason": reason.message});
            if let Json::Object(map) = &mut shown {
                map.extend(reason.backtrace.as_ref().map(|trace| ("backtrace".to_owned(), trace.as_str().into())));
                let logs = (!reason.logs.is_empty()).then(|| ("logs".to_owned(), json!(reason.logs)));
                map.extend(logs);
            }
            shown
        }
        Some(Verdict::Released(_)) | None => json!({"event": event, "outcome": "not done"}),
    }
}
