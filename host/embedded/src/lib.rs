//! The embedded engine: tables, streams, queues, objects and positions in one crash-safe store.
//!
//! One thread writes; it groups the commits that wait, evaluates them in order, writes them as one atomic batch
//! and syncs once. An answered commit is durable; a failed one has left nothing. See
//! `docs/decisions/0002-embedded-store.md`.

mod admin;
mod backup;
mod catalog;
mod change_events;
mod check;
mod clock;
mod codec;
mod commit;
mod damage;
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
mod quota;
mod reads;
mod records;
mod retention;
mod salvage;
mod schema;
mod sources;
mod store;
mod streams;
mod tables;
mod transaction;
mod upgrade;
mod writer;

pub use backup::{BackupReport, backup, copy_staged, restore};
pub use check::{CheckReport, StoreCounts, check};
pub use damage::{DAMAGED, Damage};
pub use disk::{LockedDirectory, MEMORY};
pub use error::{OpenError, SchemaError};
pub use json::{dynamo_json, plain_json};
pub use key::{PARTITION_LIMIT, SORT_LIMIT};
pub use lag::{LaneLag, TrimmedRecords};
pub use progress::SourceSpec;
pub use quota::{DEAD_LETTERS_FULL, StoreFill};
pub use records::NewRecord;
pub use salvage::{LostTable, SalvageReport, salvage};
pub use schema::{OutputTarget, QueueSchema, StoreLimits, StoreSchema, StreamSchema};
pub use sources::{FileSource, GenerateSource, GeneratorSettings, LONGEST_LINE, ScheduleSource, line_text};
pub use store::{RESERVE, Store, StoreOptions};
pub use tables::drafts::STEPS as COMMIT_STEPS;
pub use upgrade::upgrade;
pub use writer::GROUP_BYTES;
