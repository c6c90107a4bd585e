//! `esclusa invoke --live`: delivers given events as a batch and carries out the effects.
//!
//! Filter, call, bisection, guards and commit are those of any delivery, with one try and without progress. The caller
//! gets the outcome of each event and the result of each effect: nothing is repeated, no dead letter is written, and
//! failed events are not counted. Every invocation gives its events new ids, so that the same events have the same
//! effects again.

use super::show::{self, ShownEffect};
use super::{DeliveryClock, InvokeEvent, call, columns, origin, sifted};
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::call_output::{CallError, CallOutput};
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::OutboxOrigin;
use esclusa_flow::delivery::{Delivery, Moment, NotCommitted, Settlement, Steps, drive};
use esclusa_flow::effect::{Action, Effect, OutboxMessage};
use esclusa_flow::engine::{Commit, CommitError, Committed};
use esclusa_flow::index::{CallIndex, EventIndex};
use esclusa_flow::outbox::Outbox;
use esclusa_flow::retry::{Backoff, RetryPolicy};
use esclusa_flow::verdict::{Reason, Verdict};
use esclusa_pipeline::commit::{CommitBuilder, CommitRules, PreparedCommit, ProgressKind};
use esclusa_pipeline::meter::timestamp_now;
use esclusa_pipeline::route::Route;
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Waits after a conflict: another commit was first, so that a guard did not hold. Nothing else is tried again.
const WAIT: Backoff = Backoff { base: Duration::from_millis(5), max: Duration::from_millis(100) };

/// The result of a live invocation.
#[derive(Debug, Serialize)]
pub(crate) struct LiveReport {
    route: String,
    plugin: Json,
    events: usize,
    live: bool,
    /// True if an event or an effect failed.
    failed: bool,
    /// The failure that ended the invocation early; the events after it are not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Json>,
    /// The effects, each with its result.
    effects: Vec<ShownEffect>,
    /// The outcome of each event.
    outcomes: Vec<Json>,
    replies: Vec<Json>,
}

/// Delivers the events to the route as one batch, and carries out the effects.
///
/// # Errors
/// A malformed event; nothing was done then.
pub(crate) async fn live(route: &Route, events: &[InvokeEvent]) -> Result<LiveReport, String> {
    let columns = columns(events, &format!("invoke-{}", uuid::Uuid::new_v4()))?;
    let bisect = route.spec.policy.bisect;
    let once = RetryPolicy { max_retry_attempts: Some(0), max_record_age: None, bisect, release: false, backoff: WAIT };
    let mut delivery = Delivery::new(&columns, route.spec.ordered, once, timestamp_now().millis());
    delivery.filtered(sifted(route, &columns).await);
    let claims = (0..columns.len() as u64).map(|at| Claim::new(Token::Offset(at))).collect();
    let batch = Batch { origin: origin(route), columns, claims, previous: None };
    let mut steps = LiveSteps {
        route,
        batch,
        clock: DeliveryClock::start(),
        ends: BTreeMap::new(),
        effects: Vec::new(),
        replies: Vec::new(),
        failed: false,
    };
    let failure = drive(&mut delivery, &mut steps).await.err();
    Ok(steps.live(failure))
}

/// The steps of a live invocation: each event is tried once, and a fault of the host ends it.
struct LiveSteps<'a> {
    route: &'a Route,
    batch: Batch,
    clock: DeliveryClock,
    ends: BTreeMap<EventIndex, Verdict>,
    effects: Vec<ShownEffect>,
    replies: Vec<Json>,
    failed: bool,
}

