//! HTTP/2 with and without TLS, and certificates that change.

use super::{ask as over_http1, echo, sent, started};
use crate::router::{PATIENCE, Router};
use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/tls").join(name)
}

fn install(router: &Router, pair: &str) {
    for part in ["key", "cert"] {
        std::fs::copy(fixture(&format!("{pair}-{part}.pem")), router.path(&format!("{part}.pem"))).unwrap();
    }
}

/// A TLS connection that trusts one of the certificates of the tests.
async fn connect(address: &str, pair: &str, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture(&format!("{pair}-cert.pem"))).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Bytes> {
    let (sender, connection) = client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A request of HTTP/2; gives status and body.
async fn ask(sender: &SendRequest<Bytes>, method: &str, path: &str, body: &str) -> Result<(u16, String), h2::Error> {
    read(send(sender, method, path, body).await?).await
}

/// Sends a request of HTTP/2.
async fn send(sender: &SendRequest<Bytes>, method: &str, path: &str, body: &str) -> Result<ResponseFuture, h2::Error> {
    let request = http::Request::builder().method(method).uri(format!("http://localhost{path}")).body(()).unwrap();
    let mut sender = sender.clone().ready().await?;
    let (response, mut stream) = sender.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(Bytes::from(body.to_owned()), true)?;
    }
    Ok(response)
}

/// Status and body of an answer, which is read to its end.
async fn read(response: ResponseFuture) -> Result<(u16, String), h2::Error> {
    let response = response.await?;
    let (status, mut rest, mut said) = (response.status().as_u16(), response.into_body(), Vec::new());
    while let Some(piece) = rest.data().await {
        let piece = piece?;
        let _ = rest.flow_control().release_capacity(piece.len());
        said.extend_from_slice(&piece);
    }
    Ok((status, String::from_utf8(said).unwrap()))
}

