//! A part of a batch: events that are called and committed together.

use std::time::Duration;

/// Events that are called and committed together, ascending.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub events: Vec<u32>,
    /// Not before this time on the monotonic clock.
    pub due: Duration,
    /// Conflicts in a row.
    pub conflicts: u32,
    /// Faults of the host in a row.
    pub faults: u32,
}

impl Part {
    pub fn new(events: Vec<u32>) -> Self {
        Part { events, due: Duration::ZERO, conflicts: 0, faults: 0 }
    }

    /// Cuts the part before `event`; the first piece may be empty.
    pub fn cut(self, event: u32) -> (Part, Part) {
        let (before, after) = self.events.into_iter().partition(|e| *e < event);
        (Part::new(before), Part::new(after))
    }
}
