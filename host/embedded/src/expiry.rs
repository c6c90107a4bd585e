//! Deletes items that have expired, as DynamoDB's Time to Live does: in the background, whether routes run or not.
//!
//! A thread of its own looks for them, so that no commit waits for the search; the writer deletes them in small commits, which go
//! after those of routes if they turn out to be heavy. It deletes an item only if its time is still past at that moment.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html>, November 2026.

use crate::catalog::SharedCatalog;
use crate::clock;
use crate::disk::{Disk, Space, read_fault};
use crate::evaluate;
use crate::tables::expiry_index::ExpiryIndex;
use crate::tables::{ItemTable, TableWrite};
use crate::writer::{Demand, Writer};
use esclusa_flow::engine::CommitError;
use esclusa_flow::fault::Fault;
use fjall::{Readable, Slice};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the store looks for expired items by default.
pub(crate) const EVERY: Duration = Duration::from_secs(10);
/// Items whose time is longer ago than this stay, in seconds: five years, as in DynamoDB. It is more likely that another number
/// stands there than a time.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html>, November 2026.
const OLDEST: u64 = 5 * 365 * 24 * 3600;
/// Items of one commit.
const CHUNK: usize = 256;
/// Estimated bytes that the delete of an item writes.
const EACH: usize = 512;
/// Stands for a route at the writer, which lets light routes go before heavy ones. No route has this name.
const ROUTE: &str = "expiry of items";

