//! The embedded engine: tables, streams, queues, objects and positions in one crash-safe store.
//!
//! One thread writes; it groups the commits that wait, evaluates them in order, writes them as one atomic batch
//! and syncs once. An answered commit is durable; a failed one has left nothing. See
//! `docs/decisions/0002-embedded-store.md`.

mod admin;
mod catalog;
mod change_events;
mod clock;
mod codec;
mod commit;
mod dead_letters;
mod disk;
mod engine;
mod error;
mod evaluate;
mod expiry;
mod json;
mod kept_answers;
mod key;
mod lag;
mod objects;
mod outbox;
mod progress;
mod queues;
mod reads;
mod records;
mod retention;
mod schema;
mod sources;
mod store;
mod streams;
mod tables;
mod transaction;
mod writer;

pub use disk::{LockedDirectory, MEMORY};
pub use error::{OpenError, SchemaError};
pub use json::{dynamo_json, plain_json};
pub use key::{PARTITION_LIMIT, SORT_LIMIT};
pub use lag::{LaneLag, TrimmedRecords};
pub use progress::SourceSpec;
pub use records::NewRecord;
pub use schema::{OutputTarget, QueueSchema, StoreSchema, StreamSchema};
pub use sources::{FileSource, GenerateSource, GeneratorSettings, LONGEST_LINE, ScheduleSource, line_text};
pub use store::{RESERVE, Store, StoreOptions};
pub use tables::drafts::STEPS as COMMIT_STEPS;
pub use writer::GROUP_BYTES;
