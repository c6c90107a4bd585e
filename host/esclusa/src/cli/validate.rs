//! `esclusa validate`: makes all checks that `run` makes before it takes events, without the store; and checks that
//! everything on AWS can be reached.

use super::{GlobalArgs, print};
use crate::cli::Exit;
use crate::memory::{MemoryAccount, MemoryPart};
use crate::wiring::Unreachable;
use crate::wiring::aws::Cloud;
use crate::{configuration, listener, plugins, refusal, route_loader, telemetry, wiring};
use anyhow::Result;
use esclusa_config::plan::Plan;
use esclusa_config::{Diagnostic, LoadedConfig, Problems, Severity};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `esclusa validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  esclusa validate -c routes.toml && systemctl reload esclusa")]
pub(super) struct ValidateArgs {
    /// Skip the plugins
    #[arg(long)]
    no_plugins: bool,
    /// Skip the questions to AWS and Kafka
    #[arg(long)]
    no_connect: bool,
    /// Print the configuration with every default filled in and secrets hidden
    #[arg(long)]
    effective: bool,
    /// Print how much memory the router may take, part by part, and the sum
    #[arg(long, conflicts_with = "effective")]
    limits: bool,
}

/// What the checks have found.
struct Checked {
    /// The configuration, unless it cannot be read.
    loaded: Option<LoadedConfig>,
    /// Its problems; without an error these are warnings.
    problems: Vec<Diagnostic>,
    /// Resources on AWS and in Kafka that cannot be used.
    unreachable: Vec<Unreachable>,
}

impl Checked {
    fn ok(&self) -> bool {
        self.unreachable.is_empty() && self.problems.iter().all(|problem| problem.severity == Severity::Warning)
    }
}

impl ValidateArgs {
    /// Checks, and prints all problems.
    pub(super) async fn run(&self, global: &GlobalArgs) -> Result<Exit> {
        let checked = self.check(global).await?;
        let ok = checked.ok();
        if global.json {
            print::json(&self.answer(&checked)?)?;
        }
        if let Some(loaded) = checked.loaded.as_ref().filter(|_| ok && !global.json) {
            self.print_sound(loaded)?;
        }
        // With --json a success is quiet; a failure is told to people as well.
        if !(ok && global.json) {
            print_problems(&checked);
        }
        if let Some(loaded) = checked.loaded.as_ref().filter(|_| ok && !global.json) {
            print::message(&format!("{} is sound: {} route(s)", global.config.display(), loaded.plan.routes.len()));
        }
        Ok(if ok { Exit::Ok } else { Exit::Configuration })
    }

    async fn check(&self, global: &GlobalArgs) -> Result<Checked> {
        let loaded = match configuration::read(&global.config) {
            Ok(loaded) => loaded,
            Err(Problems(problems)) => return Ok(Checked { loaded: None, problems, unreachable: Vec::new() }),
        };
        let mut problems = loaded.warnings.clone();
        problems.extend(listener::check_certificates(&loaded.plan).err().map(|why| why.problem(&loaded.locator)));
        if !self.no_plugins {
            let sandbox = route_loader::sandbox(&loaded.plan.engine)?;
            let refused = plugins::load_all(&sandbox, loaded.plan.routes.iter()).await.err().unwrap_or_default();
            problems.extend(refusal::refusals(&loaded.plan, &loaded.locator, &refused).0);
        }
        problems.sort_by_key(|diagnostic| diagnostic.span.start);
        let mut checked = Checked { loaded: Some(loaded), problems, unreachable: Vec::new() };
        // AWS and Kafka are asked last: the checks before need no network.
        if let Some(loaded) = checked.loaded.as_ref().filter(|_| !self.no_connect && checked.ok()) {
            let cloud = Cloud::of(&loaded.plan).await;
            checked.unreachable = wiring::unreachable(cloud.as_ref(), &loaded.plan).await;
        }
        Ok(checked)
    }

    /// The answer for programs: of one shape, whatever was found.
    fn answer(&self, checked: &Checked) -> Result<Value> {
        let mut problems: Vec<Value> = checked.problems.iter().map(Diagnostic::to_json).collect();
        problems.extend(checked.unreachable.iter().map(|one| {
            let mut problem = print::problem(&one.why);
            set(&mut problem, "routes", json!(one.routes));
            problem
        }));
        let mut answer = print::failed_answer(problems);
        set(&mut answer, "ok", checked.ok().into());
        let plan = checked.loaded.as_ref().map_or(Value::Null, |loaded| summary(&loaded.plan));
        set(&mut answer, "plan", plan);
        if let Some(loaded) = &checked.loaded {
            if self.limits {
                set(&mut answer, "limits", serde_json::to_value(MemoryAccount::of(&loaded.plan))?);
            }
            if self.effective {
                set(&mut answer, "effective", serde_json::from_str(&esclusa_config::effective(loaded))?);
            }
        }
        Ok(answer)
    }

    /// Prints what was asked for about a configuration that is sound.
    fn print_sound(&self, loaded: &LoadedConfig) -> Result<()> {
        if self.effective {
            print::text(&esclusa_config::effective(loaded))?;
        } else if self.limits {
            table(&MemoryAccount::of(&loaded.plan))?;
        }
        Ok(())
    }
}

fn print_problems(checked: &Checked) {
    let colour = telemetry::colour();
    if checked.problems.iter().any(|problem| problem.severity == Severity::Error) {
        return print::error(Problems(checked.problems.clone()).render(colour).trim_end());
    }
    for warning in &checked.problems {
        print::message(warning.render(colour).trim_end());
    }
    for one in &checked.unreachable {
        print::message(&format!("route {}: {}", one.routes.join(", "), one.why));
    }
    if !checked.unreachable.is_empty() {
        print::message(&format!("{} resource(s) cannot be used", checked.unreachable.len()));
    }
}

/// What a configuration has, by name.
fn summary(plan: &Plan) -> Value {
    let routes = plan.routes.iter().map(
        |route| json!({"name": &*route.name, "source": &*route.source, "plugin": route.plugin, "enabled": route.enabled}),
    );
    json!({
        "routes": routes.collect::<Vec<_>>(),
        "sources": plan.sources.iter().map(|(name, source)| (name.to_string(), source.kind())).collect::<BTreeMap<_, _>>(),
        "tables": plan.tables.keys().collect::<Vec<_>>(),
        "objects": plan.objects.keys().collect::<Vec<_>>(),
        "outputs": plan.outputs.iter().map(|(name, output)| (name, output.kind())).collect::<BTreeMap<_, _>>(),
        "listeners": plan.listeners.keys().collect::<Vec<_>>(),
    })
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

/// Sets a key of an answer.
fn set(answer: &mut Value, key: &str, value: Value) {
    if let Some(answer) = answer.as_object_mut() {
        answer.insert(key.to_owned(), value);
    }
}
