//! Prepares a commit in the caller's task: everything that does not depend on stored data is checked and encoded
//! here, so that the one writer only evaluates and writes.

use crate::catalog::Catalog;
use crate::dead_letters;
use crate::kept_answers;
use crate::objects::Staged;
use crate::outbox;
use crate::queues::Enqueue;
use crate::records;
use crate::schema::OutputTarget;
use crate::streams::Append;
use crate::tables::TableWrite;
use esclusa_flow::counts::Counts;
use esclusa_flow::effect::{Action, SendMessage};
use esclusa_flow::engine::{Commit, CommitError, KeptAnswer, Progress};
use std::path::PathBuf;
use std::sync::Arc;

/// A commit that only has to be evaluated.
pub(crate) struct PreparedCommit {
    /// The catalog it was made for.
    pub generation: u64,
    /// Route name.
    pub route: Arc<str>,
    /// Source name.
    pub source: Arc<str>,
    /// Lane.
    pub lane: Arc<str>,
    /// Writes to tables, in order.
    pub tables: Vec<TableWrite>,
    /// Records for streams.
    pub appends: Vec<Append>,
    /// Messages for queues.
    pub enqueues: Vec<Enqueue>,
    /// Objects, already written aside.
    pub objects: Vec<Staged>,
    /// Dead letters as they are stored.
    pub dead: Vec<dead_letters::DeadLetterEntry>,
    /// The outbox as it is stored.
    pub outbox: Option<Vec<u8>>,
    /// See [`Commit::progress`].
    pub progress: Progress,
    /// See [`Commit::answers`].
    pub answers: Vec<KeptAnswer>,
    /// See [`Commit::counts`].
    pub counts: Counts,
    /// Bytes that it writes, about.
    pub bytes: usize,
}

/// An object that is to be written aside before the commit.
pub(crate) struct ObjectToStage {
    /// Index of the action in the commit.
    pub action: usize,
    /// Directory of its store.
    pub root: PathBuf,
}

/// Checks and encodes; the objects are left to be staged.
pub(crate) fn prepare(commit: &Commit, catalog: &Catalog) -> Result<(PreparedCommit, Vec<ObjectToStage>), CommitError> {
    let mut prepared = PreparedCommit {
        generation: catalog.generation,
        route: Arc::clone(&commit.route),
        source: Arc::clone(&commit.source),
        lane: Arc::clone(&commit.lane),
        tables: Vec::with_capacity(commit.actions.len()),
        appends: Vec::new(),
        enqueues: Vec::new(),
        objects: Vec::new(),
        dead: commit.dead.iter().map(dead_letters::DeadLetterEntry::new).collect::<Result<_, _>>()?,
        outbox: outbox::encode(&commit.lane, &commit.outbox),
        progress: commit.progress.clone(),
        answers: commit.answers.clone(),
        counts: commit.counts,
        bytes: 256,
    };
    let mut objects = Vec::new();
    let mut refused = Vec::new();
    let mut scratch = Vec::with_capacity(512);
    for (i, action) in commit.actions.iter().enumerate() {
        let hops = commit.hops.get(i).copied().unwrap_or_default();
        let mut write = |write: TableWrite| prepared.tables.push(write.with_hops(hops));
        let result = match action {
            Action::Put(put) => TableWrite::put(i, put, &catalog.tables, &mut scratch).map(&mut write),
            Action::Update(update) => TableWrite::update(i, update, &catalog.tables).map(&mut write),
            Action::Delete(delete) => TableWrite::delete(i, delete, &catalog.tables).map(&mut write),
            Action::Send(send) => prepared.send(send, catalog),
            Action::PutObject(object) => match catalog.objects.get(&object.store) {
                Some(root) => {
                    objects.push(ObjectToStage { action: i, root: root.clone() });
                    Ok(())
                }
                None => Err(format!("there is no object store {:?}", object.store)),
            },
        };
        if let Err(why) = result {
            refused.push((i, why));
        }
    }
    if !refused.is_empty() {
        return Err(CommitError::Refused(refused));
    }
    prepared.bytes += prepared.size();
    Ok((prepared, objects))
}

impl PreparedCommit {
    fn send(&mut self, send: &SendMessage, catalog: &Catalog) -> Result<(), String> {
        match catalog.outputs.get(&send.output) {
            Some(OutputTarget::Stream(name)) => {
                let log = catalog.streams.get(name).ok_or_else(|| format!("there is no stream {name:?}"))?;
                let partition = log.partition(send.key.as_deref().unwrap_or_default());
                self.appends.push(Append { log: Arc::clone(log), partition, body: records::body_of(send) });
            }
            Some(OutputTarget::Queue(name)) => {
                let queue = catalog.queues.get(name).ok_or_else(|| format!("there is no queue {name:?}"))?;
                self.enqueues.push(Enqueue { queue: Arc::clone(queue), body: records::body_of(send) });
            }
            None => return Err(format!("output {:?} is neither a stream nor a queue of the store", send.output)),
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.tables.iter().map(TableWrite::size).sum::<usize>()
            + self.appends.iter().map(|a| a.body.len() + 32).sum::<usize>()
            + self.enqueues.iter().map(|e| e.body.len() + 32).sum::<usize>()
            + self.dead.iter().map(dead_letters::DeadLetterEntry::size).sum::<usize>()
            + self.answers.iter().map(kept_answers::size).sum::<usize>()
            + self.outbox.as_ref().map_or(0, Vec::len)
    }
}
