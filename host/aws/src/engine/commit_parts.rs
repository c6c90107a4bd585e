//! Takes a commit apart: writes for DynamoDB, objects for S3, and the rest for the local engine. Each action keeps its
//! index in the whole commit, which errors name.

use crate::objects::S3Stores;
use crate::tables::DynamoTables;
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::{Action, PutObject};
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, Progress};

/// A commit, taken apart.
pub(crate) struct CommitParts {
    /// Writes to tables in DynamoDB.
    pub writes: Vec<(usize, Action)>,
    /// Objects for S3.
    pub objects: Vec<(usize, PutObject)>,
    /// Everything else.
    pub rest: LocalCommit,
}

/// The local engine's part of a commit.
pub(crate) struct LocalCommit {
    /// The commit without the actions for DynamoDB and S3.
    pub commit: Commit,
    /// For each of its actions the index that it has in the whole commit.
    origins: Vec<usize>,
}

impl CommitParts {
    /// Takes a commit apart.
    pub(crate) fn of(mut commit: Commit, tables: &DynamoTables, stores: &S3Stores) -> Self {
        let (mut writes, mut objects, mut actions, mut origins) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (all, mut hops) = (std::mem::take(&mut commit.hops), Vec::new());
        for (index, action) in std::mem::take(&mut commit.actions).into_iter().enumerate() {
            match action {
                Action::PutObject(object) if stores.contains(&object.store) => objects.push((index, object)),
                Action::Put(_) | Action::Update(_) | Action::Delete(_) if tables.contains(action.target()) => {
                    writes.push((index, action));
                }
                other => {
                    actions.push(other);
                    hops.push(all.get(index).copied().unwrap_or_default());
                    origins.push(index);
                }
            }
        }
        (commit.actions, commit.hops) = (actions, hops);
        CommitParts { writes, objects, rest: LocalCommit { commit, origins } }
    }
}

impl LocalCommit {
    /// Asks the local engine whether its tables take their part, whether there is room for `dead`, the dead letters that it does not have yet, and
    /// on the disk. Before anything is written or sent elsewhere: otherwise each try would do that again.
    ///
    /// # Errors
    /// Those of the local engine, with indexes of the whole commit.
    pub(crate) async fn check_with(&self, local: &dyn Engine, dead: Vec<DeadLetter>) -> Result<(), CommitError> {
        let commit = Commit { actions: self.commit.actions.clone(), dead, ..self.nothing() };
        local.check(commit).await.map_err(|error| renumber(error, &self.origins))
    }

    /// Commits to the local engine, unless there is nothing to commit; gives indexes of the whole commit.
    ///
    /// # Errors
    /// Those of the local engine, with indexes of the whole commit.
    pub(crate) async fn commit_to(self, local: &dyn Engine) -> Result<Committed, CommitError> {
        let LocalCommit { mut commit, origins } = self;
        // The dedup records are written to DynamoDB.
        commit.dedup = Vec::new();
        let empty = commit.actions.is_empty() && commit.outbox.is_empty() && commit.dead.is_empty();
        if empty && commit.progress == Progress::None && commit.counts == Counts::default() {
            return Ok(Committed::default());
        }
        let done = local.commit(commit).await.map_err(|error| renumber(error, &origins))?;
        let skipped = done.skipped.into_iter().map(|index| origin(&origins, index)).collect();
        Ok(Committed { skipped, outbox: done.outbox })
    }

    /// A commit without content, for the same lane.
    pub(crate) fn nothing(&self) -> Commit {
        let Commit { route, source, lane, handler, .. } = &self.commit;
        Commit::empty(route.clone(), source.clone(), lane.clone(), handler.clone())
    }
}

/// An error of the local engine with the indexes that its actions have in the whole commit.
fn renumber(error: CommitError, origins: &[usize]) -> CommitError {
    match error {
        CommitError::Refused(refused) => {
            CommitError::Refused(refused.into_iter().map(|(index, why)| (origin(origins, index), why)).collect())
        }
        other => other,
    }
}

fn origin(origins: &[usize], index: usize) -> usize {
    origins.get(index).copied().unwrap_or(index)
}
