//! The engine of a route that reads Kafka and writes nothing to AWS: effects first, then the offset.
//!
//! With embedded targets the position is in the transaction of the embedded engine, which also records messages to the outside.
//! Without them any number of processes share the group, and each has an embedded engine of its own: then messages are sent
//! before the offset is committed, and nothing of a batch waits in a process that may never come back.

use super::parts::KafkaEngineSettings;
use esclusa_flow::BoxFuture;
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::{DeadLetter, OutboxOrigin};
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages, Progress, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::lane_progress::LaneProgress;
use esclusa_flow::outbox::{Outbox, SendObserver};
use esclusa_flow::reads::Reads;
use esclusa_flow::retry::{Backoff, mix_text};
use esclusa_flow::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Waits between tries to send.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(30) };

/// The engine of a route whose positions the group keeps, or the embedded engine.
#[must_use]
pub fn of_group(settings: KafkaEngineSettings) -> Arc<dyn Engine> {
    if settings.reader.keeps_own_positions() {
        return Arc::new(OwnEngine { progress: settings.reader.progress(), local: settings.local });
    }
    Arc::new(GroupEngine::new(settings))
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
pub(crate) struct GroupEngine {
    local: Arc<dyn Engine>,
    sinks: BTreeMap<String, Arc<dyn Sink>>,
    observer: Arc<dyn SendObserver>,
    progress: Arc<dyn LaneProgress>,
}

impl GroupEngine {
    /// The engine with these parts.
    pub(crate) fn new(settings: KafkaEngineSettings) -> Self {
        let progress = settings.reader.progress();
        let KafkaEngineSettings { local, sinks, observer, .. } = settings;
        GroupEngine { local, sinks, observer, progress }
    }

    async fn carry_out(&self, mut commit: Commit) -> Result<Committed, CommitError> {
        self.progress.check(&commit.lane, &commit.progress)?;
        let (lane, to) = (commit.lane.clone(), reached(&commit));
        commit.progress = Progress::None;
        if !commit.outbox.is_empty() {
            let dead = match &to {
                // A partition that leaves takes its messages along: its next reader sends them again.
                Some(_) => tokio::select! {
                    biased;
                    fault = self.progress.lost(&lane) => return Err(fault.into()),
                    dead = self.send(&mut commit) => dead,
                },
                None => self.send(&mut commit).await,
            };
            commit.dead.extend(dead);
        }
        let empty = commit.actions.is_empty() && commit.dead.is_empty() && commit.counts == Counts::default();
        let mut committed = Committed::default();
        if !empty {
            committed.skipped = self.local.commit(commit).await?.skipped;
        }
        if let Some(to) = to {
            self.progress.settled(&lane, &to)?;
        }
        Ok(committed)
    }

    /// Sends the messages of a commit until each is confirmed or refused for good; gives the refused ones. Dropping it leaves the
    /// batch undone: it comes again, with the same ids.
    async fn send(&self, commit: &mut Commit) -> Vec<DeadLetter> {
        let messages = Arc::unwrap_or_clone(std::mem::take(&mut commit.outbox));
        let Commit { route, source, lane, handler, .. } = &*commit;
        let mut outbox = Outbox::new(messages, self.observer.clone());
        loop {
            let sender = OutboxOrigin { route, source, lane, handler, now: Timestamp::from(SystemTime::now()) };
            let Some(again) = outbox.attempt(&self.sinks, &sender, None, |_, _| {}).await else {
                return std::mem::take(&mut outbox.dead);
            };
            let wait = again.wait(&BACKOFF, mix_text(lane));
            outbox.waits(wait);
            tokio::time::sleep(wait).await;
        }
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
