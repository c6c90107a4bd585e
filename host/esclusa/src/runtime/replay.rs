//! Replays of dead letters: delivered to the same route, confirmed, and only then removed.
//!
//! An event goes through its plugin again, alone; a message that an output did not take is sent again. What fails
//! leaves the letter where it is. A crash between the commit and the removal leaves the letter, too: replaying is
//! at-least-once, with the same event and message ids.

use super::trial;
use esclusa_embedded::Store;
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::call_output::{CallError, CallOutput};
use esclusa_flow::counts::Counts;
use esclusa_flow::dead::DeadLetter;
use esclusa_flow::delivery::{Delivery, Moment, Settlement, Step};
use esclusa_flow::effect::{Action, Message, SendMessage};
use esclusa_flow::engine::{Commit, CommitError, Committed, Pending, Progress};
use esclusa_flow::event::{BatchOrigin, Columns, NewEvent};
use esclusa_flow::retry::{Backoff, Policy};
use esclusa_flow::verdict::Verdict;
use esclusa_pipeline::commit::{self, Facts, Settle};
use esclusa_pipeline::meter::epoch_millis;
use esclusa_pipeline::outbox::{self, Recorded};
use esclusa_pipeline::route::Route;
use std::time::{Duration, Instant};

/// A replay is one try: whoever asked for it hears how it went. Only waits for competitors are repeated.
const ONCE: Policy = Policy {
    max_retry_attempts: Some(0),
    max_record_age: None,
    bisect: false,
    release: false,
    backoff: Backoff { base: Duration::from_millis(5), max: Duration::from_millis(100) },
};

/// Why a letter was not replayed. It is still there.
#[derive(Debug, thiserror::Error)]
pub enum NotReplayed {
    /// Somebody else replayed or dropped it.
    #[error("dead letter {0} is not there any more")]
    Gone(u64),
    /// Its route is not in the configuration.
    #[error("route {0} is not in routes.toml any more: put it back to replay the letter, or drop the letter")]
    Routeless(String),
    /// It failed again.
    #[error("{code}: {message}")]
    Again {
        /// Stable code.
        code: String,
        /// In words.
        message: String,
    },
    /// The store or an output did not answer.
    #[error("{0}")]
    Host(String),
}

/// Delivers a dead letter to its route again, and removes it once that is durable. What comes of it for the world outside
/// is recorded, and still to be sent with [`finish`].
///
/// # Errors
/// [`NotReplayed`]; nothing was carried out then.
pub async fn replay(route: &Route, store: &Store, id: u64) -> Result<Option<Pending>, NotReplayed> {
    let letter = find(store, id).map_err(|fault| NotReplayed::Host(fault.to_string()))?.ok_or(NotReplayed::Gone(id))?;
    let pending = match letter.output.clone() {
        Some(output) => {
            resend(route, &letter, output).await?;
            None
        }
        None => deliver(route, &letter).await?,
    };
    store
        .remove_dead(vec![id])
        .await
        .map_err(|fault| NotReplayed::Host(format!("delivered, but not removed: {fault}")))?;
    Ok(pending)
}

/// Sends what a replay has recorded. Whoever is cut off before its end, or whose route leaves, has it sent at the next
/// start.
pub async fn finish(route: &Route, pending: Option<Pending>) {
    if let Some(pending) = pending {
        outbox::send(route, Recorded::of(route, pending)).await;
    }
}

/// The dead letter with this number.
///
/// # Errors
/// A fault of the store.
pub fn find(store: &Store, id: u64) -> Result<Option<DeadLetter>, esclusa_flow::fault::Fault> {
    let found = store.dead_letters(None, id.checked_sub(1), 1)?;
    Ok(found.into_iter().find(|(number, _)| *number == id).map(|(_, letter)| letter))
}

/// Sends a message again that an output did not take.
async fn resend(route: &Route, letter: &DeadLetter, output: String) -> Result<(), NotReplayed> {
    let key = (!letter.key.is_empty()).then(|| letter.key.clone());
    let send =
        SendMessage { output: output.clone(), key, data: letter.data.clone(), attributes: letter.attributes.clone() };
    if let Some(sink) = route.sinks.get(&output) {
        let message = Message { id: letter.event.clone(), send };
        let result = sink.send(std::slice::from_ref(&message)).await.pop();
        return match result {
            Some(Ok(())) => {
                route.meter.change(|r| r.sent = r.sent.saturating_add(1));
                route.outputs.sent(&output);
                Ok(())
            }
            Some(Err(fault)) => Err(again("outbox.send", format!("output {output:?}: {fault}"))),
            None => Err(NotReplayed::Host(format!("output {output:?} gave no result"))),
        };
    }
    let commit = Commit {
        route: route.spec.name.clone(),
        source: route.spec.source.clone(),
        lane: letter.lane.as_str().into(),
        handler: route.handler(&route.version()),
        actions: vec![Action::Send(send)],
        outbox: Vec::new(),
        dead: Vec::new(),
        progress: Progress::None,
        marks: Vec::new(),
        counts: Counts::default(),
    };
    route.engine.commit(commit).await.map(drop).map_err(|error| NotReplayed::Host(error.to_string()))
}

