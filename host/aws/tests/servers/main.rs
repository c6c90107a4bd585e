//! The AWS engine against servers that others wrote. Their endpoints come from the environment.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod fleet;
mod kinesis;
mod leases;
mod scripted;
mod table_stream;
