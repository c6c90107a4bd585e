//! Connections of the listener: accepted, served, and ended when their client is too slow or silent.
//!
//! A client that sends nothing or half of a request, or does not read its answer, loses its connection. However many
//! such clients there are, health probes are answered.

mod meter;
mod paced;
mod slots;
mod stage;

use crate::api_error::ApiError;
use arc_swap::ArcSwapOption;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderValue, StatusCode, Version};
use axum::middleware::map_request;
use axum::response::{IntoResponse, Response};
use esclusa_flow::BoxFuture;
use futures_util::{StreamExt, stream};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use paced::{PacedStream, WritePace};
use rustls::ServerConfig;
use slots::{ConnectionSlots, SlotKind};
use stage::{AnswerBody, ConnectionStage};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

pub use meter::ConnectionMeter;
pub use slots::{ConnectionLimits, MOST};

/// Time for a request's headers, and for each further part of its body. A connection that is idle for this long ends.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The same for a client while the listener stops. In HTTP/2 it has to say that it has seen the end coming.
pub const LEAVING: Duration = Duration::from_secs(5);
/// Time for a whole body, as a multiple of [`PATIENCE`].
pub const WHOLE: u32 = 20;
/// Bytes of a body that a client has to send within [`PATIENCE`], unless the body ends before.
const SENT: usize = 4 << 10;
/// Bytes of an answer that a client has to read within [`PATIENCE`], unless the answer ends before.
const TAKEN: usize = 256 << 10;
/// A reserve connection ends after `PATIENCE / BRIEF`; its headers have to come in half of that.
const BRIEF: u32 = 6;
/// Most bytes of a request's line and headers together; also the buffer of a connection for each direction.
pub const BUFFER: usize = 64 << 10;
/// Requests of a connection of HTTP/2 at the same time. Clients count on a hundred until they know better (RFC 9113, 6.5.2),
/// and those beyond the limit would be refused.
pub const STREAMS: u32 = 100;
/// Most bytes of a request's headers in HTTP/2, as it counts them.
pub const HEADER_LIST: u32 = 16 << 10;
/// Bytes that a client of HTTP/2 may send ahead, of one request and of all of its connection.
pub const WINDOW: u32 = 128 << 10;
/// Bytes of each answer that wait to be sent in HTTP/2.
pub const SEND_BUFFER: usize = 8 << 10;
/// Requests that a client of HTTP/2 may take back before they were looked at; more of them end the connection.
const RESETS: usize = 20;
/// Requests that the router had to refuse for mistakes in HTTP/2; more of them end the connection.
const ERRORS: usize = 200;
/// Connections that may wait to be accepted; the system may allow fewer. There are more of them than connections that
/// are served, so that a burst of silent connections does not keep health probes out.
const BACKLOG: u32 = 4096;
/// Pause after a connection could not be accepted: the process may have too many open files, and a loop without pause
/// would take a whole processor.
const PAUSE: Duration = Duration::from_millis(100);
/// The paths that a reserve connection serves.
const HEALTH: [&str; 4] = ["/livez", "/readyz", "/healthz", "/metrics"];

/// The client did not send the body, or its next part, in time.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub struct Late;

/// The connection was cut to make room before its request was read.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut to make room")]
struct CutOff;

/// How the connections of a listener are served.
#[derive(Clone)]
pub struct Serving {
    /// Connections at the same time.
    pub most: ConnectionLimits,
    /// Time for a request's headers, and for each further part of its body.
    pub patience: Duration,
    /// The same while the listener stops: a client that does not go on does not hold up the stop.
    pub leaving: Duration,
    /// The paths that a reserve connection serves.
    pub reserved: &'static [&'static str],
    /// Certificate and key, for connections from now on; `None`: plain HTTP.
    pub tls: Arc<ArcSwapOption<ServerConfig>>,
    /// Takes HTTP/2, too.
    pub http2: bool,
    /// Asks clients of HTTP/1.1 to close their connections.
    pub closing: Arc<AtomicBool>,
    /// Counts connections and answers.
    pub meter: Arc<ConnectionMeter>,
}

impl Serving {
    /// The health probes on plain HTTP/1.1, as the admin listener has them.
    pub fn of_admin() -> Self {
        Serving {
            most: ConnectionLimits::of_files(),
            patience: PATIENCE,
            leaving: LEAVING,
            reserved: &HEALTH,
            tls: Arc::default(),
            http2: false,
            closing: Arc::default(),
            meter: Arc::default(),
        }
    }
}

