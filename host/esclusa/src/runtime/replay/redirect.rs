//! The engine of a rebuild: writes to tables of the route go to others, and plugins read these; everything else is left
//! out and counted. A failed event ends the rebuild before anything of its commit is written.

use super::order::Job;
use super::{LeftOut, Summary};
use esclusa_flow::BoxFuture;
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::Action;
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages, ReadError, Reads, Selection};
use esclusa_flow::fault::Fault;
use esclusa_flow::item::Item;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The codes of events that the route has among its dead letters, as [`esclusa_flow::verdict::Reason`] has them: what a plugin
/// has rejected, what is too large for any route, and what no plugin was given.
const GIVEN_UP: [&str; 5] = ["rejected", "limit.aggregate", "limit.filter", "limit.item", "limit.commit"];

/// What was done and left out so far, and why no more is done.
#[derive(Default)]
pub struct Tally {
    summary: Mutex<Summary>,
    failure: watch::Sender<Option<String>>,
}

impl Tally {
    /// What was counted.
    pub fn read(&self) -> Summary {
        self.summary.lock().clone()
    }

    /// Ends the rebuild.
    pub fn fail(&self, why: String) {
        self.failure.send_if_modified(|failure| failure.is_none() && failure.replace(why).is_none());
    }

    /// Waits until something fails; gives what. Never ends elsewhere. Cancel-safe.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        let why = failure.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    fn add(&self, effects: usize, left: &LeftOut) {
        let mut summary = self.summary.lock();
        summary.effects = summary.effects.saturating_add(effects as u64);
        summary.left_out.messages = summary.left_out.messages.saturating_add(left.messages);
        summary.left_out.objects = summary.left_out.objects.saturating_add(left.objects);
        summary.left_out.writes = summary.left_out.writes.saturating_add(left.writes);
    }
}

/// See the module.
pub struct Redirect {
    inner: Arc<dyn Engine>,
    tables: BTreeMap<String, String>,
    run: Arc<str>,
    tally: Arc<Tally>,
}

impl Redirect {
    /// Writes to `inner` what the job says.
    pub fn new(inner: Arc<dyn Engine>, job: &Job, tally: Arc<Tally>) -> Self {
        Redirect { inner, tables: job.tables.clone(), run: job.run.clone(), tally }
    }

    async fn carry_out(&self, mut commit: Commit) -> Result<Committed, CommitError> {
        if let Some(dead) = commit.dead.iter().find(|dead| !GIVEN_UP.contains(&dead.code.as_str())) {
            self.tally.fail(format!("event {}: {}: {}", dead.event, dead.code, dead.reason));
            return std::future::pending().await;
        }
        commit.dead.clear();
        commit.route = self.run.clone();
        let mut left = LeftOut { messages: std::mem::take(&mut commit.outbox).len() as u64, ..LeftOut::default() };
        let mut kept = Vec::new();
        let mut actions = Vec::with_capacity(commit.actions.len());
        for (index, action) in commit.actions.into_iter().enumerate() {
            if let Some(action) = redirected(action, &self.tables, &mut left) {
                kept.push(index);
                actions.push(action);
            }
        }
        commit.actions = actions;
        let at = |index: usize| kept.get(index).copied().unwrap_or_default();
        let mut committed = Committed::default();
        if !kept.is_empty() {
            committed = self.inner.commit(commit).await.map_err(|error| match error {
                CommitError::Refused(why) => {
                    CommitError::Refused(why.into_iter().map(|(index, why)| (at(index), why)).collect())
                }
                other => other,
            })?;
        }
        self.tally.add(kept.len().saturating_sub(committed.skipped.len()), &left);
        Ok(Committed { skipped: committed.skipped.into_iter().map(at).collect(), outbox: None })
    }
}

/// The action on the other table; `None`: it is left out.
fn redirected(mut action: Action, tables: &BTreeMap<String, String>, left: &mut LeftOut) -> Option<Action> {
    let count = match &mut action {
        Action::Put(put) => return to(&mut put.table, tables, left).then_some(action),
        Action::Update(update) => return to(&mut update.table, tables, left).then_some(action),
        Action::Delete(delete) => return to(&mut delete.table, tables, left).then_some(action),
        Action::PutObject(_) => &mut left.objects,
        Action::Send(_) => &mut left.messages,
    };
    *count = count.saturating_add(1);
    None
}

fn to(table: &mut String, tables: &BTreeMap<String, String>, left: &mut LeftOut) -> bool {
    match tables.get(table) {
        Some(other) => table.clone_from(other),
        None => {
            left.writes = left.writes.saturating_add(1);
            return false;
        }
    }
    true
}

impl Engine for Redirect {
    fn reads(&self) -> Arc<dyn Reads> {
        Arc::new(RedirectedReads { inner: self.inner.reads(), tables: self.tables.clone() })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(self.carry_out(commit))
    }

    fn pending<'a>(&'a self, _route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn confirm<'a>(
        &'a self,
        _route: &'a str,
        _outbox: u64,
        _dead: Vec<DeadLetter>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

struct RedirectedReads {
    inner: Arc<dyn Reads>,
    tables: BTreeMap<String, String>,
}

impl Reads for RedirectedReads {
    fn get<'a>(&'a self, table: &'a str, key: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        self.inner.get(self.tables.get(table).map_or(table, String::as_str), key)
    }

    fn query<'a>(&'a self, selection: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        let Some(table) = self.tables.get(&selection.table) else { return self.inner.query(selection) };
        let selection = Selection { table: table.clone(), ..selection.clone() };
        Box::pin(async move { self.inner.query(&selection).await })
    }
}

/// The embedded engine, which counts nothing: what is rebuilt was counted before.
pub struct Uncounted(pub Arc<dyn Engine>);

impl Engine for Uncounted {
    fn reads(&self) -> Arc<dyn Reads> {
        self.0.reads()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        self.0.commit(Commit { counts: Counts::default(), ..commit })
    }

    fn pending<'a>(&'a self, route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        self.0.pending(route)
    }

    fn confirm<'a>(&'a self, route: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        self.0.confirm(route, outbox, dead)
    }
}
