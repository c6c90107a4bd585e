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
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// A request's headers come within this time, and so does each piece of its body. Idle connections end after it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// After a connection could not be accepted: the process may have too many files open.
const PAUSE: Duration = Duration::from_secs(1);

/// Nothing came for so long.
#[derive(Debug, thiserror::Error)]
#[error("nothing came for {0:?}")]
pub struct Late(Duration);

/// Serves connections until the sender of `stopped` goes; then answers what was asked already. Dropping the future cuts
/// every connection off.
pub async fn serve(listener: TcpListener, router: Router, patience: Duration, mut stopped: oneshot::Receiver<()>) {
    let router =
        router.layer(map_request(move |request| std::future::ready(patient(request, patience)))).with_state(());
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
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

/// A request whose body breaks off where its next piece does not come in time.
fn patient(request: Request, patience: Duration) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    request.map(|body| {
        Body::from_stream(stream::unfold(Some(body.into_data_stream()), move |pieces| async move {
            let mut pieces = pieces?;
            match tokio::time::timeout(patience, pieces.next()).await {
                Ok(piece) => Some((piece?, Some(pieces))),
                Err(_) => Some((Err(axum::Error::new(Late(patience))), None)),
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn body(question::Whole(body): question::Whole) -> Bytes {
        body
    }

    #[tokio::test]
    async fn half_a_request_does_not_keep_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let router = Router::new().route("/", post(body));
        let served = tokio::spawn(serve(listener, router, Duration::from_millis(100), stopped));
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
}
