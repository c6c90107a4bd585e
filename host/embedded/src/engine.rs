//! The store as an engine.

use crate::commit::{ObjectToStage, Prepared, prepare};
use crate::dead;
use crate::evaluate::{self, Refusal, evaluate};
use crate::objects::{StageError, stage};
use crate::outbox;
use crate::reads::SnapshotReads;
use crate::store::Store;
use crate::writer::Demand;
use esclusa_flow::BoxFuture;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::Action;
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages, Reads};
use esclusa_flow::fault::Fault;
use std::sync::Arc;

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Error(error) => error,
            Refusal::Stale => {
                CommitError::Fault(Fault::Transient("the schema of the store changed meanwhile".to_owned()))
            }
        }
    }
}

/// How a check ends. An error in any case, since the writer rolls back only after one.
enum Checked {
    Fits,
    Refused(Refusal),
}

impl From<Fault> for Checked {
    fn from(fault: Fault) -> Self {
        Checked::Refused(fault.into())
    }
}

impl Store {
    async fn try_check(&self, commit: &Arc<Commit>) -> Result<(), Refusal> {
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

    async fn try_commit(&self, commit: &Arc<Commit>) -> Result<Committed, Refusal> {
        let (mut prepared, objects) = self.prepare(commit).await?;
        if !objects.is_empty() {
            stage_all(commit, objects, &mut prepared).await?;
        }
        let shared = Arc::clone(self.shared());
        let bytes = prepared.bytes;
        let route = Arc::clone(&prepared.route);
        self.writer().commit(route, bytes, move |tx| evaluate(prepared, &shared, tx)).await
    }

    /// Checks and encodes a commit; a large one where nobody else waits.
    async fn prepare(&self, commit: &Arc<Commit>) -> Result<(Prepared, Vec<ObjectToStage>), CommitError> {
        let catalog = self.shared().catalog();
        if size(commit) < LARGE {
            return prepare(commit, &catalog);
        }
        let commit = commit.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&commit, &catalog)).await;
        prepared.unwrap_or_else(|error| Err(Fault::Bug(format!("preparing a commit: {error}")).into()))
    }
}

/// Bytes of a commit, about: what it holds, and something for each thing that it does.
fn size(commit: &Commit) -> usize {
    let actions = commit.actions.iter().map(|action| action.size().saturating_add(EACH));
    let messages = commit.outbox.iter().map(|message| message.send.data.len().saturating_add(EACH));
    let letters = commit.dead.iter().map(|letter| letter.data.len().saturating_add(EACH));
    actions.chain(messages).chain(letters).fold(0, usize::saturating_add)
}

/// What anything that a commit does counts besides its bytes.
const EACH: usize = 64;
/// Bytes of effects from which on they are checked and encoded off the threads that run tasks: it takes milliseconds.
const LARGE: usize = 1 << 20;

/// Writes the objects of a commit aside, off the threads that run tasks.
async fn stage_all(commit: &Commit, objects: Vec<ObjectToStage>, prepared: &mut Prepared) -> Result<(), CommitError> {
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
                    Err(Refusal::Stale) => {}
                    Err(Refusal::Error(error)) => return Err(error),
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
                    Err(Refusal::Stale) => {}
                    Err(Refusal::Error(error)) => return Err(error),
                }
            }
        })
    }

    fn pending<'a>(&'a self, route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        Box::pin(std::future::ready(outbox::list(route, self.disk())))
    }

    fn confirm<'a>(&'a self, route: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let entries: Vec<_> = dead.iter().map(dead::Entry::new).collect::<Result<_, _>>()?;
            let bytes = entries.iter().map(dead::Entry::size).sum::<usize>() + 64;
            let (shared, route) = (Arc::clone(self.shared()), route.to_owned());
            let work = move |tx: &mut crate::transaction::Transaction<'_>| {
                if outbox::remove(&route, outbox, tx)? {
                    entries.into_iter().for_each(|entry| entry.write(&shared.dead, tx));
                }
                Ok(())
            };
            self.writer().perform(bytes, Demand::Frees, work).await
        })
    }
}
