//! The state of the router for health and metrics. One thread at a time looks at the router, for all requests that
//! came before it began.

use super::health;
use super::metrics;
use super::plugin_metrics;
use crate::runtime::Runtime;
use crate::runtime::status::Status;
use axum::body::Bytes;
use axum::http::StatusCode;
use esclusa_http::api_error::ApiError;
use esclusa_http::work_limits::blocking;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The state of the router at one moment.
pub(super) struct RouterView {
    /// The status.
    pub status: Status,
    /// The answer of readiness.
    pub ready: (StatusCode, Bytes),
    /// The metrics as text.
    pub metrics: Bytes,
}

/// When the last look at the router began, and the state that it found.
type LastView = (Instant, Arc<RouterView>);

/// The last state that was looked at.
#[derive(Default)]
pub(super) struct Snapshot(Arc<Mutex<Option<LastView>>>);

impl Snapshot {
    /// The state of the router, as of this call or later.
    ///
    /// # Errors
    /// The thread that looked at the router panicked.
    pub(super) async fn show(&self, runtime: &Arc<Runtime>) -> Result<Arc<RouterView>, ApiError> {
        let asked = Instant::now();
        let mut last = self.0.clone().lock_owned().await;
        if let Some((begun, shown)) = &*last
            && *begun >= asked
        {
            return Ok(shown.clone());
        }
        let runtime = runtime.clone();
        // The lock is held by the thread, not by this future: when a client leaves, no second look begins beside this
        // one.
        blocking(move || {
            let begun = Instant::now();
            let shown = Arc::new(take(&runtime));
            *last = Some((begun, shown.clone()));
            shown
        })
        .await
    }
}

fn take(runtime: &Runtime) -> RouterView {
    let status = runtime.status();
    let ready = health::readiness(runtime.store().unwritable(), &status.routes);
    let mut metrics = metrics::render(&status);
    plugin_metrics::render(&mut metrics, &runtime.plugin_metrics());
    RouterView { status, ready, metrics: metrics.into() }
}
