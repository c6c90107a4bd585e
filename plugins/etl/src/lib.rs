//! The `etl` plugin: an item per record. Key templates first, then the fields of the record, picked, renamed and typed
//! as configured; put, or put unless it is there.

mod config;
mod transform;

use config::EtlSettings;
use esclusa_plugin::json::Record;
use esclusa_plugin::{Batch, Effects, Failure, Plugin, export};

/// The plugin; configured, it is a [`config::EtlSettings`].
pub struct Etl(EtlSettings);

impl Plugin for Etl {
    type Config = config::EtlConfig;

    const SCHEMA: &'static str = include_str!("../config.schema.json");

    fn new(config: Self::Config) -> Result<Self, String> {
        EtlSettings::new(config).map(Etl)
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        // One record for all events: its room is used again.
        let mut record = Record::default();
        out.for_each(batch, |event, out| {
            record.read(event.text()?)?;
            out.push(transform::put(&self.0, &mut record)?);
            Ok(())
        })
    }
}

export!(Etl);

#[cfg(test)]
mod tests;
