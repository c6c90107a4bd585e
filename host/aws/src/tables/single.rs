//! One put or delete by itself, with a condition that leaves it out where it does not hold.

use super::attribute::to_attributes;
use super::expression::Placeholders;
use super::fold::Operation;
use super::patience::Patience;
use super::plan::Write;
use crate::fault;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::engine::CommitError;
use esclusa_flow::fault::Fault;

/// Carries out a put or a delete; false where its condition did not hold.
///
/// # Errors
/// A fault, or [`CommitError::Refused`] with every action on this key.
pub async fn write(write: &Write) -> Result<bool, CommitError> {
    let Some(decision) = &write.decision else { return Err(bug("an item that was not read")) };
    let mut placeholders = Placeholders::default();
    let condition = match &decision.condition {
        Some((condition, _)) => placeholders.condition(condition).map_err(|e| bug(&e))?,
        None => None,
    };
    let (client, name) = (&write.table.client, &write.table.name);
    let (names, values) = (placeholders.names(), placeholders.values());
    let mut patience = Patience::for_write();
    loop {
        let (doing, failure) = match &decision.operation {
            Some(Operation::Put(item)) => {
                let item = to_attributes(item).map_err(|e| bug(&e))?;
                let request =
                    client.put_item().table_name(name).set_item(Some(item)).set_condition_expression(condition.clone());
                let request = request.set_expression_attribute_names(names.clone());
                match request.set_expression_attribute_values(values.clone()).send().await {
                    Ok(_) => return Ok(true),
                    Err(error) => ("put into", judge("put into", name, &error)),
                }
            }
            Some(Operation::Delete) => {
                let key = to_attributes(&write.key).map_err(|e| bug(&e))?;
                let request = client
                    .delete_item()
                    .table_name(name)
                    .set_key(Some(key))
                    .set_condition_expression(condition.clone());
                let request = request.set_expression_attribute_names(names.clone());
                match request.set_expression_attribute_values(values.clone()).send().await {
                    Ok(_) => return Ok(true),
                    Err(error) => ("delete from", judge("delete from", name, &error)),
                }
            }
            Some(Operation::Update(_)) => return Err(bug("an update outside of a transaction")),
            None => return Ok(true),
        };
        match failure {
            Failure::Condition => return Ok(false),
            Failure::Refused(why) => {
                let why = format!("{doing} table {name}: {why}");
                return Err(CommitError::Refused(write.steps.iter().map(|step| (step.action, why.clone())).collect()));
            }
            Failure::Fault(fault) => patience.wait(fault).await?,
        }
    }
}

enum Failure {
    Condition,
    Refused(String),
    Fault(Fault),
}

fn judge<E>(doing: &str, table: &str, error: &aws_sdk_dynamodb::error::SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.code() {
        Some("ConditionalCheckFailedException") => Failure::Condition,
        Some("ValidationException" | "ItemCollectionSizeLimitExceededException") => {
            Failure::Refused(fault::brief(error.message().unwrap_or_default()).to_owned())
        }
        _ => Failure::Fault(fault::of(&format!("{doing} table {table}"), error)),
    }
}

fn bug(why: &str) -> CommitError {
    CommitError::Fault(Fault::Bug(why.to_owned()))
}
