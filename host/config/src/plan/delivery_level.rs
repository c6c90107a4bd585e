//! The delivery guarantee of each target of a route, and what prevents a stronger one. The check of `delivery` and the
//! display of the guarantee use the same rules, so that no guarantee is shown that was not checked.

use super::{
    DeliveryMode, KafkaConnection, Objects, Output, Plan, RouteSpec, ServiceLocation, ShardCoordination, Source,
    TableSpec,
};
use std::collections::BTreeSet;

/// A target that a route writes to, by its name in routes.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteTarget<'a> {
    /// A table.
    Table(&'a str),
    /// An object store.
    Objects(&'a str),
    /// An output.
    Output(&'a str),
}

/// The delivery guarantee of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryLevel {
    /// Written in the transaction that records the progress.
    WithCommit,
    /// A repeated batch has the same events as before, so its objects get the same paths and overwrite the first ones.
    Overwriting,
    /// A message that is repeated within five minutes has the id of the first, and the queue or topic drops it.
    Deduplicated,
    /// Written again if the progress was not recorded.
    AtLeastOnce,
    /// Never repeated by the router; only the sender of the request can repeat it.
    PerRequest,
}

impl std::fmt::Display for DeliveryLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DeliveryLevel::WithCommit => "exactly-once with the commit",
            DeliveryLevel::Overwriting => "exactly-once by overwriting, while the plugin stays the same",
            DeliveryLevel::Deduplicated => "at-least-once, deduplicated for 5 minutes by FIFO ids",
            DeliveryLevel::AtLeastOnce => "at-least-once",
            DeliveryLevel::PerRequest => "at-most-once per request",
        })
    }
}

/// What keeps the progress of a route that reads Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaProgress {
    /// The consumer group: offsets are committed after the effects.
    Group,
    /// The embedded engine, in the transaction of the effects; the group's offsets follow.
    Embedded,
    /// DynamoDB, in the transaction of the effects; the group's offsets follow.
    Dynamodb,
    /// The transaction of the producer that sends the messages.
    Transaction,
}

impl Plan {
    /// The delivery guarantee of what a route writes to `target`.
    #[must_use]
    pub fn level(&self, route: &RouteSpec, target: WriteTarget<'_>) -> DeliveryLevel {
        let Some(source) = self.sources.get(&route.source) else { return DeliveryLevel::AtLeastOnce };
        let commits = CommitScope::new(source, self.tables_of(route), &self.aws.place);
        let committed = |obstacle: Option<Obstacle>| match obstacle {
            Some(_) => DeliveryLevel::AtLeastOnce,
            None if commits.progress == ProgressLocation::Nowhere => DeliveryLevel::PerRequest,
            None => DeliveryLevel::WithCommit,
        };
        match target {
            WriteTarget::Table(name) => match self.tables.get(name) {
                // Unless exactly-once is asked for, DynamoDB is written without transactions.
                Some(TableSpec::Dynamodb { .. }) if route.delivery == DeliveryMode::AtLeastOnce => {
                    DeliveryLevel::AtLeastOnce
                }
                Some(table) => committed(commits.table(table)),
                None => DeliveryLevel::AtLeastOnce,
            },
            WriteTarget::Objects(name) => match self.objects.get(name) {
                Some(store @ Objects::S3 { .. }) if commits.objects(store).is_none() => DeliveryLevel::Overwriting,
                Some(store) => committed(commits.objects(store)),
                None => DeliveryLevel::AtLeastOnce,
            },
            WriteTarget::Output(name) => match self.outputs.get(name) {
                Some(output) if output.deduplicates() => DeliveryLevel::Deduplicated,
                Some(Output::Kafka { .. }) if self.kafka_progress(route) != Some(KafkaProgress::Transaction) => {
                    DeliveryLevel::AtLeastOnce
                }
                Some(output) => committed(commits.output(output)),
                None => DeliveryLevel::AtLeastOnce,
            },
        }
    }

    /// True if the transaction of a batch also holds a dedup record of each of its events. Exactly-once in DynamoDB needs this if
    /// the progress of the source cannot be part of the transaction.
    #[must_use]
    pub fn needs_dedup(&self, route: &RouteSpec) -> bool {
        let has_positions = |source: &Source| match source {
            Source::Kafka { .. } => true,
            source => matches!(source.coordination(), Some(ShardCoordination::Leases { .. })),
        };
        route.delivery == DeliveryMode::ExactlyOnce
            && self.tables_of(route).any(|table| matches!(table, TableSpec::Dynamodb { .. }))
            && !self.sources.get(&route.source).is_some_and(has_positions)
    }

