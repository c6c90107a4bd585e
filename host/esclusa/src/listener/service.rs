//! The service of a listener, with the pages of other sites that may call it.

use super::request;
use super::served::{ListenerSide, Served};
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::Request;
use axum::http::header::{ACCESS_CONTROL_REQUEST_METHOD, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use std::convert::Infallible;
use std::sync::Arc;
use tower::{Layer as _, ServiceExt as _, service_fn};

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
    let Ok(mut response) = cors.layer(own).oneshot(request).await;
    // Answers to preflights are made by the layer.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
