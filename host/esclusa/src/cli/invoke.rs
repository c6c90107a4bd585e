//! `esclusa invoke`: calls a route's plugin with events from a file. Shows the effects; with `--live` they are carried
//! out.

use super::connect::{RouterOrStore, connect, connect_or_create, escape};
use super::{GlobalArgs, UsageError, completions, print};
use crate::cli::Exit;
use crate::intake;
use crate::invoke::{self, InvokeEvent};
use crate::route_loader::{self, RouteLoader};
use anyhow::{Result, anyhow};
use esclusa_config::plan::Plan;
use esclusa_embedded::Store;
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

/// `esclusa invoke`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  echo '{\"path\": \"/\"}' | esclusa invoke requests --event -\n  esclusa invoke api --event body.bin --raw --attribute method=POST\n  esclusa invoke orders --event missed.jsonl --live"
)]
pub(super) struct InvokeArgs {
    /// Name of the route
    #[arg(add = completions::routes())]
    route: String,
    /// JSON lines, the events of one batch; - is standard input
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// The field that holds the key of each event
    #[arg(long, value_name = "FIELD", conflicts_with = "raw")]
    key: Option<String>,
    /// Take the whole input as one event
    #[arg(long)]
    raw: bool,
    /// An attribute for every event; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    attribute: Vec<(String, String)>,
    /// Carry the effects out: writes, objects and messages; the source does not know of the events
    #[arg(long)]
    live: bool,
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

impl InvokeArgs {
    /// Calls the plugin and prints its effects; exit 1 if the plugin or an effect failed.
    pub(super) async fn run(&self, global: &GlobalArgs) -> Result<Exit> {
        let events = self.events()?;
        let found = if self.live { connect_or_create(global).await? } else { connect(global).await? };
        let shown: Box<RawValue> = match found {
            RouterOrStore::Router(client) => {
                let path = format!("/api/v1/routes/{}/invoke", escape(&self.route));
                client.post(&path, &json!({"events": events, "live": self.live})).await?
            }
            RouterOrStore::Store(store, plan) => {
                let route_loader = route_loader(store, *plan)?;
                let route = route_loader.route(&self.route).await?;
                if self.live {
                    let done = invoke::live(&route, &events).await.map_err(|why| anyhow!(why))?;
                    serde_json::value::to_raw_value(&done)?
                } else {
                    let dry_run = invoke::dry_run(&route, &events).await.map_err(|why| anyhow!(why))?;
                    serde_json::value::to_raw_value(&dry_run)?
                }
            }
        };
        print::line(shown.get())?;
        let result: InvokeResult = serde_json::from_str(shown.get())?;
        if !result.filtered.is_empty() {
            let (dropped, all) = (result.filtered.len(), events.len());
            print::message(&format!(
                "the route's filter does not match {dropped} of {all} event(s): the plugin did not get them"
            ));
        }
        Ok(if result.failed || result.failure.is_some() { Exit::Failed } else { Exit::Ok })
    }

    fn events(&self) -> Result<Vec<InvokeEvent>> {
        let mut text = Vec::new();
        if self.event.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut text)?;
        } else {
            text = std::fs::read(&self.event)
                .map_err(|error| UsageError(format!("cannot read {}: {error}", self.event.display())))?;
        }
        let attributes: BTreeMap<String, String> = self.attribute.iter().cloned().collect();
        let records =
            if self.raw { vec![intake::raw(text, "")] } else { intake::json_lines(&text, self.key.as_deref(), 1)? };
        Ok(records.into_iter().map(|record| InvokeEvent::new(record.key, record.data, attributes.clone())).collect())
    }
}

#[derive(serde::Deserialize)]
struct InvokeResult {
    #[serde(default)]
    failed: bool,
    #[serde(default)]
    failure: Option<Box<RawValue>>,
    #[serde(default)]
    filtered: Vec<usize>,
}

/// Loads routes from the store, for commands that run without a router.
pub(super) fn route_loader(store: Store, plan: Plan) -> Result<RouteLoader> {
    let sandbox = route_loader::sandbox(&plan.engine)?;
    Ok(RouteLoader::new(store, plan, sandbox))
}
