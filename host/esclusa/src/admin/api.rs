//! The API: what the command line and the page ask of a running router.

use super::Admin;
use super::api_error::Refusal;
use super::extract::{self, BODY, Bounded, Content, Path, Query, Whole};
use super::work_limits::{Place, blocking, json};
use crate::invoke::{self, Invocation, InvokeEvent, Live};
use crate::{audit, configuration, intake, tables};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use esclusa_flow::engine::ReadError;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Bytes of items that are sent at once.
const CHUNK: usize = 64 << 10;
/// A scan takes this long at most: as long as it lasts the store keeps what it reads.
const SCAN: Duration = Duration::from_secs(600);
/// Events that a trial may have.
const EVENTS: usize = 10_000;

type Answer<T> = Result<Json<T>, Refusal>;
type Shared = State<Arc<Admin>>;

/// The router at this moment.
pub(super) async fn status(State(admin): Shared) -> Result<Response, Refusal> {
    let runtime = admin.runtime.clone();
    admin.work.looks.answer(move || Ok::<_, Refusal>(runtime.status())).await
}

/// Its routes.
pub(super) async fn routes(State(admin): Shared) -> Result<Response, Refusal> {
    let runtime = admin.runtime.clone();
    admin.work.looks.answer(move || Ok::<_, Refusal>(runtime.status().routes)).await
}

/// Stops taking events for a route.
pub(super) async fn pause(State(admin): Shared, Path(name): Path<String>) -> Answer<Value> {
    set(admin, name, true).await
}

/// Lets a route go on.
pub(super) async fn resume(State(admin): Shared, Path(name): Path<String>) -> Answer<Value> {
    set(admin, name, false).await
}

async fn set(admin: Arc<Admin>, name: String, pause: bool) -> Answer<Value> {
    let (runtime, route) = (admin.runtime.clone(), name.clone());
    let pauses = async move { runtime.pause(&route, pause).await };
    if !admin.work.whole_in(&admin.work.changes, pauses).await?.0? {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is no route {name:?}")));
    }
    let message = if pause { format!("route {name} is paused") } else { format!("route {name} goes on") };
    tracing::info!(route = name, paused = pause, "asked over the API");
    Ok(Json(json!({"message": message})))
}

/// Puts the configuration and changed plugins in force; answers when that is done or refused.
pub(super) async fn reload(State(admin): Shared) -> Answer<Value> {
    let (runtime, config) = (admin.runtime.clone(), admin.config.clone());
    let reloads = async move { configuration::refresh(&runtime, &config).await };
    match admin.work.whole_in(&admin.work.changes, reloads).await?.0 {
        Ok(message) => Ok(Json(json!({"message": message}))),
        Err(error) => Err(Refusal::new(StatusCode::BAD_REQUEST, error.message).with(error.diagnostics)),
    }
}

/// The account of every route.
pub(super) async fn audit(State(admin): Shared) -> Result<Response, Refusal> {
    let (runtime, clock) = (admin.runtime.clone(), Handle::current());
    admin.work.audits.answer(move || clock.block_on(audit::running(&runtime))).await
}

/// Events of a trial.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Events {
    events: Bounded<InvokeEvent, EVENTS>,
    /// Carry out what the plugin wants.
    #[serde(default)]
    live: bool,
}

impl Content for Events {
    const MOST: usize = BODY;
}

/// A trial of either kind.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Tried {
    Shown(Invocation),
    Done(Live),
}

/// Calls a route's plugin and shows what it wants done; carries it out when it is asked to.
pub(super) async fn invoke(
    State(admin): Shared,
    Path(name): Path<String>,
    extract::Json(body, _held): extract::Json<Events>,
) -> Result<Response, Refusal> {
    let route = admin.runtime.route(&name)?;
    let malformed = |why| Refusal::new(StatusCode::BAD_REQUEST, why);
    let (events, live) = (body.events.all("events")?, body.live);
    let trials = &admin.work.trials;
    let tries = async move {
        if live {
            return invoke::live(&route, &events).await.map(Tried::Done);
        }
        invoke::trial(&route, &events).await.map(Tried::Shown)
    };
    let (tried, place) = admin.work.whole_in(trials, tries).await?;
    let tried = tried.map_err(malformed)?;
    if let Tried::Done(done) = &tried {
        tracing::info!(route = name, failed = done.failed(), "events were handled over the API");
    }
    trials.done(tried, place).await
}

/// How a text becomes records.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sending {
    /// The field that holds each record's key.
    key: Option<String>,
    /// The whole text is one record.
    #[serde(default)]
    raw: bool,
}

/// Puts events into the stream or queue behind a source.
pub(super) async fn send(
    State(admin): Shared,
    Path(name): Path<String>,
    Query(how): Query<Sending>,
    Whole(mut held): Whole,
) -> Result<Response, Refusal> {
    let data = std::mem::take(&mut held.data);
    let size = data.len();
    let records = if how.raw {
        vec![intake::raw(data, "")]
    } else {
        let (data, count) = admin.work.compute(size, move || intake::count(data)).await?;
        admin.bodies.events(&mut held, count?, 0).await?;
        admin.work.compute(size, move || intake::json_lines(&data, how.key.as_deref(), 1)).await??
    };
    admin.put(StatusCode::OK, name, records, held).await
}

/// Items of a table that are still to be sent.
struct Scan {
    lines: Box<dyn Iterator<Item = Result<String, ReadError>> + Send>,
    end: Instant,
    place: Place,
}

/// Every item of a table, a line of JSON each.
pub(super) async fn scan(State(admin): Shared, Path(name): Path<String>) -> Result<Response, Refusal> {
    let place = admin.work.scans.place().await?;
    let lines = Box::new(tables::scan(admin.runtime.store(), &admin.runtime.loaded().plan, &name)?);
    let scan = Scan { lines, end: Instant::now() + SCAN, place };
    // The next chunk is read when the last one was taken: a client that is slow keeps no thread.
    let chunks = stream::unfold(Some(scan), |scan| async { next(scan?).await });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(chunks)).into_response())
}

/// A chunk of a scan. A broken stream tells the reader that this was not all.
async fn next(scan: Scan) -> Option<(std::io::Result<Vec<u8>>, Option<Scan>)> {
    let broken = |why: String| Some((Err(std::io::Error::other(why)), None));
    if scan.end <= Instant::now() {
        return broken(format!("the scan took longer than {SCAN:?}"));
    }
    let Scan { mut lines, end, place } = scan;
    let read = blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        while chunk.len() < CHUNK {
            let Some(line) = lines.next() else { break };
            chunk.extend_from_slice(line?.as_bytes());
            chunk.push(b'\n');
        }
        Ok::<_, ReadError>((chunk, lines))
    });
    match read.await {
        Ok(Ok((chunk, _))) if chunk.is_empty() => None,
        Ok(Ok((chunk, lines))) => Some((Ok(chunk), Some(Scan { lines, end, place }))),
        Ok(Err(error)) => broken(error.to_string()),
        Err(_) => broken("the table cannot be read".to_owned()),
    }
}

/// A key as a JSON object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    key: String,
}

/// An item of a table; `null` where there is none.
pub(super) async fn item(
    State(admin): Shared,
    Path(name): Path<String>,
    Query(Key { key }): Query<Key>,
) -> Result<Response, Refusal> {
    let (runtime, looks) = (admin.runtime.clone(), &admin.work.looks);
    let item = looks.run(move || tables::get(runtime.store(), &runtime.loaded().plan, &name, &key)).await??;
    Ok(json(Body::from(item.unwrap_or_else(|| "null".to_owned()))))
}
