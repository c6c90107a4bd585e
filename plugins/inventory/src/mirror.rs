//! One batch of changes of the events table.
//!
//! A reservation made while its event is being cancelled must not stay active. Making one lowers the capacity left of the
//! mirrored event, so the cancellation is guarded by the capacity: if that has changed since the plugin read it, the batch is
//! handled again, with fresh reads, and finds the reservation. If tickets can also be given back, the capacity may be the
//! same again. Then the plugin that sells counts its writes in an attribute, named by `version`, and the guard looks at that too.
//!
//! A guard sees the earlier effects of its own commit, and a read does not. So the batch keeps what it leaves of each event.

use crate::config::InventoryConfig;
use esclusa_plugin::effect::AttributeChange;
use esclusa_plugin::json::{Json, Record};
use esclusa_plugin::table_change::{ChangeKind, TableChange};
use esclusa_plugin::tables::{self, Selection};
use esclusa_plugin::{Condition, Delete, Effects, Event, EventError, Item, Put, Update, Value, number};
use std::collections::BTreeMap;

/// The effects of the batch so far.
pub(crate) struct Mirror<'a> {
    config: &'a InventoryConfig,
    /// What the batch has read of each mirrored event, with its own effects so far; `None`: there is no such item.
    left: BTreeMap<String, Option<Item<'a>>>,
}

impl<'a> Mirror<'a> {
    /// At the beginning of a batch.
    pub(crate) fn new(config: &'a InventoryConfig) -> Self {
        Mirror { config, left: BTreeMap::new() }
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
        let left = match (change.kind, change.new) {
            (ChangeKind::Remove, _) => {
                out.push(Delete::new(&self.config.table, self.event_key(&name)));
                None
            }
            (_, None) => return Err(EventError::reject("the change has no NewImage: the feed must keep new images")),
            (ChangeKind::Insert, Some(new)) => {
                let item = self.mirrored(&name, &new)?;
                let known = self.known(&name)?;
                let unless_there = Condition::new().absent(&self.config.partition_key).or_skip();
                out.push(Put::new(&self.config.table, item.clone()).guard(unless_there));
                Some(known.unwrap_or(item))
            }
            (ChangeKind::Modify, Some(new)) => Some(self.modify(&name, change.old.as_ref(), &new, out)?),
        };
        // Only now: the effects of an event that is rejected are dropped.
        self.left.insert(name, left);
        Ok(())
    }

