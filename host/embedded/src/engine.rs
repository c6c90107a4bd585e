//! The store as an engine.

use crate::commit::{ObjectToStage, PreparedCommit, prepare};
use crate::dead_letters;
use crate::evaluate::{self, CommitRefusal, evaluate};
use crate::objects::{StageError, stage};
use crate::outbox;
use crate::reads::SnapshotReads;
use crate::store::Store;
use crate::writer::Demand;
use esclusa_flow::BoxFuture;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::Action;
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages};
use esclusa_flow::fault::Fault;
use esclusa_flow::reads::Reads;
use std::sync::Arc;

impl From<CommitRefusal> for CommitError {
    fn from(refusal: CommitRefusal) -> Self {
        match refusal {
            CommitRefusal::Error(error) => error,
            CommitRefusal::Stale => {
                CommitError::Fault(Fault::Transient("the schema of the store changed meanwhile".to_owned()))
            }
        }
    }
}

/// How a check ends. An error in any case, since the writer rolls back only after one.
enum Checked {
    Fits,
    Refused(CommitRefusal),
}

impl From<Fault> for Checked {
    fn from(fault: Fault) -> Self {
        Checked::Refused(fault.into())
    }
}

impl Store {
    async fn try_check(&self, commit: &Arc<Commit>) -> Result<(), CommitRefusal> {
        let (prepared, _) = self.prepare(commit).await?;
        let (shared, bytes) = (Arc::clone(self.shared()), prepared.bytes);
        let work = move |tx: &mut crate::transaction::Transaction<'_>| {
            Err::<(), _>(evaluate::check(prepared, &shared, tx).map_or_else(Checked::Refused, |()| Checked::Fits))
        };
        match self.writer().perform(bytes, Demand::Written, work).await {
            Ok(()) | Err(Checked::Fits) => Ok(()),
            Err(Checked::Refused(refusal)) => Err(refusal),
        }
    }

    async fn try_commit(&self, commit: &Arc<Commit>) -> Result<Committed, CommitRefusal> {
        let (mut prepared, objects) = self.prepare(commit).await?;
        if !objects.is_empty() {
            stage_all(commit, objects, &mut prepared).await?;
        }
        let shared = Arc::clone(self.shared());
        let bytes = prepared.bytes;
        let route = Arc::clone(&prepared.route);
        self.writer().commit(route, bytes, move |tx| evaluate(prepared, &shared, tx)).await
    }

    /// Checks and encodes a commit; a large one on a thread of its own, so that no other task waits for it.
    async fn prepare(&self, commit: &Arc<Commit>) -> Result<(PreparedCommit, Vec<ObjectToStage>), CommitError> {
        let catalog = self.shared().catalog();
        if size(commit) < LARGE {
            return prepare(commit, &catalog);
        }
        let commit = commit.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&commit, &catalog)).await;
        prepared.unwrap_or_else(|error| Err(Fault::Bug(format!("preparing a commit: {error}")).into()))
    }
}

/// Estimated bytes of a commit: its payloads, and a constant for each action, message and dead letter.
fn size(commit: &Commit) -> usize {
    let actions = commit.actions.iter().map(|action| action.size().saturating_add(EACH));
    let messages = commit.outbox.iter().map(|message| message.send.data.len().saturating_add(EACH));
    let letters = commit.dead.iter().map(|letter| letter.data.len().saturating_add(EACH));
    actions.chain(messages).chain(letters).fold(0, usize::saturating_add)
}

/// Bytes that each action, message or dead letter counts besides its payload.
const EACH: usize = 64;
/// Commits of this many bytes or more are encoded off the runtime's threads: it takes milliseconds.
const LARGE: usize = 1 << 20;

/// Stages the objects of a commit, off the runtime's threads.
async fn stage_all(
    commit: &Commit,
    objects: Vec<ObjectToStage>,
    prepared: &mut PreparedCommit,
) -> Result<(), CommitError> {
    for object in objects {
        let Some(Action::PutObject(put)) = commit.actions.get(object.action).cloned() else { continue };
        let staged = tokio::task::spawn_blocking(move || stage(&object.root, &put)).await;
        match staged {
            Ok(Ok(staged)) => prepared.objects.push(staged),
            Ok(Err(StageError::Refused(why))) => return Err(CommitError::Refused(vec![(object.action, why)])),
            Ok(Err(StageError::Fault(fault))) => return Err(fault.into()),
            Err(error) => return Err(Fault::Bug(format!("writing an object: {error}")).into()),
        }
    }
    Ok(())
}

impl Engine for Store {
    fn reads(&self) -> Arc<dyn Reads> {
        Arc::new(SnapshotReads::new(self.disk(), self.shared().catalog()))
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        let commit = Arc::new(commit);
        Box::pin(async move {
            loop {
                match self.try_commit(&commit).await {
                    Ok(committed) => return Ok(committed),
                    Err(CommitRefusal::Stale) => {}
                    Err(CommitRefusal::Error(error)) => return Err(error),
                }
            }
        })
    }

    fn check(&self, commit: Commit) -> BoxFuture<'_, Result<(), CommitError>> {
        let commit = Arc::new(commit);
        Box::pin(async move {
            loop {
                match self.try_check(&commit).await {
                    Ok(()) => return Ok(()),
                    Err(CommitRefusal::Stale) => {}
                    Err(CommitRefusal::Error(error)) => return Err(error),
                }
            }
        })
    }

    fn pending<'a>(&'a self, route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        Box::pin(std::future::ready(outbox::list(route, self.disk())))
    }

    fn confirm<'a>(&'a self, route: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let entries: Vec<_> = dead.iter().map(dead_letters::DeadLetterEntry::new).collect::<Result<_, _>>()?;
            let bytes = entries.iter().map(dead_letters::DeadLetterEntry::size).sum::<usize>() + 64;
            let (shared, route) = (Arc::clone(self.shared()), route.to_owned());
            let work = move |tx: &mut crate::transaction::Transaction<'_>| {
                shared.dead.sum().take(&entries, &shared.catalog().limits, tx)?;
                if outbox::remove(&route, outbox, tx)? {
                    entries.into_iter().for_each(|entry| entry.write(&shared.dead, tx));
                }
                Ok(())
            };
            self.writer().perform(bytes, Demand::Frees, work).await
        })
    }
}
