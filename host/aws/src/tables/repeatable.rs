//! Writes that may be repeated by themselves. Puts and deletes without conditions go 25 in a request, several requests
//! in flight; those with a condition go alone.
//!
//! A request that "worked" may have left writes out: they are sent again until none is left (failures.md E2). A request
//! that was refused is sent write by write, to find which of them DynamoDB refuses. 25 items of at most 400 KB stay
//! below
//! the 16 MB of a request.

use super::attribute::to_attributes;
use super::expression::Placeholders;
use super::fold::{GuardFailure, ItemOperation};
use super::item_write::ItemWrite;
use super::open_table::OpenTable;
use crate::fault;
use crate::retry::RetryBudget;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{DeleteRequest, PutRequest, WriteRequest};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::BoxFuture;
use esclusa_flow::engine::CommitError;
use esclusa_flow::fault::Fault;
use futures_util::stream::{self, StreamExt};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Writes in a request.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>, November 2026.
const BATCH: usize = 25;
/// Requests in flight for one commit: 200 writes. The lanes of a route multiply it.
const IN_FLIGHT: usize = 8;

/// Conditional writes in flight for one commit.
const CONDITIONAL_IN_FLIGHT: usize = 16;

/// Writes of which each may be repeated by itself.
pub(crate) async fn write(writes: Vec<ItemWrite>) -> Result<Vec<usize>, CommitError> {
    let decided = |write: &ItemWrite| write.decision.as_ref().map_or_else(Vec::new, |d| d.skipped.clone());
    let mut skipped: Vec<usize> = writes.iter().flat_map(decided).collect();
    let conditional =
        |write: &ItemWrite| matches!(&write.decision, Some(d) if matches!(d.condition, Some((_, GuardFailure::Skip))));
    let (conditional, plain): (Vec<_>, Vec<_>) = writes.into_iter().partition(conditional);
    let one = |write: ItemWrite| async move { Ok::<_, CommitError>((write_one(&write).await?, write)) };
    let singles = stream::iter(conditional).map(one).buffer_unordered(CONDITIONAL_IN_FLIGHT).collect::<Vec<_>>();
    let (plain, singles) = futures_util::future::join(write_in_bulk(plain), singles).await;
    let mut answers = vec![plain];
    for single in singles {
        answers.push(single.map(|(written, write)| {
            if !written {
                skipped.extend(write.steps.iter().map(|step| step.action));
            }
        }));
    }
    gather(answers)?;
    skipped.sort_unstable();
    Ok(skipped)
}

/// Carries out writes without conditions.
///
/// # Errors
/// A fault, or the writes that DynamoDB refuses. The others may have happened, and happen again when the commit is
/// repeated.
async fn write_in_bulk(writes: Vec<ItemWrite>) -> Result<(), CommitError> {
    let mut places: Vec<(Arc<OpenTable>, Vec<ItemWrite>)> = Vec::new();
    for write in writes {
        match places.iter_mut().find(|(table, _)| table.place == write.table.place) {
            Some((_, group)) => group.push(write),
            None => places.push((Arc::clone(&write.table), vec![write])),
        }
    }
    let mut requests = Vec::new();
    for (table, mut group) in places {
        while !group.is_empty() {
            let rest = group.split_off(group.len().min(BATCH));
            requests.push((table.client.clone(), std::mem::replace(&mut group, rest)));
        }
    }
    let answers = stream::iter(requests).map(|(client, batch)| batch_write(client, batch)).buffer_unordered(IN_FLIGHT);
    gather(answers.collect().await)
}

