//! Extractors: the parts of a request's path, its parameters, its body. Their errors are those of the API, with a
//! message.

use super::AdminServer;
use crate::handover::media_type;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use esclusa_http::api_error::{ApiError, root_cause};
use esclusa_http::bodies::BudgetedBody;
use esclusa_http::decoding;
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt::Formatter;
use std::marker::PhantomData;
use std::sync::Arc;

/// The parameters of the path.
pub(crate) struct PathParams<T>(pub T);

/// The parameters of the query.
pub(crate) struct QueryParams<T>(pub T);

/// The body as JSON, with its share of the body budget.
pub(crate) struct JsonBody<T>(pub T, pub BudgetedBody);

/// The body as it is, with its share of the body budget.
pub(crate) struct RawBody(pub BudgetedBody);

/// A type that is read from a body of JSON.
pub(crate) trait BodyLimit: DeserializeOwned + Send + 'static {
    /// Most bytes of such a body.
    const MOST: usize;
}

/// A list that is read up to a length; further items are counted and take no memory.
#[derive(Debug)]
pub(crate) struct BoundedList<T, const MOST: usize> {
    items: Vec<T>,
    beyond: usize,
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = extract::Path::from_request_parts(parts, state).await;
        let refused =
            |why: PathRejection| ApiError::new(why.status(), format!("the path cannot be read: {}", root_cause(&why)));
        read.map(|extract::Path(value)| PathParams(value)).map_err(refused)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = extract::Query::from_request_parts(parts, state).await;
        let refused = |why: QueryRejection| {
            ApiError::new(why.status(), format!("the parameters cannot be read: {}", root_cause(&why)))
        };
        read.map(|extract::Query(value)| QueryParams(value)).map_err(refused)
    }
}

impl<T: BodyLimit> FromRequest<Arc<AdminServer>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, admin: &Arc<AdminServer>) -> Result<Self, ApiError> {
        // A form on the page of another site cannot send this content type.
        if !is_json(request.headers()) {
            let why = "send JSON, with the header Content-Type: application/json";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let (parts, body) = request.into_parts();
        let mut held = decoding::read((&admin.work, &admin.bodies), &parts.headers, body, T::MOST).await?;
        let data = std::mem::take(&mut held.data);
        let parsed = admin.work.compute(data.len(), move || parse(&data)).await?;
        Ok(JsonBody(parsed?, held))
    }
}

fn parse<T: DeserializeOwned>(data: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(data).map_err(|error| {
        // JSON of a wrong shape is 422; text that is not JSON is 400.
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        ApiError::new(status, format!("the body cannot be read: {error}"))
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = media_type(headers);
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Most bytes of a body, except for `http` sources: enough for a chunk of `esclusa send`, or for a batch of events of
/// 10 MiB each.
pub(crate) const BODY: usize = 64 << 20;

impl FromRequest<Arc<AdminServer>> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, admin: &Arc<AdminServer>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        decoding::read((&admin.work, &admin.bodies), &parts.headers, body, BODY).await.map(RawBody)
    }
}

impl<T, const MOST: usize> BoundedList<T, MOST> {
    /// The items.
    ///
    /// # Errors
    /// The list was too long; `items` names its items in the message.
    pub(crate) fn all(self, items: &str) -> Result<Vec<T>, ApiError> {
        if self.beyond == 0 {
            return Ok(self.items);
        }
        let count = self.items.len().saturating_add(self.beyond);
        let why = format!("a request may have {MOST} {items}, this one has {count}: send it in parts");
        Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, why).code("limit.list"))
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for BoundedList<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct BoundedListVisitor<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for BoundedListVisitor<T, MOST> {
            type Value = BoundedList<T, MOST>;

            fn expecting(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
                write!(out, "a list of at most {MOST}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut read = BoundedList { items: Vec::new(), beyond: 0 };
                while read.items.len() < MOST {
                    match list.next_element()? {
                        Some(item) => read.items.push(item),
                        None => return Ok(read),
                    }
                }
                // The rest is parsed as well, so that the message can say how many items there were.
                while list.next_element::<IgnoredAny>()?.is_some() {
                    read.beyond = read.beyond.saturating_add(1);
                }
                Ok(read)
            }
        }
        from.deserialize_seq(BoundedListVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::BoundedList;
    use axum::response::IntoResponse;

    #[test]
    fn lists_are_counted_beyond_their_length_and_not_kept() {
        let read = |text: &str| serde_json::from_str::<BoundedList<u64, 3>>(text).unwrap();
        assert_eq!(read("[1, 2, 3]").all("ids").unwrap(), [1, 2, 3]);
        let long = read("[1, 2, 3, 4, \"five\"]");
        assert!(long.items.capacity() <= 4);
        let refused = long.all("ids").unwrap_err();
        assert!(format!("{refused:?}").contains("3 ids, this one has 5"), "{refused:?}");
        assert_eq!(refused.into_response().status(), 413);
    }
}
