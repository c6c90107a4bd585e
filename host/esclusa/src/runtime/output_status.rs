//! The targets of a route: the delivery guarantee of each, and the messages of its outputs.

use esclusa_config::plan::{self, WriteTarget};
use esclusa_pipeline::output_meter::OutputReading;
use esclusa_pipeline::route::Route;
use serde::{Deserialize, Serialize};

/// A table, object store or output that a route writes, and its delivery guarantee.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OutputStatus {
    /// Its name in routes.toml.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The delivery guarantee, for people.
    pub delivery: String,
    /// The counts of its messages; `None` if the target is in the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<OutputReading>,
}

impl OutputStatus {
    /// True if its last try failed.
    #[must_use]
    pub(crate) fn failing(&self) -> bool {
        self.messages.as_ref().is_some_and(|messages| messages.failed_in_a_row > 0)
    }
}

/// The targets of a running route with the counts of their messages, and the output for its dead letters.
pub(crate) fn outputs_at_work(route: &Route, plan: &plan::Plan) -> Vec<OutputStatus> {
    let (spec, mut found) = (&route.spec, outputs(&route.spec, plan));
    if let Some(name) = spec.on_failure.as_ref().filter(|name| !spec.grants.outputs.contains(*name))
        && let Some(output) = plan.outputs.get(name)
    {
        let delivery = plan.level(spec, WriteTarget::Output(name)).to_string();
        found.push(OutputStatus { name: name.clone(), kind: output.kind().to_owned(), delivery, messages: None });
    }
    for output in found.iter_mut().filter(|output| !matches!(output.kind.as_str(), "table" | "objects")) {
        output.messages = route.outputs.read(&output.name);
    }
    found
}

/// The targets of a route, from the plan.
#[must_use]
pub(crate) fn outputs(spec: &plan::RouteSpec, plan: &plan::Plan) -> Vec<OutputStatus> {
    let output = |name: &String, kind: &str, target: WriteTarget<'_>| OutputStatus {
        name: name.clone(),
        kind: kind.to_owned(),
        delivery: plan.level(spec, target).to_string(),
        messages: None,
    };
    let tables = spec.grants.tables.iter().map(|n| output(n, "table", WriteTarget::Table(n)));
    let objects = spec.grants.objects.iter().map(|n| output(n, "objects", WriteTarget::Objects(n)));
    let sends = spec.grants.outputs.iter().map(|n| {
        let kind = plan.outputs.get(n).map_or("output", plan::Output::kind);
        output(n, kind, WriteTarget::Output(n))
    });
    tables.chain(objects).chain(sends).collect()
}
