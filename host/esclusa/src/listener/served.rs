//! What a listener serves at present, and what all listeners share.

use super::cors;
use super::endpoints::EndpointTable;
use crate::runtime::Runtime;
use crate::wiring::kept_reply::RequestsInWork;
use esclusa_config::plan::{HttpListener, Network, Plan};
use esclusa_http::bodies::BodyBudget;
use esclusa_http::work_limits::WorkLimits;
use std::sync::Arc;
use tower_http::cors::CorsLayer;

/// What all listeners share: the router, and the limits of what requests take of it.
pub(super) struct ListenerSide {
    /// The router.
    pub runtime: Arc<Runtime>,
    /// Limits of work.
    pub work: WorkLimits,
    /// The budget of bodies.
    pub bodies: BodyBudget,
    /// Requests with a key that are in work.
    pub in_work: RequestsInWork,
}

/// What a listener serves by a configuration.
pub(super) struct Served {
    /// Its endpoints.
    pub endpoints: EndpointTable,
    /// Proxies that name the client.
    pub trusted_proxies: Vec<Network>,
    /// Pages of other sites that may call; `None`: none.
    pub cors: Option<CorsLayer>,
}

impl Served {
    /// What the listener of that name serves.
    pub(super) fn of(name: &str, listener: &HttpListener, plan: &Plan) -> Self {
        Served {
            endpoints: EndpointTable::of(name, plan),
            trusted_proxies: listener.trusted_proxies.clone(),
            cors: listener.cors.as_ref().map(cors::layer),
        }
    }
}
