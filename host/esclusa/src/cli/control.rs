//! Commands that change what a running router does.

use super::connect::{escape, router};
use super::{GlobalArgs, print};
use crate::cli::Exit;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// `esclusa pause` and `esclusa resume`.
#[derive(Debug, clap::Args)]
pub(super) struct RouteArgs {
    /// Name of the route
    route: String,
}

/// What the router did.
#[derive(Debug, Serialize, Deserialize)]
struct ControlAnswer {
    message: String,
}

impl RouteArgs {
    /// Does `what` to the route.
    pub(super) async fn set(&self, global: &GlobalArgs, what: &str) -> Result<Exit> {
        let path = format!("/api/v1/routes/{}/{what}", escape(&self.route));
        tell(global, router(global).await?.post(&path, &()).await?)
    }
}

/// `esclusa reload`.
pub(super) async fn reload(global: &GlobalArgs) -> Result<Exit> {
    match router(global).await?.post("/api/v1/reload", &()).await {
        Ok(answer) => tell(global, answer),
        Err(error) => {
            // A file with mistakes is told as every command tells it.
            global.load_quietly()?;
            Err(error)
        }
    }
}

fn tell(global: &GlobalArgs, answer: ControlAnswer) -> Result<Exit> {
    if global.json {
        print::json(&answer)?;
    } else {
        print::message(&answer.message);
    }
    Ok(Exit::Ok)
}
