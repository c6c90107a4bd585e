//! Redrives dead letters: delivers one to its route again, commits, and only then removes it.
//!
//! The plugin is called with the event alone; a message that its output did not take is sent again. If that fails, the
//! dead letter stays, with one more try and the reason. After a crash between the commit and the removal it stays as well: redriving is at-least-once,
//! with the same event and message ids.

use crate::{dead_letters, invoke};
use esclusa_embedded::Store;
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::call_output::{CallError, CallOutput};
use esclusa_flow::dead_letter::{DeadLetter, FailedRedrive};
use esclusa_flow::delivery::{Delivery, Moment, NotCommitted, Settlement, Steps, drive};
use esclusa_flow::effect::{Action, OutboxMessage, SendMessage};
use esclusa_flow::engine::{Commit, CommitError, PendingMessages};
use esclusa_flow::event::BatchOrigin;
use esclusa_flow::index::EventIndex;
use esclusa_flow::retry::{Backoff, RetryPolicy};
use esclusa_flow::verdict::cut;
use esclusa_pipeline::commit::{CommitBuilder, CommitRules, PreparedCommit, ProgressKind};
use esclusa_pipeline::meter::timestamp_now;
use esclusa_pipeline::outbox::{self, REDRIVES, RecordedOutbox};
use esclusa_pipeline::route::Route;
use std::sync::Arc;
use std::time::Duration;

/// Most bytes of the reason of a failed redrive that are kept.
const REASON: usize = 1000;

/// A redrive is one try, whose result goes to the caller. Only a conflict is tried again: another commit was first, so
/// that a guard did not hold.
const ONCE: RetryPolicy = RetryPolicy {
    max_retry_attempts: Some(0),
    max_record_age: None,
    bisect: false,
    release: false,
    backoff: Backoff { base: Duration::from_millis(5), max: Duration::from_millis(100) },
};

/// Why a dead letter was not redriven. It stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRedriven {
    /// It was redriven or dropped meanwhile.
    #[error("dead letter {0} is not there any more")]
    Gone(u64),
    /// Its route is not in the configuration.
    #[error(
        "route {0} is not in routes.toml any more: put the route back to redrive the dead letter, or drop the dead letter"
    )]
    Routeless(String),
    /// It failed again.
    #[error("{code}: {message}")]
    Again {
        /// Stable code.
        code: String,
        /// A message for people.
        message: String,
    },
    /// The store or an output did not answer.
    #[error("{0}")]
    Host(String),
}

/// Delivers a dead letter to its route again, and removes it once that is durable. Its messages are in the outbox
/// then; send them with [`finish`]. If it fails, the dead letter keeps the try and the reason.
///
/// # Errors
/// [`NotRedriven`]; no effect was carried out then, unless the message says so.
pub(crate) async fn redrive(route: &Route, store: &Store, id: u64) -> Result<Option<PendingMessages>, NotRedriven> {
    let found = dead_letters::find(store, id).map_err(|fault| NotRedriven::Host(fault.to_string()))?;
    let dead_letter = found.ok_or(NotRedriven::Gone(id))?;
    let tried = match dead_letter.output.clone() {
        Some(output) => resend(route, &dead_letter, output).await.map(|()| None),
        None => deliver(route, &dead_letter).await,
    };
    let pending = match tried {
        Ok(pending) => pending,
        Err(why) => {
            note_try(store, id, dead_letter, &why).await;
            return Err(why);
        }
    };
    store
        .remove_dead(vec![id])
        .await
        .map_err(|fault| NotRedriven::Host(format!("delivered, but not removed: {fault}")))?;
    Ok(pending)
}

/// Keeps a failed redrive with its dead letter.
async fn note_try(store: &Store, id: u64, mut dead_letter: DeadLetter, why: &NotRedriven) {
    let reason = cut(&why.to_string(), REASON);
    dead_letter.attempts = dead_letter.attempts.saturating_add(1);
    dead_letter.last_redrive = Some(FailedRedrive { at: timestamp_now(), reason });
    if let Err(error) = store.replace_dead(id, &dead_letter).await {
        tracing::warn!(route = dead_letter.route, id, %error, "a failed redrive could not be noted with its dead letter");
    }
}

/// Sends the messages of a redrive. If this future is dropped before its end or the route stops, they are sent at the
/// next start.
pub(crate) async fn finish(route: &Route, pending: Option<PendingMessages>) {
    if let Some(pending) = pending {
        outbox::send(route, RecordedOutbox::of(route, pending)).await;
    }
}

