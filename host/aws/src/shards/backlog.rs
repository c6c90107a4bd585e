//! The records that were read and not given yet, and the batches that are cut from them. Pure.
//!
//! An aggregated record may expand to many times its bytes: its events are made batch by batch, so that a lane holds at
//! most one batch of them (invariant 4).

use super::{FetchedRecord, ShardRecord};
use crate::position::Position;
use esclusa_flow::batch::Claim;
use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::Limit;
use std::collections::VecDeque;

/// Bytes of an event in a batch besides its texts and its payload: its part of the columns.
const OVERHEAD: usize = 44;

/// Records as they were read; their events are made when the next batch needs them.
#[derive(Debug, Default)]
pub(crate) struct ShardBacklog {
    /// Events that were made: those of the next batch, and at most one more.
    records: VecDeque<ShardRecord>,
    /// Bytes that they take in a batch.
    batch: usize,
    /// Records behind them whose events are not made yet.
    found: VecDeque<FetchedRecord>,
    /// Bytes of memory that both take.
    bytes: usize,
    /// Events up to this one were settled before, and are left out.
    done: Option<Position>,
}

/// Events cut from a backlog.
#[derive(Debug, Default)]
pub(crate) struct CutBatch {
    /// The events.
    pub columns: Columns,
    /// One per event.
    pub claims: Vec<Claim>,
}

/// The end of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound<'a> {
    /// At a limit.
    Limit(Limit),
    /// With this event, regardless of the limits.
    Exactly(&'a Position),
}

impl ShardBacklog {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = ShardBacklog::default();
    }

    /// Bytes of memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True if no event was read.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.records.is_empty() && !self.make()
    }

    /// Adds records that were read; events up to `done` were settled before and are left out.
    pub(crate) fn extend(&mut self, found: Vec<FetchedRecord>, done: Option<&Position>) {
        self.done = done.cloned();
        for found in found {
            // Single events are left out here, those of aggregated records only when they are made: making them costs
            // memory.
            if let FetchedRecord::One(record) = &found
                && done.is_some_and(|done| done.covers(&record.position))
            {
                continue;
            }
            self.bytes = self.bytes.saturating_add(memory(&found));
            self.found.push_back(found);
        }
    }

    /// Makes the next event; false if there is none.
    fn make(&mut self) -> bool {
        while let Some(found) = self.found.pop_front() {
            self.bytes = self.bytes.saturating_sub(memory(&found));
            let Some((record, rest)) = next(found) else { continue };
            // The rest goes back to the front: its events come before those of later records.
            if let Some(rest) = rest {
                self.bytes = self.bytes.saturating_add(memory(&rest));
                self.found.push_front(rest);
            }
            if self.done.as_ref().is_some_and(|done| done.covers(&record.position)) {
                continue;
            }
            self.bytes = self.bytes.saturating_add(held(&record));
            self.batch = self.batch.saturating_add(size(&record));
            self.records.push_back(record);
            return true;
        }
        false
    }

    /// Makes the events of the next batch, and one more if its bytes end it.
    fn make_batch(&mut self, bound: Bound<'_>) {
        while !self.holds(bound) && self.make() {}
    }

    /// True if more records would not make the batch larger.
    pub(crate) fn fills(&mut self, bound: Bound<'_>) -> bool {
        self.make_batch(bound);
        self.holds(bound)
    }

    fn holds(&self, bound: Bound<'_>) -> bool {
        match bound {
            Bound::Exactly(end) => self.records.back().is_some_and(|last| last.position.covers(end)),
            Bound::Limit(limit) => self.batch > limit.bytes || self.records.len() >= limit.events.max(1),
        }
    }

    /// Cuts the next batch off.
    ///
    /// # Errors
    /// [`Fault::Permanent`] if a batch would be larger than any can be.
    pub(crate) fn cut(&mut self, bound: Bound<'_>) -> Result<CutBatch, Fault> {
        self.make_batch(bound);
        let count = match bound {
            Bound::Limit(limit) => self.count(limit),
            Bound::Exactly(end) => self.records.iter().take_while(|record| end.covers(&record.position)).count(),
        };
        let mut cut = CutBatch::default();
        for record in self.records.drain(..count) {
            self.batch = self.batch.saturating_sub(size(&record));
            self.bytes = self.bytes.saturating_sub(held(&record));
            let event = NewEvent {
                id: &record.id,
                key: &record.key,
                data: &record.data,
                attributes: &[],
                timestamp: record.timestamp,
                attempt: 1,
            };
            cut.columns.push(&event).map_err(|error| Fault::Permanent(error.to_string()))?;
            cut.claims.push(match record.refused {
                Some(reason) => Claim::refused(record.position.token(), *reason),
                None => Claim::new(record.position.token()),
            });
        }
        Ok(cut)
    }

    /// How many events a batch of this limit holds: at least one, if there is one.
    fn count(&self, limit: Limit) -> usize {
        let mut bytes = 0usize;
        let fitting = self.records.iter().take(limit.events.max(1)).take_while(|record| {
            bytes = bytes.saturating_add(size(record));
            bytes <= limit.bytes
        });
        // An event that is larger than the limit goes alone: without it the lane would stand still.
        fitting.count().max(self.records.len().min(1))
    }
}

