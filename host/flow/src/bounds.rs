//! Limits of one item, one effect and one query, the same for every engine. Checked before an engine sees them: an engine's time
//! grows with the size of its input, and the embedded engine has a single thread that writes.

use crate::effect::Action;
use crate::item::{Guard, Item};
use crate::reads::{KEYS, ObjectList, ObjectRead, PAGE, READ_BYTES, Selection, TableScan};

/// Bytes of an item, names and values.
/// Source: Amazon DynamoDB Developer Guide, "Service, account, and table quotas", November 2026.
pub const ITEM_BYTES: usize = 400 << 10;
/// Attributes of an item or of a message. DynamoDB has no such limit; with its limit of bytes, names take most of a larger item.
pub const ATTRIBUTES: usize = 1_000;
/// Changes of one update.
pub const CHANGES: usize = 1_000;
/// Comparisons of a guard, and of the key and the filter of a query together. DynamoDB takes 300 operators.
pub const COMPARISONS: usize = 1_000;

/// Checks an effect against the limits.
///
/// # Errors
/// Names the part that is too large, its size, and the limit.
pub fn action(action: &Action) -> Result<(), String> {
    match action {
        Action::Put(put) => item(&put.item).and_then(|()| guard(put.guard.as_ref())),
        Action::Update(update) => {
            item(&update.key)?;
            count("changes", update.changes.len(), CHANGES)?;
            size("its changes have", update.changes_size())?;
            guard(update.guard.as_ref())
        }
        Action::Delete(delete) => item(&delete.key).and_then(|()| guard(delete.guard.as_ref())),
        Action::Send(send) => count("attributes", send.attributes.len(), ATTRIBUTES),
        Action::PutObject(_) => Ok(()),
    }
}

/// Checks an item: one that a put brings, or the result of an update.
///
/// # Errors
/// Names the part that is too large, its size, and the limit.
pub fn item(item: &Item) -> Result<(), String> {
    count("attributes", item.0.len(), ATTRIBUTES)?;
    size("the item has", item.size())
}

/// Bytes of the path of an object, and of a prefix. S3 takes as many.
pub const PATH_BYTES: usize = 1_024;
/// Bytes of the token of a page. A key of a table has at most 3 KiB, and a path 1 KiB.
pub const TOKEN_BYTES: usize = 16 << 10;

/// Checks the keys of a read of many items.
///
/// # Errors
/// Names the part that is too large, its size, and the limit.
pub fn keys(keys: &[Item]) -> Result<(), String> {
    count("keys", keys.len(), KEYS)?;
    keys.iter().try_for_each(|key| size("a key has", key.size()))
}

/// Checks a scan.
///
/// # Errors
/// Names the part that is too large, its size, and the limit.
pub fn scan(scan: &TableScan) -> Result<(), String> {
    count("items as limit", scan.limit.unwrap_or(1) as usize, PAGE)?;
    if scan.limit == Some(0) {
        return Err("its limit is 0".to_owned());
    }
    token(scan.token.as_deref())
}

/// Checks a read of an object.
///
/// # Errors
/// Names the part that is too large, its size, and the limit.
pub fn object(read: &ObjectRead) -> Result<(), String> {
    count("bytes of path", read.path.len(), PATH_BYTES)?;
    count("bytes to read", read.range.map_or(0, |(_, length)| length as usize), READ_BYTES)
}

/// Checks a list of objects.
///
/// # Errors
/// Names the part that is too large, its size, and the limit.
pub fn object_list(list: &ObjectList) -> Result<(), String> {
    count("bytes of prefix", list.prefix.len(), PATH_BYTES)?;
    token(list.token.as_deref())
}

fn token(token: Option<&str>) -> Result<(), String> {
    count("bytes of token", token.map_or(0, str::len), TOKEN_BYTES)
}

/// Checks the comparisons of a query.
///
/// # Errors
/// Names the part that is too large, its size, and the limit.
pub fn selection(selection: &Selection) -> Result<(), String> {
    let comparisons = selection.key.0.len().saturating_add(selection.filter.0.len());
    count("comparisons", comparisons, COMPARISONS)?;
    let bytes = selection.key.size().saturating_add(selection.filter.size());
    size("its comparisons have", bytes)
}

