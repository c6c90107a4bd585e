//! Records that were read and not given yet, and the batches that are cut from them. Pure.

use super::Record;
use super::position::Position;
use esclusa_flow::batch::Claim;
use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::Limit;
use std::collections::VecDeque;

/// Bytes that an event takes beside its texts and its payload: its share of the columns.
const OVERHEAD: usize = 44;

/// See the module.
#[derive(Debug, Default)]
pub struct Backlog {
    records: VecDeque<Record>,
    bytes: usize,
}

/// Events cut from a backlog.
#[derive(Debug, Default)]
pub struct Cut {
    /// The events.
    pub columns: Columns,
    /// One per event.
    pub claims: Vec<Claim>,
}

/// Where a batch ends.
#[derive(Debug, Clone, Copy)]
pub enum Bound<'a> {
    /// At a limit.
    Limit(Limit),
    /// With this event, whatever the limits say.
    Exactly(&'a Position),
}

impl Backlog {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.records.clear();
        self.bytes = 0;
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// True where nothing was read.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds what was read; events up to `done` were settled before and are left out.
    pub fn extend(&mut self, records: Vec<Record>, done: Option<&Position>) {
        for record in records.into_iter().filter(|record| !done.is_some_and(|done| done.covers(&record.position))) {
            self.bytes = self.bytes.saturating_add(size(&record));
            self.records.push_back(record);
        }
    }

    /// True where more records would not make the batch larger.
    pub fn fills(&self, bound: Bound<'_>) -> bool {
        match bound {
            Bound::Exactly(end) => self.records.back().is_some_and(|last| last.position.covers(end)),
            Bound::Limit(limit) => self.count(limit) < self.records.len() || self.records.len() >= limit.events.max(1),
        }
    }

    /// Cuts the next batch off.
    ///
    /// # Errors
    /// [`Fault::Permanent`] where a batch would be larger than any can be.
    pub fn cut(&mut self, bound: Bound<'_>) -> Result<Cut, Fault> {
        let count = match bound {
            Bound::Limit(limit) => self.count(limit),
            Bound::Exactly(end) => self.records.iter().take_while(|record| end.covers(&record.position)).count(),
        };
        let mut cut = Cut::default();
        for record in self.records.drain(..count) {
            self.bytes = self.bytes.saturating_sub(size(&record));
            let event = NewEvent {
                id: &record.id,
                key: &record.key,
                data: &record.data,
                attributes: &[],
                timestamp: record.timestamp,
                attempt: 1,
            };
            cut.columns.push(&event).map_err(|error| Fault::Permanent(error.to_string()))?;
            cut.claims.push(Claim::new(record.position.token()));
        }
        Ok(cut)
    }

    /// How many records a batch of this limit holds: at least one, where there is one.
    fn count(&self, limit: Limit) -> usize {
        let mut bytes = 0usize;
        let fitting = self.records.iter().take(limit.events.max(1)).take_while(|record| {
            bytes = bytes.saturating_add(size(record));
            bytes <= limit.bytes
        });
        fitting.count().max(self.records.len().min(1))
    }
}

fn size(record: &Record) -> usize {
    record.id.len() + record.key.len() + record.data.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_flow::batch::Token;
    use proptest::prelude::*;
    use std::time::Duration;

    fn record(sequence: u64, size: usize) -> Record {
        Record {
            position: Position { sequence: sequence.to_string(), sub: None },
            id: sequence.to_string(),
            key: "k".into(),
            data: vec![0; size],
            timestamp: sequence,
        }
    }

    fn limit(events: usize, bytes: usize) -> Bound<'static> {
        Bound::Limit(Limit { events, bytes, window: Duration::ZERO })
    }

    #[test]
    fn a_prepared_batch_is_given_exactly_whatever_the_limits() {
        let mut backlog = Backlog::default();
        let end = Position { sequence: "7".into(), sub: None };
        backlog.extend((1..=5).map(|n| record(n, 100)).collect(), None);
        assert!(!backlog.fills(Bound::Exactly(&end)));
        backlog.extend((6..=9).map(|n| record(n, 100)).collect(), None);
        assert!(backlog.fills(Bound::Exactly(&end)));
        assert_eq!(backlog.cut(Bound::Exactly(&end)).unwrap().claims.len(), 7);
    }

    #[test]
    fn settled_events_of_an_aggregate_are_left_out() {
        // K15
        let sub = |n| Record { position: Position { sequence: "3".into(), sub: Some(n) }, ..record(3, 1) };
        let mut backlog = Backlog::default();
        backlog
            .extend(vec![sub(0), sub(1), sub(2), record(4, 1)], Some(&Position { sequence: "3".into(), sub: Some(1) }));
        let tokens: Vec<_> = backlog.cut(limit(10, 1000)).unwrap().claims.iter().map(|c| c.token().clone()).collect();
        assert_eq!(tokens, [Token::Text("3/2".into()), Token::Text("4".into())]);
    }

    proptest! {
        #[test]
        fn batches_keep_within_their_limit_and_lose_nothing(
            sizes in proptest::collection::vec(0usize..300, 1..60), events in 1usize..20, bytes in 50usize..2000,
        ) {
            let mut backlog = Backlog::default();
            backlog.extend(sizes.iter().enumerate().map(|(n, size)| record(n as u64 + 1, *size)).collect(), None);
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
