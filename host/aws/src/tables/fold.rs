//! Folding the actions on one key into one write, since a transaction and a batch take each key once. Pure.
//!
//! A guard is decided here if an earlier action determines the item. The first guard is left to DynamoDB, as the
//! condition of the write. Else the item has to be read: then the write is conditional on the attributes that were
//! read.

use esclusa_flow::bounds;
use esclusa_flow::effect::AttributeChange;
use esclusa_flow::engine::CommitError;
use esclusa_flow::item::{Comparison, Condition, Guard, Item, Otherwise, Value, number};
use esclusa_flow::step_budget::{Exhausted, StepBudget};

/// A change of an item as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ItemOperation {
    /// It becomes this item.
    Put(Item),
    /// Some of its attributes change, each at most once.
    Update(Vec<(String, AttributeChange)>),
    /// It goes away.
    Delete,
}

/// One action on an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoldStep {
    /// Index of the action in its commit.
    pub action: usize,
    /// The change of the item.
    pub operation: ItemOperation,
    /// The condition that it depends on.
    pub guard: Option<Guard>,
}

/// What to do if the condition of a write does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuardFailure {
    /// The action is left out and reported.
    Skip,
    /// The events are handled again.
    Rerun,
    /// The item changed since it was read: read it again.
    Reread,
}

/// The one write that all actions on a key fold into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoldedWrite {
    /// `None` if all actions are left out.
    pub operation: Option<ItemOperation>,
    /// The condition of the write, and what to do if it does not hold.
    pub condition: Option<(Condition, GuardFailure)>,
    /// Actions that are left out already.
    pub skipped: Vec<usize>,
}

/// Steps that folding may take: for all writes of a commit before they are sent, or for those of one key once its item
/// was read. A byte or a name that is compared is one step, so this is about a tenth of a second.
pub(crate) const STEPS: u64 = 64 << 20;

