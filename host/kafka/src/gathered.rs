//! Events of the next batch, as they are read.

use crate::record::Record;
use esclusa_flow::batch::Claim;
use esclusa_flow::event::Columns;
use esclusa_flow::fault::Fault;
use esclusa_flow::source::Limit;
use std::fmt::Write as _;

/// Events that were read and not given yet.
#[derive(Default)]
pub(crate) struct Gathered {
    /// The events.
    pub columns: Columns,
    /// Their claims.
    pub claims: Vec<Claim>,
    /// When the first of them was made.
    pub oldest: Option<u64>,
    /// When the last of them was made.
    pub newest: u64,
}

impl Gathered {
    /// Adds a record; gives it back if it does not fit.
    ///
    /// # Errors
    /// A [`Fault`] if no batch can hold it.
    pub(crate) fn add<'m>(
        &mut self,
        lane: &str,
        record: Record<'m>,
        limit: Limit,
    ) -> Result<Option<Record<'m>>, Fault> {
        let mut id = String::with_capacity(lane.len().saturating_add(21));
        let _ = write!(id, "{lane}-{}", record.offset);
        if !self.claims.is_empty() && self.columns.size().saturating_add(record.size(id.len())) > limit.bytes {
            return Ok(Some(record));
        }
        record.push(&id, &mut self.columns, &mut self.claims)?;
        self.oldest.get_or_insert(record.timestamp);
        self.newest = record.timestamp;
        Ok(None)
    }
}
