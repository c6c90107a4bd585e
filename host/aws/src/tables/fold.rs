//! Folding the actions on one key into one write, since a transaction and a batch take each key once. Pure.
//!
//! A guard is decided here where the actions before it say what the item is. The first one is left to DynamoDB, as the
//! condition of the write. Else the item has to be read: then the write is conditional on what was read.

mod compose;
#[cfg(test)]
mod tests;

use esclusa_flow::effect::AttributeChange;
use esclusa_flow::engine::CommitError;
use esclusa_flow::item::{Comparison, Condition, Guard, Item, Otherwise};
use esclusa_flow::step_budget::{Exhausted, StepBudget};

pub use compose::apply;

/// What is done to an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// It becomes this item.
    Put(Item),
    /// Some of its attributes change, each at most once.
    Update(Vec<(String, AttributeChange)>),
    /// It goes away.
    Delete,
}

/// One action on an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Index of the action in its commit.
    pub action: usize,
    /// What it does.
    pub operation: Operation,
    /// The condition that it depends on.
    pub guard: Option<Guard>,
}

/// What it means that the condition of a write did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// The action is left out and reported.
    Skip,
    /// The events are handled again.
    Rerun,
    /// The item changed since it was read: read it again.
    Reread,
}

/// The one write that all actions on a key come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// `None` where every action is left out.
    pub operation: Option<Operation>,
    /// The condition of the write, and what it means that it does not hold.
    pub condition: Option<(Condition, Failing)>,
    /// Actions that are left out already.
    pub skipped: Vec<usize>,
}

/// Steps that folding may take: what all writes of a commit take before they are sent, or those of one key once its item was
/// read. A byte or a name that is compared is one, so this is about a tenth of a second.
pub const STEPS: u64 = 64 << 20;

/// Folds the actions on the item with this key; `None`: the item has to be read first.
///
/// # Errors
/// [`CommitError::Conflict`], [`CommitError::Refused`], and [`CommitError::TooLarge`] once `work` is used up.
pub fn fold(steps: &[Step], key: &Item, work: &mut StepBudget) -> Result<Option<Decision>, CommitError> {
    let mut decision = Decision { operation: None, condition: None, skipped: Vec::new() };
    for step in steps {
        if let Some(guard) = &step.guard {
            let known = match &decision.operation {
                Some(Operation::Put(item)) => Some(Some(item)),
                Some(Operation::Delete) => Some(None),
                _ => None,
            };
            match (known, guard.otherwise) {
                (Some(item), otherwise) if !holds(&guard.condition, item, work)? => {
                    leave_out(step, otherwise, &mut decision)?;
                    continue;
                }
                (Some(_), _) => {}
                (None, Otherwise::Rerun) if decision.operation.is_none() => {
                    decision.condition = Some((guard.condition.clone(), Failing::Rerun));
                }
                (None, Otherwise::Skip) if steps.len() == 1 => {
                    decision.condition = Some((guard.condition.clone(), Failing::Skip));
                }
                (None, _) => return Ok(None),
            }
        }
        add(step, key, &mut decision, work)?;
    }
    Ok(Some(decision))
}

/// Folds the actions on an item that was read. The write is conditional on the attributes that the guards look at.
///
/// # Errors
/// Likewise.
pub fn resolve(
    steps: &[Step],
    key: &Item,
    stored: Option<&Item>,
    work: &mut StepBudget,
) -> Result<Decision, CommitError> {
    let mut decision = Decision { operation: None, condition: None, skipped: Vec::new() };
    let mut seen = Condition::default();
    let mut now = stored.cloned();
    for step in steps {
        if let Some(guard) = &step.guard {
            for (name, _) in &guard.condition.0 {
                work.spend(seen.0.len().saturating_add(stored.map_or(0, |item| item.0.len())))?;
                if !seen.0.iter().any(|(n, _)| n == name) {
                    let value = stored.and_then(|item| item.get(name)).cloned();
                    seen.0.push((name.clone(), value.map_or(Comparison::Absent, Comparison::Equal)));
                }
            }
            if !holds(&guard.condition, now.as_ref(), work)? {
                leave_out(step, guard.otherwise, &mut decision)?;
                continue;
            }
        }
        now = match &step.operation {
            Operation::Put(item) => {
                work.spend(item.size())?;
                Some(item.clone())
            }
            Operation::Update(changes) => {
                work.spend(changes.len().saturating_mul(now.as_ref().map_or(1, |item| item.0.len())))?;
                Some(apply(now.unwrap_or_else(|| key.clone()), changes).map_err(|why| refused(step, why))?)
            }
            Operation::Delete => None,
        };
        add(step, key, &mut decision, work)?;
    }
    decision.condition = Some((seen, Failing::Reread));
    Ok(decision)
}

fn leave_out(step: &Step, otherwise: Otherwise, decision: &mut Decision) -> Result<(), CommitError> {
    match otherwise {
        Otherwise::Rerun => Err(CommitError::Conflict),
        Otherwise::Skip => {
            decision.skipped.push(step.action);
            Ok(())
        }
    }
}

/// True if a condition holds of an item; `None`: it is absent.
fn holds(condition: &Condition, item: Option<&Item>, work: &mut StepBudget) -> Result<bool, Exhausted> {
    // Each name is looked for among the attributes.
    work.spend(condition.0.len().saturating_mul(item.map_or(0, |item| item.0.len())))?;
    condition.holds_within(|name| item.and_then(|item| item.get(name)), work)
}

fn add(step: &Step, key: &Item, decision: &mut Decision, work: &mut StepBudget) -> Result<(), CommitError> {
    let known = match &decision.operation {
        Some(Operation::Put(item)) => item.0.len(),
        Some(Operation::Update(changes)) => changes.len(),
        _ => 1,
    };
    work.spend(match &step.operation {
        Operation::Put(item) => item.size(),
        Operation::Update(changes) => changes.len().saturating_mul(known),
        Operation::Delete => 1,
    })?;
    let before = decision.operation.take();
    let after = compose::then(before, &step.operation, key).map_err(|why| refused(step, why))?;
    decision.operation = Some(after);
    Ok(())
}

fn refused(step: &Step, why: String) -> CommitError {
    CommitError::Refused(vec![(step.action, why)])
}
