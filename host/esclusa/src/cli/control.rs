//! `esclusa pause`, `resume` and `reload`: commands that need a running router.

use super::connect::{escape, require_router};
use super::{GlobalArgs, completions, print};
use crate::cli::Exit;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// `esclusa pause` and `esclusa resume`.
#[derive(Debug, clap::Args)]
pub(super) struct RouteArgs {
    /// Name of the route
    #[arg(add = completions::routes())]
    route: String,
}

/// The answer of the router.
#[derive(Debug, Serialize, Deserialize)]
struct ControlAnswer {
    message: String,
}

impl RouteArgs {
    /// Sends `action`, pause or resume, for the route.
    pub(super) async fn set(&self, global: &GlobalArgs, action: &str) -> Result<Exit> {
        let path = format!("/api/v1/routes/{}/{action}", escape(&self.route));
        print_answer(global, require_router(global).await?.post(&path, &()).await?)
    }
}

/// `esclusa reload`.
pub(super) async fn reload(global: &GlobalArgs) -> Result<Exit> {
    print_answer(global, require_router(global).await?.post("/api/v1/reload", &()).await?)
}

fn print_answer(global: &GlobalArgs, answer: ControlAnswer) -> Result<Exit> {
    if global.json {
        print::json(&answer)?;
    } else {
        print::message(&answer.message);
    }
    Ok(Exit::Ok)
}
