//! The newest value of each key of a space that can still be read, from its tables and from the journals.

use super::tables::WholeBlocks;
use lsm_tree::{InternalValue, SeqNo, Slice, ValueType};
use std::cmp::Reverse;
use std::collections::btree_map::IntoIter;
use std::collections::{BTreeMap, BinaryHeap};
use std::iter::Peekable;

/// The sequence number of an entry of a journal, and its value unless it deletes.
type JournalValue = (SeqNo, Option<Vec<u8>>);
/// Entries of journals, by key.
pub(crate) type JournalEntries = BTreeMap<Vec<u8>, JournalValue>;
/// The next entry of a table: by key, the newest first; the table, and the value unless the entry deletes.
type NextEntry = Reverse<(Slice, Reverse<SeqNo>, usize, Option<Slice>)>;

/// A key and its newest value.
pub(crate) type KeyValue = (Slice, Slice);

/// Merges the tables and journals of a space.
pub(crate) struct Merge {
    tables: Vec<WholeBlocks>,
    next: BinaryHeap<NextEntry>,
    journals: Peekable<IntoIter<Vec<u8>, JournalValue>>,
    /// Entries that each table gave.
    read: Vec<u64>,
}

impl Merge {
    /// Begins.
    pub(crate) fn new(tables: Vec<WholeBlocks>, journals: JournalEntries) -> std::io::Result<Self> {
        let read = vec![0; tables.len()];
        let mut merge = Merge { tables, next: BinaryHeap::new(), journals: journals.into_iter().peekable(), read };
        for table in 0..merge.tables.len() {
            merge.advance(table)?;
        }
        Ok(merge)
    }

    /// Entries that each table was written with, and that were read of it.
    pub(crate) fn counts(&self) -> Vec<(Option<u64>, u64)> {
        self.tables.iter().map(|table| table.written).zip(self.read.iter().copied()).collect()
    }

    fn advance(&mut self, table: usize) -> std::io::Result<()> {
        let Some(entry) = self.tables.get_mut(table).and_then(Iterator::next) else { return Ok(()) };
        let InternalValue { key, value } = entry?;
        if let Some(read) = self.read.get_mut(table) {
            *read += 1;
        }
        let value = (key.value_type == ValueType::Value).then_some(value);
        self.next.push(Reverse((key.user_key, Reverse(key.seqno), table, value)));
        Ok(())
    }

    /// The next key of the tables with its newest value.
    fn table(&mut self) -> std::io::Result<Option<(Slice, SeqNo, Option<Slice>)>> {
        let Some(Reverse((key, Reverse(seqno), table, value))) = self.next.pop() else { return Ok(None) };
        self.advance(table)?;
        // Older values of the same key.
        while let Some(Reverse((_, _, table, _))) = self.next.peek().filter(|Reverse((other, ..))| *other == key) {
            let table = *table;
            self.next.pop();
            self.advance(table)?;
        }
        Ok(Some((key, seqno, value)))
    }

    /// The next key that has a value.
    ///
    /// # Errors
    /// The disk does not answer.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<KeyValue>> {
        loop {
            let table = self.next.peek().map(|Reverse((key, ..))| key.clone());
            let journal = self.journals.peek().map(|(key, _)| Slice::from(key.as_slice()));
            let (key, value) = match (table, journal) {
                (None, None) => return Ok(None),
                (Some(table), journal) if journal.as_ref().is_none_or(|journal| table <= *journal) => {
                    let Some((key, seqno, mut value)) = self.table()? else { return Ok(None) };
                    if journal.as_ref() == Some(&key)
                        && let Some((_, (later, newer))) = self.journals.next()
                        && later > seqno
                    {
                        value = newer.map(Slice::from);
                    }
                    (key, value)
                }
                _ => match self.journals.next() {
                    Some((key, (_, value))) => (Slice::from(key), value.map(Slice::from)),
                    None => return Ok(None),
                },
            };
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
    }
}
