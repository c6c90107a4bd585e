//! `esclusa dlq`: dead letters are read, replayed and dropped.
//!
//! A replay goes letter by letter: delivered, confirmed, removed. Stopping the command at any moment loses nothing.

mod desk;

use super::{Global, Misused, print};
use crate::exit::Exit;
use crate::letters::{Letter, Query};
use anyhow::Result;
use desk::Desk;
use serde_json::json;
use std::time::Duration;

/// Bytes of a payload that a list shows at most.
const PREVIEW: usize = 200;

/// `esclusa dlq`.
#[derive(Debug, clap::Subcommand)]
pub enum Dlq {
    /// List dead letters
    #[command(after_help = "Example:\n  esclusa dlq ls --route orders --where '{\"data\": {\"country\": [\"IT\"]}}'")]
    Ls {
        #[command(flatten)]
        which: Which,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show everything that is known of a dead letter
    #[command(after_help = "Example:\n  esclusa dlq show 17")]
    Show {
        /// Its number, from `esclusa dlq ls`
        id: u64,
    },
    /// Deliver dead letters to their route again; each is removed once that has worked
    #[command(
        after_help = "Examples:\n  esclusa dlq replay 17\n  esclusa dlq replay --route orders --rate 10/s\n  esclusa dlq replay --all --dry-run"
    )]
    Replay {
        #[command(flatten)]
        chosen: Chosen,
        /// At most so many in a time, such as 10/s or 100/m
        #[arg(long, value_parser = rate)]
        rate: Option<Duration>,
        /// Only tell what would be replayed
        #[arg(long)]
        dry_run: bool,
    },
    /// Throw dead letters away
    #[command(after_help = "Example:\n  esclusa dlq drop 17")]
    Drop {
        #[command(flatten)]
        chosen: Chosen,
        /// Needed where letters are not named by their numbers
        #[arg(long)]
        yes: bool,
    },
}

/// Which letters.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// Of this route
    #[arg(long)]
    route: Option<String>,
    /// With this code, such as rejected or plugin.trap
    #[arg(long)]
    code: Option<String>,
    /// Whose event matches this pattern: JSON, as in a route's filter
    #[arg(long = "where", value_name = "PATTERN")]
    pattern: Option<String>,
}

/// Letters by number, or those that fit.
#[derive(Debug, Clone, clap::Args)]
pub struct Chosen {
    /// Their numbers
    ids: Vec<u64>,
    #[command(flatten)]
    which: Which,
    /// All of them
    #[arg(long)]
    all: bool,
}

