//! Reads that failed: whether they are tried again.

use crate::fault;
use crate::retry::RetryBudget;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::reads::ReadError;

/// Waits before the next try, if there is one.
pub(super) async fn again<E>(
    budget: &mut RetryBudget,
    doing: &str,
    error: &aws_sdk_dynamodb::error::SdkError<E>,
) -> Result<(), ReadError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if error.code() == Some("ValidationException") {
        return Err(ReadError::Invalid(fault::brief(error.message().unwrap_or_default())));
    }
    budget.wait(fault::of(doing, error)).await.map_err(|fault| ReadError::Unavailable(fault.to_string()))
}
