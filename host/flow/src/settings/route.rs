//! `[[route]]`, checked.

use super::limits::{Instances, Limits};
use crate::call_output::{CallFailure, CallOutput};
use crate::filter::Filter;
use crate::grants::Grants;
use crate::retry::RetryPolicy;
use crate::secrets::Secrets;
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
    /// Its consumer group, if its source is Kafka.
    pub consumer_group: Option<String>,
    /// Events that do not match never reach the plugin; `None`: all match.
    pub filter: Option<Filter>,
    /// The plugin's file.
    pub plugin: PathBuf,
    /// Digest that the file must have, lower-case hex.
    pub sha256: Option<String>,
    /// Tables, object stores and outputs that it may touch.
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
    /// Rules for failures.
    pub policy: RetryPolicy,
    /// Most retries of a recorded message that its output does not take; `None`: no limit. A queue counts how often an event is
    /// received: that says nothing about the messages that come of it.
    pub message_retries: Option<u32>,
    /// How long nearly all calls have to fail before the breaker opens; zero: it never does.
    pub breaker: Duration,
    /// Hops at which an event is given up; zero: at no number of them.
    pub max_hops: u32,
    /// The output that gets events that were given up; `None`: the embedded dead letters.
    pub on_failure: Option<String>,
    /// The guarantee outside the embedded engine.
    pub delivery: DeliveryMode,
    /// True if its source's events arrive in order and are settled in order.
    pub ordered: bool,
    /// Limits of each call.
    pub limits: Limits,
    /// How instances are used.
    pub instances: Instances,
    /// False: loaded and checked, but not started.
    pub enabled: bool,
    /// The plugin's own configuration; it gets it as JSON.
    pub config: serde_json::Value,
    /// The values in `config` that no text may show.
    pub secrets: Secrets,
}

impl RouteSpec {
    /// Checks the output of a call with so many events: see [`Grants::check`].
    ///
    /// # Errors
    /// The failure of the call. It quotes what the plugin asked for, without the route's secrets.
    pub fn check(&self, output: &CallOutput, events: usize) -> Result<(), Box<CallFailure>> {
        self.grants.check(output, events).map_err(|failure| Box::new(self.secrets.mask_failure(*failure)))
    }
}

/// How often the effects of an event may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryMode {
    /// Effects and progress are committed in one transaction.
    ExactlyOnce,
    /// Effects happen again if their progress was not recorded.
    AtLeastOnce,
}