/// Sends a message again that its output did not take.
async fn resend(route: &Route, dead_letter: &DeadLetter, output: String) -> Result<(), NotRedriven> {
    let key = (!dead_letter.key.is_empty()).then(|| dead_letter.key.clone());
    let send = SendMessage {
        output: output.clone(),
        key,
        data: dead_letter.data.clone(),
        attributes: dead_letter.attributes.clone(),
    };
    if let Some(sink) = route.sinks.get(&output) {
        let message = OutboxMessage { id: dead_letter.event.clone(), send };
        let result = sink.send(std::slice::from_ref(&message)).await.pop();
        return match result {
            Some(Ok(())) => {
                route.meter.sent(1);
                route.outputs.sent(&output);
                Ok(())
            }
            Some(Err(fault)) => Err(again("outbox.send", format!("output {output:?}: {fault}"))),
            None => Err(NotRedriven::Host(format!("output {output:?} gave no result"))),
        };
    }
    let commit = Commit {
        actions: vec![Action::Send(send)],
        ..Commit::empty(
            route.spec.name.clone(),
            route.spec.source.clone(),
            dead_letter.lane.as_str().into(),
            route.handler(&route.plugin()),
        )
    };
    route.engine.commit(commit).await.map(drop).map_err(|error| NotRedriven::Host(error.to_string()))
}

/// Calls the plugin with the event of the dead letter and commits its effects; gives the messages that are still to be
/// sent.
async fn deliver(route: &Route, dead_letter: &DeadLetter) -> Result<Option<PendingMessages>, NotRedriven> {
    let batch = batch(route, dead_letter)?;
    let mut delivery = Delivery::new(&batch.columns, false, ONCE, dead_letter.died.millis());
    let mut steps = RedriveSteps { route, batch, clock: invoke::DeliveryClock::start(), pending: None };
    drive(&mut delivery, &mut steps).await?;
    Ok(steps.pending)
}

/// The steps of a redrive: one try, whose failure ends it.
struct RedriveSteps<'a> {
    route: &'a Route,
    batch: Batch,
    clock: invoke::DeliveryClock,
    pending: Option<PendingMessages>,
}

impl Steps for RedriveSteps<'_> {
    type End = NotRedriven;

    fn now(&self) -> Moment {
        self.clock.now()
    }

    async fn wait(&mut self, _: &Delivery, due: Duration) -> Result<(), NotRedriven> {
        self.clock.wait_until(due).await;
        Ok(())
    }

    async fn call(&mut self, _: &Delivery, _: &[EventIndex]) -> Result<Result<CallOutput, CallError>, NotRedriven> {
        match invoke::call(self.route, &self.batch.origin, &self.batch.columns).await {
            Err(CallError::Host(fault)) => Err(NotRedriven::Host(fault.to_string())),
            result => Ok(result),
        }
    }

    async fn commit(
        &mut self,
        _: &Delivery,
        settlement: &Settlement,
        output: CallOutput,
    ) -> Result<Result<(), NotCommitted>, NotRedriven> {
        let route = self.route;
        if let Some((_, reason)) = settlement.dead().next() {
            return Err(again(&reason.code, reason.message.clone()));
        }
        let rules =
            CommitRules { progress: ProgressKind::Nothing, dedup: false, on_failure: None, ..route.rules.clone() };
        let handler = route.handler(&route.plugin());
        let builder = CommitBuilder {
            rules: &rules,
            handler: &handler,
            batch: &self.batch,
            previous: None,
            now: timestamp_now(),
        };
        let PreparedCommit { mut commit, causes } = builder.build(settlement, output, |_| 1);
        // Its messages have no place in the order of a lane: a lane does not wait for them, nor sends them when it is lost.
        commit.lane = REDRIVES.into();
        let (messages, counts) = (commit.outbox.clone(), commit.counts);
        let committed = match route.engine.commit(commit).await {
            Ok(committed) => committed,
            Err(CommitError::Fault(fault)) => return Err(NotRedriven::Host(fault.to_string())),
            Err(error) => return Ok(Err(NotCommitted { error, causes })),
        };
        // The event was received once more, and ended once more (invariant 8).
        route.meter.settled_aside(&counts, committed.skipped.len() as u64);
        let lane = REDRIVES.to_owned();
        self.pending =
            committed.outbox.map(|id| PendingMessages { id, lane, messages: Arc::unwrap_or_clone(messages) });
        Ok(Ok(()))
    }

    fn halted(&mut self, reason: String) -> NotRedriven {
        again("plugin.halt", reason)
    }
}

fn batch(route: &Route, dead_letter: &DeadLetter) -> Result<Batch, NotRedriven> {
    let columns = dead_letters::event_columns(dead_letter, dead_letter.attempts.saturating_add(1))
        .map_err(|error| NotRedriven::Host(error.to_string()))?;
    let origin = BatchOrigin {
        route: route.spec.name.clone(),
        source: dead_letter.source.as_str().into(),
        kind: dead_letter.kind.as_str().into(),
        lane: dead_letter.lane.as_str().into(),
        ordered: false,
    };
    Ok(Batch { origin, columns: columns.into(), claims: vec![Claim::new(Token::Offset(0))], previous: None })
}

fn again(code: &str, message: String) -> NotRedriven {
    NotRedriven::Again { code: code.to_owned(), message }
}
