//! A stream whose shards any number of processes share by leases.

use super::lane::{LaneOpener, LaneStart, Ownership};
use super::{ShardedStream, SourceWithProgress, wall_millis};
use crate::client::Clients;
use crate::lease::coordinator::{Coordinator, TakenLease, renew};
use crate::lease::lease_table::{LeaseTable, Written};
use crate::lease::registry::{Holding, LeaseRegistry};
use crate::lease::{Lease, LeaseProgress, LeaseSettings};
use crate::lineage::Shard;
use crate::position::Checkpoint;
use crate::position::Position;
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch::{Sender, channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The shards that this process has leased. Its tasks end with it: leases that [`Source::close`] did not release
/// expire. It does not release those whose worker of before may still write.
struct LeasedSource {
    opening: LaneOpener,
    table: LeaseTable,
    registry: Arc<LeaseRegistry>,
    taken: UnboundedReceiver<TakenLease>,
    /// A taken lease whose lane is not opened yet; kept here so that [`Source::next_lane`] is cancel-safe.
    next: Option<TakenLease>,
    tasks: JoinSet<()>,
    closing: Sender<bool>,
}

/// Opens a source that shares its shards by leases.
///
/// # Errors
/// A [`Fault`] that names the lease table.
pub(crate) async fn open(
    clients: &Clients,
    settings: &LeaseSettings,
    discovery: Duration,
    opening: LaneOpener,
) -> Result<SourceWithProgress, Fault> {
    let me = format!("{}:{}", settings.worker, uuid::Uuid::new_v4());
    let client = clients.dynamodb(&settings.place);
    let table = LeaseTable::new(client, &settings.table, &me, opening.stream.identity());
    table.ensure().await?;
    let registry = Arc::new(LeaseRegistry::new(settings.duration));
    let (sender, taken) = unbounded_channel();
    let (closing, closes) = channel(false);
    let coordinator = Coordinator {
        table: table.clone(),
        stream: opening.stream.clone(),
        start: opening.start,
        ordered: opening.ordered,
        registry: Arc::clone(&registry),
        taken: sender,
        discovery,
        lag: Arc::clone(&opening.lag),
        watch: Default::default(),
        listing: None,
        orphans: Default::default(),
        others: Default::default(),
        closing: closes.clone(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(coordinator.run());
    tasks.spawn(renew(table.clone(), Arc::clone(&registry), closes));
    let progress_store = Arc::new(LeaseProgress::new(table.clone(), Arc::clone(&registry)));
    let source = LeasedSource { opening, table, registry, taken, next: None, tasks, closing };
    Ok((Box::new(source), Some(progress_store)))
}

impl LeasedSource {
    async fn next_leased(&mut self) -> Result<Option<Box<dyn Lane>>, Fault> {
        loop {
            if self.next.is_none() {
                let Some(taken) = self.taken.recv().await else { return Ok(None) };
                self.next = Some(taken);
            }
            let Some(TakenLease { lease, holding, .. }) = &self.next else { continue };
            let opened = if *holding.lost.borrow() { Ok(None) } else { self.opened(lease).await };
            let Some(TakenLease { lease, holding, quiet }) = self.next.take() else { continue };
            // After an error the lease is taken anew: it must not hold up the next one.
            let Some(opened) = opened? else { continue };
            let settled = match &lease.checkpoint {
                Checkpoint::At(position) => Some(position.token()),
                _ => None,
            };
            let fresh = settled.is_none() && lease.first && lease.opened.is_none();
            let beginning = LaneStart {
                cursor: self.opening.cursor(&lease.checkpoint, opened.0),
                shard: lease.key,
                hashes: lease.hashes,
                settled,
                fresh,
                pending: lease.pending,
                quiet,
            };
            let stream = Arc::clone(&self.opening.stream);
            let ownership = LeaseOwnership { table: self.table.clone(), stream, holding };
            return Ok(Some(Box::new(self.opening.lane(beginning, Box::new(ownership))?)));
        }
    }

    /// When a lane at the newest record was first opened; noted in the table if that is now. `None` if the lease was
    /// lost meanwhile.
    async fn opened(&self, lease: &Lease) -> Result<Option<OpenedAt>, Fault> {
        if lease.checkpoint != Checkpoint::Latest || lease.opened.is_some() {
            return Ok(Some(OpenedAt(lease.opened)));
        }
        Ok(match self.table.open_at(&lease.key, wall_millis()).await? {
            Written::Yes(_) => Some(OpenedAt(None)),
            // Written by a try whose answer was lost, or by another worker.
            Written::No(Some(now)) if now.opened.is_some() => Some(OpenedAt(now.opened)),
            Written::No(_) => None,
        })
    }

    async fn release(&self, key: &str, counter: u64) {
        let released = match self.table.release(key, counter).await {
            // A renewal whose answer was lost came in between.
            Ok(Written::No(Some(lease))) if lease.owner.as_deref() == Some(self.table.me()) => {
                self.table.release(key, lease.counter).await
            }
            other => other,
        };
        match released {
            Ok(Written::Yes(_)) => tracing::info!(shard = key, worker = self.table.me(), "lease handed over"),
            Ok(Written::No(_)) => {}
            Err(fault) => tracing::warn!(shard = key, error = %fault, "cannot hand the lease over; it will expire"),
        }
    }
}

/// See [`Lease::opened`].
struct OpenedAt(Option<u64>);

impl Source for LeasedSource {
    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(self.next_leased())
    }

    fn caught_up(&self) -> bool {
        self.registry.settled_in() && self.next.is_none() && self.taken.is_empty()
    }

    fn leased(&self) -> bool {
        true
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.closing.send_replace(true);
            // A request that takes longer than a lease lasts is not waited for: its lease has expired.
            let ended = async { while self.tasks.join_next().await.is_some() {} };
            if timeout(self.registry.duration, ended).await.is_err() {
                self.tasks.shutdown().await;
            }
            let ours = self.registry.give_up();
            futures_util::future::join_all(ours.iter().map(|(key, counter)| self.release(key, *counter))).await;
        })
    }
}

