//! The writes of a commit by table and key, each checked before anything is sent.

use super::attribute::{size, to_attribute};
use super::fold::{FoldStep, FoldedWrite, ItemOperation, STEPS, fold};
use super::open_table::OpenTable;
use super::open_table::{DynamoSchema, KeyPart};
use esclusa_flow::effect::{Action, AttributeChange};
use esclusa_flow::engine::CommitError;
use esclusa_flow::item::{Comparison, Guard, Item};
use esclusa_flow::step_budget::StepBudget;
use std::collections::HashMap;
use std::sync::Arc;

/// Largest item, bytes. DynamoDB developer guide, "Constraints", November 2026.
const ITEM_LIMIT: usize = 400 * 1024;
/// Assumed bytes of a stored item that is only updated: it may count in its transaction, and its size is not known
/// here.
const STORED: usize = 4096;

/// All actions on one key of one table.
#[derive(Debug, Clone)]
pub(crate) struct ItemWrite {
    /// The table.
    pub table: Arc<OpenTable>,
    /// Exactly the key attributes.
    pub key: Item,
    /// The actions, in order.
    pub steps: Vec<FoldStep>,
    /// The write that they fold into; `None` if the item has to be read first.
    pub decision: Option<FoldedWrite>,
}

impl ItemWrite {
    /// True if it must go into a transaction: an update, which must not be repeated, or a guard that says rerun, which
    /// undoes the others too. Any other write may be repeated by itself.
    #[must_use]
    pub(crate) fn is_bound(&self) -> bool {
        let rerun =
            |step: &FoldStep| step.guard.as_ref().is_some_and(|g| g.otherwise == esclusa_flow::item::Otherwise::Rerun);
        let update = |decision: &FoldedWrite| matches!(decision.operation, Some(ItemOperation::Update(_)));
        self.steps.iter().any(rerun) || self.decision.as_ref().is_none_or(update)
    }

    /// Bytes that it adds to a transaction, at most.
    #[must_use]
    pub(crate) fn size(&self) -> usize {
        let steps = self.steps.iter().map(|step| match &step.operation {
            ItemOperation::Put(item) => size(item),
            ItemOperation::Update(changes) => changes_size(changes),
            ItemOperation::Delete => 0,
        });
        let stored =
            if self.steps.iter().any(|s| matches!(s.operation, ItemOperation::Update(_))) { STORED } else { 0 };
        size(&self.key).saturating_add(steps.sum()).saturating_add(stored)
    }
}

fn changes_size(changes: &[(String, AttributeChange)]) -> usize {
    let value = |change: &AttributeChange| {
        if let AttributeChange::Set(value) = change { super::attribute::value_size(value) } else { 21 }
    };
    changes.iter().map(|(name, change)| name.len().saturating_add(value(change))).sum()
}

/// Groups actions, each with its index in the commit and its table, by key and in the order of their first one.
///
/// # Errors
/// [`CommitError::Refused`] with all actions that DynamoDB would refuse, [`CommitError::Conflict`],
/// [`CommitError::TooLarge`].
pub(crate) fn plan(actions: Vec<(usize, Action, Arc<OpenTable>)>) -> Result<Vec<ItemWrite>, CommitError> {
    let mut writes: Vec<ItemWrite> = Vec::new();
    let mut known: HashMap<(Arc<str>, Vec<KeyPart>), usize> = HashMap::new();
    let mut refused = Vec::new();
    for (index, action, table) in actions {
        let name = action.target().to_owned();
        match check(index, action, &table.schema) {
            Err(why) => refused.push((index, format!("table {name:?}: {why}"))),
            Ok((parts, key, step)) => {
                let at = *known.entry((table.identity.clone(), parts)).or_insert(writes.len());
                match writes.get_mut(at) {
                    Some(write) => write.steps.push(step),
                    None => writes.push(ItemWrite { table, key, steps: vec![step], decision: None }),
                }
            }
        }
    }
    if !refused.is_empty() {
        return Err(CommitError::Refused(refused));
    }
    let mut work = StepBudget::of(STEPS);
    for write in &mut writes {
        write.decision = fold(&write.steps, &write.key, &mut work)?;
    }
    Ok(writes)
}

fn check(action: usize, effect: Action, schema: &DynamoSchema) -> Result<(Vec<KeyPart>, Item, FoldStep), String> {
    let (parts, key, operation, guard) = match effect {
        Action::Put(put) => {
            let bytes = size(&put.item);
            if bytes > ITEM_LIMIT {
                return Err(format!("an item of {bytes} bytes: {ITEM_LIMIT} is the most"));
            }
            check_values(&put.item)?;
            (schema.key_of(&put.item)?, schema.only_key(&put.item), ItemOperation::Put(put.item), put.guard)
        }
        Action::Update(update) => {
            for (name, change) in &update.changes {
                check_change(name, change, schema)?;
            }
            (schema.exact_key(&update.key)?, update.key, ItemOperation::Update(update.changes), update.guard)
        }
        Action::Delete(delete) => (schema.exact_key(&delete.key)?, delete.key, ItemOperation::Delete, delete.guard),
        Action::PutObject(_) | Action::Send(_) => return Err("only items are written to tables".to_owned()),
    };
    check_guard(guard.as_ref())?;
    Ok((parts, key, FoldStep { action, operation, guard }))
}

fn check_values(item: &Item) -> Result<(), String> {
    super::attribute::to_attributes(item).map(drop)
}

fn check_change(name: &str, change: &AttributeChange, schema: &DynamoSchema) -> Result<(), String> {
    if name.is_empty() {
        return Err("an attribute has no name".to_owned());
    }
    if schema.key.contains(name) {
        return Err(format!("the key attribute {name:?} cannot be changed: delete the item and put another one"));
    }
    let wrong = |e: String| format!("the attribute {name:?}: {e}");
    match change {
        AttributeChange::Set(value) => to_attribute(value).map_err(wrong).and_then(|_| schema.check_set(name, value)),
        AttributeChange::Add(text) => super::attribute::decimal(text).map(drop).map_err(wrong),
        AttributeChange::Remove => Ok(()),
    }
}

fn check_guard(guard: Option<&Guard>) -> Result<(), String> {
    let Some(guard) = guard else { return Ok(()) };
    for (name, comparison) in &guard.condition.0 {
        let operand = match comparison {
            Comparison::Equal(v) | Comparison::NotEqual(v) | Comparison::Less(v) | Comparison::LessOrEqual(v) => v,
            Comparison::Greater(v) | Comparison::GreaterOrEqual(v) => v,
            Comparison::Exists | Comparison::Absent | Comparison::BeginsWith(_) => continue,
        };
        to_attribute(operand).map_err(|e| format!("a guard compares the attribute {name:?}: {e}"))?;
    }
    Ok(())
}
