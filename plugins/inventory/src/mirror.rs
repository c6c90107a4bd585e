//! One batch of changes of the events table.
//!
//! A reservation made while its event is being cancelled must not stay active. Making one lowers the capacity left of the
//! mirrored event, so the cancellation is guarded by the capacity: if that has changed since the plugin read it, the batch is
//! handled again, with fresh reads, and finds the reservation. If tickets can also be given back, the capacity may be the
//! same again. Then the plugin that sells counts its writes in an attribute, named by `version`, and the guard looks at that too.

use crate::config::InventoryConfig;
use esclusa_plugin::json::{Json, Record};
use esclusa_plugin::table_change::{ChangeKind, TableChange};
use esclusa_plugin::tables::{self, Selection};
use esclusa_plugin::{Condition, Delete, Effects, Event, EventError, Item, Put, Update, Value, number};
use std::collections::BTreeMap;

/// The effects of the batch so far.
pub(crate) struct Mirror<'a> {
    config: &'a InventoryConfig,
    /// Events that earlier changes of the batch have written (true) or deleted (false): reads do not show that yet.
    written: BTreeMap<String, bool>,
}

impl<'a> Mirror<'a> {
    /// At the beginning of a batch.
    pub(crate) fn new(config: &'a InventoryConfig) -> Self {
        Mirror { config, written: BTreeMap::new() }
    }

    /// Mirrors one change.
    ///
    /// # Errors
    /// [`EventError::Reject`] for a payload that is no change of an events table, [`EventError::Skip`] for a change of something
    /// that is not mirrored.
    pub(crate) fn event(&mut self, event: Event<'a>, out: &mut Effects<'a>) -> Result<(), EventError> {
        let record = Record::parse(event.text()?)?;
        let change = TableChange::of(&record)?
            .ok_or_else(|| EventError::reject("not a change of a table: eventName and dynamodb are missing"))?;
        let name = self.name(&change)?;
        match (change.kind, change.new) {
            (ChangeKind::Remove, _) => out.push(Delete::new(&self.config.table, self.event_key(&name))),
            (_, None) => return Err(EventError::reject("the change has no NewImage: the feed must keep new images")),
            (ChangeKind::Insert, Some(new)) => {
                let unless_there = Condition::new().absent(&self.config.partition_key).or_skip();
                out.push(Put::new(&self.config.table, self.mirrored(&name, &new)?).guard(unless_there));
            }
            (ChangeKind::Modify, Some(new)) => self.modify(&name, change.old.as_ref(), &new, out)?,
        }
        self.written.insert(name, change.kind != ChangeKind::Remove);
        Ok(())
    }

    fn modify(
        &self,
        name: &str,
        old: Option<&Record<'a>>,
        new: &Record<'a>,
        out: &mut Effects<'a>,
    ) -> Result<(), EventError> {
        let state = |record: &Record<'_>| record.text(&self.config.state).map(str::to_owned);
        let cancelled = state(new).as_deref() == Some(&self.config.cancelled);
        let cancels = cancelled && old.is_none_or(|old| state(old) != state(new));
        // The mirrored event is read before its reservations: see the top of this file.
        let stored = match self.written.get(name) {
            // Written by this batch: it exists, though a read does not show it yet.
            Some(true) => Some(None),
            Some(false) => None,
            None => tables::get(&self.config.table, &self.event_key(name))?.map(Some),
        };
        match stored {
            None => {
                let still_absent = Condition::new().absent(&self.config.partition_key).or_rerun();
                out.push(Put::new(&self.config.table, self.mirrored(name, new)?).guard(still_absent));
            }
            Some(stored) => {
                let mut update = self.update(name, old, new)?;
                if update.changes.is_empty() {
                    return Err(EventError::skip("nothing that is mirrored has changed"));
                }
                if let Some(stored) = stored.filter(|_| cancels) {
                    update = update.guard(self.unchanged(&stored).or_rerun());
                }
                out.push(update);
            }
        }
        if cancels { self.cancel_reservations(name, out) } else { Ok(()) }
    }

    /// Holds if no reservation was made since `stored` was read.
    fn unchanged(&self, stored: &Item<'static>) -> Condition<'a> {
        let attributes = [Some(&self.config.capacity), self.config.version.as_ref()];
        attributes.into_iter().flatten().fold(Condition::new(), |condition, attribute| match stored.get(attribute) {
            Some(value) => condition.equal(attribute, value.clone()),
            None => condition.absent(attribute),
        })
    }

    /// The update for a changed event. Its capacity here is the number of free tickets, so it changes by the difference.
    fn update(&self, name: &str, old: Option<&Record<'a>>, new: &Record<'a>) -> Result<Update<'a>, EventError> {
        let mut update = Update::new(&self.config.table, self.event_key(name));
        for attribute in [&self.config.state, &self.config.category] {
            if let Some(value) = new.get(attribute)
                && old.is_none_or(|old| old.get(attribute) != Some(value))
            {
                update = update.set(attribute, Value::from_json(value.clone())?);
            }
        }
        let capacity = |record: &Record<'_>| match record.get(&self.config.capacity) {
            Some(Json::Number(capacity)) => Some(capacity.to_string()),
            _ => None,
        };
        if let Some((old, new)) = old.and_then(capacity).zip(capacity(new)) {
            let reject = |error: number::NumberError| EventError::Reject(error.to_string());
            let difference = number::add(&new, &number::negate(&old).map_err(reject)?).map_err(reject)?;
            if difference != "0" {
                update = update.add(&self.config.capacity, difference);
            }
        }
        Ok(update)
    }

    /// Those that the customer has cancelled stay as they are.
    fn cancel_reservations(&self, name: &str, out: &mut Effects<'a>) -> Result<(), EventError> {
        let config = self.config;
        let active = Condition::new()
            .equal(&config.partition_key, &config.reservation_partition)
            .equal(&config.state, &config.active);
        let of_event = Condition::new().equal(&config.event, name.to_owned());
        for mut reservation in
            tables::query(&Selection::of(&config.table, of_event).index(&config.index).filter(active))?
        {
            reservation.0.retain(|(name, _)| *name == config.partition_key || *name == config.sort_key);
            let still_active = Condition::new().equal(&config.state, &config.active).or_skip();
            out.push(Update::new(&config.table, reservation).set(&config.state, &config.cancelled).guard(still_active));
        }
        Ok(())
    }

    fn name(&self, change: &TableChange<'_>) -> Result<String, EventError> {
        let images = [Some(&change.keys), change.new.as_ref(), change.old.as_ref()];
        match images.into_iter().flatten().find_map(|image| image.text(&self.config.name)) {
            Some(name) if !name.is_empty() => Ok(name.to_owned()),
            _ => Err(EventError::Reject(format!(
                "the change has no event name: attribute {:?} is missing",
                self.config.name
            ))),
        }
    }

    fn event_key(&self, name: &str) -> Item<'a> {
        Item::new()
            .with(&self.config.partition_key, &self.config.event_partition)
            .with(&self.config.sort_key, name.to_owned())
    }

    fn mirrored(&self, name: &str, new: &Record<'a>) -> Result<Item<'a>, EventError> {
        let mut item = self.event_key(name);
        for attribute in [&self.config.state, &self.config.capacity, &self.config.category] {
            if let Some(value) = new.get(attribute) {
                item.set(attribute, Value::from_json(value.clone())?);
            }
        }
        Ok(item)
    }
}
