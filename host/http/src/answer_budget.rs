//! A budget for large answers: the bytes of an answer count until its client has taken them.

use crate::api_error::ApiError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use esclusa_pipeline::budget::Budget;
use hyper::body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Answers up to this size do not count: each connection has a buffer of this size anyway.
pub const SMALL: usize = 64 << 10;

/// A budget of bytes for answers that clients have not taken yet.
#[derive(Debug)]
pub struct AnswerBudget(Budget);

impl AnswerBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        AnswerBudget(Budget::new(bytes))
    }

    /// The body of an answer. Waits at most `wait` until other answers were taken and there is room.
    ///
    /// # Errors
    /// There is no room for it.
    pub async fn body(&self, bytes: Vec<u8>, wait: Duration) -> Result<Body, ApiError> {
        if bytes.len() <= SMALL {
            return Ok(bytes.into());
        }
        match tokio::time::timeout(wait, self.0.take(bytes.len())).await {
            Ok(Some(share)) => Ok(Body::new(BudgetedAnswer { rest: bytes.into(), _held: Box::new(share) })),
            _ => Err(full()),
        }
    }

    /// The body of an answer to something that was carried out: it fits at once, or is refused. A client that waited
    /// here might ask for the same again.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn body_now(&self, bytes: Vec<u8>) -> Result<Body, ApiError> {
        if bytes.len() <= SMALL {
            return Ok(bytes.into());
        }
        let share = self.0.try_take(bytes.len()).ok_or_else(full)?;
        Ok(Body::new(BudgetedAnswer { rest: bytes.into(), _held: Box::new(share) }))
    }
}

/// The body of an answer that is paid for already: `held` is dropped once the client has taken it.
pub fn kept(bytes: Vec<u8>, held: impl Send + 'static) -> Body {
    if bytes.len() <= SMALL {
        return bytes.into();
    }
    Body::new(BudgetedAnswer { rest: bytes.into(), _held: Box::new(held) })
}

/// The body of an answer that has none, and of which no length is declared either: an answer with status 204 must not have
/// one, and the one of 304 or of an answer to HEAD would be that of another body (RFC 9110, section 8.6). A body whose
/// length is known would have it declared.
pub fn none() -> Body {
    Body::new(NoBody)
}

fn full() -> ApiError {
    let why = "there is no room for the answer: other large answers wait to be read; what was asked may have been done";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why).code("limit.answers")
}

struct NoBody;

impl HttpBody for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// A body in small pieces: its share is kept until the client has taken all but the last of them.
struct BudgetedAnswer {
    rest: Bytes,
    _held: Box<dyn Send>,
}

impl HttpBody for BudgetedAnswer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.rest.len().min(SMALL);
        Poll::Ready((piece > 0).then(|| Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use futures_util::StreamExt;

    #[tokio::test]
    async fn answers_count_until_they_are_taken() {
        let (untaken, wait) = (AnswerBudget::new(1 << 20), Duration::from_millis(50));
        let status = |refused: Result<Body, ApiError>| refused.err().map(|why| why.into_response().status().as_u16());
        let first = untaken.body(vec![1; 700 << 10], wait).await.unwrap_or_default();
        assert_eq!(first.size_hint().exact(), Some(700 << 10), "its length is declared");
        assert_eq!(status(untaken.body(vec![2; 700 << 10], wait).await), Some(503));
        assert_eq!(status(untaken.body_now(vec![2; 700 << 10])), Some(503));
        assert_eq!(status(untaken.body(vec![2; SMALL], wait).await), None, "small ones do not count");
        let mut taken = 0;
        let mut pieces = first.into_data_stream();
        while let Some(piece) = pieces.next().await {
            taken += piece.unwrap().len();
        }
        assert_eq!(taken, 700 << 10);
        drop(pieces);
        assert_eq!(status(untaken.body_now(vec![2; 700 << 10])), None);
    }
}
