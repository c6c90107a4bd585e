//! The HTTP side of a router: health, API, metrics, events from outside, and the page that shows it all.
//!
//! Listens where `[admin]` says, on loopback unless somebody insists. Who may ask is decided in `guard`.

mod answer;
pub(crate) mod api;
pub(crate) mod connections;
pub(crate) mod dlq;
mod guard;
mod health;
mod ingest;
pub mod metrics;
mod page;
mod question;

use crate::runtime::Runtime;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
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
    /// One replay at a time: a letter that two people replay is delivered once.
    replays: tokio::sync::Mutex<()>,
}

/// A listener at work. Dropping it stops it.
pub struct Listening {
    /// Where it listens, the port that the system chose included.
    pub address: SocketAddr,
    admin: Arc<Admin>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Admin {
    fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// A listener of a router that is starting: it says so to whoever asks. Dropping it stops it.
pub struct Starting {
    /// As it was asked for: the port may be 0.
    address: SocketAddr,
    listener: std::net::TcpListener,
    _stop: oneshot::Sender<()>,
}

impl Starting {
    /// Starts to listen.
    ///
    /// # Errors
    /// The address is taken, or cannot be had.
    pub async fn listen(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?.into_std()?;
        let answers = TcpListener::from_std(listener.try_clone()?)?;
        let (stop, stopped) = oneshot::channel();
        let router: Router = Router::new().route("/livez", get(health::live)).fallback(health::starting);
        tokio::spawn(connections::serve(answers, router, connections::PATIENCE, stopped));
        Ok(Starting { address, listener, _stop: stop })
    }
}

/// Has a router that is running answer from now on; `config` is the file of its configuration.
///
/// # Errors
/// The listener is broken.
pub fn serve(starting: Starting, runtime: Arc<Runtime>, config: PathBuf) -> std::io::Result<Listening> {
    // What else listened ends here: no connection stays with it.
    let Starting { address: listen, listener, _stop } = starting;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let draining = AtomicBool::new(false);
    let admin = Arc::new(Admin { runtime, config, listen, draining, replays: Default::default() });
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(connections::serve(listener, router(admin.clone()), connections::PATIENCE, stopped));
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
        .route("/ingest/{name}/", any(ingest::ingest))
        .route("/ingest/{name}/{*rest}", any(ingest::ingest_below))
        .layer(from_fn(guard::ingest_headers));
    let all = guarded.merge(open).fallback(answer::unknown).method_not_allowed_fallback(answer::method);
    all.layer(from_fn(guard::origin)).with_state(admin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_router_that_starts_says_so_and_keeps_no_connection() {
        let starting = Starting::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let mut stream = TcpStream::connect(starting.listener.local_addr().unwrap()).await.unwrap();
        let mut said = String::new();
        for (path, status) in [("/readyz", "503"), ("/ingest/orders", "503"), ("/livez", "200")] {
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = vec![0; 1024];
            let count = stream.read(&mut answer).await.unwrap();
            said = String::from_utf8_lossy(&answer[..count]).into_owned();
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {said}");
            assert_eq!(said.contains("retry-after: 1"), status == "503", "{path}: {said}");
        }
        assert!(said.contains("live"), "{said}");
        drop(starting);
        assert_eq!(
            stream.read(&mut [0]).await.unwrap(),
            0,
            "the connection ends, so that the next one reaches the router"
        );
    }
}
