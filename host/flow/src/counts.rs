//! How many events of a route ended in each way. `received = done + skipped + filtered + dead + in flight` (invariant 8).

use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// Counters of a route, or the part that one commit adds to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events whose effects are confirmed.
    pub done: u64,
    /// Events that the plugin finished on purpose without effects.
    pub skipped: u64,
    /// Events that the filter left out.
    pub filtered: u64,
    /// Events in the dead letters.
    pub dead: u64,
}

impl Counts {
    /// Counts one verdict. A released event is not counted: it will come again.
    pub fn add(&mut self, verdict: &Verdict) {
        let slot = match verdict {
            Verdict::Done => &mut self.done,
            Verdict::Skipped(_) => &mut self.skipped,
            Verdict::Filtered => &mut self.filtered,
            Verdict::Dead(_) => &mut self.dead,
            Verdict::Released(_) => return,
        };
        *slot = slot.saturating_add(1);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Counts) {
        self.done = self.done.saturating_add(other.done);
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.filtered = self.filtered.saturating_add(other.filtered);
        self.dead = self.dead.saturating_add(other.dead);
    }

    /// All settled events.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.done.saturating_add(self.skipped).saturating_add(self.filtered).saturating_add(self.dead)
    }
}
