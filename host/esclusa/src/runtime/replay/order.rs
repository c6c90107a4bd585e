//! What is to be rebuilt, held against the plan.

use esclusa_config::plan::{Plan, RouteSpec, ShardCoordination, Source, Start, TableSpec};
use esclusa_flow::filter::Filter;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Clocks differ, and events of a shard are not in the exact order of their times: so much later than the end asked for,
/// milliseconds, none is expected any more.
const SLACK: u64 = 60_000;

/// Retries of a route that has no limit.
const MOST_RETRIES: u32 = 10;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Order {
    /// The route.
    pub route: String,
    /// Events accepted at or after this time, milliseconds since the Unix epoch; `None`: all that are kept.
    pub since: Option<u64>,
    /// Events accepted at or before this time; `None`: all that are there.
    pub until: Option<u64>,
    /// A table of the route, which may be left out where it has only one, and the table that is written instead.
    pub into: Vec<(Option<String>, String)>,
}

/// Why it cannot be done, whatever the tables hold.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such route.
    #[error("there is no route {name:?}; routes.toml has {known}")]
    Route {
        /// The name asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// There is no such table.
    #[error("there is no table {name:?}; routes.toml has {known}")]
    Table {
        /// The name asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The source does not keep what was handled.
    #[error(
        "route {route}: source {name:?} of kind {kind} keeps no events that were handled, so nothing can be replayed"
    )]
    Forgetful {
        /// The route.
        route: Arc<str>,
        /// The source.
        name: Arc<str>,
        /// Its kind.
        kind: &'static str,
    },
    /// The source does not know when its events were accepted.
    #[error("route {route}: the lines of a file have no time: leave --until out, and say --from TRIM_HORIZON")]
    Timeless {
        /// The route.
        route: Arc<str>,
    },
    /// No event can lie in between.
    #[error("--from is later than --until: no event lies in between")]
    Backwards,
    /// It writes no table at all.
    #[error("route {0} has no table, so there is nothing that a replay could make again")]
    Tableless(Arc<str>),
    /// It has to be said which table is meant.
    #[error("route {route} writes {tables}: say which one is meant, as in --into {first}={into}")]
    Which {
        /// The route.
        route: Arc<str>,
        /// Its tables.
        tables: String,
        /// One of them.
        first: String,
        /// The table to write instead.
        into: String,
    },
    /// The route does not have the table.
    #[error("route {route} has no table {name:?}: it has {tables}")]
    Ungranted {
        /// The route.
        route: Arc<str>,
        /// The table.
        name: String,
        /// Those that it has.
        tables: String,
    },
    /// A table is named twice.
    #[error("table {0:?} is named twice")]
    Twice(String),
    /// Routes write the table, or handle its changes: what is replayed would be counted twice, or handled as news.
    #[error(
        "route {route} {does} table {name:?}: name a table that no route has to do with, such as a new [table.NAME] of routes.toml"
    )]
    Used {
        /// The table.
        name: String,
        /// A route.
        route: Arc<str>,
        /// What it does with the table.
        does: &'static str,
    },
}

/// What is to be done.
#[derive(Debug)]
pub struct Job {
    /// The route as it handles events here.
    pub route: RouteSpec,
    /// The route as it is wired: with the tables that are written, and nothing but tables.
    pub wired: RouteSpec,
    /// Its source, read from the oldest event on, by this process alone.
    pub source: Source,
    /// The plan with that route and that source only.
    pub plan: Plan,
    /// Tables of the route, and those that are written instead.
    pub tables: BTreeMap<String, String>,
    /// Who reads and marks: a name of this run, so that nothing of the route itself is touched.
    pub run: Arc<str>,
    /// Events accepted at or after this time, milliseconds since the Unix epoch; `None`: all that are kept.
    pub since: Option<u64>,
    until: Option<u64>,
}

