//! Where dead letters are worked on: a running router, or the store of a stopped one.

use super::Chosen;
use crate::cli::connect::{Client, Reach, reach};
use crate::cli::invoke::bench;
use crate::cli::{Global, Misused, print};
use crate::dead_letters::{self, Letter, Query};
use crate::redrive::{self, NotRedriven};
use crate::route_loader::Bench;
use crate::runtime::status::Status;
use anyhow::{Context, Result, bail};
use esclusa_embedded::Store;
use serde::Deserialize;
use serde_json::json;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long messages of a replay may take; they are recorded.
const PATIENCE: Duration = Duration::from_secs(30);
/// Letters that are asked for at once.
const PAGE: usize = 500;
/// Letters that a request may name.
const IDS: usize = 10_000;

/// Where the letters are.
pub(super) enum Desk {
    Router(Client),
    Store(Box<Bench>),
}

#[derive(Deserialize)]
struct Replayed {
    failed: Vec<Failed>,
}

#[derive(Deserialize)]
struct Failed {
    error: String,
}

#[derive(Deserialize)]
struct Dropped {
    dropped: usize,
}

impl Desk {
    /// Finds the router, or opens the store.
    pub(super) async fn open(global: &Global) -> Result<Self> {
        Ok(match reach(global).await? {
            Reach::Running(client) => Desk::Router(client),
            Reach::Stopped(store, plan) => Desk::Store(Box::new(bench(store, *plan)?)),
        })
    }

    /// The letters that a query selects, at most `limit`.
    pub(super) async fn select(&self, query: Query, limit: usize) -> Result<Vec<Letter>> {
        let mut found: Vec<Letter> = Vec::new();
        while found.len() < limit {
            let after = found.last().map(|letter| letter.id);
            let most = PAGE.min(limit.saturating_sub(found.len()));
            let page = self.page(&Query { after, limit: Some(most), ..query.clone() }).await?;
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        Ok(found)
    }

    async fn page(&self, query: &Query) -> Result<Vec<Letter>> {
        match self {
            Desk::Router(client) => client.get(&format!("/api/v1/dlq?{}", serde_urlencoded::to_string(query)?)).await,
            Desk::Store(bench) => {
                let most = query.limit.unwrap_or(PAGE);
                Ok(dead_letters::select(bench.store(), query, most, &AtomicBool::new(false))?)
            }
        }
    }

    /// Fails where nobody has heard of a route: it is not in the configuration, and no letter is left of it.
    pub(super) async fn check(&self, route: Option<&String>) -> Result<()> {
        let Some(route) = route else { return Ok(()) };
        let (mut known, left): (Vec<String>, _) = match self {
            Desk::Router(client) => {
                let status: Status = client.get("/api/v1/status").await?;
                (status.routes.into_iter().map(|route| route.name).collect(), status.left_letters)
            }
            Desk::Store(bench) => {
                let plan = bench.plan();
                let known = plan.routes.iter().map(|route| route.name.to_string()).collect();
                (known, dead_letters::left(bench.store(), plan))
            }
        };
        known.extend(left.into_keys());
        if !known.contains(route) {
            bail!("there is no route {route:?}, and no dead letter of one; there is {}", known.join(", "));
        }
        Ok(())
    }

    /// A letter, whole.
    pub(super) async fn show(&self, id: u64) -> Result<Letter> {
        match self {
            Desk::Router(client) => client.get(&format!("/api/v1/dlq/{id}")).await,
            Desk::Store(bench) => find(bench.store(), id),
        }
    }

    /// Delivers a letter again.
    pub(super) async fn replay(&self, id: u64, route: &str) -> Result<()> {
        match self {
            Desk::Router(client) => {
                let replayed: Replayed = client.post("/api/v1/dlq/replay", &json!({"ids": [id]})).await?;
                match replayed.failed.into_iter().next() {
                    Some(failed) => bail!("{}", failed.error),
                    None => Ok(()),
                }
            }
            Desk::Store(bench) => {
                let route = bench.route(route).await.map_err(NotRedriven::from)?;
                let pending = redrive::redrive(&route, bench.store(), id).await?;
                if tokio::time::timeout(PATIENCE, redrive::finish(&route, pending)).await.is_err() {
                    print::message(&format!(
                        "letter {id}: what came of it is not sent yet; a router that runs sends it"
                    ));
                }
                Ok(())
            }
        }
    }

    /// Throws letters away.
    pub(super) async fn drop(&self, ids: Vec<u64>) -> Result<usize> {
        match self {
            Desk::Router(client) => {
                let mut sum = 0;
                for some in ids.chunks(IDS) {
                    let dropped: Dropped = client.post("/api/v1/dlq/drop", &json!({"ids": some})).await?;
                    sum += dropped.dropped;
                }
                Ok(sum)
            }
            Desk::Store(bench) => Ok(bench.store().remove_dead(ids).await?),
        }
    }

    /// The letters that were chosen; every number has to be there.
    pub(super) async fn chosen(&self, chosen: &Chosen) -> Result<Vec<Letter>> {
        let mut found = Vec::new();
        if !chosen.ids.is_empty() {
            for id in &chosen.ids {
                found.push(self.show(*id).await?);
            }
            return Ok(found);
        }
        if chosen.which.is_empty() && !chosen.all {
            return Err(Misused("say which: numbers, --route, --code, --where, or --all".to_owned()).into());
        }
        // Whatever becomes of them, their payloads are not needed for it.
        self.select(chosen.which.query(Some(0)), usize::MAX).await
    }
}

fn find(store: &Store, id: u64) -> Result<Letter> {
    let letter = redrive::find(store, id)?.with_context(|| format!("there is no dead letter {id}"))?;
    Ok(Letter::new(id, letter))
}
