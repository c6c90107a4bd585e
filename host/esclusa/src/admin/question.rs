//! What a request asks: parts of its path, its parameters, its body. What cannot be read is refused in words.

use super::answer::Refusal;
use super::connections::Late;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{self, FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use std::error::Error;

/// Parts of the path.
pub struct Path<T>(pub T);

/// The parameters.
pub struct Query<T>(pub T);

/// The body, as JSON.
pub struct Json<T>(pub T);

/// The body as it is.
pub struct Whole(pub Bytes);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = extract::Path::from_request_parts(parts, state).await;
        let refused =
            |why: PathRejection| Refusal::new(why.status(), format!("the path cannot be read: {}", root(&why)));
        read.map(|extract::Path(value)| Path(value)).map_err(refused)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = extract::Query::from_request_parts(parts, state).await;
        let refused =
            |why: QueryRejection| Refusal::new(why.status(), format!("the parameters cannot be read: {}", root(&why)));
        read.map(|extract::Query(value)| Query(value)).map_err(refused)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Json(value)),
            Err(why @ JsonRejection::MissingJsonContentType(_)) => {
                Err(Refusal::new(why.status(), "send JSON, with the header Content-Type: application/json"))
            }
            Err(JsonRejection::BytesRejection(why)) => Err(unread(&why)),
            Err(why) => Err(Refusal::new(why.status(), format!("the body cannot be read: {}", root(&why)))),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        Bytes::from_request(request, state).await.map(Whole).map_err(|why| unread(&why))
    }
}

fn unread(why: &BytesRejection) -> Refusal {
    match why.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(why.status(), "the body is too large"),
        _ => broken(why),
    }
}

/// A body that did not come whole.
pub fn broken(why: &(dyn Error + 'static)) -> Refusal {
    let root = root(why);
    let status = if root.is::<Late>() { StatusCode::REQUEST_TIMEOUT } else { StatusCode::BAD_REQUEST };
    Refusal::new(status, format!("the request broke off: {root}"))
}

/// What was wrong in the first place: the errors around it tell of the program, not of the request.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}
