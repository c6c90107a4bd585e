//! Aggregated records of Kinesis. The decoder is compiled without the rest of its crate, which has the SDK of AWS.
#![no_main]

#[path = "../../../host/aws/src/kinesis/aggregate.rs"]
#[expect(dead_code, unreachable_pub, reason = "the crate of the decoder uses all of it")]
mod aggregate;
#[path = "../../../host/aws/src/kinesis/kpl_target.rs"]
mod kpl_target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| kpl_target::target(data));
