//! Building an index from the items that are there, and taking one down.

use super::Index;
use crate::codec::read_item;
use crate::disk::{Space, read_fault};
use crate::error::SchemaError;
use crate::tables::entry_key;
use crate::transaction::Transaction;
use esclusa_flow::fault::Fault;
use fjall::Readable;

/// Writes the entries of a new index.
pub fn build_index(table: &str, id: u32, index: &Index, tx: &mut Transaction<'_>) -> Result<(), SchemaError> {
    let snapshot = tx.disk.snapshot();
    for guard in snapshot.prefix(tx.disk.space(Space::Items), id.to_be_bytes()) {
        let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
        let item = read_item(&value).map_err(Fault::from)?;
        let entry = entry_key(index, &item, &key).map_err(|error| SchemaError::Index {
            table: table.to_owned(),
            index: index.name.clone(),
            reason: format!("an item does not fit: {error}"),
        })?;
        if let Some(entry) = entry {
            tx.put(Space::Items, entry, key);
            tx.spill()?;
        }
    }
    Ok(())
}

/// Deletes the entries of an index.
pub fn drop_entries(id: u32, tx: &mut Transaction<'_>) -> Result<(), Fault> {
    let snapshot = tx.disk.snapshot();
    for guard in snapshot.prefix(tx.disk.space(Space::Items), id.to_be_bytes()) {
        let key = guard.key().map_err(|e| read_fault(&e))?;
        tx.delete(Space::Items, key);
        tx.spill()?;
    }
    Ok(())
}
