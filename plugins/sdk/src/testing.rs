//! Tests of a plugin, natively and without a host.
//!
//! ```
//! # use esclusa_plugin::{Batch, Effects, Failure, Item, Plugin};
//! # struct Archive;
//! # impl Plugin for Archive {
//! #     type Config = serde_json::Value;
//! #     fn new(_: serde_json::Value) -> Result<Self, String> { Ok(Archive) }
//! #     fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
//! #         out.for_each(batch, |event, out| { out.put("archive", Item::new().with("id", event.id())); Ok(()) })
//! #     }
//! # }
//! use esclusa_plugin::testing;
//!
//! let plugin: Archive = testing::plugin(r#"{ "table": "archive" }"#);
//! let batch = testing::lines(r#"{"name":"Ada"}"#);
//! let out = testing::call(&plugin, &batch);
//! assert_eq!(testing::show(&out), [r#"0: put archive {"id":{"S":"1"}}"#]);
//! ```

mod rules;
mod show;
mod store;

use crate::batch::{Batch, Origin};
use crate::effects::Effects;
use crate::objects;
use crate::plugin::{self, Plugin};
use crate::tables;
use esclusa_data::event::Columns;
pub use esclusa_data::event::NewEvent;
pub use show::{outcomes, show};
use std::rc::Rc;
pub use store::Tables;

/// A plugin with this configuration, as JSON.
///
/// # Panics
/// If the plugin refuses it.
#[must_use]
pub fn plugin<P: Plugin>(config: &str) -> P {
    match plugin::configure(config) {
        Ok(plugin) => plugin,
        #[expect(clippy::panic, reason = "a test")]
        Err(reason) => panic!("the plugin refuses its configuration: {reason}"),
    }
}

/// The reason for which the plugin refuses this configuration.
///
/// # Panics
/// If the plugin takes it.
#[must_use]
pub fn refusal<P: Plugin>(config: &str) -> String {
    match plugin::configure::<P>(config) {
        Err(reason) => reason,
        #[expect(clippy::panic, reason = "a test")]
        Ok(_) => panic!("the plugin takes this configuration: {config}"),
    }
}

/// A batch of events, one per line that is not empty, with the ids 1, 2, 3 …
#[must_use]
pub fn lines(text: &str) -> Batch {
    let ids: Vec<String> = (1..=text.lines().count()).map(|id| id.to_string()).collect();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let events: Vec<_> =
        lines.zip(&ids).map(|(line, id)| NewEvent { id, data: line.as_bytes(), ..NewEvent::default() }).collect();
    events_of(&events)
}

/// A batch of these events. One with the attempt 0, as by default, is delivered for the first time.
///
/// # Panics
/// If the events take more than 4 GiB.
#[must_use]
pub fn events_of(events: &[NewEvent<'_>]) -> Batch {
    let mut columns = Columns::default();
    for event in events {
        // An event that names no attempt is delivered for the first time.
        let event = NewEvent { attempt: event.attempt.max(1), ..*event };
        #[expect(clippy::panic, reason = "a test")]
        columns.push(&event).unwrap_or_else(|error| panic!("{error}"));
    }
    Batch { origin: origin(), columns }
}

fn origin() -> Origin {
    let [route, source, kind, lane] = ["test", "lines", "stream", "0"].map(str::to_owned);
    Origin { route, source, kind, lane, ordered: true }
}

/// Calls the plugin. Reads of tables fail, unless this is within [`with_tables`].
///
/// # Panics
/// If the batch as a whole fails.
#[must_use]
pub fn call<'a, P: Plugin>(plugin: &'a P, batch: &'a Batch) -> Effects<'a> {
    match plugin::call(plugin, batch) {
        Ok(out) => out,
        #[expect(clippy::panic, reason = "a test")]
        Err(failure) => panic!("the batch failed: {failure:?}"),
    }
}

/// Takes the metrics that the plugin has given on this thread: `count orders{kind="late"} 1`.
#[must_use]
pub fn metrics() -> Vec<String> {
    crate::metrics::imported::take()
}

/// Runs `test` with these tables and objects to read from.
pub fn with_tables<T>(tables: &Tables, test: impl FnOnce() -> T) -> T {
    let reader = Rc::new(tables.clone());
    tables::set_reader(Some(reader.clone()));
    objects::set_reader(Some(reader));
    let result = test();
    tables::set_reader(None);
    objects::set_reader(None);
    result
}
