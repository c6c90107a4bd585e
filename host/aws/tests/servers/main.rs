//! Tests against servers that others wrote. Their endpoints come from the environment; a test fails where one is missing.
#![expect(clippy::unwrap_used, reason = "tests")]

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