impl Steps for LiveSteps<'_> {
    type End = Reason;

    fn now(&self) -> Moment {
        self.clock.now()
    }

    async fn wait(&mut self, _: &Delivery, due: Duration) -> Result<(), Reason> {
        self.clock.wait_until(due).await;
        Ok(())
    }

    async fn call(&mut self, _: &Delivery, events: &[EventIndex]) -> Result<Result<CallOutput, CallError>, Reason> {
        let columns = self.batch.columns.select(events.iter().map(|event| event.at())).into();
        match call(self.route, &self.batch.origin, &columns).await {
            Err(CallError::Host(fault)) => Err(Reason::new("host.call", fault.to_string())),
            result => Ok(result),
        }
    }

    /// Commits a settlement, sends its messages, and notes the outcomes and results.
    async fn commit(
        &mut self,
        _: &Delivery,
        settlement: &Settlement,
        mut output: CallOutput,
    ) -> Result<Result<(), NotCommitted>, Reason> {
        let route = self.route;
        let wanted: Vec<Effect> = output.effects.iter().filter(|e| settlement.keeps(e.cause)).cloned().collect();
        let replies = std::mem::take(&mut output.replies);
        let rules = CommitRules { progress: ProgressKind::Nothing, on_failure: None, ..route.rules.clone() };
        let handler = route.handler(&route.plugin());
        let builder = CommitBuilder {
            rules: &rules,
            handler: &handler,
            batch: &self.batch,
            previous: None,
            now: timestamp_now(),
        };
        let PreparedCommit { mut commit, causes } = builder.build(settlement, output, |_| 1);
        let messages = Arc::unwrap_or_clone(std::mem::take(&mut commit.outbox));
        commit.dead.clear();
        commit.counts.dead = 0;
        let committed = match self.carry_out(commit).await {
            Ok(committed) => committed,
            // An invocation is one try: a fault ends it, and so does a settlement that cannot be made smaller.
            Err(error @ CommitError::Fault(_)) => return Err(Reason::new("engine.commit", error.to_string())),
            Err(error @ CommitError::TooLarge) if settlement.called.is_empty() => {
                return Err(Reason::new("engine.commit", error.to_string()));
            }
            Err(error) => return Ok(Err(NotCommitted { error, causes })),
        };
        let ids: Vec<String> = messages.iter().map(|message| message.id.clone()).collect();
        let refused = self.send(messages).await;
        self.note_effects(settlement, wanted, &committed, &ids, &refused);
        let event = |local: CallIndex| settlement.called.get(local.at()).map(|event| event.0);
        self.replies.extend(replies.iter().filter_map(|reply| Some(show::reply(event(reply.event)?, reply))));
        self.failed |= settlement.dead().next().is_some();
        self.ends.extend(settlement.verdicts.iter().cloned());
        Ok(Ok(()))
    }

    fn halted(&mut self, reason: String) -> Reason {
        Reason::new("plugin.halt", reason)
    }
}

impl LiveSteps<'_> {
    async fn carry_out(&self, commit: Commit) -> Result<Committed, CommitError> {
        let counts = commit.counts;
        if counts == Counts::default() && commit.actions.is_empty() {
            return Ok(Committed::default());
        }
        let committed = self.route.engine.commit(commit).await?;
        self.route.meter.settled_aside(&counts, committed.skipped.len() as u64);
        Ok(committed)
    }

    /// Sends messages once; gives the ids of those that were not sent, with the reasons.
    async fn send(&self, messages: Vec<OutboxMessage>) -> BTreeMap<String, String> {
        let (count, mut refused) = (messages.len(), BTreeMap::new());
        let (spec, handler) = (&self.route.spec, self.route.handler(&self.route.plugin()));
        let lane = &self.batch.origin.lane;
        let sender =
            OutboxOrigin { route: &spec.name, source: &spec.source, lane, handler: &handler, now: timestamp_now() };
        let failed = |message: &OutboxMessage, fault: &_| drop(refused.insert(message.id.clone(), format!("{fault}")));
        Outbox::new(messages, Arc::new(())).attempt(&self.route.sinks, &sender, Some(0), failed).await;
        let sent = count.saturating_sub(refused.len()) as u64;
        self.route.meter.sent(sent);
        refused
    }

    /// Notes the results of the effects, which are in the order of the commit's actions and of its messages.
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
            let cause = effect.cause.and_then(|local| settlement.called.get(local.at())).map(|event| event.0);
            let shown = show::effect(cause, &effect.action);
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
        let outcomes = EventIndex::all(self.batch.len()).map(|event| outcome(event.0, self.ends.get(&event))).collect();
        LiveReport {
            route: self.route.spec.name.to_string(),
            plugin: show::plugin(self.route),
            events: self.batch.len(),
            live: true,
            failed: self.failed || failure.is_some(),
            failure: failure.map(|reason| json!({"code": reason.code, "message": reason.message})),
            effects: self.effects,
            outcomes,
            replies: self.replies,
        }
    }
}

impl LiveReport {
    /// True if an event or an effect failed.
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
