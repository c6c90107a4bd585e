//! `esclusa store`: looks after the directory of the embedded engine.

use super::connect::find_router;
use super::{GlobalArgs, InvalidConfiguration, print};
use crate::cli::Exit;
use crate::configuration;
use anyhow::{Result, anyhow};
use esclusa_embedded::{BackupReport, CheckReport, OpenError, SalvageReport, StoreCounts};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// `esclusa store`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum StoreCommand {
    /// Read the whole store and compare it with its checksums and with itself; exit 1 if something is damaged
    #[command(after_help = "Example:\n  esclusa store check && echo sound")]
    Check(StoreArgs),
    /// Give a store of an earlier format the format of this program
    #[command(after_help = "Example:\n  esclusa store upgrade")]
    Upgrade(StoreArgs),
    /// Copy the store to a new directory, while the router runs or not
    #[command(after_help = "Example:\n  esclusa store backup /backups/$(date +%F)")]
    Backup {
        /// The directory to make
        to: PathBuf,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Make the store from a backup; there must be none yet
    #[command(after_help = "Example:\n  esclusa store restore /backups/2026-11-29")]
    Restore {
        /// The directory of the backup
        from: PathBuf,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Copy what can be read of a damaged store to a new one, and count what is missing
    #[command(after_help = "Example:\n  esclusa store salvage salvaged && mv data damaged && mv salvaged data")]
    Salvage {
        /// The directory to make
        to: PathBuf,
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// The store of a command.
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// The directory of the store [default: `path` of [engine] in the configuration]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// The answer of a running router.
#[derive(Deserialize)]
struct Staged {
    path: PathBuf,
}

impl StoreCommand {
    /// Runs the command.
    pub(super) async fn run(&self, global: &GlobalArgs) -> Result<Exit> {
        match self {
            StoreCommand::Check(store) => check(global, store.directory(global)?).await,
            StoreCommand::Upgrade(store) => upgrade(global, store.directory(global)?).await,
            StoreCommand::Backup { to, store } => backup(global, to.clone(), store).await,
            StoreCommand::Restore { from, store } => {
                let (from, path) = (from.clone(), store.directory(global)?);
                let made = path.clone();
                copied(global, work(move || esclusa_embedded::restore(&from, &path)).await?, &made)
            }
            StoreCommand::Salvage { to, store } => salvage(global, store.directory(global)?, to.clone()).await,
        }
    }
}

impl StoreArgs {
    fn directory(&self, global: &GlobalArgs) -> Result<PathBuf> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        // A mistake elsewhere in the configuration must not keep anybody from the store.
        match configuration::read(&global.config) {
            Ok(loaded) => Ok(loaded.plan.engine),
            Err(problems) => configuration::engine(&global.config).ok_or_else(|| InvalidConfiguration(problems).into()),
        }
    }
}

/// Does work on a store off the runtime's threads.
async fn work<T: Send + 'static>(work: impl FnOnce() -> Result<T, OpenError> + Send + 'static) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await??)
}

async fn check(global: &GlobalArgs, path: PathBuf) -> Result<Exit> {
    let checked = path.clone();
    let report = work(move || esclusa_embedded::check(&checked)).await?;
    if global.json {
        print::json(&report)?;
    } else {
        print::line(&summary(&path, &report))?;
        report.notes.iter().try_for_each(|note| print::line(&format!("note: {note}")))?;
        report.damage.iter().try_for_each(|damage| print::line(&format!("damaged: {damage}")))?;
    }
    Ok(if report.damage.is_empty() { Exit::Ok } else { Exit::Failed })
}

fn summary(path: &Path, report: &CheckReport) -> String {
    let format = report.format.map_or("unknown".to_owned(), |format| format.to_string());
    let closed = if report.closed { "" } else { ", not closed" };
    let state = match report.damage.len() {
        0 => "no damage".to_owned(),
        1 => "1 place is damaged".to_owned(),
        n => format!("{n} places are damaged"),
    };
    let content = report.content.as_ref().map_or(String::new(), |content| format!("; {}", counts(content)));
    format!("{}: format {format}{closed}; {state}{content}", path.display())
}

