//! Which requests are served: not those that the page of another site makes a browser send.
//!
//! A page of another site can make a browser call a listener on this machine. It cannot forge three headers: `Host`
//! names the site, even if its DNS entry was changed to point here (DNS rebinding); `Origin` names the page, and
//! `Sec-Fetch-Site` says that it is another one. There is no CORS: no other page may read an answer.

use super::AdminServer;
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use esclusa_http::api_error::ApiError;
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

/// Serves a request only if no page of another site has made it, reads included: they cost work, and with `reply = true` they run a
/// plugin. Other pages may have links to the router's page.
pub(super) async fn origin(request: Request, next: Next) -> Response {
    if foreign(request.headers()) && !follows_link(&request) {
        let why =
            "pages of other sites may not ask for this; to open it, type its address or go there from the page at /";
        return ApiError::new(StatusCode::FORBIDDEN, why).code("http.site").into_response();
    }
    next.run(request).await
}

/// True if somebody follows a link to the page at `/`.
fn follows_link(request: &Request) -> bool {
    let says = |name: &str, word: &str| request.headers().get(name).is_some_and(|value| value == word);
    let opens = says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document");
    opens && *request.method() == Method::GET && request.uri().path() == "/" && !request.headers().contains_key(ORIGIN)
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

/// The policy of answers of the router itself.
const OWN: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The policy of answers of plugins: sandboxed, so that a page from a plugin cannot act as a page of the router.
const OF_PLUGINS: &str = "sandbox; default-src 'none'";

/// Headers for all answers, those that refuse a request included.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let policy = if request.uri().path().starts_with("/ingest/") { OF_PLUGINS } else { OWN };
    let mut response = next.run(request).await;
    let pairs = [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ];
    for (name, value) in pairs {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::{HeaderMap, Request, follows_link, foreign, ours};
    use axum::body::Body;

    #[test]
    fn a_link_leads_to_the_page_and_nowhere_else() {
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        let follows = |method: &str, path: &str, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            follows_link(&request.body(Body::empty()).unwrap())
        };
        assert!(follows("GET", "/", &link));
        assert!(follows("GET", "/?route=a", &link));
        for path in ["/ingest/a", "/metrics", "/api/v1/status", "//", "/page.js"] {
            assert!(!follows("GET", path, &link), "{path}");
        }
        assert!(!follows("POST", "/", &link));
        assert!(!follows("GET", "/", &link[..2]));
        let [site, mode, _] = link;
        assert!(!follows("GET", "/", &[site, mode, ("sec-fetch-dest", "iframe")]), "in a frame");
        assert!(!follows("GET", "/", &[site, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "document")]));
        assert!(!follows("GET", "/", &[&link[..], &[("origin", "http://evil.example")]].concat()));
    }

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
