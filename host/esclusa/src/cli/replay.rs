//! `esclusa replay`: makes the state of a table again, as of any moment, from the events that a route's source keeps.

use super::connect::{RouterOrStore, connect};
use super::run::Signals;
use super::{GlobalArgs, UsageError, completions, print};
use crate::cli::Exit;
use crate::replay::{
    self, LeftOut, ReplayJob, ReplayRefusal, ReplayRequest, ReplayStores, ReplaySummary, TrimmedEvents,
};
use crate::{plugins, route_loader};
use anyhow::{Context, Result, anyhow, bail};
use esclusa_config::plan::Plan;
use esclusa_embedded::{Store, StoreSchema};
use esclusa_pipeline::meter::epoch_millis;
use serde_json::json;

/// `esclusa replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  esclusa replay state --from TRIM_HORIZON --into rebuilt\n  esclusa replay state --from TRIM_HORIZON --until 2026-11-20T18:00:00Z --into as-of-friday\n  esclusa replay orders --from 2026-11-01T00:00:00Z --into totals=totals-rebuilt"
)]
pub(super) struct ReplayArgs {
    /// Name of the route
    #[arg(add = completions::routes())]
    route: String,
    /// The first event: TRIM_HORIZON, the oldest that the source keeps, or a time (RFC 3339): the first event accepted since
    #[arg(long, value_name = "POSITION", value_parser = position)]
    from: ReplayStart,
    /// Events accepted until this time (RFC 3339); default: all events that the source has now
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<u64>,
    /// The empty table to write to; TABLE=OTHER if the route has several tables; may be repeated
    #[arg(long, required = true, value_name = "[TABLE=]OTHER", value_parser = into)]
    into: Vec<(Option<String>, String)>,
}

/// The first event of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplayStart {
    TrimHorizon,
    Time(u64),
}

fn position(text: &str) -> Result<ReplayStart, String> {
    match esclusa_config::timestamp(text) {
        Some(time) => Ok(ReplayStart::Time(time)),
        None if text == "TRIM_HORIZON" => Ok(ReplayStart::TrimHorizon),
        None => Err(format!("{text:?} is neither TRIM_HORIZON nor a time such as 2026-01-31T12:00:00Z")),
    }
}

fn time(text: &str) -> Result<u64, String> {
    esclusa_config::timestamp(text).ok_or_else(|| format!("{text:?} is not a time: write 2026-01-31T12:00:00Z"))
}

fn into(text: &str) -> Result<(Option<String>, String), String> {
    let (from, into) = match text.split_once('=') {
        Some((from, into)) => (Some(from), into),
        None => (None, text),
    };
    if into.is_empty() || from == Some("") {
        return Err(format!("{text:?} is neither OTHER nor TABLE=OTHER"));
    }
    Ok((from.map(str::to_owned), into.to_owned()))
}

impl ReplayArgs {
    /// Replays the events; exit 1 if one cannot be handled.
    pub(super) async fn run(&self, global: &GlobalArgs) -> Result<Exit> {
        let plan = global.load_quietly()?.plan;
        let since = match self.from {
            ReplayStart::TrimHorizon => None,
            ReplayStart::Time(time) => Some(time),
        };
        let order = ReplayRequest { route: self.route.clone(), since, until: self.until, into: self.into.clone() };
        let job = order.job(&plan, epoch_millis()).map_err(|why| match why {
            // Exit 1, as in every command, for a name that routes.toml does not have; other mistakes are exit 2.
            ReplayRefusal::Route { .. } | ReplayRefusal::Table { .. } => anyhow!(why),
            why => UsageError(why.to_string()).into(),
        })?;
        // Signals are taken over before the directory is created: whatever ends the replay, the directory is removed.
        let mut signals = Signals::new()?;
        let directory = tempfile::tempdir().context("cannot make a directory for positions")?;
        let scratch = Store::open(directory.path().join("store"), StoreSchema::default())?;
        let done = tokio::select! {
            done = self.replay(global, &plan, &job, scratch.clone()) => done,
            () = signals.end() => Err(anyhow!("route {}: stopped; the table holds a part", self.route)),
        };
        // Closed and dropped first: no thread may write into the directory while it is being removed, and the store deletes
        // files of its own at its end.
        scratch.close();
        drop(scratch);
        if let Err(error) = directory.close() {
            print::message(&format!("warning: cannot remove the directory of positions: {error}"));
        }
        let summary = done?;
        self.print(&job, &summary, global.json)?;
        Ok(Exit::Ok)
    }

