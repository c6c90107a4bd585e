//! `/ingest/NAME`: events from outside, for sources of kind `http`.
//!
//! Without `reply` the answer comes after the durable write; with it, after the commit, and it is the plugin's.

use super::Admin;
use super::answer::Refusal;
use super::question::{self, Path};
use crate::intake;
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use esclusa_config::plan::Source;
use esclusa_embedded::NewRecord;
use futures_util::StreamExt;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Headers that a plugin never sees.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-esclusa-key"];

/// A request to the source itself.
pub async fn ingest(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    take(&admin, &name, "/", request).await
}

/// A request below the source.
pub async fn ingest_below(
    State(admin): State<Arc<Admin>>,
    Path((name, rest)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    take(&admin, &name, &format!("/{rest}"), request).await
}

async fn take(admin: &Admin, name: &str, path: &str, request: Request) -> Result<Response, Refusal> {
    if admin.draining() {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the router is stopping"));
    }
    let loaded = admin.runtime.loaded();
    let Some(Source::Http { reply, max_body, timeout, .. }) = loaded.plan.sources.get(name) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is no source {name:?} of kind http")));
    };
    let (parts, body) = request.into_parts();
    if *reply {
        let data = collect(body, *max_body).await?;
        return ask(admin, name, path, &parts, data, *timeout).await;
    }
    let way = format!("events go in with POST /ingest/{name}");
    if path != "/" {
        return Err(Refusal::new(StatusCode::NOT_FOUND, way));
    }
    if parts.method != Method::POST {
        let mut refused = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, way).into_response();
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Ok(refused);
    }
    let data = collect(body, *max_body).await?;
    let records = records(&parts.headers, &parts.uri, data);
    let ids = intake::put(admin.runtime.store(), &loaded.plan, name, &records).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"ids": ids}))).into_response())
}

/// The whole body, if it is not too large.
async fn collect(body: Body, most: usize) -> Result<Vec<u8>, Refusal> {
    let (mut data, mut stream) = (Vec::new(), body.into_data_stream());
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| question::broken(&error))?;
        if data.len().saturating_add(chunk.len()) > most {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a request may have {most} bytes; max_body of the source says so"),
            ));
        }
        data.extend_from_slice(&chunk);
    }
    Ok(data)
}

/// The whole body as an event, or an event per line where the content type says so.
fn records(headers: &HeaderMap, uri: &Uri, data: Vec<u8>) -> Vec<NewRecord> {
    let key = headers.get("x-esclusa-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let key = key.or_else(|| parameter(uri, "key")).unwrap_or_default();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if matches!(kind.as_str(), "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines") {
        return intake::lines(&data).map(|(_, line)| intake::raw(line.to_vec(), &key)).collect();
    }
    vec![intake::raw(data, &key)]
}

/// The first value of a parameter.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    pairs.into_iter().find_map(|(of, value)| (of == name).then_some(value))
}

/// Asks the plugin, and gives its answer.
async fn ask(
    admin: &Admin,
    name: &str,
    path: &str,
    parts: &Parts,
    data: Vec<u8>,
    timeout: Duration,
) -> Result<Response, Refusal> {
    let unavailable = |why: String| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let desk = admin.runtime.desk(name).ok_or_else(|| unavailable(format!("no route reads from source {name:?}")))?;
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
    let answer = tokio::time::timeout(timeout, desk.ask(data, attributes)).await;
    let answer = answer.map_err(|_| {
        Refusal::new(StatusCode::GATEWAY_TIMEOUT, format!("no answer within {timeout:?}; it may still be worked on"))
    })?;
    let answer = answer.map_err(|why| unavailable(why.to_string()))?;
    let status = StatusCode::from_u16(answer.status).ok().filter(|status| !status.is_informational());
    let status = status.ok_or_else(|| {
        Refusal::new(StatusCode::BAD_GATEWAY, format!("the plugin answered with status {}", answer.status))
    })?;
    let kind =
        HeaderValue::from_str(&answer.content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    Ok((status, [(header::CONTENT_TYPE, kind)], answer.body).into_response())
}

#[cfg(test)]
mod tests {
    use super::{HeaderMap, Uri, parameter, records};

    #[test]
    fn parameters_are_unescaped() {
        let of = |uri: &str| parameter(&uri.parse().unwrap(), "key");
        assert_eq!(of("/?a=1&key=x%2Fy+z%zz&key=2").as_deref(), Some("x/y z%zz"));
        assert_eq!(of("/?keys=1"), None);
        assert_eq!(of("/"), None);
    }

    #[test]
    fn a_body_is_one_event_unless_its_type_says_lines() {
        let uri: Uri = "/ingest/x?key=k".parse().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(records(&headers, &uri, b"a\nb".to_vec()).len(), 1);
        assert_eq!(records(&headers, &uri, Vec::new()).len(), 1, "an empty payload is an event");
        headers.insert("content-type", "application/x-ndjson; charset=utf-8".parse().unwrap());
        let lines = records(&headers, &uri, b"a\n\nb\n".to_vec());
        assert_eq!(
            lines.iter().map(|r| (r.key.as_str(), r.data.as_slice())).collect::<Vec<_>>(),
            [("k", &b"a"[..]), ("k", b"b")]
        );
    }
}
