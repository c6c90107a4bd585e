//! Evaluating a prepared commit in the writer. First everything that can be refused, then everything else: what is
//! numbered is numbered only once nothing can be refused any more, so sequences have no gaps.

use crate::commit::Prepared;
use crate::disk::Space;
use crate::progress::{self, Place};
use crate::queues::{Enqueue, Settlement};
use crate::store::Shared;
use crate::streams::{Append, Log, append_change};
use crate::tables::drafts::{self, Drafts};
use crate::tables::{Changed, TableWrite};
use crate::transaction::Transaction;
use esclusa_flow::counts::Counts;
use esclusa_flow::engine::{CommitError, Committed, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::step_budget::StepBudget;
use std::sync::Arc;

/// Why a prepared commit did not happen.
pub enum Refusal {
    /// The catalog has changed since: prepare it again.
    Stale,
    /// See [`CommitError`].
    Error(CommitError),
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        Refusal::Error(error)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Refusal::Error(fault.into())
    }
}

/// Carries out a commit in `tx`.
pub fn evaluate(prepared: Prepared, shared: &Shared, tx: &mut Transaction<'_>) -> Result<Committed, Refusal> {
    let catalog = shared.catalog();
    if prepared.generation != catalog.generation {
        return Err(Refusal::Stale);
    }
    let place = Place { route: &prepared.route, source: &prepared.source, lane: &prepared.lane };
    if let Progress::Position { from, .. } = &prepared.progress {
        place.check(from.as_ref(), tx)?;
    }
    let counts = progress::sum(&prepared.route, &prepared.counts, tx)?;
    load_heads(&prepared.appends, &prepared.enqueues, tx)?;
    let mut settlement = match &prepared.progress {
        Progress::Receipts { delete, release } => Some(Settlement::find(delete, release, &catalog)?),
        _ => None,
    };
    if prepared.tables.iter().all(TableWrite::is_blind) {
        // None of the writes can be refused, so they need not be remembered for undoing.
        begin(settlement.as_mut())?;
        tx.irrevocable();
    }
    let (mut skipped, mut changed) = (Vec::new(), Vec::new());
    let (mut drafts, mut work) = (Drafts::default(), StepBudget::of(drafts::STEPS));
    let applied = prepared.tables.into_iter().try_for_each(|write| {
        let action = write.action();
        if !drafts.apply(write, tx, &mut changed, &mut work)? {
            skipped.push(action);
        }
        Ok::<(), CommitError>(())
    });
    let written = applied.and_then(|()| drafts.write(tx, &mut work));
    tx.spent = tx.spent.saturating_add(work.spent());
    written?;
    load_feeds(&changed, tx)?;
    begin(settlement.as_mut())?;
    tx.irrevocable();
    if let Progress::Position { to, .. } = &prepared.progress {
        place.set(to, tx);
    }
    if let Some(settlement) = settlement {
        settlement.write(tx);
    }
    if prepared.counts != Counts::default() {
        tx.put(Space::State, counts.0, counts.1);
    }
    write_records(prepared.appends, prepared.enqueues, changed, tx);
    prepared.objects.into_iter().for_each(|object| object.commit(tx));
    prepared.dead.into_iter().for_each(|letter| letter.write(&shared.dead, tx));
    let outbox = prepared.outbox.map(|bytes| crate::outbox::write(&prepared.route, bytes, tx));
    tx.memory.sequences.version += 1;
    Ok(Committed { skipped, outbox })
}

/// Checks the receipts and holds their messages; the last thing that can be refused.
fn begin(settlement: Option<&mut Settlement>) -> Result<(), Fault> {
    settlement.map_or(Ok(()), Settlement::begin)
}

fn load_heads(appends: &[Append], enqueues: &[Enqueue], tx: &mut Transaction<'_>) -> Result<(), Fault> {
    for append in appends {
        tx.load_head(append.log.id, append.partition)?;
    }
    for enqueue in enqueues {
        enqueue.queue.load_head(tx)?;
    }
    Ok(())
}

fn load_feeds(changed: &[Changed], tx: &mut Transaction<'_>) -> Result<(), Fault> {
    changed.iter().try_for_each(|change| tx.load_head(change.feed.id, 0))
}

fn write_records(appends: Vec<Append>, enqueues: Vec<Enqueue>, changed: Vec<Changed>, tx: &mut Transaction<'_>) {
    let mut grown: Vec<Arc<Log>> = Vec::new();
    let mut note = |log: &Arc<Log>| {
        if !grown.iter().any(|known| known.id == log.id) {
            grown.push(Arc::clone(log));
        }
    };
    for append in appends {
        note(&append.log);
        append.write(tx);
    }
    for change in changed {
        note(&change.feed);
        append_change(&change.feed, change.old.as_deref(), change.new.as_deref(), tx);
    }
    tx.after(move || grown.iter().for_each(|log| log.notify()));
    for enqueue in enqueues {
        enqueue.write(tx);
    }
}
