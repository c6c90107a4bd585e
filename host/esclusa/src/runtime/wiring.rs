//! Puts a route together: its sinks, its engine, and what they need of the store and of AWS.

use super::cloud::{Cloud, LateProgressStore};
use crate::sinks;
use esclusa_config::plan::{self, Objects, Plan, Source, TableSpec};
use esclusa_embedded::Store;
use esclusa_flow::engine::{Engine, Sink};
use esclusa_pipeline::commit::ProgressKind;
use esclusa_pipeline::meter::Meter;
use esclusa_pipeline::output_meter::OutputMeters;
use esclusa_pipeline::route::{LoadedPlugin, Route};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a route is made of.
pub struct Wiring<'a> {
    /// The embedded engine.
    pub store: &'a Store,
    /// AWS, where the plan has something there.
    pub cloud: Option<&'a Cloud>,
    /// All names.
    pub plan: &'a Plan,
}

impl Wiring<'_> {
    /// A route that is not served yet, and the place of what will keep its progress. `None`: its source is not in the plan.
    pub fn route(
        &self,
        spec: &plan::RouteSpec,
        version: impl Into<Arc<LoadedPlugin>>,
        meter: Meter,
    ) -> Option<(Arc<Route>, Arc<LateProgressStore>)> {
        let source = self.plan.sources.get(&spec.source)?;
        let outputs = spec.grants.outputs.iter().chain(&spec.on_failure);
        let sinks: BTreeMap<String, Arc<dyn Sink>> = outputs
            .filter_map(|name| Some((name.clone(), sinks::open(self.plan.outputs.get(name)?, self.cloud)?)))
            .collect();
        let meters = OutputMeters::of(&spec.name, sinks.keys());
        let slot = Arc::new(LateProgressStore::default());
        let keeper = source.keeps_progress().then(|| slot.clone());
        let local: Arc<dyn Engine> = Arc::new(self.store.clone());
        let above = self
            .cloud
            .and_then(|cloud| cloud.engine(self.plan, spec, local.clone(), (sinks.clone(), meters.clone()), keeper));
        let facts = (source.kind().into(), settle(source), self.plan.marks(spec));
        Some((Route::new(spec.clone(), facts, above.unwrap_or(local), (sinks, meters), version, meter), slot))
    }
}

/// How a source is told that events are finished.
fn settle(source: &Source) -> ProgressKind {
    match source {
        Source::Queue { .. } | Source::Sqs { .. } => ProgressKind::Receipts,
        Source::Http { reply: true, .. } => ProgressKind::Nothing,
        _ => ProgressKind::Position,
    }
}

/// Everything outside of a route that it has to be started again for.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    source: Option<Source>,
    outputs: BTreeMap<String, plan::Output>,
    /// Those on AWS; embedded ones change while routes run.
    tables: BTreeMap<String, TableSpec>,
    objects: BTreeMap<String, Objects>,
    aws: Option<plan::AwsDefaults>,
}

impl Resources {
    /// What a route uses of a plan.
    #[must_use]
    pub fn of(plan: &Plan, spec: &plan::RouteSpec) -> Self {
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
        let objects =
            spec.grants.objects.iter().filter_map(|name| Some((name.clone(), plan.objects.get(name)?.clone())));
        let objects: BTreeMap<_, _> = objects.filter(|(_, store)| store.on_aws()).collect();
        Resources { source, outputs, tables, objects, aws: plan.touches_aws(spec).then(|| plan.aws.clone()) }
    }
}