impl Which {
    fn query(&self, preview: Option<usize>) -> Query {
        Query {
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
    let wrong = || format!("{text:?} is no rate: write 10/s or 100/m");
    let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
    let number: u32 = number.trim().parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
    let unit = match unit.trim() {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return Err(wrong()),
    };
    Ok(unit / number)
}

impl Dlq {
    /// Does it.
    pub async fn run(&self, global: &Global) -> Result<Exit> {
        let desk = Desk::open(global).await?;
        let which = match self {
            Dlq::Ls { which, .. } => Some(which),
            Dlq::Show { .. } => None,
            Dlq::Replay { chosen, .. } | Dlq::Drop { chosen, .. } => Some(&chosen.which),
        };
        desk.check(which.and_then(|which| which.route.as_ref())).await?;
        match self {
            Dlq::Ls { which, limit } => {
                let preview = if global.json { None } else { Some(PREVIEW) };
                list(global, &desk.select(which.query(preview), *limit).await?, *limit)
            }
            Dlq::Show { id } => show(global, &desk.show(*id).await?),
            Dlq::Replay { chosen, rate, dry_run } => replay_all(global, &desk, chosen, *rate, *dry_run).await,
            Dlq::Drop { chosen, yes } => drop_all(global, &desk, chosen, *yes).await,
        }
    }
}

fn list(global: &Global, letters: &[Letter], limit: usize) -> Result<Exit> {
    if global.json {
        letters.iter().try_for_each(print::json)?;
        return Ok(Exit::Ok);
    }
    let row = |Letter { id, letter, .. }: &Letter| {
        let what = letter.output.as_ref().map_or_else(|| letter.event.clone(), |output| format!("message to {output}"));
        let payload = String::from_utf8_lossy(&letter.data).into_owned();
        [
            id.to_string(),
            print::time(letter.died.millis()),
            letter.route.clone(),
            print::short(&what, 40),
            letter.attempts.to_string(),
            letter.code.clone(),
            print::short(&letter.reason, 60),
            print::short(&payload, 60),
        ]
    };
    print::table(
        ["ID", "DIED", "ROUTE", "EVENT", "TRIED", "CODE", "REASON", "PAYLOAD"],
        &letters.iter().map(row).collect::<Vec<_>>(),
    )?;
    if letters.len() == limit {
        print::message(&format!("the first {limit}; --limit shows more"));
    }
    Ok(Exit::Ok)
}

fn show(global: &Global, letter: &Letter) -> Result<Exit> {
    if global.json {
        print::json(letter)?;
        return Ok(Exit::Ok);
    }
    let Letter { id, size, letter } = letter;
    let facts = [
        ("dead letter", id.to_string()),
        ("route", letter.route.clone()),
        ("died", print::time(letter.died.millis())),
        ("code", letter.code.clone()),
        ("reason", print::visible(&letter.reason)),
        ("tried", format!("{} time(s)", letter.attempts)),
        ("source", format!("{} ({}), lane {:?}", letter.source, letter.kind, letter.lane)),
        ("event", print::visible(&letter.event)),
        ("accepted", print::time(letter.timestamp.millis())),
        ("key", print::visible(&letter.key)),
        ("plugin", format!("{} ({})", letter.plugin, letter.digest.get(..12).unwrap_or_default())),
        ("output", letter.output.clone().unwrap_or_default()),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        print::line(&format!("{name:12} {value}"))?;
    }
    for (name, value) in &letter.attributes {
        print::line(&format!("{:12} {} = {}", "attribute", print::visible(name), print::visible(value)))?;
    }
    let trace = letter.backtrace.iter().flat_map(|trace| trace.lines()).map(|line| ("backtrace", line.to_owned()));
    let logs = letter.logs.iter().map(|line| ("log", line.clone()));
    for (name, line) in trace.chain(logs) {
        print::line(&format!("{name:12} {}", print::visible(&line)))?;
    }
    print::line(&format!("{:12} {} bytes", "payload", size))?;
    print::line(&print::visible(&String::from_utf8_lossy(&letter.data)))?;
    Ok(Exit::Ok)
}

async fn replay_all(
    global: &Global,
    desk: &Desk,
    chosen: &Chosen,
    rate: Option<Duration>,
    dry_run: bool,
) -> Result<Exit> {
    let letters = desk.chosen(chosen).await?;
    if dry_run {
        print::message(&format!("{} dead letter(s) would be replayed", letters.len()));
        return list(global, &letters, usize::MAX);
    }
    let mut pace = rate.map(tokio::time::interval);
    let (mut replayed, mut failed) = (0, 0);
    for Letter { id, letter, .. } in &letters {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        match desk.replay(*id, &letter.route).await {
            Ok(()) => replayed += 1,
            Err(error) => {
                failed += 1;
                print::message(&format!("{id} stays: {}", print::visible(&format!("{error:#}"))));
            }
        }
    }
    if global.json {
        print::json(&json!({"replayed": replayed, "failed": failed}))?;
    } else {
        print::message(&format!("{replayed} replayed, {failed} failed"));
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::Failed })
}

async fn drop_all(global: &Global, desk: &Desk, chosen: &Chosen, yes: bool) -> Result<Exit> {
    let letters = desk.chosen(chosen).await?;
    if chosen.ids.is_empty() && !yes {
        return Err(Misused(format!("{} dead letter(s) would be gone for good; add --yes", letters.len())).into());
    }
    let dropped = desk.drop(letters.iter().map(|letter| letter.id).collect()).await?;
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
        assert_eq!(rate("120/m"), Ok(Duration::from_millis(500)));
        assert!(rate("0/s").is_err() && rate("fast").is_err() && rate("1/d").is_err());
    }
}
