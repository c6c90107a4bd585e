//! Wires routes: makes the sinks and the engine of a route from the plan, the store, the clients of AWS, and Kafka.

#[cfg_attr(not(feature = "aws"), path = "wiring/no_aws.rs")]
pub(crate) mod aws;
pub(crate) mod http_answer;
pub(crate) mod http_source;
#[cfg_attr(not(feature = "kafka"), path = "wiring/no_kafka.rs")]
pub(crate) mod kafka;
pub(crate) mod kept_reply;
pub(crate) mod sources;
pub(crate) mod store_schema;

use crate::sinks::{append_file, console, smtp, webhook};
use aws::{Cloud, LateProgressStore};
use esclusa_config::plan::{self, KafkaProgress, Objects, Output, Plan, RouteSpec, Source, TableSpec};
use esclusa_embedded::Store;
use esclusa_flow::engine::{Engine, Sink};
use esclusa_flow::outbox::CommitSender;
use esclusa_flow::source::Positions;
use esclusa_pipeline::commit::ProgressKind;
use esclusa_pipeline::masked;
use esclusa_pipeline::meter::Meter;
use esclusa_pipeline::output_meter::OutputMeters;
use esclusa_pipeline::route::{LoadedPlugin, Route};
use kafka::KafkaTopics;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The parts that routes are made of.
pub(crate) struct Wiring<'a> {
    /// The embedded engine.
    pub store: &'a Store,
    /// The clients of AWS, if the plan uses it.
    pub cloud: Option<&'a Cloud>,
    /// The configuration.
    pub plan: &'a Plan,
}

/// What the source of a route needs beside the plan.
pub(crate) struct SourceParts {
    /// Set when a source is opened that keeps its own progress on AWS.
    pub progress_store: Arc<LateProgressStore>,
    /// The topics, if the source is Kafka.
    pub kafka: Option<KafkaTopics>,
}

/// What keeps the positions of a route that reads Kafka.
pub(crate) enum PositionStore {
    /// The consumer group.
    Group,
    /// A table in DynamoDB, for all members of the group.
    Shared(Positions),
    /// The embedded engine, of a single member.
    Own(Positions),
}

impl Wiring<'_> {
    /// A route that is not served yet, and what its source needs. `None`: the plan does not have its source.
    pub(crate) fn route(
        &self,
        spec: &plan::RouteSpec,
        plugin: impl Into<Arc<LoadedPlugin>>,
        meter: Meter,
    ) -> Option<(Arc<Route>, SourceParts)> {
        let source = self.plan.sources.get(&spec.source)?;
        // Dead letters may go to an output that the plugin itself may not use.
        let outputs = spec.grants.outputs.iter().chain(&spec.on_failure);
        let sinks: BTreeMap<String, Arc<dyn Sink>> = outputs
            .filter_map(|name| Some((name, open_sink(self.plan.outputs.get(name)?, self.cloud)?)))
            .map(|(name, sink)| (name.clone(), masked::sink(sink, &spec.secrets)))
            .collect();
        let meters = OutputMeters::of(&spec.name, sinks.keys());
        let facts = (source.kind().into(), progress_kind(source), self.plan.needs_dedup(spec));
        let sender = CommitSender { sinks: sinks.clone(), observer: meters.clone(), backoff: spec.policy.backoff };
        let (engine, parts) = self.engine(spec, source, sender);
        let engine = masked::engine(engine, &spec.secrets);
        Some((Route::new(spec.clone(), facts, engine, (sinks, meters), plugin, meter), parts))
    }

    fn engine(&self, spec: &RouteSpec, source: &Source, sender: CommitSender) -> (Arc<dyn Engine>, SourceParts) {
        let local: Arc<dyn Engine> = Arc::new(self.store.clone());
        let progress_store = Arc::new(LateProgressStore::default());
        let items = self.position_items(spec);
        let kafka = KafkaTopics::of(spec, source, self.position_store(spec, source, items.as_ref()));
        let own_progress = match &kafka {
            Some(kafka) => aws::lane_progress(items.as_ref(), kafka.progress()),
            None => source.keeps_progress().then(|| aws::late_progress(progress_store.clone())).flatten(),
        };
        let above = match (&kafka, self.cloud) {
            (Some(kafka), _) if !self.plan.writes_aws(spec) => {
                Some(kafka.engine(self.plan, spec, local.clone(), sender))
            }
            (_, Some(cloud)) => cloud.engine(self.plan, spec, local.clone(), sender, own_progress),
            (_, None) => None,
        };
        (above.unwrap_or(local), SourceParts { progress_store, kafka })
    }

    /// The items in DynamoDB that keep the positions of a route from Kafka, if they are kept there.
    fn position_items(&self, spec: &RouteSpec) -> Option<aws::PositionItems> {
        let kept = self.plan.kafka_progress(spec) == Some(KafkaProgress::Dynamodb);
        self.cloud.filter(|_| kept).map(|cloud| cloud.position_items(spec))
    }

    fn position_store(&self, spec: &RouteSpec, source: &Source, items: Option<&aws::PositionItems>) -> PositionStore {
        match items {
            Some(items) => PositionStore::Shared(items.positions()),
            None if self.plan.writes_embedded(spec) => {
                PositionStore::Own(sources::positions(self.store, &sources::reader(spec, source)))
            }
            None => PositionStore::Group,
        }
    }
}

