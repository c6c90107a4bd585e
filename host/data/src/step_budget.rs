//! Work that an outsider can cause, as a budget of steps. Code that looks at bytes spends a step for each byte, code that
//! compares spends one for each comparison, before it does so.
//!
//! Steps are counted, never timed: the same input is refused on every machine, or on none.

/// A budget of steps, and how many of them are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepBudget {
    budget: u64,
    left: u64,
}

/// A budget of steps is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it takes more than {0} steps")]
pub struct Exhausted(pub u64);

impl StepBudget {
    /// A budget of so many steps, none of them spent.
    #[must_use]
    pub fn of(steps: u64) -> Self {
        StepBudget { budget: steps, left: steps }
    }

    /// Spends steps, before they are done.
    ///
    /// # Errors
    /// [`Exhausted`] if that many are not left; nothing is left from then on.
    pub fn spend(&mut self, steps: usize) -> Result<(), Exhausted> {
        match self.left.checked_sub(steps as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                // Nothing is left for smaller work either: otherwise the answer would depend on the order of the work.
                self.left = 0;
                Err(Exhausted(self.budget))
            }
        }
    }

    /// Steps that were spent.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.budget.saturating_sub(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_to_its_last_step_and_not_beyond() {
        let mut work = StepBudget::of(10);
        assert_eq!((work.spend(4), work.spend(6), work.spent()), (Ok(()), Ok(()), 10));
        assert_eq!(work.spend(0), Ok(()));
        assert_eq!(work.spend(1), Err(Exhausted(10)));
    }

    #[test]
    fn what_did_not_fit_leaves_nothing_for_smaller_work() {
        let mut work = StepBudget::of(10);
        assert_eq!(work.spend(usize::MAX), Err(Exhausted(10)));
        assert_eq!(work.spend(1), Err(Exhausted(10)));
    }
}
