//! Errors of the program as the API answers them.

use crate::dead_letters::NotSelected;
use crate::intake::NotTaken;
use crate::route_loader::RouteUnavailable;
use crate::table_reads::NotRead;
use axum::http::StatusCode;
use esclusa_http::api_error::ApiError;

impl From<NotTaken> for ApiError {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Fault(fault) => fault.into(),
            NotTaken::Unknown { .. } => ApiError::new(StatusCode::NOT_FOUND, error.to_string()),
            NotTaken::Closed { .. } => ApiError::new(StatusCode::CONFLICT, error.to_string()),
            NotTaken::TooMany(_) => ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()).code("limit.list"),
            NotTaken::Malformed(why) => ApiError::new(StatusCode::BAD_REQUEST, why),
        }
    }
}

impl From<NotRead> for ApiError {
    fn from(error: NotRead) -> Self {
        let status = match error {
            NotRead::Unknown { .. } | NotRead::Elsewhere { .. } => StatusCode::NOT_FOUND,
            NotRead::Key(_) | NotRead::Read(esclusa_flow::reads::ReadError::Invalid(_)) => StatusCode::BAD_REQUEST,
            NotRead::Read(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        ApiError::new(status, error.to_string())
    }
}

impl From<NotSelected> for ApiError {
    fn from(error: NotSelected) -> Self {
        match error {
            NotSelected::Pattern(why) => ApiError::new(StatusCode::BAD_REQUEST, why),
            NotSelected::TooMuch { .. } => ApiError::new(StatusCode::BAD_REQUEST, error.to_string()),
            // A search stops only when its client has gone: nobody reads this answer.
            NotSelected::Stopped => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            NotSelected::Fault(fault) => fault.into(),
        }
    }
}

impl From<RouteUnavailable> for ApiError {
    fn from(missing: RouteUnavailable) -> Self {
        let status = match missing {
            RouteUnavailable::Route(_) => StatusCode::NOT_FOUND,
            RouteUnavailable::Plugin { .. } => StatusCode::CONFLICT,
        };
        ApiError::new(status, missing.to_string())
    }
}
