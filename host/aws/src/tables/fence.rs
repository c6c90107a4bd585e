//! What goes into a transaction besides the writes of items, so that they happen once: the progress of the lane, or a mark
//! for each event.

use super::cancellation::Role;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Put, TransactWriteItem, Update};
use esclusa_flow::fault::Fault;
use std::collections::HashMap;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Fence {
    /// Moves the position of the lane, on the condition that it is where the batch began.
    pub progress: Option<Update>,
    /// Marks of events.
    pub marks: Vec<Put>,
}

impl Fence {
    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.marks.len().saturating_add(usize::from(self.progress.is_some()))
    }

    /// True where writes are not protected from being repeated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its items. Before the last of several transactions they only check: the progress is made by the last one.
    ///
    /// # Errors
    /// [`Fault::Bug`] where the progress has no condition.
    pub fn items(&self, last: bool) -> Result<Vec<(TransactWriteItem, Role)>, Fault> {
        let mut items = Vec::with_capacity(self.len());
        let item = TransactWriteItem::builder;
        if let Some(progress) = &self.progress {
            let progress =
                if last { item().update(progress.clone()) } else { item().condition_check(check_progress(progress)?) };
            items.push((progress.build(), Role::Progress));
        }
        for (index, mark) in self.marks.iter().enumerate() {
            let mark = if last { item().put(mark.clone()) } else { item().condition_check(check_mark(mark)?) };
            items.push((mark.build(), Role::Mark(index)));
        }
        Ok(items)
    }
}

/// The condition of an update alone. DynamoDB refuses placeholders that no expression uses.
fn check_progress(update: &Update) -> Result<ConditionCheck, Fault> {
    let condition = update.condition_expression().unwrap_or_default();
    let names = update.expression_attribute_names().map(|names| used(condition, names));
    let values = update.expression_attribute_values().map(|values| used(condition, values));
    let check = ConditionCheck::builder().table_name(update.table_name()).set_key(Some(update.key().clone()));
    let check = check.condition_expression(condition).set_expression_attribute_names(names.filter(|n| !n.is_empty()));
    built(check.set_expression_attribute_values(values.filter(|v| !v.is_empty())).build())
}

fn check_mark(mark: &Put) -> Result<ConditionCheck, Fault> {
    let key: HashMap<String, AttributeValue> = mark
        .item()
        .iter()
        .filter(|(name, _)| *name == super::marks::KEY)
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let check = ConditionCheck::builder().table_name(mark.table_name()).set_key(Some(key));
    built(check.condition_expression(mark.condition_expression().unwrap_or_default()).build())
}

fn built<E: std::error::Error>(built: Result<ConditionCheck, E>) -> Result<ConditionCheck, Fault> {
    built.map_err(|e| Fault::Bug(format!("a check of the progress: {e}")))
}

/// The placeholders that an expression names.
fn used<V: Clone>(expression: &str, all: &HashMap<String, V>) -> HashMap<String, V> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '#' | ':');
    let words: Vec<&str> = expression.split(|c| !part(c)).collect();
    all.iter().filter(|(name, _)| words.contains(&name.as_str())).map(|(n, v)| (n.clone(), v.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_names_only_what_its_condition_uses() {
        let text = |t: &str| AttributeValue::S(t.to_owned());
        let update = Update::builder()
            .table_name("leases")
            .key("leaseKey", text("k"))
            .update_expression("SET #c = :to, #k = :t");
        let update = update.condition_expression("#c = :from AND (attribute_exists(#o))");
        let names =
            [("#c", "checkpoint"), ("#k", "kind"), ("#o", "leaseOwner")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let update = update.set_expression_attribute_names(Some(names.into()));
        let values = [(":to", text("2")), (":t", text("x")), (":from", text("1"))].map(|(a, b)| (a.to_owned(), b));
        let update = update.set_expression_attribute_values(Some(values.into())).build().unwrap();
        let check = check_progress(&update).unwrap();
        let mut names: Vec<_> = check.expression_attribute_names().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(names, ["#c", "#o"]);
        assert_eq!(check.expression_attribute_values().unwrap().keys().collect::<Vec<_>>(), [":from"]);
    }
}
