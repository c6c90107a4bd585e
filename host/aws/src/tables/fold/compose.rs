//! One operation after another as a single one, and the changes of an update applied to an item.

use super::Operation;
use esclusa_flow::bounds;
use esclusa_flow::effect::AttributeChange;
use esclusa_flow::item::{Item, Value, number};

/// `first`, and then `second`, of the item with this key.
///
/// # Errors
/// Why the second one cannot follow the first.
pub fn then(first: Option<Operation>, second: &Operation, key: &Item) -> Result<Operation, String> {
    Ok(match (first, second) {
        (Some(Operation::Put(item)), Operation::Update(changes)) => Operation::Put(apply(item, changes)?),
        (Some(Operation::Delete), Operation::Update(changes)) => Operation::Put(apply(key.clone(), changes)?),
        (Some(Operation::Update(before)), Operation::Update(changes)) => Operation::Update(merged(before, changes)?),
        (None, Operation::Update(changes)) => Operation::Update(merged(Vec::new(), changes)?),
        (_, Operation::Put(_) | Operation::Delete) => second.clone(),
    })
}

/// The item after the changes.
///
/// # Errors
/// Which change cannot be made, and why.
pub fn apply(mut item: Item, changes: &[(String, AttributeChange)]) -> Result<Item, String> {
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

/// Changes that do what `before` and then `changes` do, each of another attribute.
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
