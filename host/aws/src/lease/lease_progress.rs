//! The progress of leased shards: checkpoints, each conditional on owning the lease at the position before it.

use super::lease_table::{LeaseTable, Written};
use super::registry::LeaseRegistry;
use crate::position::{Checkpoint, Position};
use crate::progress::ProgressStore;
use aws_sdk_dynamodb::types::Update;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::engine::Progress;
use esclusa_flow::fault::Fault;
use std::sync::Arc;

/// Settles the lanes of leased shards.
pub(crate) struct LeaseProgress {
    table: LeaseTable,
    registry: Arc<LeaseRegistry>,
}

impl LeaseProgress {
    /// Keeps the progress of the leases in `registry`.
    pub(crate) fn new(table: LeaseTable, registry: Arc<LeaseRegistry>) -> Self {
        LeaseProgress { table, registry }
    }

    fn owned(&self, lane: &str) -> Result<(), Fault> {
        if self.registry.holds(lane) { Ok(()) } else { Err(lost(lane)) }
    }

    async fn settle_at(&self, lane: &str, from: Option<Position>, to: Position) -> Result<(), Fault> {
        self.owned(lane)?;
        match self.table.settle(lane, from.as_ref(), &Checkpoint::At(to.clone())).await? {
            Written::Yes(_) => Ok(()),
            // The answer to an earlier try was lost: that one has settled.
            Written::No(Some(lease))
                if lease.owner.as_deref() == Some(self.table.me())
                    && matches!(&lease.checkpoint, Checkpoint::At(at) if at.covers(&to) && to.covers(at)) =>
            {
                Ok(())
            }
            Written::No(_) => Err(self.lose(lane)),
        }
    }

    fn lose(&self, lane: &str) -> Fault {
        self.registry.lose(lane);
        lost(lane)
    }
}

fn lost(lane: &str) -> Fault {
    Fault::LeaseLost(format!("shard {lane:?} is leased to another worker, or may be"))
}

/// The positions of a commit; `None` if it settles nothing.
fn positions(progress: &Progress) -> Result<Option<(Option<Position>, Position)>, Fault> {
    match progress {
        Progress::Position { from, to } => {
            Ok(Some((from.as_ref().map(Position::parse).transpose()?, Position::parse(to)?)))
        }
        Progress::None => Ok(None),
        Progress::Receipts { .. } => Err(Fault::Bug("a shard is settled by position".to_owned())),
    }
}

impl ProgressStore for LeaseProgress {
    fn lost<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Fault> {
        Box::pin(async move {
            self.registry.lapsed(lane).await;
            lost(lane)
        })
    }

    fn settle<'a>(&'a self, lane: &'a str, progress: &'a Progress) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            match positions(progress)? {
                Some((from, to)) => self.settle_at(lane, from, to).await,
                None => Ok(()),
            }
        })
    }

    fn write(&self, lane: &str, progress: &Progress) -> Result<Option<Update>, Fault> {
        self.owned(lane)?;
        let Some((from, to)) = positions(progress)? else { return Ok(None) };
        self.table.settlement(lane, from.as_ref(), &Checkpoint::At(to)).map(Some)
    }

    fn prepare<'a>(&'a self, lane: &'a str, to: &'a Token) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            self.owned(lane)?;
            match self.table.prepare(lane, &Position::parse(to)?).await? {
                Written::Yes(_) => Ok(()),
                Written::No(_) => Err(self.lose(lane)),
            }
        })
    }
}