    /// The route whose commits keep the answers to requests of a source in DynamoDB, in the table of dedup records; `None` if they are
    /// not kept there.
    #[must_use]
    pub fn answers_on_aws(&self, source: &str) -> Option<&RouteSpec> {
        let Source::Http { on: Some(on), reply: true, .. } = self.sources.get(source)? else { return None };
        on.idempotency.as_ref()?;
        self.routes.iter().find(|route| *route.source == *source && self.needs_dedup(route))
    }

    /// What keeps the progress of a route; `None` if its source is not Kafka.
    #[must_use]
    pub fn kafka_progress(&self, route: &RouteSpec) -> Option<KafkaProgress> {
        let Source::Kafka { .. } = self.sources.get(&route.source)? else { return None };
        let exactly_once = route.delivery == DeliveryMode::ExactlyOnce;
        let dynamodb = self.tables_of(route).any(TableSpec::on_aws);
        Some(match () {
            () if dynamodb && exactly_once => KafkaProgress::Dynamodb,
            () if dynamodb => KafkaProgress::Group,
            () if self.writes_embedded(route) => KafkaProgress::Embedded,
            () if exactly_once && self.sends_to_kafka(route) => KafkaProgress::Transaction,
            () => KafkaProgress::Group,
        })
    }

    /// True if a plugin's effects on this route go to tables, directories, streams or queues of the embedded engine: each process
    /// has its own, so only one may read the route's source.
    #[must_use]
    pub fn writes_embedded(&self, route: &RouteSpec) -> bool {
        let directory = |name: &String| matches!(self.objects.get(name), Some(Objects::Directory { .. }));
        let local =
            |name: &String| matches!(self.outputs.get(name), Some(Output::Stream { .. } | Output::Queue { .. }));
        self.tables_of(route).any(|table| !table.on_aws())
            || route.grants.objects.iter().any(directory)
            || route.grants.outputs.iter().any(local)
    }

    /// True if a plugin's effects on this route go to tables or object stores on AWS.
    #[must_use]
    pub fn writes_aws(&self, route: &RouteSpec) -> bool {
        let store = |name: &String| self.objects.get(name).is_some_and(Objects::on_aws);
        self.tables_of(route).any(TableSpec::on_aws) || route.grants.objects.iter().any(store)
    }

    fn sends_to_kafka(&self, route: &RouteSpec) -> bool {
        route.grants.outputs.iter().any(|name| matches!(self.outputs.get(name), Some(Output::Kafka { .. })))
    }

    fn tables_of<'a>(&'a self, route: &'a RouteSpec) -> impl Iterator<Item = &'a TableSpec> {
        route.grants.tables.iter().filter_map(|name| self.tables.get(name))
    }
}

/// The place that keeps a source's progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProgressLocation {
    /// The embedded engine.
    Embedded,
    /// The embedded engine, for a source that could keep it in DynamoDB.
    EmbeddedInstead,
    /// A lease table in DynamoDB.
    Leases,
    /// SQS: a message that is done is deleted.
    Receipts,
    /// The position of a partition of Kafka, in the transaction of the effects: of the embedded engine, of DynamoDB, or of
    /// Kafka itself.
    Effects,
    /// None: a request is not repeated.
    Nowhere,
}

/// Why a target is not written in the transaction that records the progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The reason, a predicate: "is in S3, …".
    pub why: &'static str,
    /// The help of the message.
    pub help: &'static str,
}

/// The targets that one commit of a route can write together with its progress.
pub(crate) struct CommitScope<'a> {
    progress: ProgressLocation,
    dynamodb: bool,
    embedded: bool,
    /// The brokers of the source, if it is Kafka.
    brokers: Option<&'a KafkaConnection>,
    home: &'a ServiceLocation,
}

const APART: &str = "leave delivery out, or let a route of its own write it, from a stream or queue";

