//! Reads of a table as a whole: page by page, in the order of the keys.

use super::{SnapshotReads, YIELD, YIELD_BYTES, unavailable};
use crate::codec::read_item;
use crate::disk::{Space, read_fault};
use crate::key::after_prefix;
use crate::tables::{ItemTable, exact_key};
use esclusa_flow::item::Item;
use esclusa_flow::page_token;
use esclusa_flow::reads::{ItemPage, PAGE, PAGE_BYTES, QueryResult, ReadError, TableScan};
use fjall::Readable;
use std::sync::Arc;

impl SnapshotReads {
    /// A page for a plugin.
    pub(super) async fn page(&self, scan: &TableScan) -> Result<ItemPage, ReadError> {
        let table = self.table(&scan.table)?;
        let limit = scan.limit.map_or(PAGE, |limit| limit as usize).clamp(1, PAGE);
        let (mut found, mut last, mut bytes) = (QueryResult::default(), None, 0_usize);
        for entry in self.snapshot.range(self.disk.space(Space::Items), start(table, scan)?..end(table)) {
            if found.len() >= limit || bytes >= PAGE_BYTES {
                // There is this entry at least.
                let next = last.map(|key: fjall::Slice| page_token::seal(&scope(table), &key));
                return Ok(ItemPage { items: found.into_items(), next });
            }
            if found.len() % YIELD == YIELD - 1 {
                tokio::task::yield_now().await;
            }
            let (key, value) = entry.into_inner().map_err(|e| unavailable(read_fault(&e)))?;
            let item = read_item(&value).map_err(|e| unavailable(e.into()))?;
            bytes = bytes.saturating_add(item.size());
            found.push(&scan.table, item)?;
            last = Some(key);
        }
        Ok(ItemPage { items: found.into_items(), next: None })
    }

    /// The items with these keys, in the order of the keys.
    pub(super) async fn items(&self, table: &str, keys: &[Item]) -> Result<Vec<Option<Item>>, ReadError> {
        let (mut found, mut size, mut bytes) = (Vec::with_capacity(keys.len()), QueryResult::default(), 0_usize);
        for key in keys {
            if bytes >= YIELD_BYTES {
                bytes = 0;
                tokio::task::yield_now().await;
            }
            let item = self.item(table, key)?;
            let of_item = item.as_ref().map_or(0, Item::size);
            size.count(table, of_item)?;
            bytes = bytes.saturating_add(of_item);
            found.push(item);
        }
        Ok(found)
    }

    /// Items in the order of their keys: those after the item with the key `after`, at most so many, and no further one
    /// once they have so many bytes.
    pub(crate) fn items_after(
        &self,
        table: &str,
        after: Option<&Item>,
        (most, bytes): (usize, usize),
    ) -> Result<Vec<Item>, ReadError> {
        let table = self.table(table)?;
        let start = match after {
            None => table.id.to_be_bytes().to_vec(),
            Some(key) => {
                let key = exact_key(table, key)
                    .map_err(|why| ReadError::Invalid(format!("a key of table {:?}: {why}", table.name)))?;
                after_key(&key)
            }
        };
        let (mut items, mut size) = (Vec::new(), 0_usize);
        for guard in self.snapshot.range(self.disk.space(Space::Items), start..end(table)).take(most) {
            let value = guard.value().map_err(|e| unavailable(read_fault(&e)))?;
            size = size.saturating_add(value.len());
            items.push(read_item(&value).map_err(|e| unavailable(e.into()))?);
            if size >= bytes {
                break;
            }
        }
        Ok(items)
    }

    /// The key attributes of an item of a table, to go on from.
    pub(crate) fn only_key(&self, table: &str, item: &Item) -> Result<Item, ReadError> {
        let table = self.table(table)?;
        Ok(item.0.iter().filter(|(name, _)| table.key.contains(name)).cloned().collect())
    }
}

/// The first key of a page.
fn start(table: &Arc<ItemTable>, scan: &TableScan) -> Result<Vec<u8>, ReadError> {
    let Some(token) = &scan.token else { return Ok(table.id.to_be_bytes().to_vec()) };
    let invalid = |why| ReadError::Invalid(format!("a scan of table {:?}: {why}", table.name));
    let key = page_token::open(&scope(table), token).map_err(invalid)?;
    // Also if the plugin has computed the sum by itself: a page begins within its table.
    if key.starts_with(&table.id.to_be_bytes()) { Ok(after_key(&key)) } else { Err(invalid(page_token::UnknownToken)) }
}

/// The end of a table's keys, which is not one of them.
fn end(table: &ItemTable) -> Vec<u8> {
    after_prefix(&table.id.to_be_bytes()).unwrap_or_default()
}

/// The least key that comes after `key`.
fn after_key(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// A table that was deleted and made again is another one.
fn scope(table: &ItemTable) -> String {
    format!("table {} {}", table.id, table.name)
}
