//! The API: the requests of the command line and of the page to a running router.

use super::AdminServer;
use super::extract::{BODY, BodyLimit, BoundedList, JsonBody, PathParams, QueryParams, RawBody};
use crate::handover;
use crate::invoke::{self, Invocation, InvokeEvent, LiveReport};
use crate::runtime::listening::STOPPING;
use crate::{audit, configuration, intake, table_reads};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use esclusa_flow::reads::ReadError;
use esclusa_http::api_error::ApiError;
use esclusa_http::work_limits::{WorkPermit, blocking, json};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Bytes of items in one chunk of an answer.
const CHUNK: usize = 64 << 10;
/// A scan takes this long at most: until it ends, the store keeps the snapshot that it reads.
const SCAN: Duration = Duration::from_secs(600);
/// Events that one invocation may have.
const EVENTS: usize = 10_000;

type JsonAnswer<T> = Result<Json<T>, ApiError>;
type AdminState = State<Arc<AdminServer>>;

/// Answers the status of the router.
pub(super) async fn status(State(admin): AdminState) -> Result<Response, ApiError> {
    let runtime = admin.runtime.clone();
    admin.work.looks.answer(move || Ok::<_, ApiError>(runtime.status())).await
}

/// Answers the status of each route.
pub(super) async fn routes(State(admin): AdminState) -> Result<Response, ApiError> {
    let runtime = admin.runtime.clone();
    admin.work.looks.answer(move || Ok::<_, ApiError>(runtime.status().routes)).await
}

/// Pauses a route: it takes no events until it is resumed.
pub(super) async fn pause(State(admin): AdminState, PathParams(name): PathParams<String>) -> JsonAnswer<Value> {
    set(admin, name, true).await
}

/// Resumes a paused or halted route.
pub(super) async fn resume(State(admin): AdminState, PathParams(name): PathParams<String>) -> JsonAnswer<Value> {
    set(admin, name, false).await
}

async fn set(admin: Arc<AdminServer>, name: String, pause: bool) -> JsonAnswer<Value> {
    let (runtime, route) = (admin.runtime.clone(), name.clone());
    let pauses = async move { runtime.pause(&route, pause).await };
    if !admin.work.whole_in(&admin.work.changes, pauses).await?.0? {
        return Err(ApiError::new(StatusCode::NOT_FOUND, format!("there is no route {name:?}")));
    }
    let message = if pause { format!("route {name} is paused") } else { format!("route {name} is resumed") };
    tracing::info!(route = name, paused = pause, "paused or resumed over the API");
    Ok(Json(json!({"message": message})))
}

/// Puts the configuration and changed plugins in force; answers when that is done or refused.
pub(super) async fn reload(State(admin): AdminState) -> JsonAnswer<Value> {
    if admin.draining() {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, STOPPING));
    }
    let (runtime, config) = (admin.runtime.clone(), admin.config.clone());
    let reloads = async move { configuration::reload(&runtime, &config).await };
    match admin.work.whole_in(&admin.work.changes, reloads).await?.0 {
        Ok(message) => Ok(Json(json!({"message": message}))),
        Err(why) => Err(ApiError::new(StatusCode::BAD_REQUEST, why.text()).with(why.diagnostics())),
    }
}

/// Makes a copy of the store as it is now, for the command line on the same machine; answers its directory, which is in that of the store.
pub(super) async fn backup(State(admin): AdminState) -> JsonAnswer<Value> {
    let store = admin.runtime.store().clone();
    let staged = admin.work.whole_in(&admin.work.changes, async move { store.stage_backup().await }).await?.0?;
    let path = std::path::absolute(&staged).unwrap_or(staged);
    tracing::info!(path = %path.display(), "a backup of the store was made over the API");
    Ok(Json(json!({"path": path})))
}

/// Answers the account of every route.
pub(super) async fn audit(State(admin): AdminState) -> Result<Response, ApiError> {
    let (runtime, clock) = (admin.runtime.clone(), Handle::current());
    // An audit sleeps between its looks: it runs on a thread that may block, not on one that serves connections.
    admin.work.audits.answer(move || clock.block_on(audit::running(&runtime))).await
}

/// The body of an invocation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InvokeBody {
    events: BoundedList<InvokeEvent, EVENTS>,
    /// Carry out the effects; else they are only shown.
    #[serde(default)]
    live: bool,
}

impl BodyLimit for InvokeBody {
    const MOST: usize = BODY;
}

