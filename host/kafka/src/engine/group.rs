//! The engine of a route that reads Kafka and writes nothing to AWS: effects first, then the offset.
//!
//! With embedded targets the position is in the transaction of the embedded engine, which also records messages to the outside.
//! Without them any number of processes share the group, and each has an embedded engine of its own: then messages are sent
//! before the offset is committed, and nothing of a batch waits in a process that may never come back.

use super::parts::KafkaEngineSettings;
use esclusa_flow::BoxFuture;
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::lane_progress::LaneProgress;
use esclusa_flow::outbox::CommitSender;
use esclusa_flow::reads::Reads;
use esclusa_flow::timestamp::Timestamp;
use std::sync::Arc;
use std::time::SystemTime;

/// The engine of a route whose positions the group keeps, or the embedded engine.
#[must_use]
pub fn of_group(settings: KafkaEngineSettings) -> Arc<dyn Engine> {
    if settings.reader.keeps_own_positions() {
        return Arc::new(OwnEngine { progress: settings.reader.progress(), local: settings.local });
    }
    let progress = settings.reader.progress();
    Arc::new(GroupEngine { local: settings.local, sender: settings.sender, progress })
}

/// The last position of a commit.
fn reached(commit: &Commit) -> Option<esclusa_flow::batch::Token> {
    match &commit.progress {
        Progress::Position { to, .. } => Some(to.clone()),
        _ => None,
    }
}

/// The embedded engine has the position; the group is told of it.
struct OwnEngine {
    local: Arc<dyn Engine>,
    progress: Arc<dyn LaneProgress>,
}

impl Engine for OwnEngine {
    fn reads(&self) -> Arc<dyn Reads> {
        self.local.reads()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            self.progress.check(&commit.lane, &commit.progress)?;
            let (lane, to) = (commit.lane.clone(), reached(&commit));
            let committed = self.local.commit(commit).await?;
            if let Some(to) = to {
                // The commit has happened. If the partition has left meanwhile, its next reader sees that.
                let _ = self.progress.settled(&lane, &to);
            }
            Ok(committed)
        })
    }

    fn check(&self, commit: Commit) -> BoxFuture<'_, Result<(), CommitError>> {
        self.local.check(commit)
    }

    fn pending<'a>(&'a self, route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        self.local.pending(route)
    }

    fn confirm<'a>(&'a self, route: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        self.local.confirm(route, outbox, dead)
    }
}

/// The group has the position.
struct GroupEngine {
    local: Arc<dyn Engine>,
    sender: CommitSender,
    progress: Arc<dyn LaneProgress>,
}

impl GroupEngine {
    async fn carry_out(&self, mut commit: Commit) -> Result<Committed, CommitError> {
        self.progress.check(&commit.lane, &commit.progress)?;
        // Without a position, as in a redrive, the embedded engine has the dead letter, and records the messages that come of it.
        let Some(to) = reached(&commit) else { return self.local.commit(commit).await };
        let lane = commit.lane.clone();
        commit.progress = Progress::None;
        let messages = Arc::unwrap_or_clone(std::mem::take(&mut commit.outbox));
        if !messages.is_empty() {
            // Before any is sent: if there is no room for the dead letters, or none on the disk, each try would send them all again.
            self.local.check(commit.clone()).await?;
            let now = || Timestamp::from(SystemTime::now());
            let dead = tokio::select! {
                biased;
                // A partition that leaves takes its messages along: its next reader sends them again.
                fault = self.progress.lost(&lane) => return Err(fault.into()),
                dead = self.sender.send(messages, &commit, now, tokio::time::sleep) => dead,
            };
            commit.dead.extend(dead);
        }
        let empty = commit.actions.is_empty() && commit.dead.is_empty() && commit.counts == Counts::default();
        let committed = if empty { Committed::default() } else { self.local.commit(commit).await? };
        self.progress.settled(&lane, &to)?;
        Ok(committed)
    }
}

impl Engine for GroupEngine {
    fn reads(&self) -> Arc<dyn Reads> {
        self.local.reads()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(self.carry_out(commit))
    }

    fn check(&self, commit: Commit) -> BoxFuture<'_, Result<(), CommitError>> {
        self.local.check(commit)
    }

    fn pending<'a>(&'a self, route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        self.local.pending(route)
    }

    fn confirm<'a>(&'a self, route: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        self.local.confirm(route, outbox, dead)
    }
}
