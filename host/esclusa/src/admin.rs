//! The HTTP side of a router: health, API, metrics, events from outside, and the page that shows it all.
//!
//! Listens where `[admin]` says, on loopback unless somebody insists. Who may ask is decided in `guard`.

mod answer;
mod api;
mod dlq;
mod guard;
mod health;
mod ingest;
pub mod metrics;
mod page;

use crate::runtime::Runtime;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Requests that are being answered when the router stops may take so long.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What the router is doing, for whoever sends it traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Taking events.
    Serving,
    /// Finishing what is in flight.
    Draining,
}

/// What the handlers share.
pub struct Admin {
    runtime: Arc<Runtime>,
    config: PathBuf,
    listen: SocketAddr,
    draining: AtomicBool,
}

/// A listener at work. Dropping it stops it.
pub struct Listening {
    /// Where it listens, the port that the system chose included.
    pub address: SocketAddr,
    admin: Arc<Admin>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Admin {
    /// What is needed to answer: the router, its configuration's file, and where it listens.
    #[must_use]
    pub fn new(runtime: Arc<Runtime>, config: PathBuf, listen: SocketAddr) -> Self {
        Admin { runtime, config, listen, draining: AtomicBool::new(false) }
    }

    fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Starts to listen.
///
/// # Errors
/// The address is taken, or cannot be had.
pub async fn listen(admin: Admin) -> std::io::Result<Listening> {
    let listener = TcpListener::bind(admin.listen).await?;
    let address = listener.local_addr()?;
    let admin = Arc::new(admin);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, router(admin.clone())).with_graceful_shutdown(async move {
        // Sent or dropped, both mean the same.
        let _ = stopped.await;
    });
    let task = tokio::spawn(serving.into_future());
    Ok(Listening { address, admin, stop, task })
}

impl Listening {
    /// Tells from now on that the router is in this phase.
    pub fn phase(&self, phase: Phase) {
        self.admin.draining.store(phase == Phase::Draining, Ordering::Relaxed);
    }

    /// Answers what was asked, then stops.
    pub async fn close(self) {
        drop(self.stop);
        let mut task = self.task;
        if tokio::time::timeout(LAST_ANSWERS, &mut task).await.is_err() {
            task.abort();
        }
    }
}

fn router(admin: Arc<Admin>) -> Router {
    let guarded = Router::new()
        .merge(page::routes())
        .route("/healthz", get(health::live))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/routes", get(api::routes))
        .route("/api/v1/routes/{name}/pause", post(api::pause))
        .route("/api/v1/routes/{name}/resume", post(api::resume))
        .route("/api/v1/routes/{name}/invoke", post(api::invoke))
        .route("/api/v1/sources/{name}/send", post(api::send))
        .route("/api/v1/tables/{name}/scan", get(api::scan))
        .route("/api/v1/tables/{name}/item", get(api::item))
        .route("/api/v1/reload", post(api::reload))
        .route("/api/v1/audit", get(api::audit))
        .route("/api/v1/dlq", get(dlq::list))
        .route("/api/v1/dlq/{id}", get(dlq::show))
        .route("/api/v1/dlq/replay", post(dlq::replay))
        .route("/api/v1/dlq/drop", post(dlq::drop))
        .layer(api::body_limit())
        .layer(from_fn(guard::headers))
        .layer(from_fn_with_state(admin.clone(), guard::host));
    let open = Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/ingest/{name}", any(ingest::ingest))
        .route("/ingest/{name}/{*rest}", any(ingest::ingest_below))
        .layer(from_fn(guard::ingest_headers));
    guarded.merge(open).fallback(answer::unknown).layer(from_fn(guard::origin)).with_state(admin)
}
