//! `esclusa audit`: the account of every route; exit 1 if one does not add up.

use super::connect::{RouterOrStore, connect};
use super::{GlobalArgs, print};
use crate::audit::{self, RouteAccount};
use crate::cli::Exit;
use anyhow::Result;

/// Audits a running router, or the store of a stopped one.
pub(super) async fn audit(global: &GlobalArgs) -> Result<Exit> {
    let (running, accounts) = match connect(global).await? {
        RouterOrStore::Router(client) => (true, client.get::<Vec<RouteAccount>>("/api/v1/audit").await?),
        RouterOrStore::Store(store, plan) => (false, audit::stopped(&store, &plan).await?),
    };
    if global.json {
        print::json(&serde_json::json!({"running": running, "accounts": accounts}))?;
    } else {
        if !running {
            print::message("not running; these are the figures of the store");
        }
        let heading = [
            "ROUTE",
            "RECEIVED",
            "=",
            "DONE",
            "+ SKIPPED",
            "+ FILTERED",
            "+ DEAD",
            "+ IN FLIGHT",
            "BEHIND",
            "UNDELIVERED",
            "RESULT",
        ];
        print::table(heading, &accounts.iter().map(row).collect::<Vec<_>>())?;
    }
    let wrong = accounts.iter().any(|account| !account.problems.is_empty());
    Ok(if wrong { Exit::Failed } else { Exit::Ok })
}

fn row(account: &RouteAccount) -> [String; 11] {
    let counts = account.counts;
    [
        account.route.clone(),
        account.received.to_string(),
        "=".to_owned(),
        counts.done.to_string(),
        format!("+ {}", counts.skipped),
        format!("+ {}", counts.filtered),
        format!("+ {}", counts.dead),
        format!("+ {}", account.in_flight),
        account.behind.map_or_else(|| "-".to_owned(), |behind| behind.to_string()),
        account.undelivered.to_string(),
        if account.problems.is_empty() { "adds up".to_owned() } else { account.problems.join("; ") },
    ]
}
