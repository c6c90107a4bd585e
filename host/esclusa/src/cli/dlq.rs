//! `esclusa dlq`: lists, shows, redrives and drops dead letters.
//!
//! Dead letters are redriven one at a time: delivered, committed, removed. Stopping the command at any moment loses
//! nothing.

mod access;

use super::{GlobalArgs, UsageError, completions, print};
use crate::cli::Exit;
use crate::dead_letters::{DeadLetterQuery, StoredDeadLetter};
use access::DeadLetterAccess;
use anyhow::Result;
use esclusa_flow::dead_letter::FailedRedrive;
use serde_json::json;
use std::time::Duration;

/// Most bytes of a payload in a list.
const PREVIEW: usize = 200;

/// `esclusa dlq`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum DlqCommand {
    /// List dead letters
    #[command(after_help = "Example:\n  esclusa dlq ls --route orders --where '{\"data\": {\"country\": [\"IT\"]}}'")]
    Ls {
        #[command(flatten)]
        which: DeadLetterFilter,
        /// List at most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show everything that is known of a dead letter
    #[command(after_help = "Example:\n  esclusa dlq show 17")]
    Show {
        /// The number of the dead letter, from `esclusa dlq ls`
        id: u64,
    },
    /// Deliver dead letters to their route again; each is removed when its effects are committed
    #[command(
        after_help = "Examples:\n  esclusa dlq redrive 17\n  esclusa dlq redrive --route orders --rate 10/s\n  esclusa dlq redrive --all --dry-run"
    )]
    Redrive {
        #[command(flatten)]
        chosen: ChosenDeadLetters,
        /// Redrive at most this many in a time, such as 10/s or 100/m; a number alone is per second
        #[arg(long, value_parser = rate)]
        rate: Option<Duration>,
        /// Only list the dead letters that would be redriven
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete dead letters
    #[command(after_help = "Example:\n  esclusa dlq drop 17")]
    Drop {
        #[command(flatten)]
        chosen: ChosenDeadLetters,
        /// Required if the dead letters are not selected by number
        #[arg(long)]
        yes: bool,
    },
}

/// A selection of dead letters.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DeadLetterFilter {
    /// Dead letters of this route
    #[arg(long, add = completions::routes())]
    route: Option<String>,
    /// Dead letters with this code, such as rejected or plugin.trap
    #[arg(long, add = completions::codes())]
    code: Option<String>,
    /// Dead letters whose event matches this pattern: JSON, as in a route's filter
    #[arg(long = "where", value_name = "PATTERN")]
    pattern: Option<String>,
}

/// Dead letters by number, or those that a filter selects.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ChosenDeadLetters {
    /// Numbers of dead letters
    ids: Vec<u64>,
    #[command(flatten)]
    which: DeadLetterFilter,
    /// All dead letters
    #[arg(long)]
    all: bool,
}

impl DeadLetterFilter {
    fn query(&self, preview: Option<usize>) -> DeadLetterQuery {
        DeadLetterQuery {
            route: self.route.clone(),
            code: self.code.clone(),
            pattern: self.pattern.clone(),
            after: None,
            limit: None,
            preview,
        }
    }

    fn is_empty(&self) -> bool {
        self.route.is_none() && self.code.is_none() && self.pattern.is_none()
    }
}

fn rate(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a rate: write 10/s, 100/m or 1000/h; a number alone is per second");
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let number: u32 = number.trim().parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
    let unit = match unit.trim() {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return Err(wrong()),
    };
    Some(unit / number).filter(|period| !period.is_zero()).ok_or_else(|| {
        format!("{text:?} is more than one in a nanosecond: leave --rate out to redrive without a pause")
    })
}

impl DlqCommand {
    /// Runs the command.
    pub(super) async fn run(&self, global: &GlobalArgs) -> Result<Exit> {
        let access = DeadLetterAccess::open(global).await?;
        let which = match self {
            DlqCommand::Ls { which, .. } => Some(which),
            DlqCommand::Show { .. } => None,
            DlqCommand::Redrive { chosen, .. } | DlqCommand::Drop { chosen, .. } => Some(&chosen.which),
        };
        // A misspelt route would look like a route without dead letters.
        access.check(which.and_then(|which| which.route.as_ref())).await?;
        match self {
            DlqCommand::Ls { which, limit } => {
                let preview = if global.json { None } else { Some(PREVIEW) };
                let found = access.select(which.query(preview), *limit).await?;
                list(global, &found)?;
                if found.len() == *limit && !global.json {
                    print::message(&more(*limit, access.count(which).await?));
                }
                Ok(Exit::Ok)
            }
            DlqCommand::Show { id } => show(global, &access.show(*id).await?),
            DlqCommand::Redrive { chosen, rate, dry_run } => {
                redrive_all(global, &access, chosen, *rate, *dry_run).await
            }
            DlqCommand::Drop { chosen, yes } => drop_all(global, &access, chosen, *yes).await,
        }
    }
}

/// That a list is cut, and of how many; `None`: a pattern or a code selects, and nobody has counted.
fn more(limit: usize, count: Option<u64>) -> String {
    match count {
        Some(count) if count <= limit as u64 => format!("all {count}"),
        Some(count) => format!("the first {limit} of {count}; --limit shows more"),
        None => format!("the first {limit} of those selected; --limit shows more, if there are more"),
    }
}

