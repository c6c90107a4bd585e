//! What health and metrics tell: taken from the router by one thread at a time, for all that have asked before.

use super::api_error::ApiError;
use super::health;
use super::metrics;
use super::work_limits::blocking;
use crate::runtime::Runtime;
use crate::runtime::status::Status;
use axum::body::Bytes;
use axum::http::StatusCode;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The router at one moment, as health and metrics show it.
pub(super) struct RouterView {
    /// The router.
    pub status: Status,
    /// Whether it can do its work, and the health of each route.
    pub ready: (StatusCode, Bytes),
    /// Its metrics as text.
    pub metrics: Bytes,
}

/// When a snapshot was begun, and what it shows.
type LastView = (Instant, Arc<RouterView>);

/// The last snapshot.
#[derive(Default)]
pub(super) struct Snapshot(Arc<Mutex<Option<LastView>>>);

impl Snapshot {
    /// The router as it is now, or was since this was asked.
    ///
    /// # Errors
    /// The router cannot be looked at.
    pub(super) async fn show(&self, runtime: &Arc<Runtime>) -> Result<Arc<RouterView>, ApiError> {
        let asked = Instant::now();
        let mut last = self.0.clone().lock_owned().await;
        if let Some((begun, shown)) = &*last
            && *begun >= asked
        {
            return Ok(shown.clone());
        }
        let runtime = runtime.clone();
        // The lock goes along: a client that leaves does not have another snapshot begun beside this one.
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
    let metrics = metrics::render(&status).into();
    RouterView { status, ready, metrics }
}