/// Listens with a long backlog: when it is full, the system drops a connection attempt, and the client tries again
/// only after a second.
///
/// # Errors
/// The address is in use, or this machine does not have it.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As `TcpListener::bind` does: without it a restart could not listen while old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The other end of a connection, an extension of its requests.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Serves connections until the sender of `stopped` is dropped; then finishes the requests that were read. Dropping
/// the future cuts every connection.
///
/// Boxed, so that HTTP is compiled here once, and not again in each crate that awaits it.
pub fn serve(
    listener: TcpListener,
    router: Router,
    serving: Serving,
    stopped: oneshot::Receiver<()>,
) -> BoxFuture<'static, ()> {
    Box::pin(serve_connections(listener, router, serving, stopped))
}

async fn serve_connections(
    listener: TcpListener,
    router: Router,
    serving: Serving,
    mut stopped: oneshot::Receiver<()>,
) {
    let (stop, stopping) = watch::channel(());
    let body = BodyPatience { patience: serving.patience, leaving: serving.leaving, stopping: stopping.clone() };
    let router =
        router.layer(map_request(move |request| std::future::ready(patient(request, body.clone())))).with_state(());
    let (mut slots, mut connections) = (ConnectionSlots::new(serving.most), JoinSet::new());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (kind, stage) = (slots.free(), ConnectionStage::new());
                    let connection =
                        Connection { kind, stage: stage.clone(), peer: Peer(peer), serving: serving.clone() };
                    let task = connections.spawn(connection.accept(stream, router.clone(), stopping.clone()));
                    slots.enter(kind, task, stage);
                    serving.meter.open(connections.len());
                }
                Err(error) => {
                    // Most likely the process has no file left: the oldest silent connection is cut to free one.
                    let shed = slots.shed();
                    tracing::warn!(error = %error, shed, "cannot accept a connection; trying again");
                    sleep(PAUSE).await;
                }
            },
            Some(ended) = connections.join_next_with_id(), if !connections.is_empty() => {
                slots.leave(ended.map_or_else(|error| error.id(), |(id, ())| id));
                serving.meter.open(connections.len());
            }
            _ = &mut stopped => break,
        }
    }
    // The listener is closed first: clients that come now are refused at once, while requests that were read are
    // finished.
    drop((listener, stop));
    while connections.join_next().await.is_some() {}
}

#[derive(Clone)]
struct Connection {
    kind: SlotKind,
    stage: Arc<ConnectionStage>,
    peer: Peer,
    serving: Serving,
}

impl Connection {
    async fn accept(self, stream: TcpStream, router: Router, stopping: watch::Receiver<()>) {
        let brief = (self.kind == SlotKind::Reserve).then(|| self.serving.patience / BRIEF);
        // Answers go out at once: with Nagle's algorithm the last piece would wait for a delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let (tls, patience, leaving) = (self.serving.tls.load_full(), self.serving.patience, self.serving.leaving);
        let served = async move {
            match tls {
                None => self.serve(stream, router, stopping).await,
                Some(tls) => {
                    let handshake = timeout(patience, TlsAcceptor::from(tls).accept(stream));
                    let shaken = tokio::select! {
                        shaken = handshake => shaken,
                        () = stopped_for(stopping.clone(), leaving) => return,
                    };
                    if let Ok(Ok(stream)) = shaken {
                        self.serve(stream, router, stopping).await;
                    }
                }
            }
        };
        match brief {
            Some(brief) => drop(timeout(brief, served).await),
            None => served.await,
        }
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        router: Router,
        mut stopping: watch::Receiver<()>,
    ) {
        let (stage, patience, leaving) = (self.stage.clone(), self.serving.patience, self.serving.leaving);
        let pace = WritePace { bytes: TAKEN, within: patience };
        let stream = TokioIo::new(PacedStream::new(stream, pace, stage.clone()));
        let (builder, router) = (self.builder(), TowerToHyperService::new(router));
        let service = service_fn(move |request| self.clone().answer(router.clone(), request));
        let mut connection = pin!(builder.serve_connection(stream, service));
        // A broken connection is no error of the router, and its client knows of it.
        tokio::select! {
            _ = &mut connection => return,
            () = stage.too_slow(patience) => return,
            _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
        }
        let silent = async {
            // What was silent before is told of the end first.
            sleep(leaving).await;
            stage.left(leaving).await;
        };
        tokio::select! {
            _ = connection => {}
            () = stage.too_slow(patience) => {}
            () = silent => {}
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let (reserve, patience) = (self.kind == SlotKind::Reserve, self.serving.patience);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        let headers = if reserve { patience / BRIEF / 2 } else { patience };
        // A reserve connection serves one request, so that its slot is soon free again.
        let mut http1 = builder.http1();
        http1.timer(TokioTimer::new()).header_read_timeout(headers).max_buf_size(BUFFER).keep_alive(!reserve);
        if !self.serving.http2 || reserve {
            return builder.http1_only();
        }
        let mut http2 = builder.http2();
        http2.timer(TokioTimer::new()).max_concurrent_streams(STREAMS).max_header_list_size(HEADER_LIST);
        http2.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW).max_send_buf_size(SEND_BUFFER);
        http2.max_pending_accept_reset_streams(RESETS).max_local_error_reset_streams(ERRORS);
        http2.keep_alive_interval(patience).keep_alive_timeout(patience);
        builder
    }

