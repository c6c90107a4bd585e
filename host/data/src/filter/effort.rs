//! The budget of steps that a filter spends on an event. Every few thousand steps it also looks at a flag that stops it.

use crate::step_budget::{Exhausted, StepBudget};
use std::sync::atomic::{AtomicBool, Ordering};

/// Steps between two looks at the flag: about a tenth of a millisecond.
const LOOK: usize = 64 * 1024;

/// Why a filter has no answer for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// The budget is used up.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The caller raised the flag.
    #[error("the filter was stopped")]
    Stopped,
}

/// A budget that is being spent, and the flag that ends it early.
pub(super) struct FilterEffort<'w> {
    work: &'w mut StepBudget,
    stop: &'w AtomicBool,
    /// Steps since the last look at the flag.
    since: usize,
}

impl<'w> FilterEffort<'w> {
    /// The first step looks at the flag.
    pub(super) fn new(work: &'w mut StepBudget, stop: &'w AtomicBool) -> Self {
        FilterEffort { work, stop, since: LOOK }
    }

    /// Spends steps.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Undecided> {
        self.work.spend(steps)?;
        self.since = self.since.saturating_add(steps);
        // Not at every step: the flag is shared between threads, and a look at it costs more than a comparison.
        if self.since >= LOOK {
            self.since = 0;
            if self.stop.load(Ordering::Relaxed) {
                return Err(Undecided::Stopped);
            }
        }
        Ok(())
    }
}