fn guard(guard: Option<&Guard>) -> Result<(), String> {
    let Some(guard) = guard else { return Ok(()) };
    count("comparisons in its guard", guard.condition.0.len(), COMPARISONS)?;
    size("its guard has", guard.condition.size())
}

fn count(what: &str, count: usize, most: usize) -> Result<(), String> {
    if count > most { Err(format!("it has {count} {what}, at most {most} are taken")) } else { Ok(()) }
}

fn size(what: &str, bytes: usize) -> Result<(), String> {
    if bytes > ITEM_BYTES {
        return Err(format!("{what} {bytes} bytes, at most {ITEM_BYTES} are taken"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{AttributeChange, DeleteItem, PutItem, SendMessage, UpdateItem};
    use crate::item::{Comparison, Condition, Otherwise, Value};

    fn attributes(count: usize) -> Item {
        (0..count).map(|i| (format!("a{i}"), Value::Null)).collect()
    }

    fn comparisons(count: usize) -> Condition {
        Condition((0..count).map(|i| (format!("a{i}"), Comparison::Exists)).collect())
    }

    fn guarded(count: usize) -> Option<Guard> {
        Some(Guard { condition: comparisons(count), otherwise: Otherwise::Skip })
    }

    fn put(item: Item) -> Action {
        Action::Put(PutItem { table: "t".into(), item, guard: None })
    }

    fn update(changes: Vec<(String, AttributeChange)>, guard: Option<Guard>) -> Action {
        Action::Update(UpdateItem { table: "t".into(), key: attributes(1), changes, guard })
    }

    #[test]
    fn as_much_as_is_allowed_is_taken_and_one_more_is_not() {
        let removes = |count: usize| (0..count).map(|i| (format!("a{i}"), AttributeChange::Remove)).collect::<Vec<_>>();
        let delete = |guard| Action::Delete(DeleteItem { table: "t".into(), key: attributes(1), guard });
        let send = |count: usize| {
            let attributes = vec![(String::new(), String::new()); count];
            Action::Send(SendMessage { output: "o".into(), key: None, data: Vec::new(), attributes })
        };
        for most in [1_000, 1_001] {
            let expected = most == 1_000;
            assert_eq!(action(&put(attributes(most))).is_ok(), expected);
            assert_eq!(action(&update(removes(most), None)).is_ok(), expected);
            assert_eq!(action(&update(Vec::new(), guarded(most))).is_ok(), expected);
            assert_eq!(action(&delete(guarded(most))).is_ok(), expected);
            assert_eq!(action(&send(most)).is_ok(), expected);
            let asked = Selection { key: comparisons(1), filter: comparisons(most - 1), ..Selection::default() };
            assert_eq!(selection(&asked).is_ok(), expected);
        }
    }

    #[test]
    fn bytes_count_wherever_they_are() {
        let text = |bytes: usize| Value::Text("x".repeat(bytes));
        for (bytes, expected) in [(ITEM_BYTES - 1, true), (ITEM_BYTES, false)] {
            let named = |value| vec![("n".to_owned(), value)];
            assert_eq!(action(&put(Item(named(text(bytes))))).is_ok(), expected);
            // A byte for each member.
            let set = Value::TextSet(vec!["x".repeat(bytes / 2 - 1), "y".repeat(bytes - bytes / 2 - 1)]);
            assert_eq!(action(&put(Item(named(set)))).is_ok(), expected);
            assert_eq!(action(&update(vec![("n".into(), AttributeChange::Set(text(bytes)))], None)).is_ok(), expected);
            let condition = Condition(vec![("n".into(), Comparison::NotEqual(text(bytes)))]);
            let guard = Some(Guard { condition: condition.clone(), otherwise: Otherwise::Rerun });
            assert_eq!(action(&update(Vec::new(), guard)).is_ok(), expected);
            let asked = Selection { filter: condition, ..Selection::default() };
            assert_eq!(selection(&asked).is_ok(), expected);
        }
        let why = action(&put(Item(vec![("n".into(), text(ITEM_BYTES))]))).unwrap_err();
        assert_eq!(why, "the item has 409601 bytes, at most 409600 are taken");
    }
}
