//! Dead letters over the API.

use super::Admin;
use super::answer::Refusal;
use super::question::{self, Bounded, Content, Path, Query};
use super::work::{encode, json};
use crate::letters::{self, Letter, NotSelected};
use crate::runtime::redrive::{self, NotRedriven};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use esclusa_pipeline::batch_filter::StopOnDrop;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Letters that are answered at once.
pub const MOST: usize = 500;
/// Letters that a request may name.
const IDS: usize = 10_000;
/// Letters that are dropped in one commit: the store reads each before it is removed, and other commits wait meanwhile.
const DROPPED: usize = 100;
/// Characters of an error that a replay tells of a letter.
const TOLD: usize = 1000;

/// Letters by number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    ids: Bounded<u64, IDS>,
}

impl Content for Ids {
    const MOST: usize = 16 << 20;
}

/// The letters that a query selects.
pub async fn list(State(admin): State<Arc<Admin>>, Query(query): Query<letters::Query>) -> Result<Response, Refusal> {
    let store = admin.runtime.store().clone();
    // Ends the search when the request does.
    let guard = StopOnDrop::default();
    let stop = guard.flag();
    admin.work.searches.answer::<_, NotSelected>(move || letters::select(&store, &query, MOST, &stop)).await
}

/// A letter, whole.
pub async fn show(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = id
        .parse()
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, format!("{id:?} is no number of a dead letter")))?;
    let store = admin.runtime.store().clone();
    let find = move || match redrive::find(&store, id) {
        Ok(Some(letter)) => Ok(Letter::new(id, letter)),
        Ok(None) => Err(gone(id)),
        Err(fault) => Err(fault.into()),
    };
    admin.work.searches.answer::<_, Refusal>(find).await
}

/// Delivers letters to their routes again, one after the other.
pub async fn replay(
    State(admin): State<Arc<Admin>>,
    question::Json(Ids { ids }, _): question::Json<Ids>,
) -> Result<Response, Refusal> {
    let ids = ids.all("ids")?;
    let work = admin.clone();
    let replays = async move { again(&work, ids).await };
    let (replayed, _place) = admin.work.whole_in(&admin.work.replays, replays).await?;
    Ok(json(admin.work.replies.body_now(encode(&replayed?)?)?))
}

async fn again(admin: &Admin, ids: Vec<u64>) -> Result<Value, Refusal> {
    let (mut replayed, mut failed) = (Vec::new(), Vec::new());
    for id in ids {
        let alone = admin.replays.lock().await;
        let letter = redrive::find(admin.runtime.store(), id)?;
        let Some(letter) = letter else {
            failed.push(json!({"id": id, "error": NotRedriven::Gone(id).to_string()}));
            continue;
        };
        let result = match admin.runtime.route(&letter.route) {
            Ok(route) => redrive::redrive(&route, admin.runtime.store(), id).await.map(|pending| (route, pending)),
            Err(missing) => Err(missing.into()),
        };
        std::mem::drop(alone);
        match result {
            Ok((route, pending)) => {
                // Recorded: it goes out as those of the route do, however long its receiver takes.
                tokio::spawn(async move { redrive::finish(&route, pending).await });
                replayed.push(id);
            }
            Err(error) => {
                let error: String = error.to_string().chars().take(TOLD).collect();
                failed.push(json!({"id": id, "error": error}));
            }
        }
    }
    tracing::info!(replayed = replayed.len(), failed = failed.len(), "dead letters replayed over the API");
    Ok(json!({"replayed": replayed, "failed": failed}))
}

/// Throws letters away.
pub async fn drop(
    State(admin): State<Arc<Admin>>,
    question::Json(Ids { ids }, _): question::Json<Ids>,
) -> Result<Json<Value>, Refusal> {
    let (ids, runtime) = (ids.all("ids")?, admin.runtime.clone());
    let work = async move {
        let mut dropped = 0_usize;
        for some in ids.chunks(DROPPED) {
            match runtime.store().remove_dead(some.to_vec()).await {
                Ok(count) => dropped = dropped.saturating_add(count),
                Err(fault) => {
                    let why = format!("{fault}; {dropped} letter(s) were dropped before");
                    return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why));
                }
            }
        }
        Ok(dropped)
    };
    let dropped = admin.work.whole_in(&admin.work.replays, work).await?.0?;
    tracing::info!(dropped, "dead letters dropped over the API");
    Ok(Json(json!({"dropped": dropped})))
}

fn gone(id: u64) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no dead letter {id}"))
}