/// Calls the plugin with the event of the letter and commits what it wants done; gives the messages that are still
/// to be sent.
async fn deliver(route: &Route, letter: &DeadLetter) -> Result<Option<Pending>, NotReplayed> {
    let batch = batch(route, letter)?;
    let mut delivery = Delivery::new(&batch.columns, false, ONCE, letter.died);
    let (start, mut output) = (Instant::now(), CallOutput::default());
    let now = || Moment { monotonic: start.elapsed(), wall: epoch_millis() };
    loop {
        match delivery.step(now()) {
            Step::Finished => return Ok(None),
            Step::Halted(reason) => return Err(again("plugin.halt", reason)),
            Step::Wait(due) => tokio::time::sleep(due.saturating_sub(start.elapsed())).await,
            Step::Call(_) => {
                let result = trial::call(route, &batch.origin, &batch.columns).await;
                if let Err(CallError::Host(fault)) = &result {
                    return Err(NotReplayed::Host(fault.to_string()));
                }
                delivery.called(result.as_ref(), now());
                output = result.unwrap_or_default();
            }
            Step::Commit(settlement) => match commit(route, &batch, &settlement, std::mem::take(&mut output)).await? {
                Some(pending) => return Ok(pending),
                None => delivery.conflicted(now()),
            },
        }
    }
}

fn batch(route: &Route, letter: &DeadLetter) -> Result<Batch, NotReplayed> {
    let attributes: Vec<(&str, &str)> =
        letter.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut columns = Columns::default();
    let event = NewEvent {
        id: &letter.event,
        key: &letter.key,
        data: &letter.data,
        attributes: &attributes,
        timestamp: letter.timestamp,
        attempt: letter.attempts.saturating_add(1),
    };
    columns.push(&event).map_err(|error| NotReplayed::Host(error.to_string()))?;
    let origin = BatchOrigin {
        route: route.spec.name.clone(),
        source: letter.source.as_str().into(),
        kind: letter.kind.as_str().into(),
        lane: letter.lane.as_str().into(),
        ordered: false,
    };
    Ok(Batch { origin, columns: columns.into(), claims: vec![Claim::new(Token::Offset(0))], previous: None })
}

/// Commits a settlement that is a success; `None`: a guard did not hold, and the event is to be handled again.
async fn commit(
    route: &Route,
    batch: &Batch,
    settlement: &Settlement,
    output: CallOutput,
) -> Result<Option<Option<Pending>>, NotReplayed> {
    match settlement.verdicts.first() {
        Some((_, Verdict::Dead(reason))) => return Err(again(&reason.code, reason.message.clone())),
        Some((_, Verdict::Returned(_))) => {
            return Err(again("retries-exhausted", "the plugin asked to retry it".to_owned()));
        }
        _ => {}
    }
    let facts = Facts {
        settle: Settle::Nothing,
        marks: false,
        external: route.sinks.keys().cloned().collect(),
        on_failure: None,
        handler: route.handler(&route.version()),
    };
    let prepared = commit::prepare(&facts, batch, settlement, output, None, |_| 1, epoch_millis());
    let (messages, counts) = (prepared.commit.outbox.clone(), prepared.commit.counts);
    match route.engine.commit(prepared.commit).await {
        Ok(committed) => {
            note(route, &committed, &counts);
            let lane = batch.origin.lane.to_string();
            Ok(Some(committed.outbox.map(|id| Pending { id, lane, messages })))
        }
        Err(CommitError::Conflict) => Ok(None),
        Err(error @ CommitError::TooLarge) => Err(again("limit.commit", error.to_string())),
        Err(error @ CommitError::DoneBefore(_)) => Err(NotReplayed::Host(error.to_string())),
        Err(CommitError::Refused(refused)) => {
            Err(again("effect.refused", refused.into_iter().next().map(|(_, why)| why).unwrap_or_default()))
        }
        Err(CommitError::Fault(fault)) => Err(NotReplayed::Host(fault.to_string())),
    }
}

/// The event was received once more, and ended once more (invariant 8).
fn note(route: &Route, committed: &Committed, counts: &Counts) {
    route.meter.change(|r| {
        r.received = r.received.saturating_add(counts.settled());
        r.counts.merge(counts);
        r.commits = r.commits.saturating_add(1);
        r.skipped_writes = r.skipped_writes.saturating_add(committed.skipped.len() as u64);
    });
}

fn again(code: &str, message: String) -> NotReplayed {
    NotReplayed::Again { code: code.to_owned(), message }
}
