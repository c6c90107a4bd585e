//! The sandbox as its users see it, with well-behaved, broken and hostile guests.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use esclusa_testkit::allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

mod abi;
mod asks;
mod bare;

mod bombs;
mod bounded;
mod cache;
mod calls;
mod compile;
mod determinism;
mod instances;
mod limits;
mod loading;
mod logs;
mod no_files;
mod secrets;
mod support;