/// Folds the actions on the item with this key; `None`: the item has to be read first.
///
/// # Errors
/// [`CommitError::Conflict`], [`CommitError::Refused`], and [`CommitError::TooLarge`] once `work` is used up.
pub(crate) fn fold(steps: &[FoldStep], key: &Item, work: &mut StepBudget) -> Result<Option<FoldedWrite>, CommitError> {
    let mut decision = FoldedWrite { operation: None, condition: None, skipped: Vec::new() };
    for step in steps {
        if let Some(guard) = &step.guard {
            let known = match &decision.operation {
                Some(ItemOperation::Put(item)) => Some(Some(item)),
                Some(ItemOperation::Delete) => Some(None),
                _ => None,
            };
            match (known, guard.otherwise) {
                (Some(item), otherwise) if !holds(&guard.condition, item, work)? => {
                    leave_out(step, otherwise, &mut decision)?;
                    continue;
                }
                (Some(_), _) => {}
                (None, Otherwise::Rerun) if decision.operation.is_none() => {
                    decision.condition = Some((guard.condition.clone(), GuardFailure::Rerun));
                }
                // Only for a single action: DynamoDB would leave out all actions on the key, not just this one.
                (None, Otherwise::Skip) if steps.len() == 1 => {
                    decision.condition = Some((guard.condition.clone(), GuardFailure::Skip));
                }
                // The stored item decides in the middle of the actions: DynamoDB has no condition for a part of a
                // write.
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
pub(crate) fn resolve(
    steps: &[FoldStep],
    key: &Item,
    stored: Option<&Item>,
    work: &mut StepBudget,
) -> Result<FoldedWrite, CommitError> {
    let mut decision = FoldedWrite { operation: None, condition: None, skipped: Vec::new() };
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
            ItemOperation::Put(item) => {
                work.spend(item.size())?;
                Some(item.clone())
            }
            ItemOperation::Update(changes) => {
                work.spend(changes.len().saturating_mul(now.as_ref().map_or(1, |item| item.0.len())))?;
                Some(apply(now.unwrap_or_else(|| key.clone()), changes).map_err(|why| refused(step, why))?)
            }
            ItemOperation::Delete => None,
        };
        add(step, key, &mut decision, work)?;
    }
    // Conditional on the attributes that were looked at, not on all: other changes of the item do no harm.
    decision.condition = Some((seen, GuardFailure::Reread));
    Ok(decision)
}

fn leave_out(step: &FoldStep, otherwise: Otherwise, decision: &mut FoldedWrite) -> Result<(), CommitError> {
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

fn add(step: &FoldStep, key: &Item, decision: &mut FoldedWrite, work: &mut StepBudget) -> Result<(), CommitError> {
    let known = match &decision.operation {
        Some(ItemOperation::Put(item)) => item.0.len(),
        Some(ItemOperation::Update(changes)) => changes.len(),
        _ => 1,
    };
    work.spend(match &step.operation {
        ItemOperation::Put(item) => item.size(),
        ItemOperation::Update(changes) => changes.len().saturating_mul(known),
        ItemOperation::Delete => 1,
    })?;
    let before = decision.operation.take();
    let after = then(before, &step.operation, key).map_err(|why| refused(step, why))?;
    decision.operation = Some(after);
    Ok(())
}

fn refused(step: &FoldStep, why: String) -> CommitError {
    CommitError::Refused(vec![(step.action, why)])
}

/// `first`, and then `second`, of the item with this key.
///
/// # Errors
/// Why the second one cannot follow the first.
pub(crate) fn then(first: Option<ItemOperation>, second: &ItemOperation, key: &Item) -> Result<ItemOperation, String> {
    Ok(match (first, second) {
        (Some(ItemOperation::Put(item)), ItemOperation::Update(changes)) => ItemOperation::Put(apply(item, changes)?),
        (Some(ItemOperation::Delete), ItemOperation::Update(changes)) => {
            ItemOperation::Put(apply(key.clone(), changes)?)
        }
        (Some(ItemOperation::Update(before)), ItemOperation::Update(changes)) => {
            ItemOperation::Update(merged(before, changes)?)
        }
        (None, ItemOperation::Update(changes)) => ItemOperation::Update(merged(Vec::new(), changes)?),
        (_, ItemOperation::Put(_) | ItemOperation::Delete) => second.clone(),
    })
}

/// The item after the changes.
///
/// # Errors
/// Which change cannot be made, and why.
pub(crate) fn apply(mut item: Item, changes: &[(String, AttributeChange)]) -> Result<Item, String> {
    for (name, change) in changes {
        match change {
            AttributeChange::Set(value) => item.set(name, value.clone()),
            AttributeChange::Remove => item.remove(name),
            AttributeChange::Add(amount) => {
                let sum = sum(name, item.get(name), amount)?;
                item.set(name, sum);
            }
        }
    }
    bounds::item(&item)?;
    Ok(item)
}

/// The changes of `before` and then `changes` as one list, each of another attribute.
fn merged(
    mut before: Vec<(String, AttributeChange)>,
    changes: &[(String, AttributeChange)],
) -> Result<Vec<(String, AttributeChange)>, String> {
    for (name, change) in changes {
        let Some((_, earlier)) = before.iter_mut().find(|(n, _)| n == name) else {
            before.push((name.clone(), change.clone()));
            continue;
        };
        *earlier = match (&*earlier, change) {
            (AttributeChange::Add(first), AttributeChange::Add(second)) => AttributeChange::Add(
                number::add(first, second).map_err(|e| format!("adding to the attribute {name:?}: {e}"))?,
            ),
            (AttributeChange::Set(value), AttributeChange::Add(amount)) => {
                AttributeChange::Set(sum(name, Some(value), amount)?)
            }
            (AttributeChange::Remove, AttributeChange::Add(amount)) => AttributeChange::Set(sum(name, None, amount)?),
            (_, AttributeChange::Set(_) | AttributeChange::Remove) => change.clone(),
        };
    }
    Ok(before)
}

fn sum(name: &str, stored: Option<&Value>, amount: &str) -> Result<Value, String> {
    let zero = Value::Number("0".to_owned());
    match stored.unwrap_or(&zero) {
        Value::Number(stored) => {
            number::add(stored, amount).map(Value::Number).map_err(|e| format!("adding to the attribute {name:?}: {e}"))
        }
        other => Err(format!("the attribute {name:?} has type {}, a number cannot be added to it", other.type_name())),
    }
}

#[cfg(test)]
mod tests;
