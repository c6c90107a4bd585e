//! Filters.
#![no_main]

#[path = "../../../host/testkit/tests/fuzz/filters.rs"]
mod filters;

libfuzzer_sys::fuzz_target!(|data: &[u8]| filters::target(data));
