//! The content of a store, compared with itself: every value can be read, every index entry leads to an item and every item has
//! its entries, logs have no gaps, numbers are above all that were given.

mod items;
mod logs;
mod state;

use super::StoreCounts;
use crate::catalog::names::StoredNames;
use crate::damage::Damage;
use crate::disk::mark::Mark;
use crate::disk::{self, DATABASE, Disk};
use crate::transaction::{NAMES, stored_number};
use esclusa_flow::fault::Fault;
use std::collections::BTreeSet;
use std::path::Path;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// How much there is.
    pub counts: StoreCounts,
    /// The damage.
    pub damage: Vec<Damage>,
    /// What is no damage.
    pub notes: Vec<String>,
}

impl Content {
    /// Nothing but damage.
    pub(crate) fn damaged(damage: Damage) -> Self {
        Content { damage: vec![damage], ..Content::default() }
    }

    /// Reads everything; `mark` says what must be there.
    pub(crate) fn read(disk: &Disk, mark: Option<Mark>) -> Self {
        let mut content = Content::default();
        if let Err(fault) = content.all(disk, mark) {
            content.found("the content", fault.to_string());
        }
        content
    }

    fn all(&mut self, disk: &Disk, mark: Option<Mark>) -> Result<(), Fault> {
        let batch = self.state(disk)?;
        if let Some(mark) = mark.filter(|mark| mark.batch > batch) {
            self.damage.push(disk::incomplete(batch, mark.batch));
        }
        let names = StoredNames::load(disk)?;
        self.ids(&names, disk)?;
        for (name, table) in &names.tables {
            self.table(name, table, disk)?;
        }
        for (name, stream) in &names.streams {
            let records = self.log(&format!("stream {name:?}"), (stream.id, stream.lanes), false, disk)?;
            self.counts.streams.insert(name.clone(), records);
        }
        for (name, queue) in &names.queues {
            self.queue(name, queue.id, disk)?;
        }
        Ok(())
    }

    /// Checks that every name has entries of its own, and that the next one will.
    fn ids(&mut self, names: &StoredNames, disk: &Disk) -> Result<(), Fault> {
        let given = stored_number(disk, NAMES)?.unwrap_or_default();
        let mut used = BTreeSet::new();
        for (what, id) in names.ids() {
            if !used.insert(id) {
                self.found(&what, "another name has the same number: both share their entries");
            }
        }
        if used.last().is_some_and(|id| u64::from(*id) > given) {
            self.found("numbers of names", "the last number that was given is below one that is in use");
        }
        Ok(())
    }

    /// Records damage of what people know by a name.
    fn found(&mut self, what: &str, found: impl Into<String>) {
        self.damage.push(Damage::new(Path::new(DATABASE), what, found));
    }

    /// Likewise, for things that were counted.
    fn count(&mut self, what: &str, count: u64, found: &str) {
        if count > 0 {
            self.found(what, format!("{count} {found}"));
        }
    }
}