/// All refused writes, or the first fault.
fn gather(answers: Vec<Result<(), CommitError>>) -> Result<(), CommitError> {
    let mut refused = Vec::new();
    for answer in answers {
        match answer {
            Ok(()) => {}
            Err(CommitError::Refused(more)) => refused.extend(more),
            Err(error) => return Err(error),
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(CommitError::Refused(refused)) }
}

async fn batch_write(client: Client, batch: Vec<ItemWrite>) -> Result<(), CommitError> {
    let mut left: HashMap<String, Vec<WriteRequest>> = HashMap::new();
    for write in &batch {
        left.entry(write.table.name.clone()).or_default().push(request(write)?);
    }
    let names: Vec<&str> = left.keys().map(String::as_str).collect();
    let doing = format!("write to table {}", names.join(", "));
    let mut budget = RetryBudget::for_write();
    while !left.is_empty() {
        let before: usize = left.values().map(Vec::len).sum();
        match client.batch_write_item().set_request_items(Some(left.clone())).send().await {
            Ok(answer) => {
                left = answer.unprocessed_items.unwrap_or_default();
                left.retain(|_, requests| !requests.is_empty());
                let after: usize = left.values().map(Vec::len).sum();
                if after < before {
                    budget = RetryBudget::for_write();
                }
                if after > 0 {
                    let reason = format!("{doing}: {after} of {before} writes were not processed");
                    budget.wait(Fault::Throttled { reason, after: Duration::ZERO }).await?;
                }
            }
            Err(error) if error.code() == Some("ValidationException") => return one_by_one(&batch).await,
            Err(error) => budget.wait(fault::of(&doing, &error)).await?,
        }
    }
    Ok(())
}

/// Sends each write alone to find those that DynamoDB refuses. The others happen; a put or delete may be repeated.
async fn one_by_one(batch: &[ItemWrite]) -> Result<(), CommitError> {
    let one =
        |write| -> BoxFuture<'_, Result<(), CommitError>> { Box::pin(async move { write_one(write).await.map(drop) }) };
    let answers: Vec<_> = batch.iter().map(one).collect();
    gather(stream::iter(answers).buffered(IN_FLIGHT).collect().await)
}

fn request(write: &ItemWrite) -> Result<WriteRequest, CommitError> {
    let bug = |e: String| CommitError::Fault(Fault::Bug(format!("a write that was checked: {e}")));
    let request = WriteRequest::builder();
    let request = match write.decision.as_ref().and_then(|d| d.operation.as_ref()) {
        Some(ItemOperation::Put(item)) => {
            let put = PutRequest::builder().set_item(Some(to_attributes(item).map_err(bug)?)).build();
            request.put_request(put.map_err(|e| bug(e.to_string()))?)
        }
        Some(ItemOperation::Delete) => {
            let delete = DeleteRequest::builder().set_key(Some(to_attributes(&write.key).map_err(bug)?)).build();
            request.delete_request(delete.map_err(|e| bug(e.to_string()))?)
        }
        Some(ItemOperation::Update(_)) | None => return Err(bug("neither a put nor a delete".to_owned())),
    };
    Ok(request.build())
}

/// Carries out a put or a delete; false if its condition did not hold.
///
/// # Errors
/// A fault, or [`CommitError::Refused`] with every action on this key.
async fn write_one(write: &ItemWrite) -> Result<bool, CommitError> {
    let Some(decision) = &write.decision else { return Err(bug("an item that was not read")) };
    let mut placeholders = Placeholders::default();
    let condition = match &decision.condition {
        Some((condition, _)) => placeholders.condition(condition).map_err(|e| bug(&e))?,
        None => None,
    };
    let (client, name) = (&write.table.client, &write.table.name);
    let (names, values) = (placeholders.names(), placeholders.values());
    let mut budget = RetryBudget::for_write();
    loop {
        let (doing, failure) = match &decision.operation {
            Some(ItemOperation::Put(item)) => {
                let item = to_attributes(item).map_err(|e| bug(&e))?;
                let request =
                    client.put_item().table_name(name).set_item(Some(item)).set_condition_expression(condition.clone());
                let request = request.set_expression_attribute_names(names.clone());
                match request.set_expression_attribute_values(values.clone()).send().await {
                    Ok(_) => return Ok(true),
                    Err(error) => ("put into", judge("put into", name, &error)),
                }
            }
            Some(ItemOperation::Delete) => {
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
            Some(ItemOperation::Update(_)) => return Err(bug("an update outside of a transaction")),
            None => return Ok(true),
        };
        match failure {
            WriteFailure::Condition => return Ok(false),
            WriteFailure::Refused(why) => {
                let why = format!("{doing} table {name}: {why}");
                return Err(CommitError::Refused(write.steps.iter().map(|step| (step.action, why.clone())).collect()));
            }
            WriteFailure::Fault(fault) => budget.wait(fault).await?,
        }
    }
}

enum WriteFailure {
    Condition,
    Refused(String),
    Fault(Fault),
}

fn judge<E>(doing: &str, table: &str, error: &aws_sdk_dynamodb::error::SdkError<E>) -> WriteFailure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.code() {
        Some("ConditionalCheckFailedException") => WriteFailure::Condition,
        Some("ValidationException" | "ItemCollectionSizeLimitExceededException") => {
            WriteFailure::Refused(fault::brief(error.message().unwrap_or_default()))
        }
        _ => WriteFailure::Fault(fault::of(&format!("{doing} table {table}"), error)),
    }
}

fn bug(why: &str) -> CommitError {
    CommitError::Fault(Fault::Bug(why.to_owned()))
}
