//! Which requests are served: not those that the page of another site makes a browser send.
//!
//! A page of another site can make a browser call a listener on this machine. It cannot forge two headers: `Host`
//! names the site, even if its DNS entry was changed to point here (DNS rebinding); `Origin` names the page. There is
//! no CORS: no other page may read an answer.

use super::AdminServer;
use crate::http::api_error::ApiError;
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Serves a request only if its `Host` is localhost or an address: no DNS entry can make those point elsewhere.
pub(super) async fn host(State(admin): State<Arc<AdminServer>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !ours(host, admin.listen) {
        let message = format!("host {host:?} is not this router; use localhost or the address that it listens on");
        return ApiError::new(StatusCode::MISDIRECTED_REQUEST, message).into_response();
    }
    next.run(request).await
}

fn ours(host: &str, listen: SocketAddr) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    ip.is_ok_and(|ip| ip.is_loopback() || ip == listen.ip() || listen.ip().is_unspecified())
}

/// Serves a request that may change something only if no page of another site has made it.
pub(super) async fn origin(request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !safe && foreign(request.headers()) {
        return ApiError::new(StatusCode::FORBIDDEN, "pages of other sites may not do this").into_response();
    }
    next.run(request).await
}

fn foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site");
    let Some(origin) = headers.get(ORIGIN) else { return site };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own = origin
        .to_str()
        .is_ok_and(|origin| origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)));
    site || !own
}

/// Headers for answers of the router itself.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    with(next.run(request).await, "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
}

/// Headers for answers of plugins: sandboxed, so that a page from a plugin cannot act as a page of the router.
pub(super) async fn ingest_headers(request: Request, next: Next) -> Response {
    with(next.run(request).await, "sandbox; default-src 'none'")
}

fn with(mut response: Response, policy: &'static str) -> Response {
    let headers = response.headers_mut();
    headers.insert("content-security-policy", HeaderValue::from_static(policy));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::{HeaderMap, foreign, ours};

    #[test]
    fn only_names_that_dns_cannot_bend_are_this_router() {
        let here = "127.0.0.1:8080".parse().unwrap();
        for host in ["localhost:8080", "LOCALHOST", "127.0.0.1:9", "[::1]:8080", "127.0.0.9"] {
            assert!(ours(host, here), "{host}");
        }
        for host in ["evil.example:8080", "", "192.168.0.7:8080", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert!(!ours(host, here), "{host}");
        }
        assert!(ours("192.168.0.7:8080", "192.168.0.7:8080".parse().unwrap()));
        assert!(ours("192.168.0.7:8080", "0.0.0.0:8080".parse().unwrap()));
        assert!(!ours("evil.example", "0.0.0.0:8080".parse().unwrap()));
    }

    #[test]
    fn only_pages_of_the_same_host_and_port_are_not_foreign() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
        };
        assert!(!foreign(&headers(&[("host", "localhost:1")])));
        assert!(!foreign(&headers(&[
            ("host", "localhost:1"),
            ("origin", "http://localhost:1"),
            ("sec-fetch-site", "same-origin")
        ])));
        assert!(foreign(&headers(&[("host", "localhost:1"), ("origin", "http://localhost:2")])));
        assert!(foreign(&headers(&[("host", "localhost:1"), ("origin", "null")])));
        assert!(foreign(&headers(&[("host", "localhost:1"), ("sec-fetch-site", "cross-site")])));
    }
}