/// The thread that looks for expired items.
pub(crate) struct Expiry {
    stop: Sender<SearchMessage>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A message to the searching thread.
enum SearchMessage {
    /// To end.
    Stop,
    /// How many items a commit deleted.
    Deleted(Result<u64, CommitError>),
}

/// Why a pass over the tables ended early.
enum Ended {
    Stopped,
    Failed(Fault),
}

impl Expiry {
    /// Starts the thread.
    pub(crate) fn start(expirer: Expirer, every: Duration) -> std::io::Result<Self> {
        let (answers, messages) = channel();
        let stop = answers.clone();
        let thread = std::thread::Builder::new().name("esclusa-expiry".to_owned());
        let thread = thread.spawn(move || expirer.run(every, &SearchInbox { messages, answers }))?;
        Ok(Expiry { stop, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread. A commit that it waits for may still happen. Does not wait for the writer, which may call this itself.
    pub(crate) fn stop(&self) {
        let _ = self.stop.send(SearchMessage::Stop);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the search for expired items panicked");
        }
    }
}

/// Finds expired items and has them deleted.
pub(crate) struct Expirer {
    /// The store's disk.
    pub disk: Disk,
    /// Its tables.
    pub shared: Arc<SharedCatalog>,
    /// Its writer.
    pub writer: Arc<Writer>,
}

/// A search that is under way in a table.
struct Search {
    table: Arc<ItemTable>,
    /// The first entry that is to be looked at.
    from: Vec<u8>,
}

/// The messages to the searching thread, and the way by which the writer's answers come among them.
struct SearchInbox {
    messages: Receiver<SearchMessage>,
    answers: Sender<SearchMessage>,
}

impl Expirer {
    fn run(&self, every: Duration, inbox: &SearchInbox) {
        // A message means the end: an answer that nobody waits for comes only after a pass that was stopped.
        while inbox.messages.recv_timeout(every).is_err() {
            match self.pass(clock::wall_millis() / 1000, inbox) {
                Ok(0) => {}
                Ok(items) => tracing::debug!(items, "expired items are deleted"),
                Err(Ended::Stopped) => return,
                Err(Ended::Failed(fault)) => {
                    tracing::warn!(%fault, "expired items are not deleted");
                    if matches!(fault, Fault::Permanent(_)) {
                        return;
                    }
                }
            }
        }
    }

    /// Deletes all that has expired at `now`, in seconds since the Unix epoch; gives how many items there were. Blocks.
    ///
    /// # Errors
    /// A [`Fault`]; some may be deleted.
    pub(crate) fn expire(&self, now: u64) -> Result<u64, Fault> {
        let (answers, messages) = channel();
        self.pass(now, &SearchInbox { messages, answers }).map_err(|ended| match ended {
            Ended::Failed(fault) => fault,
            Ended::Stopped => Fault::Permanent("the store is closed".to_owned()),
        })
    }

    /// One pass over all tables, a chunk of each in turn.
    fn pass(&self, now: u64, inbox: &SearchInbox) -> Result<u64, Ended> {
        let catalog = self.shared.catalog();
        let search = |table: &Arc<ItemTable>| {
            let from = table.expiry.as_ref()?.from(now.saturating_sub(OLDEST));
            Some(Search { table: Arc::clone(table), from })
        };
        let mut searches: VecDeque<Search> = catalog.tables.values().filter_map(search).collect();
        let mut deleted = 0_u64;
        while let Some(mut search) = searches.pop_front() {
            let Some(expiry) = &search.table.expiry else { continue };
            let (keys, next) = self.due(&search, expiry, now).map_err(Ended::Failed)?;
            deleted = deleted.saturating_add(self.delete(&search.table, keys, now, inbox)?);
            if let Some(next) = next {
                search.from = next;
                searches.push_back(search);
            }
        }
        Ok(deleted)
    }

    /// The keys of the next items that have expired, and the place to go on at, if there may be more.
    fn due(&self, search: &Search, expiry: &ExpiryIndex, now: u64) -> Result<(Vec<Slice>, Option<Vec<u8>>), Fault> {
        let (mut keys, mut next) = (Vec::new(), None);
        let due = search.from.clone()..expiry.from(now);
        if due.is_empty() {
            return Ok((keys, next));
        }
        for entry in self.disk.snapshot().range(self.disk.space(Space::Items), due).take(CHUNK) {
            let (entry, key) = entry.into_inner().map_err(|e| read_fault(&e))?;
            keys.push(key);
            next = (keys.len() == CHUNK).then(|| [&entry[..], &[0]].concat());
        }
        Ok((keys, next))
    }

    /// Deletes items of a table, in several commits if one would be too large.
    fn delete(&self, table: &Arc<ItemTable>, keys: Vec<Slice>, now: u64, inbox: &SearchInbox) -> Result<u64, Ended> {
        let (mut left, mut deleted) = (vec![keys], 0_u64);
        while let Some(mut keys) = left.pop() {
            if keys.is_empty() {
                continue;
            }
            self.submit(table, keys.clone(), now, &inbox.answers);
            match inbox.messages.recv() {
                Ok(SearchMessage::Deleted(Ok(items))) => deleted = deleted.saturating_add(items),
                Ok(SearchMessage::Deleted(Err(CommitError::Fault(fault)))) => return Err(Ended::Failed(fault)),
                Ok(SearchMessage::Deleted(Err(_))) if keys.len() > 1 => {
                    let rest = keys.split_off(keys.len() / 2);
                    left.extend([rest, keys]);
                }
                Ok(SearchMessage::Deleted(Err(error))) => {
                    tracing::warn!(table = table.name, %error, "an expired item cannot be deleted");
                }
                Ok(SearchMessage::Stop) | Err(_) => return Err(Ended::Stopped),
            }
        }
        Ok(deleted)
    }

    fn submit(&self, table: &Arc<ItemTable>, keys: Vec<Slice>, now: u64, answers: &Sender<SearchMessage>) {
        let (shared, wanted, answers) = (Arc::clone(&self.shared), Arc::clone(table), answers.clone());
        let bytes = keys.len().saturating_mul(EACH);
        let work = move |tx: &mut crate::transaction::Transaction<'_>| {
            let catalog = shared.catalog();
            // The schema may have changed meanwhile. Then the next pass finds what has expired by the new one.
            let same = |table: &&Arc<ItemTable>| table.id == wanted.id;
            let Some(table) = catalog.tables.get(&wanted.name).filter(same) else { return Ok(0) };
            let Some(expiry) = &table.expiry else { return Ok(0) };
            let write = |key| TableWrite::expiry(table, &expiry.attribute, key, now);
            let deleted = evaluate::expire(keys.into_iter().map(write).collect(), tx)?;
            let (shared, name) = (Arc::clone(&shared), wanted.name.clone());
            tx.after(move || shared.count_expired(name, deleted));
            Ok::<_, CommitError>(deleted)
        };
        let reply = move |deleted| drop(answers.send(SearchMessage::Deleted(deleted)));
        self.writer.submit_of(Some(ROUTE.into()), bytes, Demand::Frees, work, reply);
    }
}
