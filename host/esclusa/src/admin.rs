//! The HTTP side of a router: health, API, metrics, events from outside, and the page that shows it all.
//!
//! Listens on the address of `[admin]`, by default on loopback. `guard` decides which requests are served. The
//! listener has threads of its own, so that health is answered whatever the router does: no guest runs on them, and no
//! long work (`work_limits`).

mod api;
pub(crate) mod dead_letters;
pub(crate) mod extract;
mod guard;
mod health;
mod ingest;
pub(crate) mod metrics;
mod plugin_metrics;
mod snapshot;

use crate::runtime::Runtime;
use crate::threads::Threads;
use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
use esclusa_http::api_error;
use esclusa_http::bodies::BodyBudget;
use esclusa_http::connections::{self, Serving};
use esclusa_http::work_limits::WorkLimits;
use snapshot::Snapshot;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

const PAGE: &str = include_str!("../assets/page.html");
const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/page.js");
const ICON: &str = include_str!("../assets/favicon.svg");

/// When the router stops, requests that are being answered get this long to finish.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The state that all handlers share.
pub(crate) struct AdminServer {
    runtime: Arc<Runtime>,
    config: PathBuf,
    listen: SocketAddr,
    draining: AtomicBool,
    work: WorkLimits,
    bodies: BodyBudget,
    snapshot: Snapshot,
    /// One redrive at a time: a dead letter that two clients redrive is delivered once.
    redrives: tokio::sync::Mutex<()>,
    /// Places for redriven dead letters whose messages are not sent yet.
    unsent: Arc<Semaphore>,
}