fn list(global: &GlobalArgs, dead_letters: &[StoredDeadLetter]) -> Result<Exit> {
    if global.json {
        dead_letters.iter().try_for_each(print::json)?;
        return Ok(Exit::Ok);
    }
    let row = |StoredDeadLetter { id, dead_letter, .. }: &StoredDeadLetter| {
        let what = dead_letter
            .output
            .as_ref()
            .map_or_else(|| dead_letter.event.clone(), |output| format!("message to {output}"));
        let payload = String::from_utf8_lossy(&dead_letter.data).into_owned();
        [
            id.to_string(),
            print::time(dead_letter.died.millis()),
            dead_letter.route.clone(),
            print::short(&what, 40),
            dead_letter.attempts.to_string(),
            dead_letter.code.clone(),
            print::short(&dead_letter.reason, 60),
            print::short(&payload, 60),
        ]
    };
    print::table(
        ["ID", "DIED", "ROUTE", "EVENT", "TRIED", "CODE", "REASON", "PAYLOAD"],
        &dead_letters.iter().map(row).collect::<Vec<_>>(),
    )?;
    Ok(Exit::Ok)
}

fn show(global: &GlobalArgs, dead_letter: &StoredDeadLetter) -> Result<Exit> {
    if global.json {
        print::json(dead_letter)?;
        return Ok(Exit::Ok);
    }
    let StoredDeadLetter { id, size, dead_letter } = dead_letter;
    let facts = [
        ("dead letter", id.to_string()),
        ("route", dead_letter.route.clone()),
        ("died", print::time(dead_letter.died.millis())),
        ("code", dead_letter.code.clone()),
        ("reason", print::visible(&dead_letter.reason)),
        ("tried", format!("{} time(s)", dead_letter.attempts)),
        ("redriven", dead_letter.last_redrive.as_ref().map(redriven).unwrap_or_default()),
        ("source", format!("{} ({}), lane {:?}", dead_letter.source, dead_letter.kind, dead_letter.lane)),
        ("event", print::visible(&dead_letter.event)),
        ("accepted", print::time(dead_letter.timestamp.millis())),
        ("key", print::visible(&dead_letter.key)),
        ("plugin", format!("{} ({})", dead_letter.plugin, dead_letter.digest.get(..12).unwrap_or_default())),
        ("output", dead_letter.output.clone().unwrap_or_default()),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        print::line(&format!("{name:12} {value}"))?;
    }
    for (name, value) in &dead_letter.attributes {
        print::line(&format!("{:12} {} = {}", "attribute", print::visible(name), print::visible(value)))?;
    }
    let trace = dead_letter.backtrace.iter().flat_map(|trace| trace.lines()).map(|line| ("backtrace", line.to_owned()));
    let logs = dead_letter.logs.iter().map(|line| ("log", line.clone()));
    for (name, line) in trace.chain(logs) {
        print::line(&format!("{name:12} {}", print::visible(&line)))?;
    }
    print::line(&format!("{:12} {} bytes", "payload", size))?;
    print::line(&print::visible(&String::from_utf8_lossy(&dead_letter.data)))?;
    Ok(Exit::Ok)
}

/// The last redrive, which failed.
fn redriven(FailedRedrive { at, reason }: &FailedRedrive) -> String {
    format!("{}, in vain: {}", print::time(at.millis()), print::visible(reason))
}

async fn redrive_all(
    global: &GlobalArgs,
    access: &DeadLetterAccess,
    chosen: &ChosenDeadLetters,
    rate: Option<Duration>,
    dry_run: bool,
) -> Result<Exit> {
    let dead_letters = access.chosen(chosen).await?;
    if dry_run {
        print::message(&format!("{} dead letter(s) would be redriven", dead_letters.len()));
        return list(global, &dead_letters);
    }
    // The first tick comes at once.
    let mut pace = rate.map(tokio::time::interval);
    let (mut redriven, mut failures) = (0, Vec::new());
    for StoredDeadLetter { id, dead_letter, .. } in &dead_letters {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        match access.redrive(*id, &dead_letter.route).await {
            Ok(()) => redriven += 1,
            Err(error) => {
                let error = format!("{error:#}");
                print::message(&format!("{id} stays: {}", print::visible(&error)));
                failures.push(json!({"id": id, "error": error}));
            }
        }
    }
    let failed = failures.len();
    if global.json {
        print::json(&json!({"redriven": redriven, "failed": failed, "failures": failures}))?;
    } else {
        print::message(&format!("{redriven} redriven, {failed} failed"));
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::Failed })
}

async fn drop_all(
    global: &GlobalArgs,
    access: &DeadLetterAccess,
    chosen: &ChosenDeadLetters,
    yes: bool,
) -> Result<Exit> {
    let dead_letters = access.chosen(chosen).await?;
    // A filter may select more than its author expects; numbers were read from a list.
    if chosen.ids.is_empty() && !yes {
        return Err(
            UsageError(format!("{} dead letter(s) would be gone for good; add --yes", dead_letters.len())).into()
        );
    }
    let dropped = access.drop(dead_letters.iter().map(|dead_letter| dead_letter.id).collect()).await?;
    if global.json {
        print::json(&json!({"dropped": dropped}))?;
    } else {
        print::message(&format!("{dropped} dropped"));
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::rate;
    use std::time::Duration;

    #[test]
    fn rates_are_numbers_per_time() {
        assert_eq!(rate("10/s"), Ok(Duration::from_millis(100)));
        assert_eq!(rate("10"), rate("10/s"));
        assert_eq!(rate("120/m"), Ok(Duration::from_millis(500)));
        assert!(rate("0").is_err() && rate("").is_err() && rate("10/").is_err() && rate("0/s").is_err());
        assert!(rate("fast").is_err() && rate("1/d").is_err());
        assert_eq!(rate("1000000000/s"), Ok(Duration::from_nanos(1)));
        assert!(rate("1000000001/s").is_err() && rate("4294967295").is_err());
    }
}
