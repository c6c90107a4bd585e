//! The request for a replay, checked against the plan.

use crate::configuration::list_names;
use esclusa_config::plan::{Plan, RouteSpec, ShardCoordination, Source, Start, TableSpec};
use esclusa_flow::filter::Filter;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Milliseconds after the end of the time range in which events of the range may still come: clocks differ, and the
/// events of a shard are not exactly in the order of their times.
const SLACK: u64 = 60_000;

/// Retries of a route whose retries have no limit.
const MOST_RETRIES: u32 = 10;

/// The options of `esclusa replay`.
#[derive(Debug, Clone)]
pub(crate) struct ReplayRequest {
    /// The route.
    pub route: String,
    /// Events accepted at or after this time, milliseconds since the Unix epoch; `None`: all that are kept.
    pub since: Option<u64>,
    /// Events accepted at or before this time; `None`: all that exist.
    pub until: Option<u64>,
    /// Tables of the route and the tables that are written instead. The first name may be left out if the route has
    /// only one table.
    pub into: Vec<(Option<String>, String)>,
}

/// Why a replay cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayRefusal {
    /// There is no such route.
    #[error("there is no route {name:?}; routes.toml has {known}")]
    Route {
        /// The name asked for.
        name: String,
        /// The existing names.
        known: String,
    },
    /// There is no such table.
    #[error("there is no table {name:?}; routes.toml has {known}")]
    Table {
        /// The name asked for.
        name: String,
        /// The existing names.
        known: String,
    },
    /// The source does not keep events that were handled.
    #[error(
        "route {route}: source {name:?} of kind {kind} does not keep events that were handled, so nothing can be replayed"
    )]
    Forgetful {
        /// The route.
        route: Arc<str>,
        /// The source.
        name: Arc<str>,
        /// Its kind.
        kind: &'static str,
    },
    /// The events of the source have no time of acceptance.
    #[error("route {route}: the lines of a file have no time: leave --until out, and say --from TRIM_HORIZON")]
    Timeless {
        /// The route.
        route: Arc<str>,
    },
    /// The time range is empty.
    #[error("--from is later than --until: no event lies in between")]
    Backwards,
    /// The route has no table.
    #[error("route {0} has no table, so there is nothing to replay")]
    Tableless(Arc<str>),
    /// The route has several tables, and the request does not say which one is meant.
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
        /// The tables that it has.
        tables: String,
    },
    /// A table is named twice.
    #[error("table {0:?} is named twice")]
    Twice(String),
    /// A route writes the table or handles its changes: replayed items would be counted twice, or handled as new
    /// changes.
    #[error(
        "route {route} {does} table {name:?}: name a table that no route uses, such as a new [table.NAME] of routes.toml"
    )]
    Used {
        /// The table.
        name: String,
        /// A route.
        route: Arc<str>,
        /// How the route uses the table.
        does: &'static str,
    },
}

/// A replay that can be made.
#[derive(Debug)]
pub(crate) struct ReplayJob {
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
    /// The name under which this run reads and writes dedup records, so that those of the route are not touched.
    pub run: Arc<str>,
    /// Events accepted at or after this time, milliseconds since the Unix epoch; `None`: all that are kept.
    pub since: Option<u64>,
    until: Option<u64>,
}

