//! Conformance suites of the boundary traits: what every engine and every source promises, as tests that each
//! implementation runs; fakes of all of them for tests of a running route; a proxy that lets servers fail, a count of
//! allocations, fuzz targets as tests, and senders for engines.

pub mod allocations;
pub mod conformance;
pub mod fakes;
pub mod faults;
pub mod fuzz;
pub mod sender;
