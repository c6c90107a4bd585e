//! The store for the command line and the admin endpoints: items, dead letters, counters; and records put in from
//! outside.

use crate::dead_letters;
use crate::disk::Space;
use crate::progress;
use crate::queues::Enqueue;
use crate::reads::SnapshotReads;
use crate::records::NewRecord;
use crate::store::Store;
use crate::streams::Append;
use crate::writer::Demand;
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::fault::Fault;
use esclusa_flow::item::Item;
use esclusa_flow::reads::ReadError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Items that a scan holds in memory at once, at most.
const PAGE: usize = 1000;
/// Bytes of items, as they are stored, that it holds at once; the item that passes it is the last one.
const PAGE_BYTES: usize = 256 << 10;

impl Store {
    /// Items of a table in the order of their keys: those after the item with the key `after`, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`]: an unknown table, a key that does not fit, a disk that does not answer.
    pub fn scan(&self, table: &str, after: Option<&Item>, limit: usize) -> Result<Vec<Item>, ReadError> {
        SnapshotReads::new(self.disk(), self.shared().catalog()).items_after(table, after, (limit, usize::MAX))
    }

    /// All items of a table as they are now, page by page.
    ///
    /// # Errors
    /// Each item may be a [`ReadError`], which is the last one.
    pub fn scan_all(&self, table: &str) -> impl Iterator<Item = Result<Item, ReadError>> + use<> {
        let reads = SnapshotReads::new(self.disk(), self.shared().catalog());
        let table = table.to_owned();
        let mut after: Option<Item> = None;
        let mut done = false;
        let pages = std::iter::from_fn(move || {
            if done {
                return None;
            }
            let page = reads.items_after(&table, after.as_ref(), (PAGE, PAGE_BYTES)).and_then(|items| {
                done = items.is_empty();
                after = items.last().map(|last| reads.only_key(&table, last)).transpose()?;
                Ok(items)
            });
            Some(match page {
                Ok(items) => items.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => {
                    done = true;
                    vec![Err(error)]
                }
            })
        });
        pages.flatten()
    }

    /// The item with this key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn get(&self, table: &str, key: &Item) -> Result<Option<Item>, ReadError> {
        SnapshotReads::new(self.disk(), self.shared().catalog()).item(table, key)
    }

    /// The counters of a route.
    ///
    /// # Errors
    /// A [`Fault`] if the disk cannot be read.
    pub fn counts(&self, route: &str) -> Result<Counts, Fault> {
        progress::counts(route, self.disk())
    }

    /// True if a route was paused, and not resumed since.
    ///
    /// # Errors
    /// A [`Fault`] if the disk cannot be read.
    pub fn paused(&self, route: &str) -> Result<bool, Fault> {
        progress::paused(route, self.disk())
    }

    /// Stores durably whether a route is paused.
    ///
    /// # Errors
    /// A [`Fault`]; it is as it was then.
    pub async fn set_paused(&self, route: &str, paused: bool) -> Result<(), Fault> {
        let key = progress::pause_key(route);
        let work = move |tx: &mut crate::transaction::Transaction<'_>| {
            match paused {
                true => tx.put(Space::State, key, Vec::new()),
                false => tx.delete(Space::State, key),
            }
            Ok(())
        };
        self.writer().perform(0, Demand::Durable, work).await
    }

    /// Dead letters with their numbers, in the order in which they died: those after number `after`, of one route
    /// or of all, at most `limit`; fewer when they are large, but one at least when there is one.
    ///
    /// # Errors
    /// A [`Fault`] if the disk cannot be read.
    pub fn dead_letters(
        &self,
        route: Option<&str>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, DeadLetter)>, Fault> {
        dead_letters::list(self.disk(), route, after, limit)
    }

    /// How many dead letters a route has.
    #[must_use]
    pub fn dead_count(&self, route: &str) -> u64 {
        self.shared().dead.get(route)
    }

    /// How many dead letters there are of each route that has some, in the configuration or not.
    #[must_use]
    pub fn dead_counts(&self) -> BTreeMap<String, u64> {
        self.shared().dead.all()
    }

    /// Removes dead letters and says how many there were.
    ///
    /// # Errors
    /// A [`Fault`]; none is removed then.
    pub async fn remove_dead(&self, ids: Vec<u64>) -> Result<usize, Fault> {
        let counts = Arc::clone(&self.shared().dead);
        self.writer().perform(0, Demand::Frees, move |tx| dead_letters::remove(&ids, &counts, tx)).await
    }

    /// Stores a dead letter in place of the one with this number; false if that has been removed meanwhile.
    ///
    /// # Errors
    /// A [`Fault`]; the old one stays then.
    pub async fn replace_dead(&self, id: u64, letter: &DeadLetter) -> Result<bool, Fault> {
        let entry = dead_letters::DeadLetterEntry::new(letter)?;
        let counts = Arc::clone(&self.shared().dead);
        self.writer().perform(entry.size(), Demand::Durable, move |tx| entry.replace(id, &counts, tx)).await
    }

    /// Appends records to a stream, all or none, and gives their ids; durable when it returns.
    ///
    /// # Errors
    /// A [`Fault`]; nothing is appended then.
    pub async fn append(&self, stream: &str, records: &[NewRecord]) -> Result<Vec<String>, Fault> {
        self.take_from_outside()?;
        let catalog = self.shared().catalog();
        let log =
            catalog.streams.get(stream).ok_or_else(|| Fault::Permanent(format!("there is no stream {stream:?}")))?;
        let appends: Vec<_> = records.iter().map(|record| Append::new(log, record)).collect();
        let bytes = records.iter().map(NewRecord::size).sum();
        let log = Arc::clone(log);
        let work = move |tx: &mut crate::transaction::Transaction<'_>| Append::write_all(appends, &log, tx);
        self.writer().perform(bytes, Demand::Durable, work).await
    }

    /// Puts messages into a queue, all or none, and gives their ids; durable when it returns.
    ///
    /// # Errors
    /// A [`Fault`]; nothing is put in then.
    pub async fn enqueue(&self, queue: &str, messages: &[NewRecord]) -> Result<Vec<String>, Fault> {
        self.take_from_outside()?;
        let catalog = self.shared().catalog();
        let queue =
            catalog.queues.get(queue).ok_or_else(|| Fault::Permanent(format!("there is no queue {queue:?}")))?;
        let enqueues: Vec<_> = messages.iter().map(|message| Enqueue::new(queue, message)).collect();
        let bytes = messages.iter().map(NewRecord::size).sum();
        let queue = Arc::clone(queue);
        let work = move |tx: &mut crate::transaction::Transaction<'_>| {
            queue.load_head(tx)?;
            tx.irrevocable();
            Ok(enqueues.into_iter().map(|enqueue| enqueue.write(tx).to_string()).collect())
        };
        self.writer().perform(bytes, Demand::Durable, work).await
    }
}
