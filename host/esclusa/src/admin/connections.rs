//! Connections of the listener: accepted, served, and ended where nothing comes of them.
//!
//! Whoever connects and sends nothing, or half of a request, does not keep a connection for ever.

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::middleware::map_request;
use futures_util::{StreamExt, stream};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// A request's headers come within this time, and so does each piece of its body. Idle connections end after it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The whole body comes within so many times that, however small its pieces are.
pub const WHOLE: u32 = 20;
/// Connections at once, if the process may open four times as many files.
pub const MOST: usize = 1024;
/// After a connection could not be accepted: the process may have too many files open.
const PAUSE: Duration = Duration::from_secs(1);

/// The body, or its next piece, did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub struct Late;

/// How many connections there may be at once; further ones wait to be accepted. The files of the store come first.
pub fn most() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / 4).unwrap_or(usize::MAX).clamp(16, MOST)
}

/// Serves connections until the sender of `stopped` goes; then answers what was asked already. Dropping the future cuts
/// every connection off.
pub async fn serve(listener: TcpListener, router: Router, patience: Duration, mut stopped: oneshot::Receiver<()>) {
    let most = most();
    let router =
        router.layer(map_request(move |request| std::future::ready(patient(request, patience)))).with_state(());
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < most => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), patience, stopping.clone()));
                }
                Err(error) => {
                    tracing::warn!(error = %error, "cannot accept a connection; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = &mut stopped => break,
        }
    }
    drop((listener, stop));
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, router: Router, patience: Duration, mut stopping: watch::Receiver<()>) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(patience);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    // A connection that breaks is the business of whoever was at its other end.
    tokio::select! {
        _ = &mut connection => return,
        _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A request whose body breaks off where its next piece, or the last one, does not come in time.
fn patient(request: Request, patience: Duration) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    let end = Instant::now() + patience * WHOLE;
    request.map(|body| {
        Body::from_stream(stream::unfold(Some(body.into_data_stream()), move |pieces| async move {
            let mut pieces = pieces?;
            match timeout_at(end.min(Instant::now() + patience), pieces.next()).await {
                Ok(piece) => Some((piece?, Some(pieces))),
                Err(_) => Some((Err(axum::Error::new(Late)), None)),
            }
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::question;
    use axum::body::Bytes;
    use axum::routing::post;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    async fn body(question::Whole(body): question::Whole) -> Bytes {
        body
    }

    /// A server with little patience: where it is, what stops it, and its end.
    async fn server() -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (stop, stopped)) = (listener.local_addr().unwrap(), oneshot::channel());
        let router = Router::new().route("/", post(body));
        (address, stop, tokio::spawn(serve(listener, router, Duration::from_millis(100), stopped)))
    }

    #[tokio::test]
    async fn half_a_request_does_not_keep_its_connection() {
        let (address, stop, served) = server().await;
        let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\n";
        let whole = format!("{head}12345");
        for (sent, status) in [("", ""), ("POST / HT", ""), (&format!("{head}12"), "408"), (&whole, "200")] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            let mut answer = String::new();
            // It ends, and the test with it, although this end stays open.
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer.get(9..12).unwrap_or_default(), status, "{sent:?}: {answer}");
        }
        drop(stop);
        served.await.unwrap();
    }

    #[tokio::test]
    async fn drops_do_not_keep_it_either() {
        let (address, stop, served) = server().await;
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
}
