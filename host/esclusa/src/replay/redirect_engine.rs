//! The engine of a replay. Writes to tables of the route go to other tables, which the plugin reads as well;
//! everything else is counted and left out. A failed event ends the replay before any of its effects is written.

use super::request::ReplayJob;
use super::{LeftOut, ReplaySummary};
use esclusa_flow::BoxFuture;
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::Action;
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages};
use esclusa_flow::fault::Fault;
use esclusa_flow::item::Item;
use esclusa_flow::reads::{
    ItemPage, ObjectBytes, ObjectList, ObjectPage, ObjectRead, ReadError, Reads, Selection, TableScan,
};
use esclusa_flow::settings::KeySchema;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Codes, as in [`esclusa_flow::verdict::Reason`], of dead events that do not end a replay: the route has them among
/// its dead letters as well. A plugin rejects them, they are too large for any route, or no plugin gets them.
const GIVEN_UP: [&str; 5] = ["rejected", "limit.aggregate", "limit.filter", "limit.item", "limit.commit"];

/// The counts of a replay so far, and the failure that ends it.
#[derive(Default)]
pub(super) struct ReplayTally {
    summary: Mutex<ReplaySummary>,
    failure: watch::Sender<Option<String>>,
}

impl ReplayTally {
    /// The counts so far.
    pub(super) fn read(&self) -> ReplaySummary {
        self.summary.lock().clone()
    }

    /// Ends the replay; the first reason counts.
    pub(super) fn fail(&self, why: String) {
        self.failure.send_if_modified(|failure| failure.is_none() && failure.replace(why).is_none());
    }

    /// Waits for a failure and gives its reason; waits for ever if there is none. Cancel-safe.
    pub(super) async fn failed(&self) -> String {
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

/// The engine of a replay, on top of the engine with the other tables.
pub(super) struct RedirectEngine {
    inner: Arc<dyn Engine>,
    tables: BTreeMap<String, String>,
    run: Arc<str>,
    tally: Arc<ReplayTally>,
}

impl RedirectEngine {
    /// An engine that writes the tables of the job to `inner`.
    pub(super) fn new(inner: Arc<dyn Engine>, job: &ReplayJob, tally: Arc<ReplayTally>) -> Self {
        RedirectEngine { inner, tables: job.tables.clone(), run: job.run.clone(), tally }
    }

    async fn carry_out(&self, mut commit: Commit) -> Result<Committed, CommitError> {
        if let Some(dead) = commit.dead.iter().find(|dead| !GIVEN_UP.contains(&dead.code.as_str())) {
            self.tally.fail(format!("event {}: {}: {}", dead.event, dead.code, dead.reason));
            // Never returns: the replay ends because of the failure, and the route must not retry the event meanwhile.
            return std::future::pending().await;
        }
        // The route has these dead letters already.
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
        // The index in the original commit of an index in the shortened one.
        let at = |index: usize| kept.get(index).copied().unwrap_or_default();
        let mut committed = Committed::default();
        // Without writes there is nothing to commit: a replay is never resumed, so its positions need not be kept.
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

/// The action on the other table; `None`: it is left out, and counted in `left`.
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

impl Engine for RedirectEngine {
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

impl RedirectedReads {
    fn name<'a>(&'a self, table: &'a str) -> &'a str {
        self.tables.get(table).map_or(table, String::as_str)
    }
}

impl Reads for RedirectedReads {
    fn key_of<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<KeySchema, ReadError>> {
        self.inner.key_of(self.name(table))
    }

    fn get<'a>(&'a self, table: &'a str, key: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        self.inner.get(self.name(table), key)
    }

    fn get_many<'a>(&'a self, table: &'a str, keys: &'a [Item]) -> BoxFuture<'a, Result<Vec<Option<Item>>, ReadError>> {
        self.inner.get_many(self.name(table), keys)
    }

    fn query<'a>(&'a self, selection: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        let selection = Selection { table: self.name(&selection.table).to_owned(), ..selection.clone() };
        Box::pin(async move { self.inner.query(&selection).await })
    }

    fn scan<'a>(&'a self, scan: &'a TableScan) -> BoxFuture<'a, Result<ItemPage, ReadError>> {
        let scan = TableScan { table: self.name(&scan.table).to_owned(), ..scan.clone() };
        Box::pin(async move { self.inner.scan(&scan).await })
    }

    fn object<'a>(&'a self, read: &'a ObjectRead) -> BoxFuture<'a, Result<Option<ObjectBytes>, ReadError>> {
        self.inner.object(read)
    }

    fn objects<'a>(&'a self, list: &'a ObjectList) -> BoxFuture<'a, Result<ObjectPage, ReadError>> {
        self.inner.objects(list)
    }
}

/// The embedded engine without counting: the route has counted these events before.
pub(super) struct UncountedEngine(pub Arc<dyn Engine>);

impl Engine for UncountedEngine {
    fn reads(&self) -> Arc<dyn Reads> {
        self.0.reads()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        self.0.commit(Commit { counts: Counts::default(), ..commit })
    }

    fn check(&self, commit: Commit) -> BoxFuture<'_, Result<(), CommitError>> {
        self.0.check(commit)
    }

    fn pending<'a>(&'a self, route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        self.0.pending(route)
    }

    fn confirm<'a>(&'a self, route: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        self.0.confirm(route, outbox, dead)
    }
}
