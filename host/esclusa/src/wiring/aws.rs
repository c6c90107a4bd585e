//! Wires AWS: clients, sources and sinks there, and the engine of a route that writes there.
//!
//! Only translates the plan into the settings of `esclusa-aws`.

mod source_opener;

use esclusa_aws::client::Clients;
use esclusa_aws::engine::{self, EngineSettings};
use esclusa_aws::position_items;
use esclusa_aws::progress::{self, ProgressStore};
use esclusa_aws::sqs::Routes;
use esclusa_aws::{iam, kept_answers, objects, sinks, tables};
use esclusa_config::plan::{self, Objects, Output, Plan, SnsReceiver, Source, TableSpec};
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{Engine, SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::lane_progress::LaneProgress;
use esclusa_flow::outbox::CommitSender;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OnceCell;

pub(crate) use esclusa_aws::progress::LateProgressStore;
/// What keeps the progress of a route's lanes outside of the embedded engine.
pub(crate) type OwnProgress = Arc<dyn ProgressStore>;
/// The items that keep the positions of a route from Kafka.
pub(crate) type PositionItems = Arc<position_items::PositionItems>;
pub(crate) use esclusa_aws::sqs::SqsQueues;

/// The clients of AWS and the queues that are read, by the settings of `[aws]`.
#[derive(Clone)]
pub(crate) struct Cloud {
    clients: Clients,
    /// The location of lease tables and of the table of dedup records.
    home: plan::ServiceLocation,
    dedup_table: String,
    /// The queues of SQS that are read.
    queues: SqsQueues,
}

/// The routes that read each queue of SQS, and the bytes that each route may have received and not begun.
#[must_use]
pub(crate) fn queue_readers(plan: &Plan) -> BTreeMap<Arc<str>, Routes> {
    let mut queue_readers = BTreeMap::<Arc<str>, Routes>::new();
    for route in &plan.routes {
        if let Some(Source::Sqs { .. }) = plan.sources.get(&route.source) {
            queue_readers.entry(route.source.clone()).or_default().insert(route.name.clone(), route.in_flight_bytes);
        }
    }
    queue_readers
}

/// The progress of a source that is opened later.
#[must_use]
pub(crate) fn late_progress(slot: Arc<LateProgressStore>) -> Option<OwnProgress> {
    Some(slot)
}

/// The progress of lanes of Kafka: in the items, if there are some, and in the group.
#[must_use]
pub(crate) fn lane_progress(items: Option<&PositionItems>, lanes: Arc<dyn LaneProgress>) -> Option<OwnProgress> {
    Some(match items {
        Some(items) => items.progress_store(lanes),
        None => progress::of_lanes(lanes),
    })
}

/// Answers to requests that are kept in DynamoDB. The clients are made when the first request needs them.
pub(crate) struct KeptAnswers {
    home: plan::ServiceLocation,
    table: String,
    place: plan::ServiceLocation,
    answers: OnceCell<kept_answers::KeptAnswers>,
}

impl KeptAnswers {
    /// Those of a source; `None` if they are not kept in DynamoDB.
    #[must_use]
    pub(crate) fn of(plan: &Plan, source: &str) -> Option<Self> {
        let (tables, _) = resources(plan, plan.answers_on_aws(source)?);
        // Where the engine of the route puts them.
        let place = tables.into_values().next().map(|table| table.place).unwrap_or_default();
        let (home, table) = (plan.aws.place.clone(), plan.aws.dedup_table.clone());
        Some(KeptAnswers { home, table, place, answers: OnceCell::new() })
    }

    /// The answer to a request; `None`: none is kept.
    ///
    /// # Errors
    /// A [`Fault`] of DynamoDB.
    pub(crate) async fn get(&self, request: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let open =
            || async { kept_answers::KeptAnswers::new(&Clients::load(&self.home).await, &self.table, &self.place) };
        self.answers.get_or_init(open).await.get(request).await
    }
}

impl Cloud {
    /// Loads the credentials; `None` if no route uses AWS.
    pub(crate) async fn of(plan: &Plan) -> Option<Self> {
        if !plan.routes.iter().any(|route| plan.touches_aws(route)) {
            return None;
        }
        let home = plan.aws.place.clone();
        let clients = Clients::load(&home).await;
        Some(Cloud { clients, home, dedup_table: plan.aws.dedup_table.clone(), queues: SqsQueues::default() })
    }

    /// The same clients with shared queues: routes that read one queue share its receives.
    #[must_use]
    pub(crate) fn sharing(self, queues: &SqsQueues) -> Self {
        Cloud { queues: queues.clone(), ..self }
    }

    /// The items that keep the positions of a route from Kafka, in the table of dedup records.
    #[must_use]
    pub(crate) fn position_items(&self, route: &plan::RouteSpec) -> PositionItems {
        position_items::PositionItems::new(&self.clients, &self.dedup_table, &self.home, route.name.clone())
    }

    /// The sink of an output; `None` if it is not on AWS.
    #[must_use]
    pub(crate) fn sink(&self, output: &Output) -> Option<Arc<dyn Sink>> {
        let clients = &self.clients;
        Some(match output {
            Output::Kinesis { stream, strict_order, place } => {
                let (stream, strict_order) = (stream.clone(), *strict_order);
                sinks::kinesis::open(
                    clients,
                    sinks::kinesis::KinesisSinkSettings { stream, place: place.clone(), strict_order },
                )
            }
            // Opening it asks SQS for the URL of the queue, which can fail.
            Output::Sqs { queue, place } => {
                let settings = sinks::sqs::SqsSinkSettings { queue: queue.clone(), place: place.clone() };
                let clients = clients.clone();
                Arc::new(LazySink::new(move || {
                    let (clients, settings) = (clients.clone(), settings.clone());
                    Box::pin(async move { sinks::sqs::open(&clients, &settings).await })
                }))
            }
            Output::Sns { receiver, place } => {
                let target = match receiver {
                    SnsReceiver::Topic(arn) => sinks::sns::SnsTarget::Topic(arn.clone()),
                    SnsReceiver::Phone(number) => sinks::sns::SnsTarget::Sms(Some(number.clone())),
                    SnsReceiver::Attribute => sinks::sns::SnsTarget::Sms(None),
                };
                sinks::sns::open(clients, place, target)
            }
            Output::Ses { from, to, subject, rate, ambiguous, place } => {
                let ambiguous = match ambiguous {
                    plan::AmbiguousSend::Retry => sinks::ses::AmbiguousMail::Retry,
                    plan::AmbiguousSend::DeadLetter => sinks::ses::AmbiguousMail::DeadLetter,
                };
                let (from, to, subject) = (from.clone(), to.clone(), subject.clone());
                let (place, rate) = (place.clone(), *rate);
                sinks::ses::open(clients, sinks::ses::SesSettings { place, from, to, subject, rate, ambiguous })
            }
            Output::S3 { bucket, prefix, path_style, place } => {
                let (bucket, prefix, path_style) = (bucket.clone(), prefix.clone(), *path_style);
                sinks::s3::open(
                    clients,
                    sinks::s3::BucketSinkSettings { bucket, prefix, place: place.clone(), path_style },
                )
            }
            _ => return None,
        })
    }

    /// The engine of a route on top of the embedded one; `None` if the route writes nothing to AWS and its progress is
    /// not kept there.
    #[must_use]
    pub(crate) fn engine(
        &self,
        plan: &Plan,
        spec: &plan::RouteSpec,
        local: Arc<dyn Engine>,
        sender: CommitSender,
        progress_store: Option<OwnProgress>,
    ) -> Option<Arc<dyn Engine>> {
        let (tables, stores) = resources(plan, spec);
        // Then the embedded engine alone can make each commit one transaction.
        if tables.is_empty() && stores.is_empty() && progress_store.is_none() {
            return None;
        }
        let dedup_table = match spec.delivery {
            // Dedup records have to be in the transaction of the writes: without tables there is none.
            plan::DeliveryMode::ExactlyOnce if !tables.is_empty() => Some(self.dedup_table.clone()),
            _ => None,
        };
        let settings = EngineSettings { tables, stores, sender, local, progress_store, dedup_table };
        Some(Arc::new(engine::AwsEngine::new(settings, &self.clients)))
    }
}

/// The tables in DynamoDB and the buckets that a route may use.
fn resources(
    plan: &Plan,
    spec: &plan::RouteSpec,
) -> (BTreeMap<String, tables::DynamoTable>, BTreeMap<String, objects::S3Store>) {
    let table = |name: &String| match plan.tables.get(name)? {
        TableSpec::Dynamodb { name: there, place, .. } => {
            Some((name.clone(), tables::DynamoTable { name: there.clone(), place: place.clone() }))
        }
        TableSpec::Embedded(_) => None,
    };
    let store = |name: &String| match plan.objects.get(name)? {
        Objects::S3 { bucket, prefix, path_style, place } => Some((
            name.clone(),
            objects::S3Store {
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                place: place.clone(),
                path_style: *path_style,
            },
        )),
        Objects::Directory { .. } => None,
    };
    (spec.grants.tables.iter().filter_map(table).collect(), spec.grants.stores().filter_map(store).collect())
}

/// The smallest IAM policy that a plan needs; `None` if it does not use AWS.
#[must_use]
pub(crate) fn policy(plan: &Plan) -> Option<serde_json::Value> {
    let uses = uses(plan);
    (!uses.is_empty()).then(|| iam::policy(&uses))
}

/// The actions of a plan on AWS.
fn uses(plan: &Plan) -> Vec<iam::Use> {
    let mut uses = Vec::new();
    for route in &plan.routes {
        if let Some(source) = plan.sources.get(&route.source) {
            uses.extend(source_opener::uses(source, route));
        }
        let table = || plan.aws.dedup_table.clone();
        if plan.needs_dedup(route) {
            uses.push(iam::Use::Dedup { table: table() });
        }
        if plan.kafka_progress(route) == Some(plan::KafkaProgress::Dynamodb) {
            uses.push(iam::Use::Positions { table: table() });
        }
        if plan.answers_on_aws(&route.source).is_some() {
            uses.push(iam::Use::Answers { table: table() });
        }
        for table in route.grants.tables.iter().filter_map(|name| plan.tables.get(name)) {
            if let TableSpec::Dynamodb { name, layout, .. } = table {
                let indexes = layout.iter().flat_map(|layout| layout.indexes.keys().cloned()).collect();
                uses.push(iam::Use::Table { name: name.clone(), indexes });
            }
        }
        for store in route.grants.objects.iter().filter_map(|name| plan.objects.get(name)) {
            if let Objects::S3 { bucket, prefix, .. } = store {
                uses.push(iam::Use::ObjectsWrite { bucket: bucket.clone(), prefix: prefix.clone() });
            }
        }
        for store in route.grants.read_objects.iter().filter_map(|name| plan.objects.get(name)) {
            if let Objects::S3 { bucket, prefix, .. } = store {
                uses.push(iam::Use::ObjectsRead { bucket: bucket.clone(), prefix: prefix.clone() });
            }
        }
        let outputs = route.grants.outputs.iter().chain(&route.on_failure);
        uses.extend(outputs.filter_map(|name| output_use(plan.outputs.get(name)?)));
    }
    uses
}

fn output_use(output: &Output) -> Option<iam::Use> {
    Some(match output {
        Output::Kinesis { stream, .. } => iam::Use::KinesisWrite { stream: stream.clone() },
        Output::Sqs { queue, .. } => iam::Use::SqsWrite { queue: queue.clone() },
        Output::Sns { receiver: SnsReceiver::Topic(arn), .. } => iam::Use::SnsPublish { topic: arn.clone() },
        Output::Sns { .. } => iam::Use::Sms,
        Output::Ses { from, .. } => iam::Use::SesSend { from: from.clone() },
        Output::S3 { bucket, prefix, .. } => {
            // The sink puts a slash behind it.
            let prefix = prefix.trim_matches('/');
            let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            iam::Use::ObjectsWrite { bucket: bucket.clone(), prefix }
        }
        _ => return None,
    })
}

type OpenSink = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Sink>, Fault>> + Send + Sync>;

/// A sink that is opened by its first message, and again by later ones until that works: a receiver that does not
/// answer when the router starts does not keep a route from starting.
struct LazySink {
    open: OpenSink,
    opened: OnceCell<Arc<dyn Sink>>,
}

impl LazySink {
    /// A sink that `open` opens.
    fn new(open: impl Fn() -> BoxFuture<'static, Result<Arc<dyn Sink>, Fault>> + Send + Sync + 'static) -> Self {
        LazySink { open: Box::new(open), opened: OnceCell::new() }
    }
}

impl Sink for LazySink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(async move {
            match self.opened.get_or_try_init(|| (self.open)()).await {
                Ok(sink) => sink.send(messages).await,
                // The messages are not to blame, even if this fault is permanent: they wait until the sink can be
                // opened.
                Err(fault) => messages.iter().map(|_| Err(Fault::Transient(fault.to_string()).into())).collect(),
            }
        })
    }
}
