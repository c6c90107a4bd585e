//! Sources on AWS: opens them for a route, checks them, and lists the permissions that they need. Checks the other
//! resources on AWS, too.

use super::Cloud;
use crate::wiring::Unreachable;
use esclusa_aws::progress::ProgressStore;
use esclusa_aws::shards::{self, ShardCoordination, Sharing, SoleReader};
use esclusa_aws::{check, dynamodb_stream, iam, kinesis, lease, sqs};
use esclusa_config::plan::{self, DynamodbStreamName, Objects, Output, Plan, Source, TableSpec};
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::source::{self, Positions};
use std::sync::Arc;

/// A source and its progress store; `None`: the embedded engine keeps its progress.
type OpenedSource = (Box<dyn source::Source>, Option<Arc<dyn ProgressStore>>);

/// Opens the source of a route, as often as needed.
pub(crate) struct AwsSourceOpener {
    cloud: Cloud,
    route: plan::RouteSpec,
    source: Source,
    /// The state of reading a stream without leases; it is kept from one opening to the next.
    alone: Arc<SoleReader>,
    lag: Arc<Lag>,
    /// How many routes read the source.
    routes: u32,
}

impl Cloud {
    /// An opener for the source of a route; `routes` is how many routes read that source.
    #[must_use]
    pub(crate) fn opener(
        &self,
        route: &plan::RouteSpec,
        source: &Source,
        routes: u32,
        positions: Positions,
    ) -> AwsSourceOpener {
        let (alone, lag) = (SoleReader::new(positions), Arc::default());
        AwsSourceOpener { cloud: self.clone(), route: route.clone(), source: source.clone(), alone, lag, routes }
    }
}

impl AwsSourceOpener {
    /// How far the route is behind; `None` if its source has no shards.
    #[must_use]
    pub(crate) fn lag(&self) -> Option<Arc<Lag>> {
        matches!(self.source, Source::Kinesis { .. } | Source::DynamodbStream { .. }).then(|| self.lag.clone())
    }

    /// Opens the source.
    ///
    /// # Errors
    /// A [`Fault`] that names the resource.
    pub(crate) async fn open(&self) -> Result<OpenedSource, Fault> {
        let clients = &self.cloud.clients;
        match &self.source {
            Source::Kinesis { stream, start, consumer, ordered, coordination, place } => {
                let (stream, fan_out) = (stream.clone(), consumer.clone());
                let (start, sharing) = (*start, self.sharing(coordination, *ordered));
                let settings = kinesis::KinesisSettings { stream, place: place.clone(), start, fan_out, sharing };
                kinesis::open(clients, &settings, self.reader()).await
            }
            Source::DynamodbStream { of, start, ordered, coordination, place } => {
                let stream = table_stream(of);
                let (start, sharing) = (*start, self.sharing(coordination, *ordered));
                let settings = dynamodb_stream::TableStreamSettings { stream, place: place.clone(), start, sharing };
                dynamodb_stream::open(clients, &settings, self.reader()).await
            }
            Source::Sqs { queue, visibility_timeout, place, .. } => {
                let (queue, visibility_timeout) = (queue.clone(), *visibility_timeout);
                let settings = sqs::SqsSettings { queue, place: place.clone(), visibility_timeout };
                let (route, source) = (self.route.name.clone(), self.route.source.clone());
                let reader = sqs::QueueReader { route, source, pollers: self.route.concurrency };
                let opened = self.cloud.queues.open(clients, &settings, reader).await;
                opened.map(|(source, progress_store)| (source, Some(progress_store)))
            }
            other => Err(Fault::Bug(format!("a source of kind {} is not on AWS", other.kind()))),
        }
    }

    fn reader(&self) -> shards::ShardReader {
        shards::ShardReader { route: self.route.name.clone(), source: self.route.source.clone() }
    }

    fn sharing(&self, coordination: &plan::ShardCoordination, ordered: bool) -> Sharing {
        let coordination = match (coordination, coordination.lease_table(&self.route.name)) {
            (plan::ShardCoordination::Leases { duration, .. }, Some(table)) => {
                // The owner of leases has to differ between machines and between processes of one machine.
                let worker = format!("{}:{}", host(), std::process::id());
                let (place, duration) = (self.cloud.home.clone(), *duration);
                ShardCoordination::Leases(lease::LeaseSettings { table, place, worker, duration })
            }
            _ => ShardCoordination::Alone(self.alone.clone()),
        };
        // As much again as may be in flight, so that the next batch is there when one is finished.
        let read_ahead = self.route.in_flight_bytes;
        Sharing {
            coordination,
            ordered,
            read_ahead,
            routes: self.routes,
            discovery: shards::DISCOVERY,
            lag: self.lag.clone(),
        }
    }
}

/// The name of this machine, for people who read the lease table.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "esclusa".to_owned() } else { name.trim().to_owned() }
}

fn table_stream(of: &DynamodbStreamName) -> String {
    match of {
        DynamodbStreamName::Table(name) | DynamodbStreamName::Arn(name) => name.clone(),
    }
}

