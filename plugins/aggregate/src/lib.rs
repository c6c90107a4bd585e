//! The `aggregate` plugin: totals per key. Records add; of a table's changes, new images add and old images subtract.
//! One write per key and batch.

mod config;
mod contribution;
mod totals;

use config::AggregateSettings;
use esclusa_plugin::{Batch, Effects, Failure, Plugin, export};
use totals::Totals;

/// The plugin; configured, it is a [`config::AggregateSettings`].
pub struct Aggregate(AggregateSettings);

impl Plugin for Aggregate {
    type Config = config::AggregateConfig;

    const SCHEMA: &'static str = include_str!("../config.schema.json");

    fn new(config: Self::Config) -> Result<Self, String> {
        AggregateSettings::new(config).map(Aggregate)
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        let mut totals = Totals::default();
        out.for_each(batch, |event, _| {
            let changes = contribution::of_event(&self.0, event)?;
            totals.add(&self.0, event.index(), changes)
        })?;
        totals.write(&self.0, out)
    }
}

export!(Aggregate);

#[cfg(test)]
mod tests;
