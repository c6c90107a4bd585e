//! `/ingest/NAME`: events from outside, for sources of kind `http` without a listener.
//!
//! Without `reply` the request is answered once its events are durable. With `reply` the plugin answers it, after the
//! commit.

use super::AdminServer;
use super::extract::PathParams;
use crate::handover;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use esclusa_config::plan::Source;
use esclusa_flow::hops;
use esclusa_http::api_error::ApiError;
use esclusa_http::decoding;
use std::sync::Arc;

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
    let missing = |why: String| Err(ApiError::new(StatusCode::NOT_FOUND, why));
    let (reply, max_body, timeout) = match loaded.plan.sources.get(name) {
        Some(Source::Http { on: None, reply, max_body, timeout, .. }) => (*reply, *max_body, *timeout),
        // Its listener asks who sends, and this one does not.
        Some(Source::Http { on: Some(on), .. }) => {
            return missing(format!("source {name:?} is served by listener {:?}", on.listener));
        }
        _ => return missing(format!("there is no source {name:?} of kind http")),
    };
    let (parts, body) = request.into_parts();
    let limits = (&admin.work, &admin.bodies);
    if reply {
        let mut held = decoding::read(limits, &parts.headers, body, max_body).await?;
        let data = std::mem::take(&mut held.data);
        let request = (data, attributes(&parts, path));
        let answer = handover::ask(&admin.runtime, name, request, timeout, None).await?;
        return handover::response(answer, &admin.work.replies);
    }
    let way = format!("events go in with POST /ingest/{name}");
    if path != "/" {
        return missing(way);
    }
    if parts.method != Method::POST {
        let mut refused = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, way).into_response();
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Ok(refused);
    }
    // The key is checked before the body is read: a bad request takes no share of the budget.
    let key = handover::key(&parts.headers, &parts.uri)?;
    let mut held = decoding::read(limits, &parts.headers, body, max_body).await?;
    let data = std::mem::take(&mut held.data);
    // No header is an attribute of these events; the count of hops is beside them.
    let attributes = handover::header_attributes(&parts.headers).filter(|(name, _)| name == hops::ATTRIBUTE).collect();
    let records = handover::records(limits, &parts.headers, (data, &mut held), (key, attributes)).await?;
    handover::put(&admin.runtime, &admin.work, StatusCode::ACCEPTED, name.to_owned(), records, held).await
}

/// The attributes of a request's event.
fn attributes(parts: &Parts, path: &str) -> Vec<(String, String)> {
    let mut attributes = vec![("method".to_owned(), parts.method.to_string()), ("path".to_owned(), path.to_owned())];
    attributes.push(("query".to_owned(), parts.uri.query().unwrap_or_default().to_owned()));
    attributes.extend(handover::header_attributes(&parts.headers));
    attributes
}