async fn said_over_http1(mut stream: TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /v1/things/1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said).await;
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_share_a_connection_of_http2_without_tls() {
    let (router, address) = started(&echo("", "", "", ""));
    let sender = handshake(TcpStream::connect(&address).await.unwrap()).await;
    let asked: Vec<_> = (0..100)
        .map(|at| {
            let sender = sender.clone();
            tokio::spawn(async move { ask(&sender, "POST", "/v1/things", &format!("body {at}")).await.unwrap() })
        })
        .collect();
    for (at, asked) in asked.into_iter().enumerate() {
        let (status, said) = asked.await.unwrap();
        assert!(status == 201 && said.ends_with(&format!("\n\nbody {at}")), "{status} {said}");
    }
    assert_eq!(sent(&router).len(), 100);
    assert_eq!(ask(&sender, "GET", "/nothing", "").await.unwrap().0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_whose_status_has_no_body_is_sent_without_one_and_its_headers_stay() {
    let (_router, address) = started(&echo("", "", "", ""));
    let sender = handshake(TcpStream::connect(&address).await.unwrap()).await;
    for status in ["204", "205", "304"] {
        let body = format!("status:{status}");
        let answer = send(&sender, "POST", "/v1/things", &body).await.unwrap().await.unwrap();
        let (head, mut rest) = answer.into_parts();
        assert_eq!((head.status.as_str(), head.headers.get("x-echo").is_some()), (status, true), "{head:?}");
        assert_eq!(head.headers.get("content-length"), None, "{head:?}");
        assert!(rest.is_end_stream() && rest.data().await.is_none(), "{status} over HTTP/2 has a body");
        for (method, path) in [("POST", "/v1/things"), ("HEAD", "/v1/things/1")] {
            let answer = over_http1(&address, method, path, &[], body.as_bytes());
            assert_eq!((answer.status.to_string().as_str(), answer.header("x-echo")), (status, Some("yes")));
            // A client of HTTP/1.1 that knows no 205 would wait for a body without it.
            let declared = (status == "205" && method == "POST").then_some("0");
            assert_eq!((answer.header("content-length"), answer.body.len()), (declared, 0), "{method}: {answer:?}");
        }
    }
    let options = send(&sender, "OPTIONS", "/v1/things", "").await.unwrap().await.unwrap();
    assert_eq!((options.status().as_u16(), options.headers().get("content-length")), (204, None), "{options:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http2_is_told_to_go_elsewhere_and_gets_the_answer_to_what_was_read() {
    let (mut router, address) = started(&echo("", "", "", "concurrency = 1\nbatch_window = \"4s\""));
    let sender = handshake(TcpStream::connect(&address).await.unwrap()).await;
    // Its headers are read when the router gives room for its body: more than a client may send ahead.
    let body = "x".repeat(200 << 10);
    let request = http::Request::builder().method("POST").uri("http://localhost/v1/things").body(()).unwrap();
    let (response, mut stream) = sender.clone().ready().await.unwrap().send_request(request, false).unwrap();
    stream.reserve_capacity(body.len());
    let mut sent = 0;
    while sent < body.len() {
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await.unwrap().unwrap();
        let piece = room.min(body.len() - sent);
        sent += piece;
        stream.send_data(Bytes::from("x".repeat(piece)), sent == body.len()).unwrap();
    }
    router.send_signal("TERM");
    assert_eq!(read(response).await.unwrap().0, 201);
    let refused = ask(&sender, "GET", "/v1/things/1", "").await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(router.wait(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_serves_both_versions_and_takes_a_new_certificate_for_new_connections() {
    let mut router = Router::new(&echo("tls = { certificate = \"cert.pem\", key = \"key.pem\" }", "", "", ""));
    install(&router, "first");
    router.start();
    router.until("it listens", |router| router.path("data/router.json").exists());
    let address = router.listener("api");
    let stream = connect(&address, "first", b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let kept = handshake(stream).await;
    assert_eq!(ask(&kept, "POST", "/v1/things", "x").await.unwrap().0, 201);
    let said = said_over_http1(connect(&address, "first", b"http/1.1").await.unwrap()).await;
    assert!(said.starts_with("HTTP/1.1 201 "), "{said}");
    // A key that does not fit: the old certificate stays, and the log says so.
    std::fs::copy(fixture("second-key.pem"), router.path("key.pem")).unwrap();
    router.until("the bad key is noticed", |router| router.log().contains("listener::bad_tls"));
    assert!(connect(&address, "first", b"h2").await.is_ok());
    install(&router, "second");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while connect(&address, "second", b"h2").await.is_err() {
        assert!(std::time::Instant::now() < deadline, "the new certificate is not taken\n{}", router.log());
    }
    assert!(connect(&address, "first", b"h2").await.is_err(), "the old one is gone");
    assert_eq!(ask(&kept, "POST", "/v1/things", "y").await.unwrap().0, 201, "connections go on");
    // Plain HTTP on a port of TLS, and no handshake at all, end without holding up anything.
    let mut plain = TcpStream::connect(&address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let _ = plain.read(&mut [0; 64]).await;
    assert_eq!(ask(&kept, "POST", "/v1/things", "z").await.unwrap().0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_stops_the_start_with_its_code() {
    let mut router = Router::new(&echo("tls = { certificate = \"cert.pem\", key = \"key.pem\" }", "", "", ""));
    install(&router, "first");
    std::fs::copy(fixture("second-key.pem"), router.path("key.pem")).unwrap();
    router.spawn(&[]);
    assert_ne!(router.wait(), 0);
    assert!(router.log().contains("listener::bad_tls") && router.log().contains("key.pem"), "{}", router.log());
    // `validate` finds it before, with the line.
    let refused = router.run(&["validate"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("error[listener::bad_tls]"), "{said}");
    assert!(said.contains("routes.toml:") && said.contains("tls = {"), "{said}");
    std::fs::remove_file(router.path("cert.pem")).unwrap();
    let missing = router.run(&["validate"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cert.pem cannot be used"), "{missing:?}");
    install(&router, "first");
    assert!(router.run(&["validate"]).status.success());
}

// Frames of HTTP/2 and codes of errors, RFC 9113, sections 6 and 7.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Kind and payload of each whole frame.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(9)?;
        let (payload, rest) = rest.split_at_checked(u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize)?;
        bytes = rest;
        Some((head[3], payload))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_opens_requests_and_takes_them_back_loses_its_connection() {
    let (_router, address) = started(&echo("", "", "", ""));
    let mut flood = TcpStream::connect(&address).await.unwrap();
    // All in one write: the router finds many that were taken back before it has looked at them.
    let mut sent = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, &[])].concat();
    for request in (1..400).step_by(2) {
        sent.extend(frame(HEADERS, 0x5, request, b"\x82\x86\x04\x0c/v1/things/1\x01\x09localhost"));
        sent.extend(frame(RST_STREAM, 0, request, &CANCEL.to_be_bytes()));
    }
    flood.write_all(&sent).await.unwrap();
    let mut said = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, flood.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "the connection is left open");
    let codes: Vec<_> =
        frames(&said).filter(|(kind, _)| *kind == GOAWAY).map(|(_, payload)| payload[4..8].to_vec()).collect();
    assert_eq!(codes.last(), Some(&ENHANCE_YOUR_CALM.to_be_bytes().to_vec()), "{said:?}");
    let other = handshake(TcpStream::connect(&address).await.unwrap()).await;
    assert_eq!(ask(&other, "GET", "/v1/things/1", "").await.unwrap().0, 201, "others are served");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_are_refused() {
    let (_router, address) = started(&echo("", "", "", ""));
    let sender = handshake(TcpStream::connect(&address).await.unwrap()).await;
    let request =
        http::Request::builder().method("GET").uri("http://localhost/v1/things/1").header("x", "y".repeat(60_000));
    let (response, _) = sender.clone().ready().await.unwrap().send_request(request.body(()).unwrap(), true).unwrap();
    let status = response.await.map(|response| response.status().as_u16());
    assert!(!matches!(status, Ok(200..300)), "{status:?}");
    // HTTP/1.1, one header after the other.
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(b"GET /v1/things/1 HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    let line = format!("x-more: {}\r\n", "z".repeat(1000));
    let mut sent = 0;
    while sent < 1 << 20 && stream.write_all(line.as_bytes()).await.is_ok() {
        sent += line.len();
    }
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
}
