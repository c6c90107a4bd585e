//! The entries by which the store finds items that have expired: in the order of their time, and kept in step like those of a
//! secondary index. Values that are no time lead nowhere, and refuse no item.

use esclusa_flow::item::{Item, Value, number};

/// Entries that lead to the items which expire, by their time.
#[derive(Debug)]
pub(crate) struct ExpiryIndex {
    /// First four bytes of the keys of its entries.
    pub id: u32,
    /// The attribute with the time.
    pub attribute: String,
}

impl ExpiryIndex {
    /// The key of the entry that leads to `item`, whose own key is `key`; `None` if it does not expire.
    pub(crate) fn entry_key(&self, item: &Item, key: &[u8]) -> Option<Vec<u8>> {
        let time = expires_at(item.get(&self.attribute)?)?;
        // The key of the item follows, without its table.
        Some([&self.from(time)[..], key.get(4..).unwrap_or_default()].concat())
    }

    /// The least key of entries of items that expire at this time or later.
    pub(crate) fn from(&self, time: u64) -> Vec<u8> {
        [&self.id.to_be_bytes()[..], &time.to_be_bytes()].concat()
    }
}

/// The time in seconds since the Unix epoch that a value stands for; `None`: it is no number, has a fraction or is too large.
fn expires_at(value: &Value) -> Option<u64> {
    let Value::Number(text) = value else { return None };
    number::canonical(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_are_a_time() {
        let time = |text: &str| expires_at(&Value::Number(text.to_owned()));
        assert_eq!(time("1700000000"), Some(1_700_000_000));
        assert_eq!(time("1.7e9"), Some(1_700_000_000));
        assert_eq!(time("1700000000.0"), Some(1_700_000_000));
        assert_eq!(time("0"), Some(0));
        for none in ["1700000000.5", "-1", "1e30", "0.1"] {
            assert_eq!(time(none), None, "{none}");
        }
        assert_eq!(expires_at(&Value::Text("1700000000".to_owned())), None);
        assert_eq!(expires_at(&Value::NumberSet(vec!["1700000000".to_owned()])), None);
    }
}
