//! `/ingest/NAME`: events from outside, for sources of kind `http`.
//!
//! Without `reply` the request is answered once its events are durable. With `reply` the plugin answers it, after the
//! commit.

use super::AdminServer;
use super::extract::{PathParams, media_type, parameter};
use crate::http::api_error::ApiError;
use crate::intake;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use esclusa_config::plan::Source;
use std::sync::Arc;
use std::time::Duration;

/// Most bytes of a key.
const KEY: usize = 1024;

/// Headers that are not passed to plugins.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-esclusa-key"];

/// A request to the source itself.
pub(super) async fn ingest(
    State(admin): State<Arc<AdminServer>>,
    PathParams(name): PathParams<String>,
    request: Request,
) -> Result<Response, ApiError> {
    take(&admin, &name, "/", request).await
}

/// A request below the source.
pub(super) async fn ingest_below(
    State(admin): State<Arc<AdminServer>>,
    PathParams((name, rest)): PathParams<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    take(&admin, &name, &format!("/{rest}"), request).await
}

async fn take(admin: &Arc<AdminServer>, name: &str, path: &str, request: Request) -> Result<Response, ApiError> {
    if admin.draining() {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the router is stopping"));
    }
    let loaded = admin.runtime.loaded();
    let Some(Source::Http { reply, max_body, timeout, .. }) = loaded.plan.sources.get(name) else {
        return Err(ApiError::new(StatusCode::NOT_FOUND, format!("there is no source {name:?} of kind http")));
    };
    let (parts, body) = request.into_parts();
    if *reply {
        let mut held = admin.bodies.read(&parts.headers, body, *max_body).await?;
        let data = std::mem::take(&mut held.data);
        return ask(admin, name, path, &parts, data, *timeout).await;
    }
    let way = format!("events go in with POST /ingest/{name}");
    if path != "/" {
        return Err(ApiError::new(StatusCode::NOT_FOUND, way));
    }
    if parts.method != Method::POST {
        let mut refused = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, way).into_response();
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Ok(refused);
    }
    // The key is checked before the body is read: a bad request takes no share of the budget.
    let key = key(&parts.headers, &parts.uri)?;
    let mut held = admin.bodies.read(&parts.headers, body, *max_body).await?;
    let data = std::mem::take(&mut held.data);
    let size = data.len();
    let records = if lines(&parts.headers) {
        let (data, count) = admin.work.compute(size, move || intake::count(data)).await?;
        admin.bodies.events(&mut held, count?, 2 * key.len()).await?;
        let record = move |line: &[u8]| intake::raw(line.to_vec(), &key);
        admin.work.compute(size, move || intake::lines(&data).map(|(_, line)| record(line)).collect()).await?
    } else {
        vec![intake::raw(data, &key)]
    };
    admin.put(StatusCode::ACCEPTED, name.to_owned(), records, held).await
}

/// The partition key of a request's events. It is bounded because each event has a copy of it.
fn key(headers: &HeaderMap, uri: &Uri) -> Result<String, ApiError> {
    let key = headers.get("x-esclusa-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let key = key.or_else(|| parameter(uri, "key")).unwrap_or_default();
    if key.len() > KEY {
        let why = format!("a key may have {KEY} bytes, this one has {}", key.len());
        return Err(ApiError::new(StatusCode::BAD_REQUEST, why).code("limit.key"));
    }
    Ok(key)
}

/// True if the content type says that each line is an event; else the whole body is one event.
fn lines(headers: &HeaderMap) -> bool {
    matches!(media_type(headers).as_str(), "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines")
}

/// Passes the request to the route of the source, and answers with the plugin's reply.
async fn ask(
    admin: &AdminServer,
    name: &str,
    path: &str,
    parts: &Parts,
    data: Vec<u8>,
    timeout: Duration,
) -> Result<Response, ApiError> {
    let unavailable = |why: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let http_source =
        admin.runtime.http_source(name).ok_or_else(|| unavailable(format!("no route reads from source {name:?}")))?;
    // No route would take the request, and the client would wait for its timeout.
    if admin.runtime.rests(name) {
        return Err(unavailable(format!("the routes that read from source {name:?} are paused or halted")));
    }
    let mut attributes = vec![("method".to_owned(), parts.method.to_string()), ("path".to_owned(), path.to_owned())];
    attributes.push(("query".to_owned(), parts.uri.query().unwrap_or_default().to_owned()));
    for (header, value) in &parts.headers {
        if let (false, Ok(value)) = (SECRET.contains(&header.as_str()), value.to_str()) {
            attributes.push((format!("header.{header}"), value.to_owned()));
        }
    }
    let answer = tokio::time::timeout(timeout, http_source.ask(data, attributes)).await;
    let answer = answer.map_err(|_| {
        ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("no answer within {timeout:?}; the request may still be carried out"),
        )
    })?;
    let answer = answer.map_err(|why| unavailable(why.to_string()))?;
    // A 1xx status cannot end a request.
    let status = StatusCode::from_u16(answer.status).ok().filter(|status| !status.is_informational());
    let status = status.ok_or_else(|| {
        ApiError::new(StatusCode::BAD_GATEWAY, format!("the plugin answered with status {}", answer.status))
    })?;
    let kind =
        HeaderValue::from_str(&answer.content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let body = admin.work.replies.body_now(answer.body)?;
    Ok((status, [(header::CONTENT_TYPE, kind)], body).into_response())
}

#[cfg(test)]
mod tests {
    use super::{HeaderMap, key, lines};

    #[test]
    fn a_body_is_one_event_unless_its_type_says_lines() {
        let mut headers = HeaderMap::new();
        assert!(!lines(&headers));
        for (kind, each) in
            [("text/plain", false), ("application/x-ndjson; charset=utf-8", true), ("Application/JSONL", true)]
        {
            headers.insert("content-type", kind.parse().unwrap());
            assert_eq!(lines(&headers), each, "{kind}");
        }
    }

    #[test]
    fn the_header_names_the_key_before_the_parameter_does() {
        let (mut headers, uri) = (HeaderMap::new(), "/ingest/x?key=k".parse().unwrap());
        assert_eq!(key(&headers, &uri).unwrap(), "k");
        headers.insert("x-esclusa-key", "h".parse().unwrap());
        assert_eq!(key(&headers, &uri).unwrap(), "h");
        assert_eq!(key(&HeaderMap::new(), &"/ingest/x".parse().unwrap()).unwrap(), "");
        headers.insert("x-esclusa-key", "h".repeat(1025).parse().unwrap());
        assert!(format!("{:?}", key(&headers, &uri).unwrap_err()).contains("1024 bytes"));
    }
}