    /// What the batch has left of a mirrored event so far, read on the first touch.
    fn known(&mut self, name: &str) -> Result<Option<Item<'a>>, EventError> {
        if let Some(known) = self.left.get(name) {
            return Ok(known.clone());
        }
        let stored = tables::get(&self.config.table, &self.event_key(name))?;
        self.left.insert(name.to_owned(), stored.clone());
        Ok(stored)
    }

    /// Gives what it leaves of the mirrored event.
    fn modify(
        &mut self,
        name: &str,
        old: Option<&Record<'a>>,
        new: &Record<'a>,
        out: &mut Effects<'a>,
    ) -> Result<Item<'a>, EventError> {
        let state = |record: &Record<'_>| record.text(&self.config.state).map(str::to_owned);
        let cancelled = state(new).as_deref() == Some(&self.config.cancelled);
        let cancels = cancelled && old.is_none_or(|old| state(old) != state(new));
        // The mirrored event is read before its reservations: see the top of this file.
        let left = match self.known(name)? {
            None => {
                let item = self.mirrored(name, new)?;
                let still_absent = Condition::new().absent(&self.config.partition_key).or_rerun();
                out.push(Put::new(&self.config.table, item.clone()).guard(still_absent));
                item
            }
            Some(stored) => {
                let mut update = self.update(name, &stored, old, new)?;
                if update.changes.is_empty() {
                    return Err(EventError::skip("nothing that is mirrored has changed"));
                }
                // A capacity is set, and not added to, because of the value that was read.
                let sets = |(name, change): &(_, AttributeChange<'_>)| {
                    *name == self.config.capacity && matches!(change, AttributeChange::Set(_))
                };
                if cancels || update.changes.iter().any(sets) {
                    update = update.guard(self.unchanged(&stored).or_rerun());
                }
                let left = changed(stored, &update)?;
                out.push(update);
                left
            }
        };
        if cancels {
            self.cancel_reservations(name, out)?;
        }
        Ok(left)
    }

    /// Holds if no reservation was made since `stored` was read.
    fn unchanged(&self, stored: &Item<'a>) -> Condition<'a> {
        let attributes = [Some(&self.config.capacity), self.config.version.as_ref()];
        attributes.into_iter().flatten().fold(Condition::new(), |condition, attribute| match stored.get(attribute) {
            Some(value) => condition.equal(attribute, value.clone()),
            None => condition.absent(attribute),
        })
    }

    /// The update for a changed event.
    fn update(
        &self,
        name: &str,
        stored: &Item<'a>,
        old: Option<&Record<'a>>,
        new: &Record<'a>,
    ) -> Result<Update<'a>, EventError> {
        let mut update = Update::new(&self.config.table, self.event_key(name));
        for attribute in [&self.config.state, &self.config.category] {
            let before = old.and_then(|old| old.get(attribute));
            match new.get(attribute) {
                Some(value) if before != Some(value) => {
                    update = update.set(attribute, Value::from_json(value.clone())?);
                }
                None if before.is_some() => update = update.remove(attribute),
                _ => {}
            }
        }
        if let Some(change) = self.capacity_change(stored, old, new)? {
            update.changes.push((self.config.capacity.as_str().into(), change));
        }
        Ok(update)
    }

    /// Capacity in the mirrored event is the number of free tickets, so it changes by the difference.
    fn capacity_change(
        &self,
        stored: &Item<'a>,
        old: Option<&Record<'a>>,
        new: &Record<'a>,
    ) -> Result<Option<AttributeChange<'a>>, EventError> {
        let attribute = &self.config.capacity;
        let after = self.capacity(new)?;
        let Some(old) = old else {
            return match after {
                None => Ok(None),
                Some(_) => Err(EventError::reject(
                    "the change has no OldImage: what is left of the capacity changes by the difference, so the feed must keep old images too",
                )),
            };
        };
        let zero = || "0".to_owned();
        // Older versions mirrored a capacity that is null. Nothing can be added to it, so nothing was sold of it.
        if stored.get(attribute).is_some_and(|left| !matches!(left, Value::Number(_))) {
            let changes = old.get(attribute) != new.get(attribute);
            let after = number::canonical(&after.unwrap_or_else(zero))?;
            return Ok(changes.then(|| AttributeChange::Set(Value::Number(after.into()))));
        }
        let before = number::negate(&self.capacity(old)?.unwrap_or_else(zero))?;
        let difference = number::add(&after.unwrap_or_else(zero), &before)?;
        Ok((difference != "0").then(|| AttributeChange::Add(difference.into())))
    }

    /// The capacity of an image; `None` if it is missing or null, which counts as 0.
    fn capacity(&self, image: &Record<'_>) -> Result<Option<String>, EventError> {
        let attribute = &self.config.capacity;
        match image.get(attribute) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Number(capacity)) => Ok(Some(capacity.to_string())),
            Some(other) => {
                Err(EventError::Reject(format!("attribute {attribute:?} is {}, not a number", other.kind())))
            }
        }
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
        let without_capacity = self.capacity(new)?.is_none();
        for attribute in [&self.config.state, &self.config.capacity, &self.config.category] {
            // A capacity that is null is left out: nothing could be added to it.
            if let Some(value) =
                new.get(attribute).filter(|_| !(without_capacity && *attribute == self.config.capacity))
            {
                item.set(attribute, Value::from_json(value.clone())?);
            }
        }
        Ok(item)
    }
}

/// What an update leaves of an item.
fn changed<'a>(mut item: Item<'a>, update: &Update<'a>) -> Result<Item<'a>, EventError> {
    for (name, change) in &update.changes {
        match change {
            AttributeChange::Set(value) => item.set(name.clone(), value.clone()),
            AttributeChange::Remove => item.0.retain(|(attribute, _)| attribute != name),
            AttributeChange::Add(amount) => {
                let sum = match item.get(name) {
                    Some(Value::Number(left)) => number::add(left, amount)?,
                    _ => amount.to_string(),
                };
                item.set(name.clone(), Value::Number(sum.into()));
            }
        }
    }
    Ok(item)
}
