//! Engines and sinks of a route whose plugin has secrets: their errors may quote what the plugin asked for, such as the path of an
//! object, and are logged, shown and kept in dead letters.

use esclusa_flow::BoxFuture;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages, SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::reads::Reads;
use esclusa_flow::secrets::Secrets;
use std::sync::Arc;

/// The engine; its errors hide these secrets.
#[must_use]
pub fn engine(engine: Arc<dyn Engine>, secrets: &Secrets) -> Arc<dyn Engine> {
    if secrets.is_empty() { engine } else { Arc::new(Masked { inner: engine, secrets: secrets.clone() }) }
}

/// The sink; its errors hide these secrets.
#[must_use]
pub fn sink(sink: Arc<dyn Sink>, secrets: &Secrets) -> Arc<dyn Sink> {
    if secrets.is_empty() { sink } else { Arc::new(Masked { inner: sink, secrets: secrets.clone() }) }
}

struct Masked<T: ?Sized> {
    inner: Arc<T>,
    secrets: Secrets,
}

impl Engine for Masked<dyn Engine> {
    /// The sandbox hides secrets in errors of reads: the plugin gets them first.
    fn reads(&self) -> Arc<dyn Reads> {
        self.inner.reads()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        let committed = self.inner.commit(commit);
        Box::pin(async { committed.await.map_err(|error| self.secrets.mask_commit_error(error)) })
    }

    fn check(&self, commit: Commit) -> BoxFuture<'_, Result<(), CommitError>> {
        let checked = self.inner.check(commit);
        Box::pin(async { checked.await.map_err(|error| self.secrets.mask_commit_error(error)) })
    }

    fn pending<'a>(&'a self, route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        self.inner.pending(route)
    }

    fn confirm<'a>(&'a self, route: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        self.inner.confirm(route, outbox, dead)
    }
}

impl Sink for Masked<dyn Sink> {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        let sent = self.inner.send(messages);
        Box::pin(async {
            let results = sent.await.into_iter();
            results.map(|result| result.map_err(|error| self.secrets.mask_send_error(error))).collect()
        })
    }
}
