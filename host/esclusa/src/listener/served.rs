//! What a listener serves at present, and what all listeners share.

use super::cors;
use super::endpoints::EndpointTable;
use super::request;
use crate::http::bodies::BodyBudget;
use crate::http::work_limits::WorkLimits;
use crate::runtime::Runtime;
use crate::wiring::kept_reply::RequestsInWork;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::http::header::ACCESS_CONTROL_REQUEST_METHOD;
use axum::response::Response;
use esclusa_config::plan::{HttpListener, Network, Plan};
use std::convert::Infallible;
use std::sync::Arc;
use tower::{Layer as _, ServiceExt as _, service_fn};
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
    cors: Option<CorsLayer>,
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

/// The service of a listener. Each request is served by the configuration in force when it comes.
pub(super) fn router(side: Arc<ListenerSide>, served: Arc<ArcSwap<Served>>) -> Router {
    Router::new().fallback(move |request| answer(side.clone(), served.load_full(), request))
}

async fn answer(side: Arc<ListenerSide>, served: Arc<Served>, request: Request) -> Response {
    let asks_first = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    // Any other OPTIONS asks which methods there are.
    let cors = served.cors.clone().filter(|_| request.method() != Method::OPTIONS || asks_first);
    let Some(cors) = cors else { return request::serve(side, served, request).await };
    let own = service_fn(move |request| {
        let (side, served) = (side.clone(), served.clone());
        async move { Ok::<_, Infallible>(request::serve(side, served, request).await) }
    });
    let Ok(response) = cors.layer(own).oneshot(request).await;
    response
}
