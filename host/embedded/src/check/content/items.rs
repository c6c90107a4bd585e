//! Items of tables, and the entries that lead to them.

use super::Content;
use crate::catalog::names::TableRecord;
use crate::codec::read_item;
use crate::disk::{Disk, Space, read_fault};
use crate::key;
use crate::tables::expiry_index::ExpiryIndex;
use crate::tables::{SecondaryIndex, entry_key};
use esclusa_flow::fault::Fault;
use esclusa_flow::item::Item;
use fjall::Readable;

/// The entries of a table.
struct TableEntries {
    indexes: Vec<SecondaryIndex>,
    expiry: Option<ExpiryIndex>,
}

impl TableEntries {
    fn of(table: &TableRecord) -> Self {
        let index = |(name, index): (&String, &crate::catalog::names::IndexRecord)| SecondaryIndex {
            name: name.clone(),
            id: index.id,
            key: index.key.clone(),
        };
        let expiry = table.expiry.as_ref();
        TableEntries {
            indexes: table.indexes.iter().map(index).collect(),
            expiry: expiry.map(|expiry| ExpiryIndex { id: expiry.id, attribute: expiry.attribute.clone() }),
        }
    }

    /// The entries that an item must have.
    fn expected(&self, item: &Item, key: &[u8]) -> Vec<Vec<u8>> {
        let entries = self.indexes.iter().filter_map(|index| entry_key(index, item, key).ok().flatten());
        entries.chain(self.expiry.iter().filter_map(|expiry| expiry.entry_key(item, key))).collect()
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        self.indexes.iter().map(|index| index.id).chain(self.expiry.iter().map(|expiry| expiry.id))
    }
}

impl Content {
    /// Checks a table.
    pub(super) fn table(&mut self, name: &str, table: &TableRecord, disk: &Disk) -> Result<(), Fault> {
        let what = format!("table {name:?}");
        let entries = TableEntries::of(table);
        let (snapshot, space) = (disk.snapshot(), disk.space(Space::Items));
        let (mut items, mut unreadable, mut missing, mut expected) = (0, 0, 0, 0);
        for guard in snapshot.prefix(space, table.id.to_be_bytes()) {
            let (found, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
            items += 1;
            let mut own = table.id.to_be_bytes().to_vec();
            let item = read_item(&value).ok().filter(|item| key::encode(&table.key, item, &mut own).is_ok());
            let Some(item) = item.filter(|_| own == found[..]) else {
                unreadable += 1;
                continue;
            };
            for entry in entries.expected(&item, &found) {
                expected += 1;
                let leads = snapshot.get(space, entry).map_err(|e| read_fault(&e))?;
                missing += u64::from(leads.as_deref() != Some(&found[..]));
            }
        }
        let mut present = 0_u64;
        for id in entries.ids() {
            for guard in snapshot.prefix(space, id.to_be_bytes()) {
                guard.key().map_err(|e| read_fault(&e))?;
                present += 1;
            }
        }
        self.count(&what, unreadable, "items cannot be read, or are not those of their keys");
        self.count(&what, missing, "entries of indexes are missing or lead to another item");
        self.count(&what, present.saturating_sub(expected - missing), "entries of indexes lead to no item");
        self.counts.tables.insert(name.to_owned(), items);
        if let Some(feed) = table.feed {
            let records = self.log(&format!("changes of {what}"), (feed, 1), true, disk)?;
            self.counts.changes.insert(name.to_owned(), records);
        }
        Ok(())
    }
}
