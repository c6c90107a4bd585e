//! The engines of routes that read Kafka and write nothing to AWS.

mod group;
mod parts;
mod transaction;
mod transactions;

pub use group::of_group;
pub use parts::KafkaEngineSettings;
pub use transactions::of_transactions;
