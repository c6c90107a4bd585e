//! The engine of a route whose tables, objects or source are on AWS. It writes those, and leaves embedded tables,
//! streams and queues, dead letters and counters to a local engine.
//!
//! The order keeps invariants 1 and 2 wherever the process ends in between: writes that can be repeated come first, the
//! progress last. At-least-once: objects, tables, messages, the local engine, progress. Exactly-once: the tables hold
//! the progress, so messages and dead letters come before them: a crash between the two would lose them otherwise. So a
//! batch whose guard fails has sent its messages. A repeated object overwrites, a repeated message has the same id.
//!
//! Two differences to the embedded engine: reads have no snapshot (see [`crate::tables::DynamoReads`]), and a refusal
//! of the local engine does not undo the writes to DynamoDB. The local engine is asked before (`check`), but stored
//! items may change meanwhile.

mod commit_parts;

use crate::client::Clients;
use crate::objects::{S3Store, S3Stores};
use crate::progress::ProgressStore;
use crate::retry::RetryBudget;
use crate::shards::wall_millis;
use crate::tables::{DedupTable, DynamoReads, DynamoTable, DynamoTables, Fence, ItemWrite};
use commit_parts::{CommitParts, LocalCommit};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::engine::{self, Commit, CommitError, Committed, KeptAnswer, PendingMessages, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::outbox::CommitSender;
use esclusa_flow::reads::Reads;
use esclusa_flow::timestamp::Timestamp;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The engine of one route over AWS and a local engine.
pub struct AwsEngine {
    tables: Arc<DynamoTables>,
    stores: Arc<S3Stores>,
    sender: CommitSender,
    local: Arc<dyn engine::Engine>,
    progress_store: Option<Arc<dyn ProgressStore>>,
    /// Set if effects are to happen once.
    dedup: Option<DedupTable>,
    /// Dead letters that the local engine has kept and whose progress is not committed yet.
    kept: Mutex<BTreeSet<LetterName>>,
}

/// Lane and event of a dead letter.
type LetterName = (Arc<str>, String);

impl AwsEngine {
    /// The engine; nothing is sent before it is used.
    #[must_use]
    pub fn new(settings: EngineSettings, clients: &Clients) -> Self {
        // A dedup record is written in the transaction of its effects, and a transaction stays in one place.
        let place = settings.tables.values().next().map(|table| table.place.clone()).unwrap_or_default();
        let dedup = settings.dedup_table.map(|table| DedupTable::new(&table, &place, clients));
        AwsEngine {
            tables: Arc::new(DynamoTables::new(settings.tables, clients)),
            stores: Arc::new(S3Stores::new(settings.stores, clients)),
            sender: settings.sender,
            local: settings.local,
            progress_store: settings.progress_store,
            dedup,
            kept: Mutex::default(),
        }
    }

    async fn carry_out(&self, mut commit: Commit) -> Result<Committed, CommitError> {
        let several = several(&commit);
        let answers = if self.dedup.is_some() { std::mem::take(&mut commit.answers) } else { Vec::new() };
        let (done, given_up) = answers.into_iter().partition(|answer| answer.done.is_some());
        let CommitParts { writes, objects, rest } = CommitParts::of(commit, &self.tables, &self.stores);
        let writes = self.tables.plan(writes).await?;
        self.stores.check(&objects)?;
        let fence = self.fence(&rest.commit, &writes, done).await?;
        self.tables.check(&writes, &fence, several)?;
        // Writes to DynamoDB, S3 and outputs cannot be undone. If the local tables refuse their part of a batch as too
        // large, the batch is halved and called again, and each half would write there once more. If there is no room for its dead
        // letters, or none on the disk, it waits.
        let sends = !rest.commit.outbox.is_empty() && self.store_of(&rest.commit.progress).is_some();
        if sends || !(writes.is_empty() && fence.is_empty() && objects.is_empty()) {
            let dead =
                rest.commit.dead.iter().filter(|dead| !self.has_kept(&rest.commit.lane, dead)).cloned().collect();
            rest.check_with(&*self.local, dead).await?;
        }
        // Objects first: putting one again overwrites it, so a crash after this costs nothing but the request.
        if !objects.is_empty() {
            self.prepare(&rest.commit).await?;
            self.stores.put(&objects).await?;
        }
        let mut committed = if fence.is_empty() {
            self.at_least_once(writes, rest, several).await?
        } else {
            self.exactly_once(writes, &fence, rest, several).await?
        };
        self.keep(given_up).await?;
        committed.skipped.sort_unstable();
        Ok(committed)
    }

    /// Keeps the answers to requests that were given up. They belong to no effects, so they need no transaction.
    async fn keep(&self, answers: Vec<KeptAnswer>) -> Result<(), Fault> {
        let (Some(dedup), false) = (&self.dedup, answers.is_empty()) else { return Ok(()) };
        for answer in dedup.answers(&answers).await? {
            dedup.keep(answer).await?;
        }
        Ok(())
    }

    async fn at_least_once(
        &self,
        writes: Vec<ItemWrite>,
        mut rest: LocalCommit,
        several: bool,
    ) -> Result<Committed, CommitError> {
        let fence = Fence::default();
        let write = self.tables.write(writes, &fence, several);
        let Some(progress_store) = self.store_of(&rest.commit.progress) else {
            let mut skipped = write.await?;
            let letters = self.leave_out_kept(&mut rest.commit);
            let committed = rest.commit_to(&*self.local).await?;
            self.forget(&letters);
            skipped.extend(committed.skipped);
            return Ok(Committed { skipped, outbox: committed.outbox });
        };
        let lane = Arc::clone(&rest.commit.lane);
        let progress = std::mem::replace(&mut rest.commit.progress, Progress::None);
        let mut skipped = while_owned(progress_store, &lane, write).await?;
        self.send(progress_store, &mut rest.commit).await?;
        // A batch of exactly-once comes here if nothing of it is left to write: what was given up before is kept already.
        let letters = self.leave_out_kept(&mut rest.commit);
        skipped.extend(rest.commit_to(&*self.local).await?.skipped);
        settle(progress_store, &lane, &progress).await?;
        self.forget(&letters);
        Ok(Committed { skipped, outbox: None })
    }

    /// The local engine commits twice: effects and dead letters before the tables hold the progress, counts and its own
    /// progress after.
    async fn exactly_once(
        &self,
        writes: Vec<ItemWrite>,
        fence: &Fence,
        mut rest: LocalCommit,
        several: bool,
    ) -> Result<Committed, CommitError> {
        let progress = std::mem::replace(&mut rest.commit.progress, Progress::None);
        let counts = std::mem::take(&mut rest.commit.counts);
        let last = Commit { counts, ..rest.nothing() };
        // Before the transaction: once it holds the progress, a crash would lose these.
        let progress_store = self.store_of(&progress);
        if let Some(progress_store) = progress_store {
            self.send(progress_store, &mut rest.commit).await?;
        }
        let lane = Arc::clone(&last.lane);
        // If the transaction fails, the batch comes here again, or without writes to `at_least_once`: its dead letters are kept only once.
        let letters = self.leave_out_kept(&mut rest.commit);
        let committed = rest.commit_to(&*self.local).await?;
        self.kept.lock().extend(letters.iter().cloned());
        let mut skipped = match self.tables.write(writes, fence, several).await {
            Ok(skipped) => skipped,
            Err(error) => {
                if let Some(outbox) = committed.outbox {
                    // Messages of a commit that failed are not sent. If this fails too, they are sent once too often.
                    self.local.confirm(&last.route, outbox, Vec::new()).await?;
                }
                return Err(error);
            }
        };
        self.forget(&letters);
        skipped.extend(committed.skipped);
        match progress_store {
            None => drop(self.local.commit(Commit { progress, ..last }).await?),
            Some(progress_store) => {
                if last.counts != Counts::default() {
                    self.local.commit(last).await?;
                }
                // With a fence the transaction has moved the position already.
                if fence.progress.is_none() {
                    settle(progress_store, &lane, &progress).await?;
                } else {
                    progress_store.moved(&lane, &progress);
                }
            }
        }
        Ok(Committed { skipped, outbox: committed.outbox })
    }

    /// Keeps the progress of a commit; `None`: the local engine does, or there is none, as in a redrive. Then the lane does not matter
    /// either: its process may be another one. The local engine has the dead letter, and records the messages that come of it.
    fn store_of(&self, progress: &Progress) -> Option<&dyn ProgressStore> {
        self.progress_store.as_deref().filter(|_| *progress != Progress::None)
    }

    /// True if the local engine has this dead letter of the lane already.
    fn has_kept(&self, lane: &Arc<str>, dead: &DeadLetter) -> bool {
        self.kept.lock().contains(&(Arc::clone(lane), dead.event.clone()))
    }

    /// Leaves out the dead letters that the local engine has already. Gives the names of all, to be forgotten once the commit has
    /// happened.
    fn leave_out_kept(&self, commit: &mut Commit) -> Vec<LetterName> {
        let letters = commit.dead.iter().map(|dead| (Arc::clone(&commit.lane), dead.event.clone())).collect();
        commit.dead.retain(|dead| !self.has_kept(&commit.lane, dead));
        letters
    }

    fn forget(&self, letters: &[LetterName]) {
        let mut kept = self.kept.lock();
        for letter in letters {
            kept.remove(letter);
        }
    }

    /// The fence that makes the writes happen once. Empty if there are no writes and no answers, or if the route is
    /// at-least-once.
    async fn fence(
        &self,
        commit: &Commit,
        writes: &[ItemWrite],
        answers: Vec<KeptAnswer>,
    ) -> Result<Fence, CommitError> {
        let Some(dedup) = &self.dedup else { return Ok(Fence::default()) };
        if !answers.is_empty() {
            return self.answered(dedup, answers).await;
        }
        if writes.is_empty() {
            return Ok(Fence::default());
        }
        let progress = match self.store_of(&commit.progress) {
            Some(progress_store) => progress_store.write(&commit.lane, &commit.progress)?,
            None => None,
        };
        if progress.is_some() || commit.dedup.is_empty() {
            return Ok(Fence { progress, ..Fence::default() });
        }
        Ok(Fence { dedup: dedup.records(&commit.route, &commit.dedup).await?, ..Fence::default() })
    }

    /// The fence of requests whose answers are kept. A request has no dedup record beside its answer: a repeated one is another
    /// event.
    async fn answered(&self, dedup: &DedupTable, answers: Vec<KeptAnswer>) -> Result<Fence, CommitError> {
        if answers.iter().any(|answer| answer.value.len() > ANSWER) {
            return Err(CommitError::TooLarge);
        }
        let events: Vec<usize> = answers.iter().filter_map(|answer| answer.done).collect();
        let puts = dedup.answers(&answers).await?;
        let client = Some(dedup.client().clone());
        Ok(Fence { progress: None, dedup: events.into_iter().zip(puts).collect(), client })
    }

    /// Records the bounds of the batch before an object whose content depends on them.
    async fn prepare(&self, commit: &Commit) -> Result<(), Fault> {
        let (Some(progress_store), Progress::Position { to, .. }) = (&self.progress_store, &commit.progress) else {
            return Ok(());
        };
        let (lane, to): (&str, &Token) = (&commit.lane, to);
        let mut budget = RetryBudget::for_write();
        while let Err(fault) = progress_store.prepare(lane, to).await {
            budget.wait(fault).await?;
        }
        Ok(())
    }

    /// Sends the messages of a commit. Those that their output refuses for good become dead letters of the commit.
    async fn send(&self, progress_store: &dyn ProgressStore, commit: &mut Commit) -> Result<(), CommitError> {
        let messages = Arc::unwrap_or_clone(std::mem::take(&mut commit.outbox));
        let now = || Timestamp::from_millis(wall_millis());
        let send = async { Ok(self.sender.send(messages, commit, now, tokio::time::sleep).await) };
        let dead = while_owned(progress_store, &commit.lane, send).await?;
        commit.dead.extend(dead);
        Ok(())
    }
}

/// Runs work that no transaction protects from a stale owner. It begins only if this process owns the lane, and is
/// dropped as soon as another process may own it; a request on its way still arrives.
async fn while_owned<T>(
    progress_store: &dyn ProgressStore,
    lane: &str,
    work: impl Future<Output = Result<T, CommitError>>,
) -> Result<T, CommitError> {
    tokio::select! {
        // The lane first: work must not begin on a lane that was lost before.
        biased;
        fault = progress_store.lost(lane) => Err(fault.into()),
        done = work => done,
    }
}

/// True if a commit is of more than one call's event, so that delivery can halve it. Events that the filter left out
/// or that were given up before do not count.
fn several(commit: &Commit) -> bool {
    let called = commit.counts.done.saturating_add(commit.counts.skipped);
    commit.dedup.len() > 1 || (commit.dedup.is_empty() && called > 1)
}

/// Settles, and tries again within a budget: a fault here would have all effects written again.
async fn settle(progress_store: &dyn ProgressStore, lane: &str, progress: &Progress) -> Result<(), Fault> {
    let mut budget = RetryBudget::for_write();
    while let Err(fault) = progress_store.settle(lane, progress).await {
        budget.wait(fault).await?;
    }
    Ok(())
}

impl engine::Engine for AwsEngine {
    fn reads(&self) -> Arc<dyn Reads> {
        Arc::new(DynamoReads::new(Arc::clone(&self.tables), Arc::clone(&self.stores), self.local.reads()))
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(self.carry_out(commit))
    }

    fn pending<'a>(&'a self, route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        self.local.pending(route)
    }

    fn confirm<'a>(&'a self, route: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        self.local.confirm(route, outbox, dead)
    }
}

/// The engine of one route.
pub struct EngineSettings {
    /// Tables in DynamoDB, by their name in routes.toml.
    pub tables: BTreeMap<String, DynamoTable>,
    /// Object stores in S3, likewise.
    pub stores: BTreeMap<String, S3Store>,
    /// Sends messages to outputs outside of the local engine, if the progress store keeps the progress of a commit: else the local
    /// engine records the messages, and delivery sends them after the commit.
    pub sender: CommitSender,
    /// Everything else: embedded tables, streams and queues, dead letters, counters, and the progress if there is no
    /// progress store.
    pub local: Arc<dyn engine::Engine>,
    /// Keeps the progress of the source. `None`: the local engine does.
    pub progress_store: Option<Arc<dyn ProgressStore>>,
    /// Exactly-once: the table of dedup records, in the place of the first table; created if it is missing. One table serves
    /// all routes. `None`: at-least-once, a batch that is delivered again is written again.
    pub dedup_table: Option<String>,
}

/// Most bytes of an answer that is kept: an item in DynamoDB has at most 400 KiB, its key and the head of the answer among them.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>, November 2026.
const ANSWER: usize = 400_000;
