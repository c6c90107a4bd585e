//! Health: whether the process lives, and whether it should get traffic.

use super::Admin;
use crate::runtime::meter::epoch_millis;
use crate::runtime::status::RouteStatus;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{HeaderName, RETRY_AFTER};
use serde_json::{Value, json};
use std::sync::Arc;

/// A source that did not answer within this time counts as failing; lanes try again more often than that.
const FRESH_MILLIS: u64 = 30_000;

/// The process lives, whatever the world around it does.
pub async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

/// Whatever is asked of a router that is starting.
pub async fn starting() -> (StatusCode, [(HeaderName, &'static str); 1], Json<Value>) {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], Json(json!({"status": "starting"})))
}

/// The router takes events: it is not stopping, and every route reads its source.
pub async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<Value>) {
    if admin.draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "draining"})));
    }
    let now = epoch_millis();
    let failing: Vec<Value> = admin.runtime.status().routes.iter().filter_map(|route| failing(route, now)).collect();
    if failing.is_empty() {
        return (StatusCode::OK, Json(json!({"status": "ready"})));
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "failing", "routes": failing})))
}

fn failing(route: &RouteStatus, now: u64) -> Option<Value> {
    let error = route.reading.last_error.as_ref()?;
    let source = error.code.starts_with("source.") && now.saturating_sub(error.at) < FRESH_MILLIS;
    (source && route.state == "running")
        .then(|| json!({"route": route.name, "source": route.source, "code": error.code, "error": error.message}))
}
