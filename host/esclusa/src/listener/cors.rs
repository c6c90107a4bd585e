//! Which pages of other sites may call a listener.

use axum::http::{HeaderName, HeaderValue, Method};
use esclusa_config::plan::Cors;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// The layer that answers preflights and says who may read answers.
pub(super) fn layer(cors: &Cors) -> CorsLayer {
    let origins: Vec<HeaderValue> = cors.origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let origins = match cors.origins.as_slice() {
        [any] if any == "*" => AllowOrigin::any(),
        _ => AllowOrigin::list(origins),
    };
    let methods: Vec<Method> = cors.methods.iter().filter_map(|method| method.parse().ok()).collect();
    let headers: Vec<HeaderName> = cors.headers.iter().filter_map(|header| header.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods(methods)
        .allow_headers(headers)
        .allow_credentials(cors.credentials)
        .max_age(cors.max_age)
}
