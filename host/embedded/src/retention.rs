//! Regular work of the writer: trimming records that are older than the retention of their log, storing how far
//! queues were deleted, renaming objects that could not be renamed at once.

use crate::catalog::SharedCatalog;
use crate::clock;
use crate::codec::trailing_number;
use crate::disk::{Space, read_fault};
use crate::kept_answers;
use crate::objects;
use crate::records::timestamp;
use crate::streams::{Log, first_key, prefix, record_key};
use crate::transaction::Transaction;
use crate::writer::Tick;
use esclusa_flow::fault::Fault;
use fjall::Readable;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long trimming may take in one go, all partitions together, so that commits do not wait for long.
const TIME: Duration = Duration::from_millis(100);
/// Records of a partition that are trimmed even if the time is up, so that no partition is left out for ever.
const LEAST: u64 = 1000;

/// The work, for the writer.
pub(crate) fn tick(shared: Arc<SharedCatalog>) -> Tick {
    Box::new(move |tx| {
        let (catalog, until) = (shared.catalog(), clock::monotonic() + TIME);
        for log in catalog.logs() {
            for partition in 0..log.lanes {
                warn(trim(log, partition, until, tx), "old records are not trimmed");
            }
        }
        catalog.queues.values().for_each(|queue| queue.remember_first(tx));
        warn(kept_answers::forget(tx), "answers that were kept are not forgotten");
        warn(objects::finish(tx), "committed objects are not named");
    })
}

fn warn(result: Result<(), Fault>, what: &'static str) {
    if let Err(fault) = result {
        tracing::warn!(%fault, what, "regular work of the store failed; it is tried again");
    }
}

/// Deletes records from the beginning of a partition that are older than the retention. Stops after `until`; the next
/// tick goes on.
fn trim(log: &Arc<Log>, partition: u32, until: Instant, tx: &mut Transaction<'_>) -> Result<(), Fault> {
    let oldest_kept = tx.now.saturating_sub(u64::try_from(log.retention.as_millis()).unwrap_or(u64::MAX));
    let before = log.first(partition, tx.disk)?;
    let end = crate::key::after_prefix(&prefix(log.id, partition)).unwrap_or_default();
    let start = record_key(log.id, partition, before)[..].to_vec();
    let mut first = before;
    let snapshot = tx.disk.snapshot();
    for guard in snapshot.range(tx.disk.space(Space::Log), start..end) {
        let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
        // Time is checked last, after the least number of records: a slow disk still makes progress.
        if timestamp(&value)? >= oldest_kept || (first - before >= LEAST && clock::monotonic() >= until) {
            break;
        }
        first = trailing_number(&key)? + 1;
        tx.trim(key);
    }
    if first > before {
        tracing::debug!(log = log.name, partition, records = first - before, "old records are trimmed");
        tx.put(Space::State, first_key(log.id, partition), first.to_be_bytes());
        let log = Arc::clone(log);
        tx.after(move || log.set_first(partition, first));
    }
    Ok(())
}
