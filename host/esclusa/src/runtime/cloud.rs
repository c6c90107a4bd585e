//! AWS as the plan uses it: clients, sources and outputs there, and the engine of a route that has something there.
//!
//! Wiring only: what the plan says in the words of `esclusa-aws`.

mod source;

use crate::sinks::Lazy;
use esclusa_aws::client::Clients;
use esclusa_aws::engine::{self, EngineSettings};
use esclusa_aws::progress::ProgressStore;
use esclusa_aws::sqs::Routes;
use esclusa_aws::{iam, objects, sinks, tables};
use esclusa_config::plan::{self, Objects, Output, Plan, Receiver, Source, Table};
use esclusa_flow::engine::{Engine, Sink};
use esclusa_flow::outbox::SendObserver;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use esclusa_aws::progress::LateProgressStore;
pub use esclusa_aws::sqs::Queues;

/// AWS, as `[aws]` says.
#[derive(Clone)]
pub struct Cloud {
    clients: Clients,
    /// Where lease tables and marks are.
    home: plan::ServiceLocation,
    marks_table: String,
    /// Queues that are read.
    queues: Queues,
}

/// The routes that read each queue of SQS, and the bytes that each may have waiting.
#[must_use]
pub fn readers(plan: &Plan) -> BTreeMap<Arc<str>, Routes> {
    let mut readers = BTreeMap::<Arc<str>, Routes>::new();
    for route in &plan.routes {
        if let Some(Source::Sqs { .. }) = plan.sources.get(&route.source) {
            readers.entry(route.source.clone()).or_default().insert(route.name.clone(), route.in_flight_bytes);
        }
    }
    readers
}

impl Cloud {
    /// Reads the chain of credentials; `None` where no route has anything on AWS.
    pub async fn of(plan: &Plan) -> Option<Self> {
        if !plan.routes.iter().any(|route| plan.touches_aws(route)) {
            return None;
        }
        let home = plan.aws.place.clone();
        let clients = Clients::load(&home).await;
        Some(Cloud { clients, home, marks_table: plan.aws.marks_table.clone(), queues: Queues::default() })
    }

    /// The same where the queues that are read are those that others read as well.
    #[must_use]
    pub fn sharing(self, queues: &Queues) -> Self {
        Cloud { queues: queues.clone(), ..self }
    }

    /// The clients.
    #[must_use]
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The sink of an output; `None` where it is not on AWS.
    #[must_use]
    pub fn sink(&self, output: &Output) -> Option<Arc<dyn Sink>> {
        let clients = &self.clients;
        Some(match output {
            Output::Kinesis { stream, strict_order, place } => {
                let (stream, strict_order) = (stream.clone(), *strict_order);
                sinks::kinesis::open(clients, sinks::kinesis::Settings { stream, place: place.clone(), strict_order })
            }
            Output::Sqs { queue, place } => {
                let settings = sinks::sqs::Settings { queue: queue.clone(), place: place.clone() };
                let clients = clients.clone();
                Arc::new(Lazy::new(move || {
                    let (clients, settings) = (clients.clone(), settings.clone());
                    Box::pin(async move { sinks::sqs::open(&clients, &settings).await })
                }))
            }
            Output::Sns { receiver, place } => {
                let target = match receiver {
                    Receiver::Topic(arn) => sinks::sns::Target::Topic(arn.clone()),
                    Receiver::Phone(number) => sinks::sns::Target::Sms(Some(number.clone())),
                    Receiver::Attribute => sinks::sns::Target::Sms(None),
                };
                sinks::sns::open(clients, place, target)
            }
            Output::Ses { from, to, subject, rate, ambiguous, place } => {
                let ambiguous = match ambiguous {
                    plan::Ambiguous::Retry => sinks::ses::Ambiguous::Retry,
                    plan::Ambiguous::DeadLetter => sinks::ses::Ambiguous::DeadLetter,
                };
                let (from, to, subject) = (from.clone(), to.clone(), subject.clone());
                let (place, rate) = (place.clone(), *rate);
                sinks::ses::open(clients, sinks::ses::Settings { place, from, to, subject, rate, ambiguous })
            }
            Output::S3 { bucket, prefix, path_style, place } => {
                let (bucket, prefix, path_style) = (bucket.clone(), prefix.clone(), *path_style);
                sinks::s3::open(clients, sinks::s3::Settings { bucket, prefix, place: place.clone(), path_style })
            }
            _ => return None,
        })
    }