impl<'a> CommitScope<'a> {
    /// The scope for a route with that source and those tables; `home` is the location of lease and mark tables.
    pub(crate) fn new<'t>(
        source: &'a Source,
        tables: impl Iterator<Item = &'t TableSpec>,
        home: &'a ServiceLocation,
    ) -> Self {
        let progress = match source {
            Source::Http { reply: true, .. } => ProgressLocation::Nowhere,
            Source::Sqs { .. } => ProgressLocation::Receipts,
            Source::Kafka { .. } => ProgressLocation::Effects,
            source => match source.coordination() {
                Some(ShardCoordination::Leases { .. }) => ProgressLocation::Leases,
                Some(ShardCoordination::None) => ProgressLocation::EmbeddedInstead,
                None => ProgressLocation::Embedded,
            },
        };
        let brokers = match source {
            Source::Kafka { connection, .. } => Some(connection),
            _ => None,
        };
        let mut commits = CommitScope { progress, dynamodb: false, embedded: false, brokers, home };
        for table in tables {
            match table {
                TableSpec::Embedded(_) => commits.embedded = true,
                TableSpec::Dynamodb { .. } => commits.dynamodb = true,
            }
        }
        commits
    }

    /// The same scope; `local` says if there are targets in the embedded engine other than tables.
    pub(crate) fn with_local_targets(self, local: bool) -> Self {
        CommitScope { embedded: self.embedded || local, ..self }
    }

    /// True if commits are transactions of the embedded engine alone. From Kafka only with something in it to write: else the
    /// group keeps the progress.
    pub(crate) fn embedded_only(&self) -> bool {
        self.of_embedded().is_none() && (self.progress != ProgressLocation::Effects || self.embedded)
    }

    /// Why a table is outside of the scope; `None`: it is inside.
    pub(crate) fn table(&self, table: &TableSpec) -> Option<Obstacle> {
        match table {
            TableSpec::Embedded(_) => self.of_embedded(),
            TableSpec::Dynamodb { place, .. } if place != self.home => Some(Obstacle {
                why: "is at another location than [aws], which has the progress",
                help: "leave region and endpoint_url of the table out, and set them in [aws]",
            }),
            TableSpec::Dynamodb { .. } if self.progress == ProgressLocation::EmbeddedInstead => Some(Obstacle {
                why: "is in DynamoDB, and without leases the source's positions are in the embedded engine",
                help: "leave coordination = \"none\" of the source out",
            }),
            TableSpec::Dynamodb { .. } => None,
        }
    }

    /// Why an object store is outside of the scope; `None`: it is inside.
    pub(crate) fn objects(&self, objects: &Objects) -> Option<Obstacle> {
        match objects {
            Objects::Directory { .. } => self.of_embedded(),
            // Objects are no part of a transaction. A batch that is repeated with the same events writes the same paths
            // again, and only a source with leases repeats it so.
            Objects::S3 { .. } if self.progress == ProgressLocation::Leases && !self.embedded => None,
            Objects::S3 { .. } if self.progress == ProgressLocation::Effects => Some(Obstacle {
                why: "is in S3, and a batch from Kafka that is repeated may have other bounds",
                help: "leave delivery out: at-least-once loses nothing",
            }),
            Objects::S3 { .. } => Some(Obstacle {
                why: "is in S3, and only a source with leases, without embedded tables, repeats a batch within the same bounds",
                help: APART,
            }),
        }
    }

    /// Why an output is outside of the scope; `None`: it is inside.
    pub(crate) fn output(&self, output: &Output) -> Option<Obstacle> {
        match output {
            Output::Stream { .. } | Output::Queue { .. } => self.of_embedded(),
            output if output.deduplicates() => {
                Some(Obstacle { why: "leaves repeated messages out for 5 minutes only", help: APART })
            }
            Output::Kafka { connection, .. } => self.of_kafka(connection),
            _ => Some(Obstacle { why: "is at-least-once", help: APART }),
        }
    }

    /// Messages to Kafka can be in one transaction with the positions of a source at the same brokers, and with nothing else.
    fn of_kafka(&self, there: &KafkaConnection) -> Option<Obstacle> {
        let (why, help) = match self.brokers {
            None => {
                ("is at-least-once: only a route from Kafka commits messages and progress in one transaction", APART)
            }
            Some(here) if !same_brokers(here, there) => (
                "is at other brokers than the source, and a transaction of Kafka is within one cluster",
                "give the source and the output the same bootstrap_servers, or leave delivery out",
            ),
            Some(_) if self.dynamodb || self.embedded => (
                "is written in a transaction of Kafka, which cannot have tables, objects, streams or queues in it",
                "let a route of its own write these: it reads the same topics with a consumer group of its own",
            ),
            Some(_) => return None,
        };
        Some(Obstacle { why, help })
    }

    fn of_embedded(&self) -> Option<Obstacle> {
        let (why, help) = match self.progress {
            _ if self.dynamodb => ("is in the embedded engine, and tables of the route are in DynamoDB", APART),
            ProgressLocation::Leases => (
                "is in the embedded engine, and the source's positions are in a lease table",
                "set coordination = \"none\" at the source, or use tables in DynamoDB",
            ),
            ProgressLocation::Receipts => ("is in the embedded engine, and messages are deleted in SQS", APART),
            ProgressLocation::Embedded
            | ProgressLocation::EmbeddedInstead
            | ProgressLocation::Effects
            | ProgressLocation::Nowhere => return None,
        };
        Some(Obstacle { why, help })
    }
}

/// True if both name the same brokers, in any order.
pub(crate) fn same_brokers(one: &KafkaConnection, other: &KafkaConnection) -> bool {
    let set = |connection: &KafkaConnection| connection.bootstrap_servers.iter().cloned().collect::<BTreeSet<_>>();
    set(one) == set(other)
}
