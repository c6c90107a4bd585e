//! Evaluates a prepared commit in the writer. First everything that can be refused, then everything else: records get
//! their sequences only once nothing can be refused any more, so sequences have no gaps.

use crate::catalog::SharedCatalog;
use crate::commit::PreparedCommit;
use crate::disk::Space;
use crate::kept_answers;
use crate::progress::{self, RouteLane};
use crate::queues::{Enqueue, ReceiptSettlement};
use crate::streams::{Append, FeedChange, Log, append_change};
use crate::tables::TableWrite;
use crate::tables::drafts::{self, Drafts};
use crate::transaction::Transaction;
use esclusa_flow::counts::Counts;
use esclusa_flow::engine::{CommitError, Committed, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::step_budget::StepBudget;
use std::sync::Arc;

/// Why a prepared commit did not happen.
pub enum CommitRefusal {
    /// The catalog has changed since: prepare it again.
    Stale,
    /// See [`CommitError`].
    Error(CommitError),
}

impl From<CommitError> for CommitRefusal {
    fn from(error: CommitError) -> Self {
        CommitRefusal::Error(error)
    }
}

impl From<Fault> for CommitRefusal {
    fn from(fault: Fault) -> Self {
        CommitRefusal::Error(fault.into())
    }
}

/// Carries out a commit in `tx`.
pub(crate) fn evaluate(
    prepared: PreparedCommit,
    shared: &SharedCatalog,
    tx: &mut Transaction<'_>,
) -> Result<Committed, CommitRefusal> {
    let catalog = shared.catalog();
    // The ids in the encoded writes belong to one catalog: after a change of the schema they may mean another table.
    if prepared.generation != catalog.generation {
        return Err(CommitRefusal::Stale);
    }
    let place = RouteLane { route: &prepared.route, source: &prepared.source, lane: &prepared.lane };
    if let Progress::Position { from, .. } = &prepared.progress {
        place.check(from.as_ref(), tx)?;
    }
    kept_answers::check(&prepared.answers, tx)?;
    shared.dead.room(&prepared.dead, &catalog.limits, tx)?;
    let counts = progress::sum(&prepared.route, &prepared.counts, tx)?;
    load_heads(&prepared.appends, &prepared.enqueues, tx)?;
    let mut settlement = match &prepared.progress {
        Progress::Receipts { delete, release } => Some(ReceiptSettlement::find(delete, release, &catalog.queues)?),
        _ => None,
    };
    if prepared.tables.iter().all(TableWrite::is_blind) {
        // None of these writes can be refused, so nothing is recorded for a rollback.
        begin(settlement.as_mut())?;
        tx.irrevocable();
    }
    let (skipped, changed) = write_tables(prepared.tables, tx)?;
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
    prepared.answers.iter().for_each(|answer| kept_answers::write(answer, tx));
    let outbox = prepared.outbox.map(|bytes| crate::outbox::write(&prepared.route, bytes, tx));
    tx.memory.sequences.version += 1;
    Ok(Committed { skipped, outbox })
}

/// Deletes items that have expired; gives how many there were.
pub(crate) fn expire(writes: Vec<TableWrite>, tx: &mut Transaction<'_>) -> Result<u64, CommitError> {
    let all = writes.len();
    let (kept, changed) = write_tables(writes, tx)?;
    load_feeds(&changed, tx)?;
    tx.irrevocable();
    write_records(Vec::new(), Vec::new(), changed, tx);
    let deleted = all.saturating_sub(kept.len()) as u64;
    tx.memory.sequences.version += u64::from(deleted > 0);
    Ok(deleted)
}

/// Tries the table writes, and looks for room for the dead letters: nothing else depends on what is stored. The caller rolls `tx` back.
pub(crate) fn check(
    prepared: PreparedCommit,
    shared: &SharedCatalog,
    tx: &mut Transaction<'_>,
) -> Result<(), CommitRefusal> {
    if prepared.generation != shared.catalog().generation {
        return Err(CommitRefusal::Stale);
    }
    shared.dead.room(&prepared.dead, &shared.catalog().limits, tx)?;
    write_tables(prepared.tables, tx)?;
    Ok(())
}

/// Carries out the writes to tables. Gives the actions that their guards left out, and the changes for change feeds.
fn write_tables(
    tables: Vec<TableWrite>,
    tx: &mut Transaction<'_>,
) -> Result<(Vec<usize>, Vec<FeedChange>), CommitError> {
    let (mut skipped, mut changed) = (Vec::new(), Vec::new());
    let (mut drafts, mut work) = (Drafts::default(), StepBudget::of(drafts::STEPS));
    let applied = tables.into_iter().try_for_each(|write| {
        let action = write.action();
        if !drafts.apply(write, tx, &mut changed, &mut work)? {
            skipped.push(action);
        }
        Ok::<(), CommitError>(())
    });
    let written = applied.and_then(|()| drafts.write(tx, &mut work));
    // Counted even if the commit is refused: its route is heavy for the time it took, not for the bytes it wrote.
    tx.spent = tx.spent.saturating_add(work.spent());
    written?;
    Ok((skipped, changed))
}

/// Checks the receipts and holds their messages. After this nothing is refused.
fn begin(settlement: Option<&mut ReceiptSettlement>) -> Result<(), Fault> {
    settlement.map_or(Ok(()), ReceiptSettlement::begin)
}

fn load_heads(appends: &[Append], enqueues: &[Enqueue], tx: &mut Transaction<'_>) -> Result<(), Fault> {
    for append in appends {
        append.log.load_head(append.partition, tx)?;
    }
    for enqueue in enqueues {
        enqueue.queue.load_head(tx)?;
    }
    Ok(())
}

fn load_feeds(changed: &[FeedChange], tx: &mut Transaction<'_>) -> Result<(), Fault> {
    changed.iter().try_for_each(|change| change.feed.load_head(0, tx))
}

fn write_records(appends: Vec<Append>, enqueues: Vec<Enqueue>, changed: Vec<FeedChange>, tx: &mut Transaction<'_>) {
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
        append_change(&change, tx);
    }
    // Once for each log, after the sync: a reader that woke earlier would find nothing.
    tx.after(move || grown.iter().for_each(|log| log.notify()));
    for enqueue in enqueues {
        enqueue.write(tx);
    }
}