    async fn answer(
        self,
        router: TowerToHyperService<Router>,
        mut request: hyper::Request<Incoming>,
    ) -> Result<Response, CutOff> {
        // Noted before the request is served: from here on the connection is not cut for another one.
        let Some(asked) = self.stage.asked() else { return Err(CutOff) };
        request.extensions_mut().insert(self.peer);
        let version = request.version();
        let mut response = if self.kind == SlotKind::Reserve && !self.serving.reserved.contains(&request.uri().path()) {
            crowded()
        } else if request.headers().get_all(HOST).iter().nth(1).is_some() {
            two_hosts()
        } else {
            let Ok(response) = router.call(request).await;
            response
        };
        self.serving.meter.answered(response.status());
        if self.serving.closing.load(Ordering::Relaxed) && version <= Version::HTTP_11 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| Body::new(AnswerBody::new(body, asked.answering()))))
    }
}

/// The answer to anything but health probes while every ordinary connection is busy.
fn crowded() -> Response {
    let why = "every connection is busy; try again later";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why).code("limit.connections").into_response()
}

/// The answer to a request with several `Host` (RFC 9112, section 3.2): a proxy may have looked at another one than this router.
fn two_hosts() -> Response {
    ApiError::new(StatusCode::BAD_REQUEST, "a request has one header Host").code("http.host").into_response()
}

/// Ends `leaving` after the stop began.
async fn stopped_for(mut stopping: watch::Receiver<()>, leaving: Duration) {
    // The sender is dropped to stop.
    while stopping.changed().await.is_ok() {}
    sleep(leaving).await;
}

/// How long bodies of requests may take.
#[derive(Clone)]
struct BodyPatience {
    patience: Duration,
    leaving: Duration,
    stopping: watch::Receiver<()>,
}

