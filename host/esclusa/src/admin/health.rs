//! Health: whether the process lives, and whether it should get traffic. The answers show the health of each route,
//! but a failing route does not make the process unready: the other routes go on.

use super::AdminServer;
use crate::handover;
use crate::runtime::health::Health;
use crate::runtime::output_status::OutputStatus;
use crate::runtime::status::RouteStatus;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use esclusa_http::api_error::ApiError;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Liveness: the process serves requests, whatever the state of its routes and of the services around it.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

/// The answer to every request while the router is starting. Commands know by the process id that it is their router.
pub(super) async fn starting() -> (StatusCode, [(HeaderName, &'static str); 1], Json<Value>) {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(RETRY_AFTER, "1")],
        Json(json!({"status": "starting", "pid": std::process::id()})),
    )
}

/// Readiness: the router is not stopping, and its store can be written. With `?route=NAME` that route has to be
/// healthy, too.
pub(super) async fn ready(State(admin): State<Arc<AdminServer>>, uri: Uri) -> Result<Response, ApiError> {
    if admin.draining() {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "draining"}))).into_response());
    }
    let shown = admin.snapshot.show(&admin.runtime).await?;
    let (mut status, mut body) = shown.ready.clone();
    if let Some(name) = handover::parameter(&uri, "route") {
        let route = shown.status.routes.iter().find(|route| route.name == name).ok_or_else(|| {
            ApiError::new(StatusCode::NOT_FOUND, format!("there is no route {name:?}")).code("route.unknown")
        })?;
        if status == StatusCode::OK {
            (status, body) = of(route);
        }
    }
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

/// A route in the answer of readiness.
#[derive(Serialize)]
struct RouteReadiness<'a> {
    route: &'a str,
    source: &'a str,
    #[serde(flatten)]
    health: &'a Health,
    /// Its outputs that fail or have messages that are not delivered yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<&'a OutputStatus>,
}

impl<'a> RouteReadiness<'a> {
    fn new(route: &'a RouteStatus) -> Self {
        let waits = |output: &&OutputStatus| output.messages.as_ref().is_some_and(|messages| messages.pending > 0);
        let outputs = route.outputs.iter().filter(|output| output.failing() || waits(output)).collect();
        RouteReadiness { route: &route.name, source: &route.source, health: &route.health, outputs }
    }
}

/// The answer of readiness for the process, with the health of each route. `unwritable`: why the store cannot be
/// written.
pub(super) fn readiness(unwritable: Option<String>, routes: &[RouteStatus]) -> (StatusCode, Bytes) {
    let routes: Vec<RouteReadiness<'_>> = routes.iter().map(RouteReadiness::new).collect();
    match unwritable {
        None => (StatusCode::OK, bytes(&json!({"status": "ready", "routes": routes}))),
        Some(why) => {
            let body = json!({"status": "unwritable", "error": why, "routes": routes});
            (StatusCode::SERVICE_UNAVAILABLE, bytes(&body))
        }
    }
}

/// The answer of readiness for one route.
fn of(route: &RouteStatus) -> (StatusCode, Bytes) {
    let (code, status) =
        if route.health.healthy { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "failing") };
    (code, bytes(&json!({"status": status, "routes": [RouteReadiness::new(route)]})))
}

fn bytes(body: &Value) -> Bytes {
    body.to_string().into()
}
