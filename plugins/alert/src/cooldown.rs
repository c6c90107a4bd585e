//! Cooldowns: after an alert there is none of the same rule and key for a while, by the time of the events.
//!
//! A plugin keeps no state, so the time of the last alert is in a table. The write is guarded by the time that was read: of
//! two batches at the same time one is handled again. Without a table a cooldown holds within a batch.

use esclusa_plugin::{Condition, Effects, Event, EventError, Item, Put, Value, tables};
use std::collections::BTreeMap;

/// Key attribute of the table.
const KEY: &str = "id";
/// Attribute with the time of the last alert, in milliseconds since the Unix epoch.
const AT: &str = "at";
/// Attribute with the time after which the item means nothing, in seconds since the Unix epoch: for a table's expiry.
const EXPIRES: &str = "expires";

/// The cooldowns that a batch touches.
pub(crate) struct Cooldowns<'a> {
    table: Option<&'a str>,
    route: &'a str,
    last: BTreeMap<String, Last>,
}

#[derive(Default)]
struct Last {
    /// As it is in the table.
    stored: Option<u64>,
    /// With the alerts of this batch.
    at: Option<u64>,
    /// In seconds since the Unix epoch.
    expires: u64,
    /// The event that alerted; `None` if there are several.
    cause: Option<u32>,
}

impl<'a> Cooldowns<'a> {
    /// At the beginning of a batch.
    pub(crate) fn new(table: Option<&'a str>, route: &'a str) -> Self {
        Cooldowns { table, route, last: BTreeMap::new() }
    }

    /// The key of a cooldown in the table.
    pub(crate) fn id(&self, rule: &str, per: Option<&str>) -> String {
        match per {
            Some(per) => format!("{}/{rule}/{per}", self.route),
            None => format!("{}/{rule}", self.route),
        }
    }

    /// Reads the last alert of a cooldown, unless the batch knows it.
    ///
    /// # Errors
    /// [`EventError::Batch`] if the table does not answer, [`EventError::Reject`] if the key is too long for it.
    pub(crate) fn read(&mut self, id: &str) -> Result<(), EventError> {
        if !self.last.contains_key(id) {
            let stored = self.table.map(|table| read(table, id)).transpose()?.flatten();
            self.last.insert(id.to_owned(), Last { stored, at: stored, ..Last::default() });
        }
        Ok(())
    }

    /// True if an alert is due; the cooldown of `cooldown` milliseconds begins then. It must have been read.
    pub(crate) fn passed(&mut self, id: String, event: Event<'_>, cooldown: u64) -> bool {
        let last = self.last.entry(id).or_default();
        if last.at.is_some_and(|at| event.timestamp() < at.saturating_add(cooldown)) {
            return false;
        }
        // A second alert of the batch makes the write one of the batch as a whole: no single event can take it back.
        last.cause = (last.at == last.stored).then_some(event.index());
        last.at = Some(event.timestamp());
        last.expires = event.timestamp().saturating_add(cooldown).div_ceil(1000);
        true
    }

    /// Writes the cooldowns that have begun.
    pub(crate) fn write(self, out: &mut Effects<'a>) {
        let Some(table) = self.table else { return };
        for (id, last) in self.last {
            let Some(at) = last.at.filter(|_| last.at != last.stored) else { continue };
            let unchanged = match last.stored {
                Some(stored) => Condition::new().equal(AT, stored),
                None => Condition::new().absent(KEY),
            };
            let item = Item::new().with(KEY, id).with(AT, at).with(EXPIRES, last.expires);
            out.push_for(last.cause, Put::new(table, item).guard(unchanged.or_rerun()));
        }
    }
}

fn read(table: &str, id: &str) -> Result<Option<u64>, EventError> {
    let stored = tables::get(table, &Item::new().with(KEY, id))?;
    Ok(stored.and_then(|item| match item.get(AT) {
        Some(Value::Number(at)) => at.parse().ok(),
        _ => None,
    }))
}