    /// The engine of a route, over the embedded one; `None` where nothing of the route is on AWS.
    #[must_use]
    pub fn engine(
        &self,
        plan: &Plan,
        spec: &plan::RouteSpec,
        local: Arc<dyn Engine>,
        (sinks, witness): (BTreeMap<String, Arc<dyn Sink>>, Arc<dyn SendObserver>),
        keeper: Option<Arc<LateProgressStore>>,
    ) -> Option<Arc<dyn Engine>> {
        let keeper = keeper.map(|slot| slot as Arc<dyn ProgressStore>);
        let (tables, stores) = resources(plan, spec);
        if tables.is_empty() && stores.is_empty() && keeper.is_none() {
            return None;
        }
        let delivery = match spec.delivery {
            plan::DeliveryMode::ExactlyOnce if !tables.is_empty() => {
                engine::Delivery::ExactlyOnce { marks_table: self.marks_table.clone() }
            }
            _ => engine::Delivery::AtLeastOnce,
        };
        let settings = EngineSettings { tables, stores, sinks, witness, local, keeper, delivery };
        Some(Arc::new(engine::Engine::new(settings, &self.clients)))
    }
}

/// What a route may touch in DynamoDB and S3.
fn resources(
    plan: &Plan,
    spec: &plan::RouteSpec,
) -> (BTreeMap<String, tables::Table>, BTreeMap<String, objects::Store>) {
    let table = |name: &String| match plan.tables.get(name)? {
        Table::Dynamodb { name: there, place, .. } => {
            Some((name.clone(), tables::Table { name: there.clone(), place: place.clone() }))
        }
        Table::Embedded(_) => None,
    };
    let store = |name: &String| match plan.objects.get(name)? {
        Objects::S3 { bucket, prefix, path_style, place } => Some((
            name.clone(),
            objects::Store {
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                place: place.clone(),
                path_style: *path_style,
            },
        )),
        Objects::Directory { .. } => None,
    };
    (spec.grants.tables.iter().filter_map(table).collect(), spec.grants.objects.iter().filter_map(store).collect())
}

/// The least policy that a plan needs on AWS; `None` if it has nothing there.
#[must_use]
pub fn policy(plan: &Plan) -> Option<serde_json::Value> {
    let uses = uses(plan);
    (!uses.is_empty()).then(|| iam::policy(&uses))
}

/// What a plan does on AWS.
fn uses(plan: &Plan) -> Vec<iam::Use> {
    let mut uses = Vec::new();
    for route in &plan.routes {
        if let Some(source) = plan.sources.get(&route.source) {
            uses.extend(source::uses(source, route));
        }
        if plan.marks(route) {
            uses.push(iam::Use::Marks { table: plan.aws.marks_table.clone() });
        }
        for table in route.grants.tables.iter().filter_map(|name| plan.tables.get(name)) {
            if let Table::Dynamodb { name, layout, .. } = table {
                let indexes = layout.iter().flat_map(|layout| layout.indexes.keys().cloned()).collect();
                uses.push(iam::Use::Table { name: name.clone(), indexes });
            }
        }
        for store in route.grants.objects.iter().filter_map(|name| plan.objects.get(name)) {
            if let Objects::S3 { bucket, prefix, .. } = store {
                uses.push(iam::Use::ObjectsWrite { bucket: bucket.clone(), prefix: prefix.clone() });
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
        Output::Sns { receiver: Receiver::Topic(arn), .. } => iam::Use::SnsPublish { topic: arn.clone() },
        Output::Sns { .. } => iam::Use::Sms,
        Output::Ses { from, .. } => iam::Use::SesSend { from: from.clone() },
        Output::S3 { bucket, prefix, .. } => iam::Use::ObjectsWrite { bucket: bucket.clone(), prefix: prefix.clone() },
        _ => return None,
    })
}
