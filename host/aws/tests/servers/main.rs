//! Tests against servers that others wrote. Their endpoints come from the environment; a test fails where one is missing.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod building;
mod checks;
mod conformance;
mod engine;
mod faults;
mod faulty;
mod keeper;
mod objects;
mod once;
mod tables;
