//! How sure each thing is that a route writes, and why not surer. Checking `delivery` and showing it both ask here, so
//! that no more is shown than was checked.

use super::{Coordination, DeliveryMode, Objects, Output, Plan, RouteSpec, ServiceLocation, Source, Table};

/// Something that a route writes, by its name in routes.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A table.
    Table(&'a str),
    /// An object store.
    Objects(&'a str),
    /// An output.
    Output(&'a str),
}

/// What is promised of what a route writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Written in the transaction that records the progress.
    WithCommit,
    /// A batch is repeated within the same bounds, so that its objects get the same paths.
    Overwriting,
    /// A message that is repeated within five minutes has the id of the first, and is left out.
    Deduplicated,
    /// Repeated where the progress was not recorded.
    AtLeastOnce,
    /// Nobody but the sender of the request can repeat it.
    PerRequest,
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Level::WithCommit => "exactly-once with the commit",
            Level::Overwriting => "exactly-once by overwriting, while the plugin stays the same",
            Level::Deduplicated => "at-least-once, deduplicated for 5 minutes by FIFO ids",
            Level::AtLeastOnce => "at-least-once",
            Level::PerRequest => "at-most-once per request",
        })
    }
}

impl Plan {
    /// What is promised of what a route writes to `target`.
    #[must_use]
    pub fn level(&self, route: &RouteSpec, target: Target<'_>) -> Level {
        let Some(source) = self.sources.get(&route.source) else { return Level::AtLeastOnce };
        let commits = Commits::new(source, self.tables_of(route), &self.aws.place);
        let committed = |obstacle: Option<Obstacle>| match obstacle {
            Some(_) => Level::AtLeastOnce,
            None if commits.progress == Progress::Nowhere => Level::PerRequest,
            None => Level::WithCommit,
        };
        match target {
            Target::Table(name) => match self.tables.get(name) {
                Some(Table::Dynamodb { .. }) if route.delivery == DeliveryMode::AtLeastOnce => Level::AtLeastOnce,
                Some(table) => committed(commits.table(table)),
                None => Level::AtLeastOnce,
            },
            Target::Objects(name) => match self.objects.get(name) {
                Some(store @ Objects::S3 { .. }) if commits.objects(store).is_none() => Level::Overwriting,
                Some(store) => committed(commits.objects(store)),
                None => Level::AtLeastOnce,
            },
            Target::Output(name) => match self.outputs.get(name) {
                Some(output) if output.deduplicates() => Level::Deduplicated,
                Some(output) => committed(commits.output(output)),
                None => Level::AtLeastOnce,
            },
        }
    }

    /// True if a dedup record of each event is written together with its effects: exactly-once needs that in DynamoDB for a
    /// source whose progress cannot be part of the transaction.
    #[must_use]
    pub fn needs_dedup(&self, route: &RouteSpec) -> bool {
        let leased = |source: &Source| matches!(source.coordination(), Some(Coordination::Leases { .. }));
        route.delivery == DeliveryMode::ExactlyOnce
            && self.tables_of(route).any(|table| matches!(table, Table::Dynamodb { .. }))
            && !self.sources.get(&route.source).is_some_and(leased)
    }

    fn tables_of<'a>(&'a self, route: &'a RouteSpec) -> impl Iterator<Item = &'a Table> {
        route.grants.tables.iter().filter_map(|name| self.tables.get(name))
    }
}

/// Where a source's progress is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// In the embedded engine, by the source itself.
    Embedded,
    /// In the embedded engine, of a source that could keep it in DynamoDB.
    EmbeddedInstead,
    /// In a lease table.
    Leases,
    /// In SQS.
    Receipts,
    /// Nowhere: a request is not repeated.
    Nowhere,
}

/// Why something is not written in the transaction that records the progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The reason, to be read after "it".
    pub why: &'static str,
    /// What to do.
    pub help: &'static str,
}

/// What a route's commits can hold.
pub(crate) struct Commits<'a> {
    progress: Progress,
    dynamodb: bool,
    embedded: bool,
    home: &'a ServiceLocation,
}

const APART: &str = "leave delivery out, or let a route of its own write it, from a stream or queue";

impl<'a> Commits<'a> {
    /// Of a route with that source and those tables; `home` is where lease tables and the table of dedup records are.
    pub(crate) fn new<'t>(source: &Source, tables: impl Iterator<Item = &'t Table>, home: &'a ServiceLocation) -> Self {
        let progress = match source {
            Source::Http { reply: true, .. } => Progress::Nowhere,
            Source::Sqs { .. } => Progress::Receipts,
            source => match source.coordination() {
                Some(Coordination::Leases { .. }) => Progress::Leases,
                Some(Coordination::None) => Progress::EmbeddedInstead,
                None => Progress::Embedded,
            },
        };
        let mut commits = Commits { progress, dynamodb: false, embedded: false, home };
        for table in tables {
            match table {
                Table::Embedded(_) => commits.embedded = true,
                Table::Dynamodb { .. } => commits.dynamodb = true,
            }
        }
        commits
    }

    /// True where commits are transactions of the embedded engine alone.
    pub(crate) fn embedded_only(&self) -> bool {
        self.of_embedded().is_none()
    }

    /// What keeps a table out; `None`: nothing.
    pub(crate) fn table(&self, table: &Table) -> Option<Obstacle> {
        match table {
            Table::Embedded(_) => self.of_embedded(),
            Table::Dynamodb { place, .. } if place != self.home => Some(Obstacle {
                why: "is in another place than [aws], where the progress is kept",
                help: "leave region and endpoint_url of the table out, and set them in [aws]",
            }),
            Table::Dynamodb { .. } if self.progress == Progress::EmbeddedInstead => Some(Obstacle {
                why: "is in DynamoDB, and without leases the source's positions are in the embedded engine",
                help: "leave coordination = \"none\" of the source out",
            }),
            Table::Dynamodb { .. } => None,
        }
    }

    /// What keeps an object store out; `None`: nothing.
    pub(crate) fn objects(&self, objects: &Objects) -> Option<Obstacle> {
        match objects {
            Objects::Directory { .. } => self.of_embedded(),
            Objects::S3 { .. } if self.progress == Progress::Leases && !self.embedded => None,
            Objects::S3 { .. } => Some(Obstacle {
                why: "is in S3, and only a source with leases, without embedded tables, repeats a batch within the same bounds",
                help: APART,
            }),
        }
    }

    /// What keeps an output out; `None`: nothing.
    pub(crate) fn output(&self, output: &Output) -> Option<Obstacle> {
        match output {
            Output::Stream { .. } | Output::Queue { .. } => self.of_embedded(),
            output if output.deduplicates() => {
                Some(Obstacle { why: "leaves repeated messages out for 5 minutes only", help: APART })
            }
            _ => Some(Obstacle { why: "is at-least-once", help: APART }),
        }
    }

    fn of_embedded(&self) -> Option<Obstacle> {
        let (why, help) = match self.progress {
            _ if self.dynamodb => ("is in the embedded engine, and tables of the route are in DynamoDB", APART),
            Progress::Leases => (
                "is in the embedded engine, and the source's positions are in a lease table",
                "set coordination = \"none\" at the source, or use tables in DynamoDB",
            ),
            Progress::Receipts => ("is in the embedded engine, and messages are deleted in SQS", APART),
            Progress::Embedded | Progress::EmbeddedInstead | Progress::Nowhere => return None,
        };
        Some(Obstacle { why, help })
    }
}