impl Order {
    /// What is to be done; `now` is in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn job(&self, plan: &Plan, now: u64) -> Result<Job, Refused> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            return Err(Refused::Backwards);
        }
        let known = || plan.routes.iter().map(|route| route.name.to_string());
        let route = plan.routes.iter().find(|route| *route.name == *self.route);
        let route = route.ok_or_else(|| Refused::Route { name: self.route.clone(), known: list(known()) })?;
        let tables = self.tables(plan, route)?;
        let source = self.source(plan, route)?;
        let mut route = route.clone();
        route.enabled = true;
        route.on_failure = None;
        // Old is what they all are.
        route.policy.max_record_age = None;
        route.policy.release = false;
        // One that fails for ever would keep the replay for ever.
        route.policy.max_retry_attempts = route.policy.max_retry_attempts.or(Some(MOST_RETRIES));
        if self.since.is_some() || self.until.is_some() {
            let (since, until) = (self.since.unwrap_or(0), self.until.unwrap_or(u64::MAX));
            route.filter = Some(Filter::within(route.filter.take(), since, until));
        }
        let mut wired = route.clone();
        wired.grants.tables.extend(tables.values().cloned());
        wired.grants.objects.clear();
        wired.grants.outputs.clear();
        let sources = BTreeMap::from([(route.source.clone(), source.clone())]);
        let plan = Plan { sources, routes: vec![wired.clone()], ..plan.clone() };
        let run = format!("{}-replay-{now}", route.name).into();
        Ok(Job { route, wired, source, plan, tables, run, since: self.since, until: self.until })
    }

    fn tables(&self, plan: &Plan, route: &RouteSpec) -> Result<BTreeMap<String, String>, Refused> {
        let granted = || list(route.grants.tables.iter().cloned());
        let mut tables = BTreeMap::new();
        for (from, into) in &self.into {
            if !plan.tables.contains_key(into) {
                return Err(Refused::Table { name: into.clone(), known: list(plan.tables.keys().cloned()) });
            }
            unused(plan, into)?;
            let mut all = route.grants.tables.iter();
            let from = match (from, all.next(), all.next()) {
                (Some(from), _, _) if route.grants.tables.contains(from) => from,
                (Some(name), _, _) => {
                    return Err(Refused::Ungranted {
                        route: route.name.clone(),
                        name: name.clone(),
                        tables: granted(),
                    });
                }
                (None, Some(only), None) => only,
                (None, None, _) => return Err(Refused::Tableless(route.name.clone())),
                (None, Some(first), Some(_)) => {
                    let first = first.clone();
                    return Err(Refused::Which {
                        route: route.name.clone(),
                        tables: granted(),
                        first,
                        into: into.clone(),
                    });
                }
            };
            if tables.values().any(|other| other == into) {
                return Err(Refused::Twice(into.clone()));
            }
            if tables.insert(from.clone(), into.clone()).is_some() {
                return Err(Refused::Twice(from.clone()));
            }
        }
        Ok(tables)
    }

    /// The source of the route, from its oldest event on. The filter keeps to the times; Kinesis is read from there.
    fn source(&self, plan: &Plan, route: &RouteSpec) -> Result<Source, Refused> {
        let name = route.source.clone();
        let mut source = plan.sources.get(&name).cloned();
        match &mut source {
            Some(Source::Stream { start, .. } | Source::TableChanges { start, .. }) => *start = Start::TrimHorizon,
            Some(Source::Http { reply: false, .. }) => {}
            Some(Source::File { .. }) if self.since.is_some() || self.until.is_some() => {
                return Err(Refused::Timeless { route: route.name.clone() });
            }
            Some(Source::File { follow, .. }) => *follow = false,
            Some(Source::Kinesis { start, consumer, coordination, .. }) => {
                *start = self.since.map_or(Start::TrimHorizon, Start::AtTimestamp);
                *consumer = None;
                *coordination = ShardCoordination::None;
            }
            Some(Source::DynamodbStream { start, coordination, .. }) => {
                *start = Start::TrimHorizon;
                *coordination = ShardCoordination::None;
            }
            _ => {}
        }
        match source {
            Some(Source::Http { reply: true, .. }) | None => {}
            Some(Source::Queue { .. } | Source::Sqs { .. } | Source::Generate { .. } | Source::Schedule { .. }) => {}
            Some(source) => return Ok(source),
        }
        let kind = source.as_ref().map_or("?", Source::kind);
        Err(Refused::Forgetful { route: route.name.clone(), name, kind })
    }
}

/// Refuses a table that routes write or read, or whose changes they handle.
fn unused(plan: &Plan, table: &str) -> Result<(), Refused> {
    let used = |route: &Arc<str>, does| Refused::Used { name: table.to_owned(), route: route.clone(), does };
    for route in &plan.routes {
        if route.grants.tables.contains(table) {
            return Err(used(&route.name, "is granted"));
        }
        let source = plan.sources.get(&route.source);
        if matches!(source, Some(Source::TableChanges { table: of, .. }) if of == table) {
            return Err(used(&route.name, "handles the changes of"));
        }
    }
    Ok(())
}

impl Job {
    /// True where the source is a log of the embedded engine.
    #[must_use]
    pub fn logged(&self) -> bool {
        matches!(self.source, Source::Stream { .. } | Source::TableChanges { .. } | Source::Http { .. })
    }

    /// True where anything is in the store of the configuration.
    #[must_use]
    pub fn needs_store(&self) -> bool {
        let embedded = |name: &String| matches!(self.plan.tables.get(name), Some(TableSpec::Embedded(_)));
        self.logged() || self.wired.grants.tables.iter().any(embedded)
    }

    /// The time after which no event is for this run, milliseconds since the Unix epoch.
    #[must_use]
    pub fn end(&self, now: u64) -> u64 {
        match self.source {
            // A line has the time at which it is read.
            Source::File { .. } => u64::MAX,
            _ => self.until.unwrap_or(now).saturating_add(SLACK),
        }
    }
}

fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