/// Asks AWS and Kafka for everything that routes use there; gives what cannot be used.
pub(crate) async fn unreachable(cloud: Option<&Cloud>, plan: &Plan) -> Vec<Unreachable> {
    let mut found = match cloud {
        Some(cloud) => cloud.check(plan).await,
        None => Vec::new(),
    };
    found.extend(kafka::check(plan).await);
    found
}

/// The sink of an output; `None` if it is a stream or queue of the engine. `cloud` is set if the plan uses AWS.
fn open_sink(output: &Output, cloud: Option<&Cloud>) -> Option<Arc<dyn Sink>> {
    match output {
        Output::Stream { .. } | Output::Queue { .. } => None,
        Output::Console => Some(Arc::new(console::ConsoleSink)),
        Output::File { path } => Some(Arc::new(append_file::FileSink::new(path.clone()))),
        Output::Webhook { url, headers, timeout } => {
            Some(Arc::new(webhook::WebhookSink::new(url.clone(), headers.clone(), *timeout)))
        }
        Output::Smtp { url, from, to, subject } => {
            Some(Arc::new(smtp::SmtpSink::new(url.clone(), from.clone(), to.clone(), subject.clone())))
        }
        Output::Kinesis { .. } | Output::Sqs { .. } | Output::Sns { .. } | Output::Ses { .. } | Output::S3 { .. } => {
            cloud?.sink(output)
        }
        Output::Kafka { .. } => kafka::sink(output),
    }
}

/// How events of a source are settled.
fn progress_kind(source: &Source) -> ProgressKind {
    match source {
        Source::Queue { .. } | Source::Sqs { .. } => ProgressKind::Receipts,
        // Requests are not stored: there is nothing to settle.
        Source::Http { reply: true, .. } => ProgressKind::Nothing,
        _ => ProgressKind::Position,
    }
}

/// The resources of a route outside of its own section: if one of them changes, the route has to be restarted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resources {
    source: Option<Source>,
    outputs: BTreeMap<String, plan::Output>,
    /// Only those on AWS: changes of embedded ones do not need a restart.
    tables: BTreeMap<String, TableSpec>,
    objects: BTreeMap<String, Objects>,
    aws: Option<plan::AwsDefaults>,
}

impl Resources {
    /// The resources that a route uses.
    #[must_use]
    pub(crate) fn of(plan: &Plan, spec: &plan::RouteSpec) -> Self {
        let source = plan.sources.get(&spec.source).cloned();
        let outputs: BTreeMap<_, _> = spec
            .grants
            .outputs
            .iter()
            .chain(&spec.on_failure)
            .filter_map(|name| Some((name.clone(), plan.outputs.get(name)?.clone())))
            .collect();
        let tables = spec.grants.tables.iter().filter_map(|name| Some((name.clone(), plan.tables.get(name)?.clone())));
        let tables: BTreeMap<_, _> = tables.filter(|(_, table)| table.on_aws()).collect();
        let objects = spec.grants.stores().filter_map(|name| Some((name.clone(), plan.objects.get(name)?.clone())));
        let objects: BTreeMap<_, _> = objects.filter(|(_, store)| store.on_aws()).collect();
        Resources { source, outputs, tables, objects, aws: plan.touches_aws(spec).then(|| plan.aws.clone()) }
    }
}

/// A resource that routes.toml names and that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreachable {
    /// The routes that need it.
    pub routes: Vec<String>,
    /// The reason, and the remedy.
    pub why: String,
}
