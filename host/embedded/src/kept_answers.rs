//! Answers to requests that are kept for a while: by the commit that carried out the request, or with its records.
//!
//! Each has an entry by its key, and one by the time at which it may be forgotten, which the writer's regular work reads.

use crate::clock;
use crate::disk::{Space, read_fault};
use crate::records::NewRecord;
use crate::store::Store;
use crate::streams::Append;
use crate::transaction::Transaction;
use crate::writer::Demand;
use esclusa_flow::engine::{CommitError, KeptAnswer};
use esclusa_flow::fault::Fault;
use fjall::Readable;
use std::sync::Arc;

/// Answers that are forgotten in one go of the regular work, so that commits do not wait for long.
const FORGOTTEN: usize = 10_000;
/// Bytes of an answer that count besides its key and its value.
const EACH: usize = 64;

/// The bytes that an answer counts in a commit.
pub(crate) fn size(answer: &KeptAnswer) -> usize {
    2 * answer.key.len() + answer.value.len() + EACH
}

fn by_key(key: &[u8]) -> Vec<u8> {
    [b"a", key].concat()
}

fn by_time(expires: u64, key: &[u8]) -> Vec<u8> {
    [b"e".as_slice(), &expires.to_be_bytes(), key].concat()
}

/// When an answer may be forgotten, and the answer.
fn parts(stored: &[u8]) -> Option<(u64, &[u8])> {
    let (expires, value) = stored.split_first_chunk()?;
    Some((u64::from_be_bytes(*expires), value))
}

/// The key of the entry by time that goes with a stored answer and its key; `None`: they are damaged.
pub(crate) fn entry(key: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
    Some(by_time(parts(stored)?.0, key.get(1..)?))
}

fn kept(key: &[u8], tx: &mut Transaction<'_>) -> Result<bool, Fault> {
    let stored = tx.get(Space::State, &by_key(key))?;
    let now = tx.now;
    Ok(stored.as_deref().and_then(parts).is_some_and(|(expires, _)| expires > now))
}

/// Refuses a commit whose events have been answered before.
pub(crate) fn check(answers: &[KeptAnswer], tx: &mut Transaction<'_>) -> Result<(), CommitError> {
    let mut before = Vec::new();
    for answer in answers {
        if let (Some(done), true) = (answer.done, kept(&answer.key, tx)?) {
            before.push(done);
        }
    }
    if before.is_empty() { Ok(()) } else { Err(CommitError::DoneBefore(before)) }
}

/// Keeps an answer.
pub(crate) fn write(answer: &KeptAnswer, tx: &mut Transaction<'_>) {
    let stored = [&answer.expires.to_be_bytes(), answer.value.as_slice()].concat();
    tx.put(Space::State, by_key(&answer.key), stored);
    tx.put(Space::State, by_time(answer.expires, &answer.key), []);
}

/// Forgets answers whose time is over.
pub(crate) fn forget(tx: &mut Transaction<'_>) -> Result<(), Fault> {
    let end = by_time(tx.now.saturating_add(1), &[]);
    let snapshot = tx.disk.snapshot();
    for guard in snapshot.range(tx.disk.space(Space::State), b"e".to_vec()..end).take(FORGOTTEN) {
        let (entry, _) = guard.into_inner().map_err(|e| read_fault(&e))?;
        let key = entry.get(9..).unwrap_or_default().to_vec();
        // The same request may have got a new answer since.
        if !kept(&key, tx)? {
            tx.delete(Space::State, by_key(&key));
        }
        tx.delete(Space::State, entry);
    }
    Ok(())
}

impl Store {
    /// The answer that was kept for a request; `None`: none was, or its time is over.
    ///
    /// # Errors
    /// A [`Fault`] of the disk.
    pub fn kept_answer(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let stored = self.disk().space(Space::State).get(by_key(key)).map_err(|e| read_fault(&e))?;
        let now = clock::wall_millis();
        Ok(stored.as_deref().and_then(parts).filter(|(expires, _)| *expires > now).map(|(_, value)| value.to_vec()))
    }

    /// Appends records to a stream as [`Store::append`] does, and keeps with them the answer that `value` makes of their ids.
    /// `None`: an answer was kept before; nothing is appended then.
    ///
    /// # Errors
    /// A [`Fault`]; nothing is appended then.
    pub async fn append_answered(
        &self,
        stream: &str,
        records: &[NewRecord],
        (key, expires): (Vec<u8>, u64),
        value: impl FnOnce(&[String]) -> Vec<u8> + Send + 'static,
    ) -> Result<Option<Vec<String>>, Fault> {
        self.take_from_outside()?;
        let catalog = self.shared().catalog();
        let log =
            catalog.streams.get(stream).ok_or_else(|| Fault::Permanent(format!("there is no stream {stream:?}")))?;
        let appends: Vec<_> = records.iter().map(|record| Append::new(log, record)).collect();
        let (log, bytes) = (Arc::clone(log), records.iter().map(NewRecord::size).sum::<usize>() + 2 * key.len() + EACH);
        let work = move |tx: &mut Transaction<'_>| {
            if kept(&key, tx)? {
                return Ok(None);
            }
            let ids = Append::write_all(appends, &log, tx)?;
            write(&KeptAnswer { key, value: value(&ids), expires, done: None }, tx);
            Ok(Some(ids))
        };
        self.writer().perform(bytes, Demand::Durable, work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::StoreSchema;

    fn entries(store: &Store, prefix: &[u8]) -> usize {
        store.disk().snapshot().prefix(store.disk().space(Space::State), prefix).count()
    }

    #[test]
    fn old_answers_are_deleted_and_newer_ones_of_the_same_request_stay() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreSchema::default()).unwrap();
        let now = clock::wall_millis();
        let keep = |key: &str, expires| {
            let answer = KeptAnswer { key: key.into(), value: b"v".to_vec(), expires, done: None };
            let work = move |tx: &mut Transaction<'_>| {
                write(&answer, tx);
                Ok::<_, Fault>(())
            };
            store.writer().perform_blocking(0, Demand::Durable, work).unwrap();
        };
        let forgotten = || store.writer().perform_blocking(0, Demand::Durable, forget).unwrap();
        // The regular work may run at any moment; what it finds to do is the same.
        keep("old", now - 10);
        keep("again", now - 5);
        keep("again", now + 3_600_000);
        keep("new", now + 3_600_000);
        forgotten();
        assert_eq!((entries(&store, b"a"), entries(&store, b"e")), (2, 2));
        assert_eq!(store.kept_answer(b"again").unwrap().as_deref(), Some(b"v".as_slice()));
        assert_eq!(store.kept_answer(b"old").unwrap(), None);
    }
}
