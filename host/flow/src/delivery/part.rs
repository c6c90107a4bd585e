//! A part of a batch: events that are called and committed together.

use crate::index::EventIndex;
use std::time::Duration;

/// Events that are called and committed together, ascending.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub events: Vec<EventIndex>,
    /// Not before this time on the monotonic clock.
    pub due: Duration,
    /// Conflicts in a row.
    pub conflicts: u32,
    /// Faults of the host in a row.
    pub faults: u32,
}

impl Part {
    pub fn new(events: Vec<EventIndex>) -> Self {
        Part { events, due: Duration::ZERO, conflicts: 0, faults: 0 }
    }

    /// Splits the part before `event`; the first piece may be empty.
    pub fn split_at(self, event: EventIndex) -> (Part, Part) {
        let (before, after) = self.events.into_iter().partition(|e| *e < event);
        (Part::new(before), Part::new(after))
    }
}
