//! Sources on AWS: opened as one route reads them, checked, and what they need permission for.

use super::Cloud;
use crate::runtime::reachable::Unreachable;
use esclusa_aws::progress::ProgressStore;
use esclusa_aws::shards::{self, Alone, Coordination, Sharing};
use esclusa_aws::{check, dynamodb_stream, iam, kinesis, lease, sqs};
use esclusa_config::plan::{self, DynamodbStreamName, Objects, Output, Plan, Source, TableSpec};
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::source::{self, Positions};
use std::sync::Arc;

/// A source, and what keeps its progress where the embedded engine does not.
type Opened = (Box<dyn source::Source>, Option<Arc<dyn ProgressStore>>);

/// Opens a source again and again.
pub struct Opener {
    cloud: Cloud,
    route: plan::RouteSpec,
    source: Source,
    /// One for all times that a stream is opened without leases.
    alone: Arc<Alone>,
    lag: Arc<Lag>,
    /// Routes that read the source.
    routes: u32,
}

impl Cloud {
    /// What opens the source of a route, which so many routes read.
    #[must_use]
    pub fn opener(&self, route: &plan::RouteSpec, source: &Source, routes: u32, positions: Positions) -> Opener {
        let (alone, lag) = (Alone::new(positions), Arc::default());
        Opener { cloud: self.clone(), route: route.clone(), source: source.clone(), alone, lag, routes }
    }
}

impl Opener {
    /// How far the route is behind, where its source has shards.
    #[must_use]
    pub fn lag(&self) -> Option<Arc<Lag>> {
        matches!(self.source, Source::Kinesis { .. } | Source::DynamodbStream { .. }).then(|| self.lag.clone())
    }

    /// Opens the source.
    ///
    /// # Errors
    /// A [`Fault`] that names the resource.
    pub async fn open(&self) -> Result<Opened, Fault> {
        let clients = &self.cloud.clients;
        match &self.source {
            Source::Kinesis { stream, start, consumer, ordered, coordination, place } => {
                let (stream, fan_out) = (stream.clone(), consumer.clone());
                let (start, sharing) = (*start, self.sharing(coordination, *ordered));
                let settings = kinesis::Settings { stream, place: place.clone(), start, fan_out, sharing };
                kinesis::open(clients, &settings, self.reader()).await
            }
            Source::DynamodbStream { of, start, ordered, coordination, place } => {
                let stream = table_stream(of);
                let (start, sharing) = (*start, self.sharing(coordination, *ordered));
                let settings = dynamodb_stream::Settings { stream, place: place.clone(), start, sharing };
                dynamodb_stream::open(clients, &settings, self.reader()).await
            }
            Source::Sqs { queue, visibility_timeout, place, .. } => {
                let (queue, visibility_timeout) = (queue.clone(), *visibility_timeout);
                let settings = sqs::Settings { queue, place: place.clone(), visibility_timeout };
                let (route, source) = (self.route.name.clone(), self.route.source.clone());
                let reader = sqs::Reader { route, source, workers: self.route.concurrency };
                let opened = self.cloud.queues.open(clients, &settings, reader).await;
                opened.map(|(source, keeper)| (source, Some(keeper)))
            }
            other => Err(Fault::Bug(format!("a source of kind {} is not on AWS", other.kind()))),
        }
    }

    fn reader(&self) -> shards::Reader {
        shards::Reader { route: self.route.name.clone(), source: self.route.source.clone() }
    }

    fn sharing(&self, coordination: &plan::ShardCoordination, ordered: bool) -> Sharing {
        let coordination = match (coordination, coordination.lease_table(&self.route.name)) {
            (plan::ShardCoordination::Leases { duration, .. }, Some(table)) => {
                let worker = format!("{}:{}", host(), std::process::id());
                let (place, duration) = (self.cloud.home.clone(), *duration);
                Coordination::Leases(lease::Settings { table, place, worker, duration })
            }
            _ => Coordination::Alone(self.alone.clone()),
        };
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

/// Name of this machine, for people who look at leases.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "esclusa".to_owned() } else { name.trim().to_owned() }
}

fn table_stream(of: &DynamodbStreamName) -> String {
    match of {
        DynamodbStreamName::Table(name) | DynamodbStreamName::Arn(name) => name.clone(),
    }
}

/// What a source needs permission for.
pub fn uses(source: &Source, route: &plan::RouteSpec) -> Vec<iam::Use> {
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
    /// Asks AWS for everything that routes use there.
    pub async fn check(&self, plan: &Plan) -> Vec<Unreachable> {
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
            let table = esclusa_aws::tables::Table { name: there.clone(), place: place.clone() };
            note(users(&|r| r.grants.tables.contains(name)), check::table(&self.clients, name, &table).await);
        }
        for (name, objects) in &plan.objects {
            let Objects::S3 { bucket, prefix, path_style, place } = objects else { continue };
            let (bucket, prefix) = (bucket.clone(), prefix.clone());
            let store = esclusa_aws::objects::Store { bucket, prefix, place: place.clone(), path_style: *path_style };
            note(users(&|r| r.grants.objects.contains(name)), check::store(&self.clients, name, &store).await);
        }
        for (name, output) in &plan.outputs {
            let routes = users(&|r| r.grants.outputs.contains(name) || r.on_failure.as_ref() == Some(name));
            note(routes, self.check_output(name, output).await);
        }
        found.retain(|unreachable| !unreachable.routes.is_empty());
        found
    }

    /// True where a table holds anything; `name` is that of routes.toml, `there` that in DynamoDB.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn holds_items(&self, name: &str, there: &str, place: &plan::ServiceLocation) -> Result<bool, String> {
        let table = esclusa_aws::tables::Table { name: there.to_owned(), place: place.clone() };
        check::holds_items(&self.clients, name, &table).await
    }

    /// The time from which on a Kinesis stream keeps its records; `None`: it keeps all that it ever had.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub async fn keeps_from(
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
                let table = esclusa_aws::tables::Table { name: table.clone(), place: place.clone() };
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