fn counts(content: &StoreCounts) -> String {
    let sum = |counts: &std::collections::BTreeMap<String, u64>| counts.values().sum::<u64>();
    format!(
        "{} items in {} tables, {} records in {} streams, {} messages in {} queues, {} positions, {} dead letters, {} undelivered messages",
        sum(&content.tables),
        content.tables.len(),
        sum(&content.streams),
        content.streams.len(),
        sum(&content.queues),
        content.queues.len(),
        content.positions,
        content.dead_letters,
        content.undelivered
    )
}

async fn upgrade(global: &GlobalArgs, path: PathBuf) -> Result<Exit> {
    let report = work(move || esclusa_embedded::upgrade(&path)).await?;
    if global.json {
        print::json(&json!({"upgraded": report.is_some(), "content": report.and_then(|report| report.content)}))?;
    } else {
        match report.and_then(|report| report.content) {
            Some(content) => print::line(&format!("the store is upgraded; it holds {}", counts(&content)))?,
            None => print::line("the store has the format of this program already")?,
        }
    }
    Ok(Exit::Ok)
}

async fn backup(global: &GlobalArgs, to: PathBuf, store: &StoreArgs) -> Result<Exit> {
    let made = to.clone();
    if store.store.is_none()
        && let Some(router) = find_router(global).await?
    {
        let staged: Staged = router.post("/api/v1/store/backup", &()).await?;
        return copied(global, work(move || esclusa_embedded::copy_staged(&staged.path, &to)).await?, &made);
    }
    let path = store.directory(global)?;
    let copy = work(move || esclusa_embedded::backup(&path, &to)).await.map_err(|error| {
        match error.downcast_ref::<OpenError>() {
            Some(OpenError::Locked { .. }) => {
                anyhow!("{error}; a router with an [admin] section is backed up while it runs")
            }
            _ => error,
        }
    })?;
    copied(global, copy, &made)
}

fn copied(global: &GlobalArgs, report: BackupReport, to: &Path) -> Result<Exit> {
    if global.json {
        print::json(&report)?;
    } else {
        report.notes.iter().try_for_each(|note| print::line(&format!("note: {note}")))?;
        print::line(&format!("{}: {} bytes, compared with their checksums", to.display(), report.bytes))?;
    }
    Ok(Exit::Ok)
}

async fn salvage(global: &GlobalArgs, path: PathBuf, to: PathBuf) -> Result<Exit> {
    let made = to.clone();
    let report = work(move || esclusa_embedded::salvage(&path, &to)).await?;
    if global.json {
        print::json(&report)?;
    } else {
        for line in losses(&report) {
            print::line(&line)?;
        }
        print::line(&format!("{} holds {}", made.display(), counts(&report.content)))?;
    }
    Ok(Exit::Ok)
}

/// What a salvage could not read, a line each.
fn losses(report: &SalvageReport) -> Vec<String> {
    let mut lines: Vec<String> = report.damage.iter().map(|damage| format!("damaged: {damage}")).collect();
    for lost in &report.lost {
        let entries = lost.entries.map_or("an unknown number of".to_owned(), |entries| entries.to_string());
        lines.push(format!("lost: {entries} entries of {} ({})", lost.file.display(), lost.holds));
    }
    if report.lost_groups > 0 {
        lines.push(format!("lost: {} groups of commits in the journals", report.lost_groups));
    }
    if report.nameless > 0 {
        lines.push(format!("lost: {} entries of tables, streams and queues whose names are lost", report.nameless));
    }
    lines.extend(report.missing.iter().map(|missing| format!("missing: {missing}")));
    if lines.is_empty() {
        lines.push("nothing is missing".to_owned());
    }
    lines
}
