//! Dead letters over the API.

use super::Admin;
use super::answer::Refusal;
use super::api::whole;
use super::question::{self, Path, Query};
use crate::letters::{self, Letter};
use crate::runtime::replay::{self, NotReplayed};
use crate::runtime::sieve::Stop;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Letters that are answered at once.
pub const MOST: usize = 500;

/// Letters by number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    ids: Vec<u64>,
}

/// The letters that a query selects.
pub async fn list(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<letters::Query>,
) -> Result<Json<Vec<Letter>>, Refusal> {
    let store = admin.runtime.store().clone();
    // Ends the search when the request does.
    let guard = Stop::default();
    let stop = guard.flag();
    let selected = tokio::task::spawn_blocking(move || letters::select(&store, &query, MOST, &stop)).await;
    let selected = selected.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(Json(selected?))
}

/// A letter, whole.
pub async fn show(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Result<Json<Letter>, Refusal> {
    let id = id
        .parse()
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, format!("{id:?} is no number of a dead letter")))?;
    let letter = replay::find(admin.runtime.store(), id)?.ok_or_else(|| gone(id))?;
    Ok(Json(Letter::new(id, letter)))
}

/// Delivers letters to their routes again, one after the other.
pub async fn replay(
    State(admin): State<Arc<Admin>>,
    question::Json(Ids { ids }): question::Json<Ids>,
) -> Result<Json<Value>, Refusal> {
    whole(async move { again(&admin, ids).await }).await?
}

async fn again(admin: &Admin, ids: Vec<u64>) -> Result<Json<Value>, Refusal> {
    let (mut replayed, mut failed) = (Vec::new(), Vec::new());
    for id in ids {
        let alone = admin.replays.lock().await;
        let letter = replay::find(admin.runtime.store(), id)?;
        let Some(letter) = letter else {
            failed.push(json!({"id": id, "error": NotReplayed::Gone(id).to_string()}));
            continue;
        };
        let result = match admin.runtime.route(&letter.route) {
            Ok(route) => replay::replay(&route, admin.runtime.store(), id).await.map(|pending| (route, pending)),
            Err(missing) => Err(missing.into()),
        };
        std::mem::drop(alone);
        match result {
            Ok((route, pending)) => {
                // Recorded: it goes out as those of the route do, however long its receiver takes.
                tokio::spawn(async move { replay::finish(&route, pending).await });
                replayed.push(id);
            }
            Err(error) => failed.push(json!({"id": id, "error": error.to_string()})),
        }
    }
    tracing::info!(replayed = replayed.len(), failed = failed.len(), "dead letters replayed over the API");
    Ok(Json(json!({"replayed": replayed, "failed": failed})))
}

/// Throws letters away.
pub async fn drop(
    State(admin): State<Arc<Admin>>,
    question::Json(Ids { ids }): question::Json<Ids>,
) -> Result<Json<Value>, Refusal> {
    let dropped = admin.runtime.store().remove_dead(ids).await?;
    tracing::info!(dropped, "dead letters dropped over the API");
    Ok(Json(json!({"dropped": dropped})))
}

fn gone(id: u64) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no dead letter {id}"))
}
