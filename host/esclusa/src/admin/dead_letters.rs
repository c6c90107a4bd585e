//! The dead letters of a router over the API: listed, shown, redriven and dropped.

use super::AdminServer;
use super::extract::{BodyLimit, BoundedList, JsonBody, PathParams, QueryParams};
use crate::dead_letters::{self, NotSelected, StoredDeadLetter};
use crate::redrive::{self, NotRedriven};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use esclusa_flow::verdict::cut;
use esclusa_http::api_error::ApiError;
use esclusa_http::work_limits::{encode, json};
use esclusa_pipeline::batch_filter::StopOnDrop;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Most redriven dead letters whose messages are not sent yet: they are in memory, and an output may be away for long.
pub(super) const UNSENT: usize = 256;
/// How long a redrive waits until they are fewer.
const ROOM: Duration = Duration::from_secs(1);
/// Most dead letters of one answer.
pub(crate) const MOST: usize = 500;
/// Most dead letters that a request may name.
const IDS: usize = 10_000;
/// Dead letters that are dropped in one commit. The store reads each one before it removes it, and other commits wait
/// meanwhile.
const DROPPED: usize = 100;
/// Numbers of dead letters in a line of the log.
const NUMBERS: usize = 50;
/// Most bytes of an error in the answer to a redrive.
const TOLD: usize = 1000;

/// The body of a redrive or drop: dead letters by number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeadLetterIds {
    ids: BoundedList<u64, IDS>,
}

impl BodyLimit for DeadLetterIds {
    const MOST: usize = 16 << 20;
}

/// Answers the dead letters that a query selects.
pub(crate) async fn list(
    State(admin): State<Arc<AdminServer>>,
    QueryParams(query): QueryParams<dead_letters::DeadLetterQuery>,
) -> Result<Response, ApiError> {
    let store = admin.runtime.store().clone();
    // When the client leaves, this future and the guard are dropped, and the search stops.
    let guard = StopOnDrop::default();
    let stop = guard.flag();
    admin.work.searches.answer::<_, NotSelected>(move || dead_letters::select(&store, &query, MOST, &stop)).await
}

/// Answers everything that is known of a dead letter.
pub(crate) async fn show(
    State(admin): State<Arc<AdminServer>>,
    PathParams(id): PathParams<String>,
) -> Result<Response, ApiError> {
    let id = id
        .parse()
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, format!("{id:?} is not the number of a dead letter")))?;
    let store = admin.runtime.store().clone();
    let find = move || match dead_letters::find(&store, id) {
        Ok(Some(dead_letter)) => Ok(StoredDeadLetter::new(id, dead_letter)),
        Ok(None) => Err(gone(id)),
        Err(fault) => Err(fault.into()),
    };
    admin.work.searches.answer::<_, ApiError>(find).await
}

/// Redrives dead letters, one after the other.
pub(crate) async fn redrive(
    State(admin): State<Arc<AdminServer>>,
    JsonBody(DeadLetterIds { ids }, _): JsonBody<DeadLetterIds>,
) -> Result<Response, ApiError> {
    let ids = ids.all("ids")?;
    let work = admin.clone();
    let redrives = async move { again(&work, ids).await };
    let (redriven, _place) = admin.work.whole_in(&admin.work.redrives, redrives).await?;
    Ok(json(admin.work.replies.body_now(encode(&redriven?)?)?))
}

async fn again(admin: &AdminServer, ids: Vec<u64>) -> Result<Value, ApiError> {
    let (mut redriven, mut failed) = (Vec::new(), Vec::new());
    for id in ids {
        let place = tokio::time::timeout(ROOM, admin.unsent.clone().acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            let error = format!(
                "the messages of {UNSENT} dead letters that were redriven before it still wait for their outputs (esclusa status shows them)"
            );
            failed.push(json!({"id": id, "error": error}));
            continue;
        };
        // Held for one dead letter, not for the request: other requests take their turn in between.
        let alone = admin.redrives.lock().await;
        let dead_letter = dead_letters::find(admin.runtime.store(), id)?;
        let Some(dead_letter) = dead_letter else {
            failed.push(json!({"id": id, "error": NotRedriven::Gone(id).to_string()}));
            continue;
        };
        let result = match admin.runtime.route(&dead_letter.route) {
            Ok(route) => redrive::redrive(&route, admin.runtime.store(), id).await.map(|pending| (route, pending)),
            Err(missing) => Err(missing.into()),
        };
        std::mem::drop(alone);
        match result {
            Ok((route, pending)) => {
                // Its messages are in the outbox: they are sent like those of the route, and the next dead letter does
                // not wait for their receiver.
                tokio::spawn(async move {
                    redrive::finish(&route, pending).await;
                    std::mem::drop(place);
                });
                redriven.push(id);
            }
            Err(error) => {
                let error = cut(&error.to_string(), TOLD);
                tracing::warn!(route = dead_letter.route, id, error, "a dead letter failed again");
                failed.push(json!({"id": id, "error": error}));
            }
        }
    }
    let ids = told(&redriven);
    tracing::info!(redriven = redriven.len(), failed = failed.len(), ids, "dead letters redriven over the API");
    Ok(json!({"redriven": redriven, "failed": failed}))
}

/// Drops dead letters.
pub(crate) async fn drop(
    State(admin): State<Arc<AdminServer>>,
    JsonBody(DeadLetterIds { ids }, _): JsonBody<DeadLetterIds>,
) -> Result<Json<Value>, ApiError> {
    let (ids, runtime) = (ids.all("ids")?, admin.runtime.clone());
    let told = told(&ids);
    let work = async move {
        let mut dropped = 0_usize;
        for some in ids.chunks(DROPPED) {
            match runtime.store().remove_dead(some.to_vec()).await {
                Ok(count) => dropped = dropped.saturating_add(count),
                Err(fault) => {
                    let why = format!("{fault}; {dropped} dead letter(s) were dropped before");
                    return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why));
                }
            }
        }
        Ok(dropped)
    };
    let dropped = admin.work.whole_in(&admin.work.redrives, work).await?.0?;
    tracing::info!(dropped, ids = told, "dead letters dropped over the API");
    Ok(Json(json!({"dropped": dropped})))
}

/// Numbers for a line of the log: the first ones, and how many more there are.
fn told(ids: &[u64]) -> String {
    let shown: Vec<String> = ids.iter().take(NUMBERS).map(u64::to_string).collect();
    let more = ids.len().saturating_sub(NUMBERS);
    if more == 0 { shown.join(" ") } else { format!("{} and {more} more", shown.join(" ")) }
}

fn gone(id: u64) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("there is no dead letter {id}"))
}
