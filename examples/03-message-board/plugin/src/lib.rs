//! A message board: takes messages and shows them with their states, processes them from a queue, and buries those that
//! cannot be processed. A message is `pending` first, then `complete` or `fail`, and never changes again.

mod endpoint;
mod worker;

use esclusa_plugin::{Batch, Effects, Failure, Item, Plugin, export};

/// `[route.config]`: the part that the plugin plays.
#[derive(Debug, serde::Deserialize)]
#[serde(tag = "role", rename_all = "kebab-case")]
pub enum Config {
    /// Answers the page.
    Endpoint(endpoint::Config),
    /// Processes messages from the queue.
    Worker(worker::Config),
    /// Marks those that are in the dead-letter queue.
    Undertaker(worker::Config),
}

/// The plugin.
pub struct Board(Config);

impl Plugin for Board {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        Ok(Board(config))
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        match &self.0 {
            Config::Endpoint(config) => out.for_each(batch, |event, out| config.answer(event, out)),
            Config::Worker(config) => out.for_each(batch, |event, out| config.process(event, out)),
            Config::Undertaker(config) => out.for_each(batch, |event, out| config.bury(event, out)),
        }
    }
}

/// The key of a message in the table. All messages are in one partition, in the order of their ids, which is that of time.
fn key(id: &str) -> Item<'static> {
    Item::new().with("board", "main").with("id", id.to_owned())
}

export!(Board);

#[cfg(test)]
mod tests;
