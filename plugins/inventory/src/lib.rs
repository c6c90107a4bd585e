//! The `inventory` plugin: mirrors the changes of an events table into the inventory table, and cancels the active
//! reservations of a cancelled event, which it finds through the index.

mod config;
mod mirror;

use config::InventoryConfig;
use esclusa_plugin::{Batch, Effects, Failure, Plugin, export};
use mirror::Mirror;

/// The plugin.
pub struct Inventory(InventoryConfig);

impl Plugin for Inventory {
    type Config = InventoryConfig;

    const SCHEMA: &'static str = include_str!("../config.schema.json");

    fn new(config: InventoryConfig) -> Result<Self, String> {
        Ok(Inventory(config))
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        let mut mirror = Mirror::new(&self.0);
        out.for_each(batch, |event, out| mirror.event(event, out))
    }
}

export!(Inventory);

#[cfg(test)]
mod tests;
