//! Tests against servers of the AWS protocols that others wrote: `scripts/servers.sh run cargo test -p esclusa-aws`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test panics where a promise is broken"
)]

mod aggregated;
mod answers;
mod building;
mod checks;
mod conformance;
mod discovery;
mod engine;
mod faults;
mod faulty;
mod fleet;
mod kcl_rows;
mod kinesis;
mod lease_faults;
mod leases;
mod objects;
mod once;
mod positions;
mod reads;
mod retained;
mod scripted;
mod sinks;
mod sqs;
mod stale;
mod table_progress;
mod table_stream;
mod tables;

use esclusa_aws::client::Clients;
use esclusa_flow::settings::ServiceLocation;

/// The endpoint of a service, which `scripts/servers.sh` puts into the environment.
fn endpoint(service: &str) -> String {
    let name = format!("AWS_ENDPOINT_URL_{service}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: run this with scripts/servers.sh run"))
}

/// Clients of the servers.
async fn clients() -> Clients {
    endpoint("SQS");
    Clients::load(&ServiceLocation::default()).await
}

/// A service behind a proxy.
fn behind(faults: &esclusa_testkit::faults::FaultProxy) -> ServiceLocation {
    ServiceLocation { region: None, endpoint_url: Some(faults.url().to_owned()) }
}

/// A name that no other test has.
fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::new_v4().simple())
}