    async fn replay(&self, global: &GlobalArgs, plan: &Plan, job: &ReplayJob, scratch: Store) -> Result<ReplaySummary> {
        let stores =
            ReplayStores { own: if job.needs_store() { Some(self.store(global).await?) } else { None }, scratch };
        let sandbox = route_loader::sandbox(&plan.engine)?;
        let plugin = plugins::load(&sandbox, &job.route).await.with_context(|| format!("route {}", self.route))?;
        replay::replay(job, &stores, plugin).await.map_err(|why| anyhow!("route {}: {why}", self.route))
    }

    /// The store of the configuration; fails if a router runs, since one process at a time may open it.
    async fn store(&self, global: &GlobalArgs) -> Result<Store> {
        match connect(global).await? {
            RouterOrStore::Store(store, _) => Ok(store),
            RouterOrStore::Router(_) => bail!(
                "route {}: a router runs on {} and its store can be open in one process only: stop the router, replay, and start it again; its routes continue at their positions",
                self.route,
                global.config.display()
            ),
        }
    }

    fn print(&self, job: &ReplayJob, summary: &ReplaySummary, json: bool) -> Result<()> {
        if let Some(gone) = &summary.gone {
            print::message(&format!("warning: source {:?}: {}", job.route.source, missing(gone)));
        }
        if json {
            let ReplaySummary { events, effects, left_out, gone } = summary;
            return print::json(&json!({
                "route": self.route, "into": job.tables, "events": events, "effects": effects, "left_out": left_out,
                "gone": gone,
            }));
        }
        let tables: Vec<&str> = job.tables.values().map(String::as_str).collect();
        let left = left_out(&summary.left_out);
        let left = if left.is_empty() { left } else { format!("; left out: {left}") };
        print::line(&format!(
            "{} events replayed into {} ({} effects){left}",
            summary.events,
            tables.join(", "),
            summary.effects
        ))
    }
}

/// The events that the source does not keep any more, as a message.
fn missing(gone: &TrimmedEvents) -> String {
    let begins = gone.begins.map_or_else(
        || "part of it keeps no events any more".to_owned(),
        |begins| format!("it keeps events from {} on", print::time(begins)),
    );
    match gone.events {
        Some(events) => format!("{begins}; up to {events} earlier ones are missing in the table"),
        None => format!("{begins}; earlier ones, if there were any, are missing in the table"),
    }
}

/// Everything that was left out, as a message; empty if nothing was.
fn left_out(left: &LeftOut) -> String {
    let counts = [
        (left.filtered, "events by filter or time"),
        (left.rejected, "events that the plugin rejects"),
        (left.messages, "messages"),
        (left.objects, "objects"),
        (left.writes, "writes to other tables"),
    ];
    let parts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{ReplayStart, into, position};

    #[test]
    fn it_begins_at_the_oldest_event_or_at_a_time() {
        assert_eq!(position("TRIM_HORIZON"), Ok(ReplayStart::TrimHorizon));
        assert_eq!(position("1970-01-01T01:00:01+01:00"), Ok(ReplayStart::Time(1000)));
        assert!(position("LATEST").unwrap_err().contains("neither TRIM_HORIZON nor a time"));
    }

    #[test]
    fn the_table_may_be_named_that_is_written_elsewhere() {
        assert_eq!(into("rebuilt"), Ok((None, "rebuilt".to_owned())));
        assert_eq!(into("totals=rebuilt"), Ok((Some("totals".to_owned()), "rebuilt".to_owned())));
        assert!(into("totals=").is_err() && into("=rebuilt").is_err() && into("").is_err());
    }
}
