//! Tables in DynamoDB: the writes of a commit and the reads of a plugin.
//!
//! Writes that may be repeated by themselves (puts, deletes) go in bulk. Updates, guards that say rerun, and all writes
//! of an exactly-once commit go into one transaction, with the fence that makes them happen once.

pub(crate) mod attribute;
mod cancellation;
mod dedup;
mod dynamo_reads;
mod expression;
mod failed_read;
mod fold;
mod item_write;
mod many_items;
pub(crate) mod open_table;
mod repeatable;
mod transaction;

pub(crate) use dedup::{DedupTable, Fence};
pub(crate) use dynamo_reads::DynamoReads;
pub(crate) use item_write::ItemWrite;

use crate::client::Clients;
use esclusa_flow::effect::Action;
use esclusa_flow::engine::CommitError;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use open_table::{LazyTable, OpenTable};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table of routes.toml that is in DynamoDB. All that a commit does to one item is one write: a stream of the table
/// shows the item before and after it, and no step in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamoTable {
    /// Its name in DynamoDB.
    pub name: String,
    /// Where it is.
    pub place: ServiceLocation,
}

/// The tables of a route, by their name in routes.toml.
#[derive(Debug)]
pub(crate) struct DynamoTables {
    tables: BTreeMap<String, LazyTable>,
}

impl DynamoTables {
    /// The tables; nothing is sent before they are used.
    #[must_use]
    pub(crate) fn new(tables: BTreeMap<String, DynamoTable>, clients: &Clients) -> Self {
        let tables =
            tables.into_iter().map(|(name, table)| (name.clone(), LazyTable::new(&name, table, clients))).collect();
        DynamoTables { tables }
    }

    /// True if the table is in DynamoDB.
    #[must_use]
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }

    /// The table of this name; `None` if it is not in DynamoDB.
    ///
    /// # Errors
    /// A [`Fault`] that names the table.
    pub(crate) async fn open(&self, name: &str) -> Result<Option<Arc<OpenTable>>, Fault> {
        match self.tables.get(name) {
            Some(table) => table.open().await.map(Some),
            None => Ok(None),
        }
    }

    /// Checks writes, each with the index of its action in the commit, and folds those on one key.
    ///
    /// # Errors
    /// [`CommitError`]; nothing is written by this.
    pub(crate) async fn plan(&self, actions: Vec<(usize, Action)>) -> Result<Vec<ItemWrite>, CommitError> {
        let mut opened = Vec::with_capacity(actions.len());
        for (index, action) in actions {
            let table = self.open(action.target()).await?;
            let table = table.ok_or_else(|| Fault::Bug(format!("table {:?} is not in DynamoDB", action.target())))?;
            opened.push((index, action, table));
        }
        item_write::plan(opened)
    }

    /// Carries out planned writes; gives the actions that their guards left out. `several`: the commit has more than
    /// one event, so it can be halved.
    ///
    /// # Errors
    /// [`CommitError`]. Independent puts and deletes may have happened; repeating them changes nothing.
    pub(crate) async fn write(
        &self,
        writes: Vec<ItemWrite>,
        fence: &Fence,
        several: bool,
    ) -> Result<Vec<usize>, CommitError> {
        if is_repeatable(&writes, fence) {
            repeatable::write(writes).await
        } else {
            self.together(writes, fence, several).await
        }
    }

    /// Checks that [`DynamoTables::write`] can carry out the writes together with `fence`.
    ///
    /// # Errors
    /// [`CommitError::TooLarge`], or a [`Fault`] if tables of one transaction are in different places.
    pub(crate) fn check(&self, writes: &[ItemWrite], fence: &Fence, several: bool) -> Result<(), CommitError> {
        if is_repeatable(writes, fence) {
            return Ok(());
        }
        let place = writes.first().map(|write| &write.table.place);
        if let Some(other) = writes.iter().find(|write| Some(&write.table.place) != place) {
            let why = format!(
                "table {} is in another region than the others: one transaction cannot hold both",
                other.table.name
            );
            return Err(Fault::Permanent(why).into());
        }
        // A single event cannot be halved: its writes go in several transactions instead, at-least-once.
        if several && transaction::chunks(writes, fence.len()).len() > 1 { Err(CommitError::TooLarge) } else { Ok(()) }
    }

    async fn together(
        &self,
        mut writes: Vec<ItemWrite>,
        fence: &Fence,
        several: bool,
    ) -> Result<Vec<usize>, CommitError> {
        self.check(&writes, fence, several)?;
        let chunks = transaction::chunks(&writes, fence.len());
        if chunks.len() > 1 {
            tracing::warn!(
                transactions = chunks.len(),
                "the effects of one event need several transactions: they are at-least-once"
            );
        }
        let mut skipped = Vec::new();
        for (index, count) in chunks.iter().enumerate() {
            let rest = writes.split_off(writes.len().min(*count));
            let piece = std::mem::replace(&mut writes, rest);
            let last = index.saturating_add(1) == chunks.len();
            skipped.extend(transaction::write(piece, fence, last, several).await?);
        }
        skipped.sort_unstable();
        Ok(skipped)
    }
}

fn is_repeatable(writes: &[ItemWrite], fence: &Fence) -> bool {
    fence.is_empty() && !writes.iter().any(ItemWrite::is_bound)
}
