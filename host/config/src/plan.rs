//! The checked plan: routes.toml without anything that checking has settled. Names resolve, numbers are in range,
//! paths are absolute or relative to the working directory, never to routes.toml.

mod aws;
pub(crate) mod level;
mod output;
mod source;
mod store;

pub use aws::Aws;
pub use esclusa_flow::settings::{
    DeliveryMode, Instances, KeySchema, Limits, RouteSpec, ServiceLocation, Start, TableSchema,
};
pub use level::{Level, Target};
pub use output::{Ambiguous, Output, Receiver};
pub use source::{Coordination, Source, TableStream};
pub use store::{Objects, Table};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that `esclusa run` needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Dashboard, API and metrics; `None`: nothing listens, unless a source of kind http needs it.
    pub admin: Option<Admin>,
    /// The embedded engine's directory.
    pub engine: PathBuf,
    /// What AWS is asked with, where a section does not say otherwise.
    pub aws: Aws,
    /// Sources by name.
    pub sources: BTreeMap<Arc<str>, Source>,
    /// Tables by name.
    pub tables: BTreeMap<String, Table>,
    /// Object stores by name.
    pub objects: BTreeMap<String, Objects>,
    /// Outputs by name.
    pub outputs: BTreeMap<String, Output>,
    /// Routes in the order of the file.
    pub routes: Vec<RouteSpec>,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where to listen; port 0: any free one.
    pub listen: SocketAddr,
}

impl Plan {
    /// True if a route has anything on AWS.
    #[must_use]
    pub fn touches_aws(&self, route: &RouteSpec) -> bool {
        let grants = &route.grants;
        let mut outputs = grants.outputs.iter().chain(&route.on_failure).filter_map(|name| self.outputs.get(name));
        self.sources.get(&route.source).is_some_and(Source::on_aws)
            || grants.tables.iter().filter_map(|name| self.tables.get(name)).any(Table::on_aws)
            || grants.objects.iter().filter_map(|name| self.objects.get(name)).any(Objects::on_aws)
            || outputs.any(Output::on_aws)
    }
}