/// The actions on AWS of a source.
pub(super) fn uses(source: &Source, route: &plan::RouteSpec) -> Vec<iam::Use> {
    let mut uses = match source {
        Source::Kinesis { stream, consumer, .. } => {
            vec![iam::Use::KinesisRead { stream: stream.clone(), fan_out: consumer.is_some() }]
        }
        Source::DynamodbStream { of, .. } => vec![iam::Use::DynamodbStream { table: table_stream(of) }],
        Source::Sqs { queue, .. } => vec![iam::Use::SqsRead { queue: queue.clone() }],
        _ => Vec::new(),
    };
    let leases = source.coordination().and_then(|coordination| coordination.lease_table(&route.name));
    uses.extend(leases.map(|table| iam::Use::Leases { table }));
    uses
}

impl Cloud {
    /// Asks AWS for every resource that routes use; gives those that cannot be used.
    pub(crate) async fn check(&self, plan: &Plan) -> Vec<Unreachable> {
        let mut found = Vec::new();
        let mut note = |routes: Vec<String>, result: Result<(), String>| {
            found.extend(result.err().map(|why| Unreachable { routes, why }));
        };
        let users = |uses: &dyn Fn(&plan::RouteSpec) -> bool| -> Vec<String> {
            plan.routes.iter().filter(|route| uses(route)).map(|route| route.name.to_string()).collect()
        };
        for (name, source) in &plan.sources {
            let routes = users(&|route| route.source == *name);
            note(routes, self.check_source(name, source).await);
        }
        for (name, table) in &plan.tables {
            let TableSpec::Dynamodb { name: there, place, .. } = table else { continue };
            let table = esclusa_aws::tables::DynamoTable { name: there.clone(), place: place.clone() };
            note(users(&|r| r.grants.tables.contains(name)), check::table(&self.clients, name, &table).await);
        }
        for (name, objects) in &plan.objects {
            let Objects::S3 { bucket, prefix, path_style, place } = objects else { continue };
            let (bucket, prefix) = (bucket.clone(), prefix.clone());
            let store = esclusa_aws::objects::S3Store { bucket, prefix, place: place.clone(), path_style: *path_style };
            note(
                users(&|r| r.grants.stores().any(|store| store == name)),
                check::store(&self.clients, name, &store).await,
            );
        }
        for (name, output) in &plan.outputs {
            let routes = users(&|r| r.grants.outputs.contains(name) || r.on_failure.as_ref() == Some(name));
            note(routes, self.check_output(name, output).await);
        }
        // A resource that no route uses may be missing.
        found.retain(|unreachable| !unreachable.routes.is_empty());
        found
    }

    /// True if a table has items; `name` is its name in routes.toml, `there` its name in DynamoDB.
    ///
    /// # Errors
    /// The reason, and the remedy.
    pub(crate) async fn holds_items(
        &self,
        name: &str,
        there: &str,
        place: &plan::ServiceLocation,
    ) -> Result<bool, String> {
        let table = esclusa_aws::tables::DynamoTable { name: there.to_owned(), place: place.clone() };
        check::holds_items(&self.clients, name, &table).await
    }

    /// The acceptance time of the oldest record that a Kinesis stream still has to keep, milliseconds since the Unix
    /// epoch; `None`: it has kept all its records.
    ///
    /// # Errors
    /// Why the stream cannot be described.
    pub(crate) async fn keeps_from(
        &self,
        stream: &str,
        place: &plan::ServiceLocation,
        now: u64,
    ) -> Result<Option<u64>, String> {
        esclusa_aws::kinesis::keeps_from(&self.clients, place, stream, now).await.map_err(|fault| fault.to_string())
    }

    async fn check_source(&self, name: &str, source: &Source) -> Result<(), String> {
        let clients = &self.clients;
        match source {
            Source::Kinesis { stream, place, .. } => {
                check::stream(clients, place, stream, &format!("[source.{name}] stream")).await
            }
            Source::DynamodbStream { of: DynamodbStreamName::Table(table), place, .. } => {
                let table = esclusa_aws::tables::DynamoTable { name: table.clone(), place: place.clone() };
                check::table_at(clients, &table, &format!("[source.{name}] table")).await
            }
            Source::Sqs { queue, place, .. } => {
                check::queue(clients, place, queue, &format!("[source.{name}] queue")).await
            }
            _ => Ok(()),
        }
    }

    async fn check_output(&self, name: &str, output: &Output) -> Result<(), String> {
        let clients = &self.clients;
        match output {
            Output::Kinesis { stream, place, .. } => {
                check::stream(clients, place, stream, &format!("[output.{name}] stream")).await
            }
            Output::Sqs { queue, place } => {
                check::queue(clients, place, queue, &format!("[output.{name}] queue")).await
            }
            Output::Sns { receiver: plan::SnsReceiver::Topic(arn), place } => {
                check::topic(clients, place, arn, &format!("[output.{name}] topic_arn")).await
            }
            Output::S3 { bucket, path_style, place, .. } => {
                check::bucket(clients, place, *path_style, bucket, &format!("[output.{name}] bucket")).await
            }
            Output::Ses { place, .. } => check::mail(clients, place, &format!("[output.{name}]")).await,
            _ => Ok(()),
        }
    }
}
