//! The codes of faults that an operator has to act on. `esclusa explain CODE` has their pages.

/// A second member of the group of a route with embedded targets: each process has a store of its own.
pub const SECOND_MEMBER: &str = "kafka.second-member";
/// The broker does not let the client in: user, password, certificate or rights.
pub const DENIED: &str = "kafka.denied";
/// A topic does not exist.
pub const NO_TOPIC: &str = "kafka.no-topic";
/// Another process uses the same `group.instance.id`, and the broker keeps to that one.
pub const INSTANCE_TAKEN: &str = "kafka.instance-taken";
