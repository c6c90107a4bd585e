//! Write plugins for the Esclusa event router.
//!
//! A plugin is a pure function from a batch of events to effects. Implement [`Plugin`], then [`export!`] it:
//!
//! ```
//! use esclusa_plugin::{Batch, Effects, Failure, Item, Plugin, export};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     table: String,
//! }
//!
//! struct Archive(Config);
//!
//! impl Plugin for Archive {
//!     type Config = Config;
//!
//!     fn new(config: Config) -> Result<Self, String> {
//!         Ok(Archive(config))
//!     }
//!
//!     fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
//!         out.for_each(batch, |event, out| {
//!             out.put(&self.0.table, Item::new().with("id", event.id()).with("text", event.text()?));
//!             Ok(())
//!         })
//!     }
//! }
//!
//! export!(Archive);
//! ```
//!
//! Everything compiles natively too, so a plugin's tests need no host: see [`testing`].

pub mod batch;
pub mod condition;
pub mod effect;
pub mod effects;
pub mod failure;
pub mod item;
pub mod json;
pub mod log;
pub mod metrics;
pub mod moment;
pub mod objects;
pub mod plugin;
pub mod table_change;
pub mod tables;
pub mod template;

#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;

pub use batch::{Batch, Columns, Event, Origin};
pub use condition::{Comparison, Condition, Guard, Otherwise};
pub use effect::{Action, Delete, Effect, Object, Put, Send, Update};
pub use effects::{Disposition, Effects, Outcome, Reply};
pub use esclusa_data::filter::{FilterError, Pattern};
pub use esclusa_data::item::number;
pub use failure::{EventError, Failure};
pub use item::{Item, Value};
pub use plugin::Plugin;
pub use template::{KeyTemplates, Template};
