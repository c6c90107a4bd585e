//! Conformance suites of the boundary traits: what every engine and every source promises, as tests that each
//! implementation runs, and a proxy that lets servers fail.

pub mod conformance;
pub mod faults;