/// A lane's right to read, by its lease.
struct LeaseOwnership {
    table: LeaseTable,
    stream: Arc<dyn ShardedStream>,
    holding: Holding,
}

impl LeaseOwnership {
    /// The shards that came from this one. KCL wants to know them before it deletes the lease, and finds them by itself
    /// if the lease does not tell.
    async fn children(&self) -> Vec<String> {
        let listed = self.stream.list().await.unwrap_or_else(|fault| {
            tracing::debug!(shard = self.holding.key(), error = %fault, "cannot list the shards that came from this one");
            Vec::new()
        });
        let came_from = |shard: &Shard| shard.parents.iter().any(|parent| parent == self.holding.key());
        listed.into_iter().filter(came_from).map(|shard| shard.id).collect()
    }
}

impl Ownership for LeaseOwnership {
    fn lost(&self) -> bool {
        *self.holding.lost.borrow()
    }

    fn until_lost(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // An error means that the source is gone; it ends the lane itself.
            drop(self.holding.lost.wait_for(|lost| *lost).await);
        })
    }

    fn finish<'a>(&'a mut self, from: Option<&'a Position>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let key = self.holding.key();
            match self.table.finish(key, from, self.children().await).await? {
                Written::Yes(_) => {}
                Written::No(Some(lease)) if lease.finished() => {}
                Written::No(_) => {
                    self.holding.lose();
                    return Err(Fault::LeaseLost(format!("shard {key:?} is leased to another worker")));
                }
            }
            tracing::info!(shard = key, worker = self.table.me(), "the shard has ended and everything of it is done");
            self.holding.finish();
            Ok(())
        })
    }
}