/// A listener that serves a router. Dropping it stops it.
pub(crate) struct RunningListener {
    admin: Arc<AdminServer>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl AdminServer {
    fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// A listener of a router that is starting: it answers every request with that, until [`serve`]. Dropping it stops it.
pub(crate) struct StartingListener {
    /// The address of the configuration; its port may be 0.
    listen: SocketAddr,
    /// The same, with the port that the system chose.
    address: SocketAddr,
    /// What answers when the router runs. The listener and its connections stay the same: a second listener would leave a moment in
    /// which a client that has heard that the router runs still reaches the first.
    running: Arc<OnceLock<Router>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl StartingListener {
    /// Starts to listen.
    ///
    /// # Errors
    /// The address is in use, or this machine does not have it.
    pub(crate) async fn listen(threads: &Threads, listen: SocketAddr) -> std::io::Result<Self> {
        let ended = || std::io::Error::other("the threads of the HTTP side have ended");
        let threads = threads.handle().ok_or_else(ended)?;
        let listens = threads.spawn(async move {
            let listener = connections::bind(listen)?;
            Ok::<_, std::io::Error>((listener.local_addr()?, listener))
        });
        let (address, listener) = listens.await.map_err(std::io::Error::other)??;
        let (stop, stopped) = oneshot::channel();
        let running = Arc::<OnceLock<Router>>::default();
        let answers = in_turn(running.clone());
        let task = threads.spawn(connections::serve(listener, answers, Serving::of_admin(), stopped));
        Ok(StartingListener { listen, address, running, stop, task })
    }

    /// The address that it listens on, with the port that the system chose.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Answers that the router is starting, and from then on what `running` answers.
fn in_turn(running: Arc<OnceLock<Router>>) -> Router {
    let starting = Router::new()
        .route("/livez", get(health::live))
        .route("/healthz", get(health::live))
        .fallback(health::starting);
    let starting: Router = starting.layer(from_fn(guard::headers));
    Router::new().fallback(move |request: Request| {
        let router = running.get().unwrap_or(&starting).clone();
        async move { router.oneshot(request).await }
    })
}

/// Lets a running router answer every request that begins from now on; `config` is the file of its configuration. Call it on the
/// router's own threads: the work that requests ask of the router runs there.
pub(crate) fn serve(starting: StartingListener, runtime: Arc<Runtime>, config: PathBuf) -> RunningListener {
    let StartingListener { listen, address: _, running, stop, task } = starting;
    let admin = Arc::new(AdminServer {
        runtime,
        config,
        listen,
        draining: AtomicBool::new(false),
        work: WorkLimits::new(Handle::current()),
        bodies: BodyBudget::default(),
        snapshot: Snapshot::default(),
        redrives: Default::default(),
        unsent: Arc::new(Semaphore::new(dead_letters::UNSENT)),
    });
    // It is empty: a listener starts once.
    let _ = running.set(router(admin.clone()));
    RunningListener { admin, stop, task }
}

impl RunningListener {
    /// From now on readiness, `/ingest` and reloads answer that the router is stopping.
    pub(crate) fn drain(&self) {
        self.admin.draining.store(true, Ordering::Relaxed);
    }

    /// Answers the requests that are being served, then stops.
    pub(crate) async fn close(self) {
        drop(self.stop);
        let mut task = self.task;
        if tokio::time::timeout(LAST_ANSWERS, &mut task).await.is_err() {
            task.abort();
        }
    }
}

fn router(admin: Arc<AdminServer>) -> Router {
    let guarded = Router::new()
        .merge(page())
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
        .route("/api/v1/store/backup", post(api::backup))
        .route("/api/v1/audit", get(api::audit))
        .route("/api/v1/dlq", get(dead_letters::list))
        .route("/api/v1/dlq/{id}", get(dead_letters::show))
        .route("/api/v1/dlq/redrive", post(dead_letters::redrive))
        .route("/api/v1/dlq/drop", post(dead_letters::drop))
        .layer(from_fn_with_state(admin.clone(), guard::host));
    let open = Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/ingest/{name}", any(ingest::ingest))
        .route("/ingest/{name}/", any(ingest::ingest))
        .route("/ingest/{name}/{*rest}", any(ingest::ingest_below));
    let all =
        guarded.merge(open).fallback(api_error::not_found).method_not_allowed_fallback(api_error::method_not_allowed);
    all.layer(from_fn(guard::origin)).layer(from_fn(guard::headers)).with_state(admin)
}

/// The page at `/`, its style, script and icon: files that are part of the program.
fn page() -> Router<Arc<AdminServer>> {
    Router::new()
        .route("/", get(|| async { ([(CONTENT_TYPE, "text/html; charset=utf-8")], PAGE) }))
        .route("/favicon.ico", get(|| async { ([(CONTENT_TYPE, "image/svg+xml")], ICON) }))
        .route("/page.css", get(|| async { ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
        .route("/page.js", get(|| async { ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_router_that_starts_says_so_and_the_next_request_of_a_connection_reaches_it_when_it_runs() {
        let threads = Threads::of_admin().unwrap();
        let starting = StartingListener::listen(&threads, ([127, 0, 0, 1], 0).into()).await.unwrap();
        let mut stream = TcpStream::connect(starting.address()).await.unwrap();
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
        starting.running.set(Router::new().route("/runs", get(|| async { "runs" }))).unwrap();
        for mut stream in [stream, TcpStream::connect(starting.address()).await.unwrap()] {
            stream.write_all(b"GET /runs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("runs"), "{answer}");
        }
    }

    #[tokio::test]
    async fn health_is_answered_while_the_threads_of_the_router_are_busy() {
        use std::io::{Read, Write};
        let threads = Threads::of_admin().unwrap();
        let starting = StartingListener::listen(&threads, ([127, 0, 0, 1], 0).into()).await.unwrap();
        // This blocks the only thread of the runtime that the listener was started from.
        let mut stream = std::net::TcpStream::connect(starting.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut answer = [0; 1024];
        let count = stream.read(&mut answer).expect("nobody answered");
        assert!(String::from_utf8_lossy(&answer[..count]).starts_with("HTTP/1.1 200 "));
    }

    #[test]
    fn the_page_is_small_and_shows_text_of_guests_as_text_only() {
        assert!(PAGE.len() + STYLE.len() + SCRIPT.len() < 30 << 10);
        for dangerous in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.contains(dangerous), "{dangerous} would let a guest write into the page");
        }
        assert!(!PAGE.contains("://") && !STYLE.contains("://"), "nothing is fetched from elsewhere");
    }
}
