//! Commands that change what a running router does.

use super::connect::{escape, router};
use super::{Global, print};
use crate::cli::Exit;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// `esclusa pause` and `esclusa resume`.
#[derive(Debug, clap::Args)]
pub(super) struct Route {
    /// Name of the route
    route: String,
}

/// What the router did.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    message: String,
}

impl Route {
    /// Does `what` to the route.
    pub(super) async fn set(&self, global: &Global, what: &str) -> Result<Exit> {
        let path = format!("/api/v1/routes/{}/{what}", escape(&self.route));
        tell(global, router(global).await?.post(&path, &()).await?)
    }
}

/// `esclusa reload`.
pub(super) async fn reload(global: &Global) -> Result<Exit> {
    match router(global).await?.post("/api/v1/reload", &()).await {
        Ok(told) => tell(global, told),
        Err(error) => {
            // A file with mistakes is told as every command tells it.
            global.load_quietly()?;
            Err(error)
        }
    }
}

fn tell(global: &Global, told: Told) -> Result<Exit> {
    if global.json {
        print::json(&told)?;
    } else {
        print::message(&told.message);
    }
    Ok(Exit::Ok)
}