/// Bytes that an event takes in a batch, as [`esclusa_flow::event::EventRef::size`] counts them.
fn size(record: &ShardRecord) -> usize {
    record.id.len() + record.key.len() + record.data.len() + OVERHEAD
}

/// Bytes of memory that an event takes.
fn held(record: &ShardRecord) -> usize {
    let texts = record.id.capacity() + record.position.sequence.capacity() + record.key.capacity();
    texts + record.data.capacity() + size_of::<ShardRecord>()
}

/// The next event of a record, and the record without it.
fn next(found: FetchedRecord) -> Option<(ShardRecord, Option<FetchedRecord>)> {
    match found {
        FetchedRecord::One(record) => Some((record, None)),
        FetchedRecord::Several(mut several) => Some((several.events.next()?, Some(FetchedRecord::Several(several)))),
    }
}

fn memory(found: &FetchedRecord) -> usize {
    match found {
        FetchedRecord::One(record) => held(record),
        FetchedRecord::Several(several) => several.size.saturating_add(size_of::<FetchedRecord>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shards::Several;
    use esclusa_flow::batch::Token;
    use esclusa_flow::verdict::Reason;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn record(sequence: u64, size: usize) -> ShardRecord {
        ShardRecord {
            position: Position { sequence: sequence.to_string(), sub: None },
            id: sequence.to_string(),
            key: "k".into(),
            data: vec![0; size],
            timestamp: sequence,
            refused: None,
        }
    }

    fn records(range: std::ops::RangeInclusive<u64>) -> Vec<FetchedRecord> {
        range.map(|n| record(n, 100).into()).collect()
    }

    fn sub(sequence: u64, sub: u64) -> ShardRecord {
        let position = Position { sequence: sequence.to_string(), sub: Some(sub) };
        ShardRecord { id: position.to_string(), position, ..record(sequence, 1) }
    }

    /// A record of `count` events; `made` counts those that were made.
    fn several(sequence: u64, count: u64, made: &Arc<AtomicUsize>) -> FetchedRecord {
        let made = made.clone();
        let events = (0..count).map(move |n| {
            made.fetch_add(1, Ordering::Relaxed);
            sub(sequence, n)
        });
        FetchedRecord::Several(Several { events: Box::new(events), size: 100, timestamp: sequence })
    }

    fn tokens(cut: CutBatch) -> Vec<Token> {
        cut.claims.iter().map(|claim| claim.token().clone()).collect()
    }

    fn limit(events: usize, bytes: usize) -> Bound<'static> {
        Bound::Limit(Limit { events, bytes, window: Duration::ZERO })
    }

    #[test]
    fn a_prepared_batch_is_given_exactly_whatever_the_limits() {
        let mut backlog = ShardBacklog::default();
        let end = Position { sequence: "7".into(), sub: None };
        backlog.extend(records(1..=5), None);
        assert!(!backlog.fills(Bound::Exactly(&end)));
        backlog.extend(records(6..=9), None);
        assert!(backlog.fills(Bound::Exactly(&end)));
        assert_eq!(backlog.cut(Bound::Exactly(&end)).unwrap().claims.len(), 7);
    }

    #[test]
    fn settled_events_of_an_aggregate_are_left_out() {
        // K15
        let mut backlog = ShardBacklog::default();
        let made = Arc::default();
        let found = vec![several(3, 3, &made), record(4, 1).into()];
        backlog.extend(found, Some(&Position { sequence: "3".into(), sub: Some(1) }));
        let cut = backlog.cut(limit(10, 1000)).unwrap();
        assert_eq!(tokens(cut), [Token::Text("3/2".into()), Token::Text("4".into())]);
        backlog.extend(vec![several(5, 3, &made)], Some(&Position { sequence: "5".into(), sub: Some(2) }));
        assert!(backlog.is_empty() && backlog.bytes() == 0);
    }

    #[test]
    fn events_of_a_record_are_made_batch_by_batch_and_counted() {
        let (mut backlog, made) = (ShardBacklog::default(), Arc::default());
        backlog.extend(vec![several(3, 1_000_000, &made), several(4, 1_000_000, &made)], None);
        assert_eq!((backlog.bytes(), made.load(Ordering::Relaxed)), (2 * (100 + size_of::<FetchedRecord>()), 0));
        for round in 1..=3 {
            assert!(backlog.fills(limit(100, 1 << 20)));
            assert_eq!(made.load(Ordering::Relaxed), round * 100);
            assert!(backlog.bytes() > 2 * 100 + 100 * size_of::<ShardRecord>(), "events that were made count");
            assert_eq!(backlog.cut(limit(100, 1 << 20)).unwrap().claims.len(), 100);
        }
        let size = size(&sub(3, 300));
        let cut = backlog.cut(limit(1000, 10 * size)).unwrap();
        assert_eq!(
            (cut.claims.len(), made.load(Ordering::Relaxed)),
            (10, 311),
            "one more, to know that it does not fit"
        );
        assert_eq!(cut.columns.get(0).unwrap().id(), "3/300");
        let end = Position { sequence: "3".into(), sub: Some(400) };
        assert_eq!(backlog.cut(Bound::Exactly(&end)).unwrap().claims.len(), 91, "up to it, and with it");
        assert_eq!(made.load(Ordering::Relaxed), 401);
        backlog.clear();
        assert!(backlog.is_empty() && backlog.bytes() == 0);
    }

    #[test]
    fn an_event_that_its_source_refused_is_given_with_the_reason() {
        let mut backlog = ShardBacklog::default();
        let refused =
            ShardRecord { refused: Some(Box::new(Reason::new("limit.aggregate", "too large"))), ..record(1, 1) };
        backlog.extend(vec![refused.into(), record(2, 1).into()], None);
        let cut = backlog.cut(limit(10, 1000)).unwrap();
        let codes: Vec<_> = cut.claims.iter().map(|claim| Some(claim.refusal()?.code.as_str())).collect();
        assert_eq!(codes, [Some("limit.aggregate"), None]);
    }

    proptest! {
        #[test]
        fn batches_keep_within_their_limit_and_lose_nothing(
            sizes in proptest::collection::vec(0usize..300, 1..60), events in 1usize..20, bytes in 50usize..2000,
        ) {
            let mut backlog = ShardBacklog::default();
            backlog.extend(sizes.iter().enumerate().map(|(n, size)| record(n as u64 + 1, *size).into()).collect(), None);
            let mut seen = 0;
            while !backlog.is_empty() {
                let full = backlog.fills(limit(events, bytes));
                let cut = backlog.cut(limit(events, bytes)).unwrap();
                prop_assert!(cut.claims.len() <= events && (cut.claims.len() == 1 || cut.columns.size() <= bytes));
                prop_assert!(full || backlog.is_empty());
                for event in cut.columns.iter() {
                    seen += 1;
                    prop_assert_eq!(event.id(), seen.to_string());
                }
            }
            prop_assert_eq!((seen, backlog.bytes()), (sizes.len(), 0));
        }
    }
}
