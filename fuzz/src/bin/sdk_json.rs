//! The SDK's JSON.
#![no_main]

#[path = "../../../host/testkit/tests/fuzz/sdk_json.rs"]
mod sdk_json;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sdk_json::target(data));
