//! The delivery core: events, batches, effects and commits, and the rules that say when an event may be settled.
//!
//! Pure: no async runtime, no AWS, no wasmtime, no files, no clock. Everything here can be tested in
//! milliseconds, and the crates that touch the world meet only through the boundary traits [`source`],
//! [`engine`] and [`plugin`]. Data types are in `esclusa-data`; its modules are exported here, too.

pub mod batch;
pub mod bounds;
pub mod breaker;
pub mod call_output;
pub mod counts;
pub mod dead_letter;
pub mod delivery;
pub mod effect;
pub mod engine;
pub mod fault;
pub mod granted_reads;
pub mod grants;
pub mod hops;
pub mod index;
pub mod lag;
pub mod lane_progress;
pub mod object_path;
pub mod outbox;
pub mod page_token;
pub mod plugin;
pub mod reads;
pub mod reply_headers;
pub mod retry;
pub mod secrets;
pub mod settings;
pub mod sharding;
pub mod source;
pub mod timestamp;
pub mod verdict;

pub use esclusa_data::{event, event_template, filter, hidden_text, item, step_budget};

/// A boxed future, as the boundary traits return it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