impl ReplayRequest {
    /// Checks the request; `now` is in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`ReplayRefusal`].
    pub(crate) fn job(&self, plan: &Plan, now: u64) -> Result<ReplayJob, ReplayRefusal> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            return Err(ReplayRefusal::Backwards);
        }
        let route = plan.routes.iter().find(|route| *route.name == *self.route);
        let route = route.ok_or_else(|| ReplayRefusal::Route {
            name: self.route.clone(),
            known: list_names(plan.routes.iter().map(|route| &route.name)),
        })?;
        let tables = self.tables(plan, route)?;
        let source = self.source(plan, route)?;
        let mut route = route.clone();
        route.enabled = true;
        route.on_failure = None;
        // All events of a replay are old.
        route.policy.max_record_age = None;
        route.policy.release = false;
        // An event that always fails would keep the replay from ending.
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
        Ok(ReplayJob { route, wired, source, plan, tables, run, since: self.since, until: self.until })
    }

    fn tables(&self, plan: &Plan, route: &RouteSpec) -> Result<BTreeMap<String, String>, ReplayRefusal> {
        let granted = || list_names(&route.grants.tables);
        let mut tables = BTreeMap::new();
        for (from, into) in &self.into {
            if !plan.tables.contains_key(into) {
                return Err(ReplayRefusal::Table { name: into.clone(), known: list_names(plan.tables.keys()) });
            }
            unused(plan, into)?;
            let mut all = route.grants.tables.iter();
            let from = match (from, all.next(), all.next()) {
                (Some(from), _, _) if route.grants.tables.contains(from) => from,
                (Some(name), _, _) => {
                    return Err(ReplayRefusal::Ungranted {
                        route: route.name.clone(),
                        name: name.clone(),
                        tables: granted(),
                    });
                }
                (None, Some(only), None) => only,
                (None, None, _) => return Err(ReplayRefusal::Tableless(route.name.clone())),
                (None, Some(first), Some(_)) => {
                    let first = first.clone();
                    return Err(ReplayRefusal::Which {
                        route: route.name.clone(),
                        tables: granted(),
                        first,
                        into: into.clone(),
                    });
                }
            };
            if tables.values().any(|other| other == into) {
                return Err(ReplayRefusal::Twice(into.clone()));
            }
            if tables.insert(from.clone(), into.clone()).is_some() {
                return Err(ReplayRefusal::Twice(from.clone()));
            }
        }
        Ok(tables)
    }

    /// The source of the route, read from its oldest event on: the filter leaves out events before the time range.
    /// Only Kinesis and Kafka can begin at a time themselves.
    fn source(&self, plan: &Plan, route: &RouteSpec) -> Result<Source, ReplayRefusal> {
        let name = route.source.clone();
        let mut source = plan.sources.get(&name).cloned();
        match &mut source {
            Some(Source::Stream { start, .. } | Source::TableChanges { start, .. }) => *start = Start::TrimHorizon,
            Some(Source::Http { reply: false, .. }) => {}
            Some(Source::File { .. }) if self.since.is_some() || self.until.is_some() => {
                return Err(ReplayRefusal::Timeless { route: route.name.clone() });
            }
            Some(Source::File { follow, .. }) => *follow = false,
            Some(Source::Kinesis { start, consumer, coordination, .. }) => {
                *start = self.since.map_or(Start::TrimHorizon, Start::AtTimestamp);
                *consumer = None;
                *coordination = ShardCoordination::None;
            }
            Some(Source::Kafka { start, .. }) => *start = self.since.map_or(Start::TrimHorizon, Start::AtTimestamp),
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
        Err(ReplayRefusal::Forgetful { route: route.name.clone(), name, kind })
    }
}

/// Fails if a route is granted the table or handles its changes.
fn unused(plan: &Plan, table: &str) -> Result<(), ReplayRefusal> {
    let used = |route: &Arc<str>, does| ReplayRefusal::Used { name: table.to_owned(), route: route.clone(), does };
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

impl ReplayJob {
    /// True if the source is a log of the embedded engine.
    #[must_use]
    pub(crate) fn logged(&self) -> bool {
        matches!(self.source, Source::Stream { .. } | Source::TableChanges { .. } | Source::Http { .. })
    }

    /// True if the source or a table is in the store of the configuration.
    #[must_use]
    pub(crate) fn needs_store(&self) -> bool {
        let embedded = |name: &String| matches!(self.plan.tables.get(name), Some(TableSpec::Embedded(_)));
        self.logged() || self.wired.grants.tables.iter().any(embedded)
    }

    /// The time after which no event belongs to this run, milliseconds since the Unix epoch.
    #[must_use]
    pub(crate) fn end(&self, now: u64) -> u64 {
        match self.source {
            // A line has the time at which it is read: no line is too late.
            Source::File { .. } => u64::MAX,
            _ => self.until.unwrap_or(now).saturating_add(SLACK),
        }
    }
}
