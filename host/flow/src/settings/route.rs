//! `[[route]]`, checked.

use super::limits::{Instances, Limits};
use crate::filter::Filter;
use crate::grants::Grants;
use crate::retry::RetryPolicy;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// `[[route]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteSpec {
    /// Its name, unique.
    pub name: Arc<str>,
    /// Its source's name.
    pub source: Arc<str>,
    /// Which events it takes; `None`: all.
    pub filter: Option<Filter>,
    /// The plugin's file.
    pub plugin: PathBuf,
    /// Digest that the file must have, lower-case hex.
    pub sha256: Option<String>,
    /// What it may touch.
    pub grants: Grants,
    /// Most events of a call.
    pub batch_size: usize,
    /// Most calls for one batch at the same time, each with keys of its own.
    pub parallelization_factor: usize,
    /// Most bytes of a batch.
    pub batch_bytes: usize,
    /// How long to wait for a full batch.
    pub batch_window: Duration,
    /// Most batches in work at the same time.
    pub concurrency: usize,
    /// Most bytes of events in flight.
    pub in_flight_bytes: usize,
    /// What to do with failures.
    pub policy: RetryPolicy,
    /// Where given-up events go; `None`: the embedded dead letters.
    pub on_failure: Option<String>,
    /// What holds outside the embedded engine, which never gives less than exactly-once.
    pub delivery: DeliveryMode,
    /// True where its source's events arrive in order and are finished in order.
    pub ordered: bool,
    /// What the plugin may use per call.
    pub limits: Limits,
    /// How instances are used.
    pub instances: Instances,
    /// False: loaded and checked, but not started.
    pub enabled: bool,
    /// Handed to the plugin as JSON.
    pub config: serde_json::Value,
}

/// How often the effects of an event may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryMode {
    /// Effects and progress are committed in one transaction.
    ExactlyOnce,
    /// Effects are repeated where the progress was not recorded.
    AtLeastOnce,
}
