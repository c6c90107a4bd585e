//! The engine of a route whose tables, objects or source are on AWS: it puts what is there, and leaves the rest (embedded
//! tables, streams and queues, dead letters, counters) to a local engine.
//!
//! The order keeps invariants 1 and 2, whatever ends the process in between: what can be repeated comes first, and the
//! progress last. At-least-once: objects, tables, messages, the local engine, progress. Exactly-once: the tables hold the
//! progress, so messages and dead letters come before them: written after it, a crash would lose them. A guard that fails
//! then has sent its messages. A repeated object overwrites, a repeated message has the same id.
//!
//! Two differences to the embedded engine: reads have no snapshot (see [`crate::tables::TableReads`]), and what the local
//! engine refuses does not undo what DynamoDB took.

mod outbox;
mod parts;
mod settings;

pub use settings::{Delivery, EngineSettings};

use crate::client::Clients;
use crate::objects::Stores;
use crate::progress::ProgressStore;
use crate::tables::{Fence, Marks, Patience, TableReads, Tables, Write};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::engine::{self, Commit, CommitError, Committed, PendingMessages, Progress, Reads, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::outbox::SendObserver;
use parking_lot::{Mutex, MutexGuard};
use parts::{Parts, Rest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// See the module.
pub struct Engine {
    tables: Arc<Tables>,
    stores: Stores,
    sinks: BTreeMap<String, Arc<dyn Sink>>,
    witness: Arc<dyn SendObserver>,
    local: Arc<dyn engine::Engine>,
    keeper: Option<Arc<dyn ProgressStore>>,
    /// Where effects are to happen once.
    marks: Option<Marks>,
    /// Lane and event of dead letters that are kept already, while the tables do not hold the progress.
    kept: Mutex<BTreeSet<(Arc<str>, String)>>,
}

impl Engine {
    /// The engine; nothing is sent before it is used.
    #[must_use]
    pub fn new(settings: EngineSettings, clients: &Clients) -> Self {
        // A mark is in the transaction of the effects, and a transaction stays in one place.
        let place = settings.tables.values().next().map(|table| table.place.clone()).unwrap_or_default();
        let marks = match settings.delivery {
            Delivery::AtLeastOnce => None,
            Delivery::ExactlyOnce { marks_table } => Some(Marks::new(&marks_table, &place, clients)),
        };
        Engine {
            tables: Arc::new(Tables::new(settings.tables, clients)),
            stores: Stores::new(settings.stores, clients),
            sinks: settings.sinks,
            witness: settings.witness,
            local: settings.local,
            keeper: settings.keeper,
            marks,
            kept: Mutex::default(),
        }
    }

    /// How many commits of a single event were too large for one transaction: their effects are at-least-once.
    #[must_use]
    pub fn split_commits(&self) -> u64 {
        self.tables.split()
    }

    async fn carry_out(&self, commit: Commit) -> Result<Committed, CommitError> {
        let several = several(&commit);
        let Parts { writes, objects, rest } = Parts::of(commit, &self.tables, &self.stores);
        let writes = self.tables.plan(writes).await?;
        self.stores.check(&objects)?;
        let fence = self.fence(&rest.commit, &writes).await?;
        self.tables.check(&writes, &fence, several)?;
        if !objects.is_empty() {
            self.prepare(&rest.commit).await?;
            self.stores.put(&objects).await?;
        }
        let mut committed = if fence.is_empty() {
            self.at_least_once(writes, rest, several).await?
        } else {
            self.exactly_once(writes, &fence, rest, several).await?
        };
        committed.skipped.sort_unstable();
        Ok(committed)
    }

    async fn at_least_once(&self, writes: Vec<Write>, mut rest: Rest, several: bool) -> Result<Committed, CommitError> {
        let fence = Fence::default();
        let write = self.tables.write(writes, &fence, several);
        let Some(keeper) = &self.keeper else {
            let mut skipped = write.await?;
            let committed = rest.commit_to(&*self.local).await?;
            skipped.extend(committed.skipped);
            return Ok(Committed { skipped, outbox: committed.outbox });
        };
        let lane = Arc::clone(&rest.commit.lane);
        let progress = std::mem::replace(&mut rest.commit.progress, Progress::None);
        let mut skipped = while_owned(&**keeper, &lane, &progress, write).await?;
        self.send(&**keeper, &mut rest.commit, &progress).await?;
        skipped.extend(rest.commit_to(&*self.local).await?.skipped);
        settle(&**keeper, &lane, &progress).await?;
        Ok(Committed { skipped, outbox: None })
    }

    /// Two commits to the local engine where it has to keep something before the tables hold the progress.
    async fn exactly_once(
        &self,
        writes: Vec<Write>,
        fence: &Fence,
        mut rest: Rest,
        several: bool,
    ) -> Result<Committed, CommitError> {
        let progress = std::mem::replace(&mut rest.commit.progress, Progress::None);
        let counts = std::mem::take(&mut rest.commit.counts);
        let last = Commit { counts, ..rest.nothing() };
        if let Some(keeper) = &self.keeper {
            self.send(&**keeper, &mut rest.commit, &progress).await?;
        }
        let lane = Arc::clone(&last.lane);
        // Where a guard does not hold, the batch comes here again: its dead letters are kept once.
        let letters: Vec<_> = rest.commit.dead.iter().map(|dead| (Arc::clone(&lane), dead.event.clone())).collect();
        rest.commit.dead.retain(|dead| !self.kept().contains(&(Arc::clone(&lane), dead.event.clone())));
        let committed = rest.commit_to(&*self.local).await?;
        self.kept().extend(letters.iter().cloned());
        let mut skipped = match self.tables.write(writes, fence, several).await {
            Ok(skipped) => skipped,
            Err(error) => {
                if let Some(outbox) = committed.outbox {
                    // What was not committed is not sent; where this fails too, it is sent once too often.
                    self.local.confirm(&last.route, outbox, Vec::new()).await?;
                }
                return Err(error);
            }
        };
        for letter in &letters {
            self.kept().remove(letter);
        }
        skipped.extend(committed.skipped);
        match &self.keeper {
            None => drop(self.local.commit(Commit { progress, ..last }).await?),
            Some(keeper) => {
                if last.counts != Counts::default() {
                    self.local.commit(last).await?;
                }
                if fence.progress.is_none() {
                    settle(&**keeper, &lane, &progress).await?;
                }
            }
        }
        Ok(Committed { skipped, outbox: committed.outbox })
    }

    fn kept(&self) -> MutexGuard<'_, BTreeSet<(Arc<str>, String)>> {
        self.kept.lock()
    }

    /// What makes the writes happen once; nothing where there is nothing to protect, or the route does not ask for it.
    async fn fence(&self, commit: &Commit, writes: &[Write]) -> Result<Fence, Fault> {
        let (Some(marks), false) = (&self.marks, writes.is_empty()) else { return Ok(Fence::default()) };
        let progress = match &self.keeper {
            // Without progress the lane does not matter: a dead letter is replayed, whoever has its shard now.
            Some(keeper) if commit.progress != Progress::None => keeper.write(&commit.lane, &commit.progress)?,
            _ => None,
        };
        if progress.is_some() || commit.marks.is_empty() {
            return Ok(Fence { progress, marks: Vec::new() });
        }
        Ok(Fence { progress: None, marks: marks.of(&commit.route, &commit.marks).await? })
    }

    /// Records the bounds of the batch before an object whose content depends on them.
    async fn prepare(&self, commit: &Commit) -> Result<(), Fault> {
        let (Some(keeper), Progress::Position { to, .. }) = (&self.keeper, &commit.progress) else { return Ok(()) };
        let (lane, to): (&str, &Token) = (&commit.lane, to);
        let mut patience = Patience::for_write();
        while let Err(fault) = keeper.prepare(lane, to).await {
            patience.wait(fault).await?;
        }
        Ok(())
    }

    /// Sends the messages of a commit; those that were refused for good are dead letters of it then.
    async fn send(
        &self,
        keeper: &dyn ProgressStore,
        commit: &mut Commit,
        progress: &Progress,
    ) -> Result<(), CommitError> {
        let messages = Arc::unwrap_or_clone(std::mem::take(&mut commit.outbox));
        let send = async { Ok(outbox::send(&self.sinks, messages, commit, Arc::clone(&self.witness)).await) };
        let dead = while_owned(keeper, &commit.lane, progress, send).await?;
        commit.dead.extend(dead);
        Ok(())
    }
}

/// Does what no transaction protects from a stale owner: begins only where the lane is this process' own, and gives up as
/// soon as it may be another's; a request on its way remains. Without progress the lane does not matter.
async fn while_owned<T>(
    keeper: &dyn ProgressStore,
    lane: &str,
    progress: &Progress,
    work: impl Future<Output = Result<T, CommitError>>,
) -> Result<T, CommitError> {
    if *progress == Progress::None {
        return work.await;
    }
    tokio::select! {
        biased;
        fault = keeper.lost(lane) => Err(fault.into()),
        done = work => done,
    }
}

/// True where a commit is of more than one call's event, so that delivery can halve it. Events that the filter left out
/// or that were given up before do not count.
fn several(commit: &Commit) -> bool {
    let called = commit.counts.done.saturating_add(commit.counts.skipped);
    commit.marks.len() > 1 || (commit.marks.is_empty() && called > 1)
}

/// Settles, with patience: what was written before would be written again otherwise.
async fn settle(keeper: &dyn ProgressStore, lane: &str, progress: &Progress) -> Result<(), Fault> {
    if *progress == Progress::None {
        return Ok(());
    }
    let mut patience = Patience::for_write();
    while let Err(fault) = keeper.settle(lane, progress).await {
        patience.wait(fault).await?;
    }
    Ok(())
}

impl engine::Engine for Engine {
    fn reads(&self) -> Arc<dyn Reads> {
        Arc::new(TableReads::new(Arc::clone(&self.tables), self.local.reads()))
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