/// Makes the body of a request break off with [`Late`] when its next part, or its end, does not come in time.
fn patient(request: Request, how: BodyPatience) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    let patience = how.patience;
    let end = Instant::now() + patience * WHOLE;
    request.map(|body| {
        let start = Some((body.into_data_stream(), 0, Instant::now() + patience));
        Body::from_stream(stream::unfold(start, move |reading| {
            let (stopping, leaving) = (how.stopping.clone(), how.leaving);
            async move {
                let (mut pieces, mut sent, mut due) = reading?;
                let piece = tokio::select! {
                    piece = timeout_at(end.min(due), pieces.next()) => piece.ok(),
                    () = stopped_for(stopping, leaving) => None,
                };
                match piece {
                    Some(piece) => {
                        sent += piece.as_ref()?.as_ref().map_or(0, axum::body::Bytes::len);
                        if sent >= SENT {
                            (sent, due) = (0, Instant::now() + patience);
                        }
                        Some((piece?, Some((pieces, sent, due))))
                    }
                    None => Some((Err(axum::Error::new(Late)), None)),
                }
            }
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bodies::BodyBudget;
    use axum::http::HeaderMap;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    const HEAD: &str = "GET /livez HTTP/1.1\r\nhost: a\r\n";
    const PLENTY: ConnectionLimits = ConnectionLimits { ordinary: 100, reserve: 10 };
    const FEW: ConnectionLimits = ConnectionLimits { ordinary: 4, reserve: 2 };

    async fn body(headers: HeaderMap, body: Body) -> Result<Vec<u8>, ApiError> {
        Ok(BodyBudget::default().read(&headers, body, 1 << 20).await?.data)
    }

    fn router() -> Router {
        let ends: Router = Router::new().route("/", post(body)).route("/livez", get(async || "live"));
        ends.route("/stuck", get(std::future::pending::<()>))
    }

    /// A server: its address, the sender that stops it, and its task.
    async fn server(
        router: Router,
        most: ConnectionLimits,
        patience: u64,
    ) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (stop, stopped)) = (listener.local_addr().unwrap(), oneshot::channel());
        let serving = Serving { most, patience: Duration::from_millis(patience), ..Serving::of_admin() };
        (address, stop, tokio::spawn(serve(listener, router, serving, stopped)))
    }

    async fn open(address: SocketAddr, sent: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream
    }

    async fn said(stream: &mut TcpStream) -> String {
        let mut answer = vec![0; 2048];
        let count = stream.read(&mut answer).await.unwrap_or_default();
        String::from_utf8_lossy(&answer[..count]).into_owned()
    }

    async fn ask(address: SocketAddr, sent: &str) -> String {
        said(&mut open(address, sent).await).await
    }

    #[tokio::test]
    async fn half_a_request_does_not_keep_its_connection() {
        let (address, stop, served) = server(router(), PLENTY, 100).await;
        let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\n";
        let whole = format!("{head}12345");
        for (sent, status) in [("", ""), ("POST / HT", ""), (&format!("{head}12"), "408"), (&whole, "200")] {
            let mut stream = open(address, sent).await;
            let mut answer = String::new();
            // It ends, and the test with it, although this end stays open.
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer.get(9..12).unwrap_or_default(), status, "{sent:?}: {answer}");
        }
        drop(stop);
        served.await.unwrap();
    }

    #[tokio::test]
    async fn clients_that_do_not_go_on_do_not_hold_up_a_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (stop, stopped)) = (listener.local_addr().unwrap(), oneshot::channel());
        let (patience, leaving) = (Duration::from_secs(3600), Duration::from_millis(10));
        let serving = Serving { most: PLENTY, patience, leaving, http2: true, ..Serving::of_admin() };
        let served = tokio::spawn(serve(listener, router(), serving, stopped));
        // Half of a request, an idle connection, and one of HTTP/2 whose client does not answer the ping before the end.
        let half = open(address, "GET /livez HT").await;
        let mut idle = open(address, &format!("{HEAD}\r\n")).await;
        let mut frozen = open(address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        assert!(said(&mut idle).await.ends_with("live") && !said(&mut frozen).await.is_empty());
        drop(stop);
        timeout(Duration::from_secs(60), served).await.expect("the stop waits for a client").unwrap();
        drop((half, idle, frozen));
    }

    #[tokio::test]
    async fn half_a_body_and_half_a_handshake_do_not_hold_up_a_stop_and_what_is_served_does() {
        let (patience, leaving) = (Duration::from_secs(3600), Duration::from_millis(10));
        let certificate = rustls::crypto::ring::default_provider();
        let tls =
            ServerConfig::builder_with_provider(Arc::new(certificate)).with_safe_default_protocol_versions().unwrap();
        let tls =
            tls.with_no_client_auth().with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
        let gate = Arc::new(tokio::sync::Notify::new());
        let (opened, entered) = (gate.clone(), Arc::new(tokio::sync::Notify::new()));
        let inside = entered.clone();
        let slow = get(async move || {
            inside.notify_one();
            opened.notified().await;
            "served"
        });
        let mut stops = Vec::new();
        let mut addresses = Vec::new();
        for tls in [None, Some(Arc::new(tls))] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            let (stop, stopped) = oneshot::channel();
            let tls = Arc::new(ArcSwapOption::from(tls));
            let serving = Serving { most: PLENTY, patience, leaving, tls, ..Serving::of_admin() };
            let router = router().route("/slow", slow.clone());
            stops.push((stop, tokio::spawn(serve(listener, router, serving, stopped))));
        }
        let mut body = open(addresses[0], "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n12").await;
        let mut served = open(addresses[0], "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let handshake = open(addresses[1], "").await;
        entered.notified().await;
        let (stop, served_plain) = stops.remove(0);
        drop(stop);
        assert_eq!(said(&mut body).await.get(9..12), Some("408"));
        // Much longer than a silent client has.
        sleep(leaving * 20).await;
        gate.notify_one();
        assert!(said(&mut served).await.ends_with("served"));
        timeout(Duration::from_secs(60), served_plain).await.expect("the stop waits for a body").unwrap();
        let (stop, served_tls) = stops.remove(0);
        drop(stop);
        timeout(Duration::from_secs(60), served_tls).await.expect("the stop waits for a handshake").unwrap();
        drop(handshake);
    }

    #[tokio::test]
    async fn drops_do_not_keep_it_either() {
        let (address, stop, served) = server(router(), PLENTY, 100).await;
        let (mut answer, mut request) = TcpStream::connect(address).await.unwrap().into_split();
        request.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
        let drops = tokio::spawn(async move {
            while request.write_all(b"1").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let mut status = [0; 12];
        answer.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 408");
        drops.await.unwrap();
        drop(stop);
        served.await.unwrap();
    }

    #[tokio::test]
    async fn a_body_in_drops_ends_long_before_the_time_for_the_whole() {
        let (patience, pause) = (Duration::from_millis(100), Duration::from_millis(20));
        let drops = stream::repeat(()).then(move |()| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::io::Error>("1")
        });
        let request = patient(
            Request::new(Body::from_stream(drops)),
            BodyPatience { patience, leaving: patience, stopping: watch::channel(()).1 },
        );
        let mut pieces = request.into_body().into_data_stream();
        let mut came = 0;
        while pieces.next().await.is_some_and(|piece| piece.is_ok()) {
            came += 1;
        }
        assert!(came <= 5, "{came} drops came within the patience");
    }

    #[tokio::test]
    async fn health_is_answered_while_every_ordinary_connection_is_busy() {
        let (address, _stop, _served) = server(router(), FEW, 30_000).await;
        let mut stuck = Vec::new();
        for _ in 0..FEW.ordinary {
            stuck.push(open(address, &format!("{HEAD}\r\n").replace("livez", "stuck")).await);
        }
        for _ in 0..3 * FEW.reserve {
            let live = ask(address, &format!("{HEAD}\r\n")).await;
            assert!(live.starts_with("HTTP/1.1 200 ") && live.contains("connection: close"), "{live}");
        }
        let other = ask(address, &format!("{HEAD}\r\n").replace("livez", "stuck")).await;
        assert!(other.starts_with("HTTP/1.1 503 ") && other.contains("retry-after: 1"), "{other}");
        assert!(other.contains("connection: close") && other.contains("limit.connections"), "{other}");
    }

    #[tokio::test]
    async fn no_number_of_silent_connections_keeps_health_out() {
        let (address, _stop, _served) = server(router(), FEW, 30_000).await;
        let mut open_ones = Vec::new();
        for path in ["stuck"; 4].into_iter().chain(["livez"; 20]) {
            let whole = if path == "stuck" { "\r\n" } else { "" };
            open_ones.push(open(address, &format!("{HEAD}{whole}").replace("livez", path)).await);
            let live = ask(address, &format!("{HEAD}\r\n")).await;
            assert!(live.starts_with("HTTP/1.1 200 "), "{live:?} with {} open", open_ones.len());
        }
    }

    #[tokio::test]
    async fn connections_in_their_headers_and_idle_ones_give_way_the_oldest_first() {
        let (address, _stop, _served) = server(router(), FEW, 30_000).await;
        let mut halves = Vec::new();
        for _ in 0..FEW.ordinary {
            halves.push(open(address, HEAD).await);
        }
        let mut idle = open(address, &format!("{HEAD}\r\n")).await;
        let answer = said(&mut idle).await;
        assert!(answer.contains("200 OK") && !answer.contains("connection: close"), "an ordinary one: {answer}");
        assert_eq!(said(&mut halves[0]).await, "", "the oldest gave way");
        let mut last = halves.pop().unwrap();
        last.write_all(b"\r\n").await.unwrap();
        assert!(said(&mut last).await.contains("200 OK"), "the others are served");
        let (mut busy, [_, second, third]) = (Vec::new(), &mut halves[..]) else { panic!("three are left") };
        for expected in [second, third, &mut idle, &mut last] {
            busy.push(open(address, &format!("{HEAD}\r\n").replace("livez", "stuck")).await);
            assert_eq!(said(expected).await, "", "after {} busy ones", busy.len());
        }
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_is_broken_off() {
        struct SendOnDrop(Option<oneshot::Sender<()>>);
        impl Drop for SendOnDrop {
            fn drop(&mut self) {
                let _ = self.0.take().map(|dropped| dropped.send(()));
            }
        }
        let (dropped, broken_off) = oneshot::channel();
        let dropped = Arc::new(std::sync::Mutex::new(Some(dropped)));
        let endless = async move || {
            let on_drop = SendOnDrop(dropped.lock().unwrap().take());
            let chunks = stream::repeat(vec![0; 64 << 10]).map(move |chunk| {
                let _kept = &on_drop;
                Ok::<_, std::io::Error>(chunk)
            });
            Body::from_stream(chunks)
        };
        let (address, _stop, _served) = server(Router::new().route("/", get(endless)), PLENTY, 100).await;
        let _silent = open(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        broken_off.await.unwrap();
    }
}
