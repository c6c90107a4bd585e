//! Two ways to number an event, which must not be mixed up: its place in the batch, and its place in one call.
//!
//! A call may get a part of a batch: filtered events are missing, and a failing batch is called in halves. So event
//! 5 of the batch may be event 0 of the call. Delivery and verdicts count in the batch; plugins count in their call.

/// Index of an event in its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventIndex(pub u32);

/// Index of an event among those of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallIndex(pub u32);

impl EventIndex {
    /// The indexes of so many events, ascending.
    pub fn all(count: usize) -> impl DoubleEndedIterator<Item = EventIndex> + Clone {
        // A batch is limited to far fewer events.
        (0..u32::try_from(count).unwrap_or(u32::MAX)).map(EventIndex)
    }

    /// For slices.
    #[must_use]
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

impl CallIndex {
    /// The indexes of so many events, ascending.
    pub fn all(count: usize) -> impl DoubleEndedIterator<Item = CallIndex> + Clone {
        (0..u32::try_from(count).unwrap_or(u32::MAX)).map(CallIndex)
    }

    /// For slices.
    #[must_use]
    pub fn at(self) -> usize {
        self.0 as usize
    }
}
