//! Access to dead letters: through the API of a running router, or in the store if none runs.

use super::{ChosenDeadLetters, DeadLetterFilter};
use crate::cli::connect::{Client, RouterOrStore, connect};
use crate::cli::invoke::route_loader;
use crate::cli::{GlobalArgs, UsageError, print};
use crate::dead_letters::{self, DeadLetterQuery, StoredDeadLetter};
use crate::redrive::{self, NotRedriven};
use crate::route_loader::RouteLoader;
use crate::runtime::status::Status;
use anyhow::{Context, Result, bail};
use esclusa_embedded::Store;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a redrive waits until its messages are sent. They are in the outbox: a router sends them later.
const PATIENCE: Duration = Duration::from_secs(30);
/// Dead letters of one request for a list.
const PAGE: usize = 500;
/// Dead letters that one request may name: as `admin::dead_letters` allows.
const IDS: usize = 10_000;

/// The router or the store that has the dead letters.
pub(super) enum DeadLetterAccess {
    Router(Client),
    Store(Box<RouteLoader>),
}

#[derive(Deserialize)]
struct Redriven {
    failed: Vec<RedriveFailure>,
}

#[derive(Deserialize)]
struct RedriveFailure {
    error: String,
}

#[derive(Deserialize)]
struct Dropped {
    dropped: usize,
}

impl DeadLetterAccess {
    /// Finds the router, or opens the store.
    pub(super) async fn open(global: &GlobalArgs) -> Result<Self> {
        Ok(match connect(global).await? {
            RouterOrStore::Router(client) => DeadLetterAccess::Router(client),
            RouterOrStore::Store(store, plan) => DeadLetterAccess::Store(Box::new(route_loader(store, *plan)?)),
        })
    }

    /// The dead letters that a query selects, at most `limit`.
    pub(super) async fn select(&self, query: DeadLetterQuery, limit: usize) -> Result<Vec<StoredDeadLetter>> {
        let mut found: Vec<StoredDeadLetter> = Vec::new();
        while found.len() < limit {
            let after = found.last().map(|dead_letter| dead_letter.id);
            let most = PAGE.min(limit.saturating_sub(found.len()));
            let page = self.page(&DeadLetterQuery { after, limit: Some(most), ..query.clone() }).await?;
            // A page may be short because its dead letters are large: only an empty one is the end.
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        Ok(found)
    }

    async fn page(&self, query: &DeadLetterQuery) -> Result<Vec<StoredDeadLetter>> {
        match self {
            DeadLetterAccess::Router(client) => {
                client.get(&format!("/api/v1/dlq?{}", serde_urlencoded::to_string(query)?)).await
            }
            DeadLetterAccess::Store(loader) => {
                let most = query.limit.unwrap_or(PAGE);
                Ok(dead_letters::select(loader.store(), query, most, &AtomicBool::new(false))?)
            }
        }
    }

    /// Fails if a route is neither in the configuration nor has any dead letters.
    pub(super) async fn check(&self, route: Option<&String>) -> Result<()> {
        let Some(route) = route else { return Ok(()) };
        let (mut known, left): (Vec<String>, _) = match self {
            DeadLetterAccess::Router(client) => {
                let status: Status = client.get("/api/v1/status").await?;
                (status.routes.into_iter().map(|route| route.name).collect(), status.left_dead_letters)
            }
            DeadLetterAccess::Store(loader) => {
                let plan = loader.plan();
                let known = plan.routes.iter().map(|route| route.name.to_string()).collect();
                (known, dead_letters::of_removed_routes(loader.store(), plan))
            }
        };
        known.extend(left.into_keys());
        if !known.contains(route) {
            bail!("there is no route {route:?} and no dead letter of such a route; known are {}", known.join(", "));
        }
        Ok(())
    }

    /// How many dead letters there are of a route, or of all; `None` if more than the route selects.
    pub(super) async fn count(&self, which: &DeadLetterFilter) -> Result<Option<u64>> {
        if which.code.is_some() || which.pattern.is_some() {
            return Ok(None);
        }
        let counts: BTreeMap<String, u64> = match self {
            DeadLetterAccess::Router(client) => {
                let status: Status = client.get("/api/v1/status").await?;
                let routes = status.routes.into_iter().map(|route| (route.name, route.dead_letters));
                routes.chain(status.left_dead_letters).collect()
            }
            DeadLetterAccess::Store(loader) => loader.store().dead_counts(),
        };
        let of = |route: &String| which.route.as_ref().is_none_or(|wanted| wanted == route);
        Ok(Some(counts.iter().filter(|(route, _)| of(route)).map(|(_, count)| count).sum()))
    }

    /// A dead letter with its whole payload.
    pub(super) async fn show(&self, id: u64) -> Result<StoredDeadLetter> {
        match self {
            DeadLetterAccess::Router(client) => client.get(&format!("/api/v1/dlq/{id}")).await,
            DeadLetterAccess::Store(loader) => find(loader.store(), id),
        }
    }

    /// Redrives a dead letter.
    pub(super) async fn redrive(&self, id: u64, route: &str) -> Result<()> {
        match self {
            DeadLetterAccess::Router(client) => {
                let redriven: Redriven = client.post("/api/v1/dlq/redrive", &json!({"ids": [id]})).await?;
                match redriven.failed.into_iter().next() {
                    Some(failed) => bail!("{}", failed.error),
                    None => Ok(()),
                }
            }
            DeadLetterAccess::Store(loader) => {
                let route = loader.route(route).await.map_err(NotRedriven::from)?;
                let pending = redrive::redrive(&route, loader.store(), id).await?;
                if tokio::time::timeout(PATIENCE, redrive::finish(&route, pending)).await.is_err() {
                    print::message(&format!(
                        "dead letter {id}: its messages are not sent yet; the router sends them when it runs"
                    ));
                }
                Ok(())
            }
        }
    }

    /// Drops dead letters; gives how many there were.
    pub(super) async fn drop(&self, ids: Vec<u64>) -> Result<usize> {
        match self {
            DeadLetterAccess::Router(client) => {
                let mut sum = 0;
                for some in ids.chunks(IDS) {
                    let dropped: Dropped = client.post("/api/v1/dlq/drop", &json!({"ids": some})).await?;
                    sum += dropped.dropped;
                }
                Ok(sum)
            }
            DeadLetterAccess::Store(loader) => Ok(loader.store().remove_dead(ids).await?),
        }
    }

    /// The chosen dead letters; fails if one that was named by number does not exist.
    pub(super) async fn chosen(&self, chosen: &ChosenDeadLetters) -> Result<Vec<StoredDeadLetter>> {
        let mut found = Vec::new();
        if !chosen.ids.is_empty() {
            for id in &chosen.ids {
                found.push(self.show(*id).await?);
            }
            return Ok(found);
        }
        if chosen.which.is_empty() && !chosen.all {
            return Err(UsageError("say which: numbers, --route, --code, --where, or --all".to_owned()).into());
        }
        // Neither a redrive nor a drop needs the payloads here: they may be large.
        self.select(chosen.which.query(Some(0)), usize::MAX).await
    }
}

fn find(store: &Store, id: u64) -> Result<StoredDeadLetter> {
    let dead_letter = dead_letters::find(store, id)?.with_context(|| format!("there is no dead letter {id}"))?;
    Ok(StoredDeadLetter::new(id, dead_letter))
}