/// The answer to an invocation: effects that are shown, or effects that were carried out.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum InvokeAnswer {
    Shown(Invocation),
    Done(LiveReport),
}

/// Calls a route's plugin and answers its effects; carries them out if the body says `live`.
pub(super) async fn invoke(
    State(admin): AdminState,
    PathParams(name): PathParams<String>,
    JsonBody(body, _held): JsonBody<InvokeBody>,
) -> Result<Response, ApiError> {
    let route = admin.runtime.route(&name)?;
    let malformed = |why| ApiError::new(StatusCode::BAD_REQUEST, why);
    let (events, live) = (body.events.all("events")?, body.live);
    let invocations = &admin.work.invocations;
    let invoked = async move {
        if live {
            return invoke::live(&route, &events).await.map(InvokeAnswer::Done);
        }
        invoke::dry_run(&route, &events).await.map(InvokeAnswer::Shown)
    };
    let (answer, place) = admin.work.whole_in(invocations, invoked).await?;
    let answer = answer.map_err(malformed)?;
    if let InvokeAnswer::Done(done) = &answer {
        tracing::info!(route = name, failed = done.failed(), "a plugin was invoked live over the API");
    }
    invocations.done(answer, place).await
}

/// How the body of a send becomes records.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendQuery {
    /// The field that holds each event's key.
    key: Option<String>,
    /// The whole body is one event.
    #[serde(default)]
    raw: bool,
}

/// Puts events into the stream or queue behind a source.
pub(super) async fn send(
    State(admin): AdminState,
    PathParams(name): PathParams<String>,
    QueryParams(how): QueryParams<SendQuery>,
    RawBody(mut held): RawBody,
) -> Result<Response, ApiError> {
    let data = std::mem::take(&mut held.data);
    let size = data.len();
    let records = if how.raw {
        vec![intake::raw(data, "")]
    } else {
        let (data, count) = admin.work.compute(size, move || intake::count(data)).await?;
        admin.bodies.events(&mut held, size, (count?, 0)).await?;
        admin.work.compute(size, move || intake::json_lines(&data, how.key.as_deref(), 1)).await??
    };
    handover::put(&admin.runtime, &admin.work, StatusCode::OK, name, records, held).await
}

/// The items of a table that are not sent yet.
struct TableScan {
    lines: Box<dyn Iterator<Item = Result<String, ReadError>> + Send>,
    end: Instant,
    place: WorkPermit,
}

/// Every item of a table, a line of JSON each.
pub(super) async fn scan(State(admin): AdminState, PathParams(name): PathParams<String>) -> Result<Response, ApiError> {
    let place = admin.work.scans.place().await?;
    let lines = Box::new(table_reads::scan(admin.runtime.store(), &admin.runtime.loaded().plan, &name)?);
    let scan = TableScan { lines, end: Instant::now() + SCAN, place };
    // The next chunk is read once the client has taken the last one: a slow client occupies no thread.
    let chunks = stream::unfold(Some(scan), |scan| async { next(scan?).await });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(chunks)).into_response())
}

/// Reads one chunk of a scan. After an error the stream breaks off, so that the client does not take a part for the
/// whole table.
async fn next(scan: TableScan) -> Option<(std::io::Result<Vec<u8>>, Option<TableScan>)> {
    let broken = |why: String| Some((Err(std::io::Error::other(why)), None));
    if scan.end <= Instant::now() {
        return broken(format!("the scan took longer than {SCAN:?}"));
    }
    let TableScan { mut lines, end, place } = scan;
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
        Ok(Ok((chunk, lines))) => Some((Ok(chunk), Some(TableScan { lines, end, place }))),
        Ok(Err(error)) => broken(error.to_string()),
        Err(_) => broken("the table cannot be read".to_owned()),
    }
}

/// The key of an item: a JSON object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyQuery {
    key: String,
}

/// Answers an item of a table; `null` if there is no item with this key.
pub(super) async fn item(
    State(admin): AdminState,
    PathParams(name): PathParams<String>,
    QueryParams(KeyQuery { key }): QueryParams<KeyQuery>,
) -> Result<Response, ApiError> {
    let (runtime, looks) = (admin.runtime.clone(), &admin.work.looks);
    let item = looks.run(move || table_reads::get(runtime.store(), &runtime.loaded().plan, &name, &key)).await??;
    Ok(json(Body::from(item.unwrap_or_else(|| "null".to_owned()))))
}
