//! Conformance suites of the boundary traits: what every engine and every source promises, as tests that each
//! implementation runs.

pub mod conformance;
