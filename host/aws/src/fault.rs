//! Errors of the SDK as faults: transient, throttled, or permanent with the remedy for the operator.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::fault::Fault;
use esclusa_flow::verdict::cut;
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

/// Codes of credentials that are out of date: they may be renewed, so trying again may work (failures.md X1).
const STALE: &[&str] = &["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"];

/// Codes of a request whose time the service does not accept: the clock of this machine is wrong, or was (failures.md X2). The SDK
/// goes by the service's clock once it has seen one answer, so trying again may work.
const SKEWED: &[&str] = &["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"];
/// The same in words, of services that say it with the code of a wrong signature: the beginnings of their messages.
const SKEWED_SIGNATURE: &[&str] = &["Signature expired", "Signature not yet current"];

/// Codes of credentials that the service does not know.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>, 2026-11.
const CREDENTIALS: &[&str] = &[
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidClientTokenId",
    "MissingAuthenticationTokenException",
    "InvalidToken",
];
/// Codes of a missing permission.
const DENIED: &[&str] = &["AccessDeniedException", "AccessDenied", "AuthorizationError", "Forbidden", "403"];
/// Codes of a resource that does not exist.
const MISSING: &[&str] = &[
    "ResourceNotFoundException",
    "NoSuchBucket",
    "NotFound",
    "NotFoundException",
    "404",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
];

/// Most bytes of a service's message that are kept.
const LONGEST: usize = 1000;

/// The remedy if a request could not be made or signed.
const UNSET: &str = ": are region and credentials set, and is endpoint_url right?";

/// What the operator has to do about an error, by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Create the resource, or correct its name.
    Create,
    /// Use credentials that are valid.
    Credentials,
    /// Set the clock.
    Clock,
    /// Allow the action.
    Allow,
}

impl Remedy {
    /// The remedy for an error with this code and message; `None` if there is none.
    pub(crate) fn of(code: &str, message: &str) -> Option<Self> {
        let of_signature = || SKEWED_SIGNATURE.iter().any(|begin| message.starts_with(begin));
        if MISSING.contains(&code) {
            Some(Remedy::Create)
        } else if SKEWED.contains(&code) || (CREDENTIALS.contains(&code) && of_signature()) {
            Some(Remedy::Clock)
        } else if CREDENTIALS.contains(&code) || STALE.contains(&code) {
            Some(Remedy::Credentials)
        } else if DENIED.contains(&code) {
            Some(Remedy::Allow)
        } else {
            None
        }
    }

    /// In words, to follow the reason.
    fn words(self) -> &'static str {
        match self {
            Remedy::Create => ": create it, or correct its name in routes.toml",
            Remedy::Credentials => ": check the profile or AWS_ACCESS_KEY_ID",
            Remedy::Clock => ": set the clock of this machine, by NTP for example",
            Remedy::Allow => ": allow it, see `esclusa iam-policy`",
        }
    }
}

/// The fault that an error of the SDK means; `doing` names the request and its resource.
pub(crate) fn of<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let (code, message) =
                (service.err().code().unwrap_or("unknown"), service.err().message().unwrap_or_default());
            let remedy = Remedy::of(code, message);
            let words = remedy.map_or("", Remedy::words);
            let reason = format!("{doing}: {}: {}{words}", brief(code), brief(message));
            let status = service.raw().status().as_u16();
            if THROTTLED.contains(&code) || status == 429 {
                Fault::Throttled { reason, after: Duration::from_millis(100) }
            } else if status >= 500 || STALE.contains(&code) || remedy == Some(Remedy::Clock) {
                Fault::Transient(reason)
            } else {
                Fault::Permanent(reason)
            }
        }
        SdkError::ConstructionFailure(_) => Fault::Permanent(format!("{doing}: {}{UNSET}", chain(error))),
        // No connection was tried. Credentials may come yet, from a file or a role.
        SdkError::DispatchFailure(failure) if failure.is_other() => {
            Fault::Transient(format!("{doing}: {}{UNSET}", chain(error)))
        }
        _ => Fault::Transient(format!("{doing}: {}: is there a network, and is endpoint_url right?", chain(error))),
    }
}

/// An error with its causes, in one line.
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
    brief(&text).split('\n').map(str::trim).collect::<Vec<_>>().join("; ")
}

/// The beginning of a service's message: it is logged, and kept with each event or message that failed for it.
pub(crate) fn brief(text: &str) -> String {
    cut(text, LONGEST)
}
