//! `esclusa validate`: makes all checks that `run` makes before it takes events, without the store; and checks that
//! everything on AWS can be reached.

use super::{GlobalArgs, InvalidConfiguration, print};
use crate::cli::Exit;
use crate::memory::{MemoryAccount, MemoryPart};
use crate::wiring::aws::Cloud;
use crate::{configuration, plugins, route_loader, telemetry, wiring};
use anyhow::Result;
use esclusa_config::Problems;

/// `esclusa validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  esclusa validate -c routes.toml && systemctl reload esclusa")]
pub(super) struct ValidateArgs {
    /// Skip the plugins
    #[arg(long)]
    no_plugins: bool,
    /// Skip the questions to AWS
    #[arg(long)]
    no_connect: bool,
    /// Print the configuration with every default filled in and secrets hidden
    #[arg(long)]
    effective: bool,
    /// Print how much memory the router may take, part by part, and the sum
    #[arg(long, conflicts_with = "effective")]
    limits: bool,
}

impl ValidateArgs {
    /// Checks, and prints all problems.
    pub(super) async fn run(&self, global: &GlobalArgs) -> Result<Exit> {
        let loaded = configuration::read(&global.config).map_err(InvalidConfiguration)?;
        let mut refused = Vec::new();
        if !self.no_plugins {
            let sandbox = route_loader::sandbox(&loaded.plan.engine)?;
            refused = plugins::load_all(&sandbox, loaded.plan.routes.iter()).await.err().unwrap_or_default();
        }
        let mut problems = configuration::refusals(&loaded.plan, &loaded.locator, &refused);
        problems.0.extend(configuration::bad_certificates(&loaded.plan, &loaded.locator));
        if !problems.0.is_empty() {
            problems.0.extend(loaded.warnings.iter().cloned());
            problems.0.sort_by_key(|diagnostic| diagnostic.span.start);
            return Err(InvalidConfiguration(problems).into());
        }
        // AWS and Kafka are asked last: the checks before need no network.
        if !self.no_connect {
            let cloud = Cloud::of(&loaded.plan).await;
            let unreachable = wiring::unreachable(cloud.as_ref(), &loaded.plan).await;
            if !unreachable.is_empty() {
                for one in &unreachable {
                    print::message(&format!("route {}: {}", one.routes.join(", "), one.why));
                }
                print::message(&format!("{} resource(s) cannot be used", unreachable.len()));
                return Ok(Exit::Configuration);
            }
        }
        let routes = loaded.plan.routes.len();
        let account = self.limits.then(|| MemoryAccount::of(&loaded.plan));
        if self.effective {
            print::text(&esclusa_config::effective(&loaded))?;
        } else if global.json {
            let warnings = Problems(loaded.warnings.clone()).to_json();
            let mut answer = serde_json::json!({"ok": true, "routes": routes, "warnings": warnings});
            if let (Some(account), Some(answer)) = (&account, answer.as_object_mut()) {
                answer.insert("limits".to_owned(), serde_json::to_value(account)?);
            }
            print::json(&answer)?;
            return Ok(Exit::Ok);
        } else if let Some(account) = &account {
            table(account)?;
        }
        for warning in &loaded.warnings {
            print::message(warning.render(telemetry::colour()).trim_end());
        }
        print::message(&format!("{} is sound: {routes} route(s)", global.config.display()));
        Ok(Exit::Ok)
    }
}

/// Prints the limits of memory: a line for each part, the sum, and the parts that child processes hold.
fn table(account: &MemoryAccount) -> Result<()> {
    let row = |name: &str, bytes: u64, why: &str| [name.to_owned(), mebibytes(bytes), why.to_owned()];
    let part = |part: &MemoryPart| row(&part.name, part.bytes, &part.why);
    let mut rows: Vec<_> = account.parts.iter().map(part).collect();
    rows.push(row("sum", account.sum, "the most that the router's process takes"));
    rows.extend(account.beside.iter().map(part));
    print::table(["WHAT", "MiB", "WHY"], &rows)
}

fn mebibytes(bytes: u64) -> String {
    bytes.div_ceil(1 << 20).to_string()
}
