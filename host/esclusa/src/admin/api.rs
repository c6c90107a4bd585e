//! The API: what the command line and the page ask of a running router.

use super::Admin;
use super::answer::Refusal;
use super::question::{self, Path, Query, Whole};
use crate::runtime::status::{RouteStatus, Status};
use crate::runtime::trial::{self, Live, Trial, TrialEvent};
use crate::{audit, configuration, intake, tables};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of items that are sent at once.
const CHUNK: usize = 64 << 10;

type Answer<T> = Result<Json<T>, Refusal>;
type Shared = State<Arc<Admin>>;

/// What the routers' bodies may hold: a chunk of `esclusa send`, or a batch of events of 10 MiB each.
pub const BODY: usize = 64 << 20;

/// Holds bodies to [`BODY`].
pub fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(BODY)
}

/// The router at this moment.
pub async fn status(State(admin): Shared) -> Json<Status> {
    Json(admin.runtime.status())
}

/// Its routes.
pub async fn routes(State(admin): Shared) -> Json<Vec<RouteStatus>> {
    Json(admin.runtime.status().routes)
}

/// Stops taking events for a route.
pub async fn pause(State(admin): Shared, Path(name): Path<String>) -> Answer<Value> {
    set(&admin, &name, true).await
}

/// Lets a route go on.
pub async fn resume(State(admin): Shared, Path(name): Path<String>) -> Answer<Value> {
    set(&admin, &name, false).await
}

async fn set(admin: &Admin, name: &str, pause: bool) -> Answer<Value> {
    if !admin.runtime.pause(name, pause).await? {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is no route {name:?}")));
    }
    let message = if pause { format!("route {name} is paused") } else { format!("route {name} goes on") };
    tracing::info!(route = name, paused = pause, "asked over the API");
    Ok(Json(json!({"message": message})))
}

/// Puts the configuration and changed plugins in force; answers when that is done or refused.
pub async fn reload(State(admin): Shared) -> Answer<Value> {
    match whole(async move { configuration::refresh(&admin.runtime, &admin.config).await }).await? {
        Ok(message) => Ok(Json(json!({"message": message}))),
        Err(error) => Err(Refusal::new(StatusCode::BAD_REQUEST, error.message).with(error.diagnostics)),
    }
}

/// Carries something out to its end, whether or not anybody waits for it.
pub async fn whole<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Refusal> {
    tokio::spawn(work).await.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// The account of every route.
pub async fn audit(State(admin): Shared) -> Answer<Vec<audit::Account>> {
    Ok(Json(audit::running(&admin.runtime).await?))
}

/// Events of a trial.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    events: Vec<TrialEvent>,
    /// Carry out what the plugin wants.
    #[serde(default)]
    live: bool,
}

/// A trial of either kind.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Tried {
    Shown(Trial),
    Done(Live),
}

/// Calls a route's plugin and shows what it wants done; carries it out where it is asked to.
pub async fn invoke(
    State(admin): Shared,
    Path(name): Path<String>,
    question::Json(body): question::Json<Events>,
) -> Answer<Tried> {
    let route = admin.runtime.route(&name)?;
    let malformed = |why| Refusal::new(StatusCode::BAD_REQUEST, why);
    if !body.live {
        return Ok(Json(Tried::Shown(trial::trial(&route, &body.events).await.map_err(malformed)?)));
    }
    let done = whole(async move { trial::live(&route, &body.events).await }).await?.map_err(malformed)?;
    tracing::info!(route = name, failed = done.failed(), "events were handled over the API");
    Ok(Json(Tried::Done(done)))
}

/// How a text becomes records.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sending {
    /// The field that holds each record's key.
    key: Option<String>,
    /// The whole text is one record.
    #[serde(default)]
    raw: bool,
}

/// Puts events into the stream or queue behind a source.
pub async fn send(
    State(admin): Shared,
    Path(name): Path<String>,
    Query(how): Query<Sending>,
    Whole(body): Whole,
) -> Answer<Value> {
    let records =
        if how.raw { vec![intake::raw(body.to_vec(), "")] } else { intake::json_lines(&body, how.key.as_deref(), 1)? };
    let ids = intake::put(admin.runtime.store(), &admin.runtime.loaded().plan, &name, &records).await?;
    Ok(Json(json!({"ids": ids})))
}

/// Every item of a table, a line of JSON each.
pub async fn scan(State(admin): Shared, Path(name): Path<String>) -> Result<Response, Refusal> {
    let lines = tables::scan(admin.runtime.store(), &admin.runtime.loaded().plan, &name)?;
    let (send, receive) = mpsc::channel::<std::io::Result<Bytes>>(4);
    tokio::task::spawn_blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        for line in lines {
            match line {
                Ok(line) => {
                    chunk.extend_from_slice(line.as_bytes());
                    chunk.push(b'\n');
                }
                // A broken stream tells the reader that this was not all.
                Err(error) => return drop(send.blocking_send(Err(std::io::Error::other(error)))),
            }
            if chunk.len() >= CHUNK && send.blocking_send(Ok(std::mem::take(&mut chunk).into())).is_err() {
                return; // Nobody reads any more.
            }
        }
        drop(send.blocking_send(Ok(chunk.into())));
    });
    let body =
        Body::from_stream(stream::unfold(receive, |mut receive| async move { Some((receive.recv().await?, receive)) }));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// A key as a JSON object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    key: String,
}

/// An item of a table; `null` where there is none.
pub async fn item(
    State(admin): Shared,
    Path(name): Path<String>,
    Query(Key { key }): Query<Key>,
) -> Result<Response, Refusal> {
    let item = tables::get(admin.runtime.store(), &admin.runtime.loaded().plan, &name, &key)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], item.unwrap_or_else(|| "null".to_owned())).into_response())
}
