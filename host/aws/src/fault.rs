//! Errors of the SDK as faults: what may work when tried again, what was too much, what somebody must look at.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::fault::Fault;
use std::error::Error;
use std::time::Duration;

/// Codes that mean "too much at once", of all services.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>, 2026-11.
const THROTTLED: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "RequestThrottled",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "SlowDown",
    "OverLimit",
    "KMSThrottlingException",
    "TransactionInProgressException",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
];

/// Codes of credentials that are out of date: they may be renewed, so trying again may work (reliability X1).
const STALE: &[&str] =
    &["ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed", "TokenRefreshRequired"];

/// What an error of the SDK means; `doing` says what was attempted, with the name of the resource.
pub fn of<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let (code, message) =
                (service.err().code().unwrap_or("unknown"), service.err().message().unwrap_or_default());
            let reason = format!("{doing}: {code}: {message}");
            let status = service.raw().status().as_u16();
            if THROTTLED.contains(&code) || status == 429 {
                Fault::Throttled { reason, after: Duration::from_millis(100) }
            } else if status >= 500 || STALE.contains(&code) {
                Fault::Transient(reason)
            } else {
                Fault::Permanent(reason)
            }
        }
        SdkError::ConstructionFailure(_) => Fault::Permanent(format!("{doing}: {}", chain(error))),
        _ => Fault::Transient(format!("{doing}: {}", chain(error))),
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
