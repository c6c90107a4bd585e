//! Tests of Kafka: on the broker that `scripts/servers.sh run` puts into the environment, else on librdkafka's mock cluster.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test panics where a promise is broken"
)]

mod cluster;
mod conformance;
mod faults;
mod groups;
mod positions;
mod records;
mod routes;
mod security;
mod transactions;
