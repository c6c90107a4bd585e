//! Puts and deletes without conditions, 25 in a request and several requests in flight.
//!
//! A request that "worked" may have left writes out: they are sent again until none is left (reliability E2). A request
//! that was refused is sent write by write, to find which of them DynamoDB refuses. 25 items of at most 400 KB stay below
//! the 16 MB of a request.

use super::attribute::to_attributes;
use super::fold::Operation;
use super::open::OpenTable;
use super::patience::Patience;
use super::plan::Write;
use super::single;
use crate::fault;
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

/// Carries out writes without conditions.
///
/// # Errors
/// A fault, or the writes that DynamoDB refuses; others may have happened, and happen again when the commit is repeated.
pub async fn write(writes: Vec<Write>) -> Result<(), CommitError> {
    let mut places: Vec<(Arc<OpenTable>, Vec<Write>)> = Vec::new();
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

/// All that was refused, or the first fault.
pub fn gather(answers: Vec<Result<(), CommitError>>) -> Result<(), CommitError> {
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

async fn batch_write(client: Client, batch: Vec<Write>) -> Result<(), CommitError> {
    let mut left: HashMap<String, Vec<WriteRequest>> = HashMap::new();
    for write in &batch {
        left.entry(write.table.name.clone()).or_default().push(request(write)?);
    }
    let names: Vec<&str> = left.keys().map(String::as_str).collect();
    let doing = format!("write to table {}", names.join(", "));
    let mut patience = Patience::for_write();
    while !left.is_empty() {
        let before: usize = left.values().map(Vec::len).sum();
        match client.batch_write_item().set_request_items(Some(left.clone())).send().await {
            Ok(answer) => {
                left = answer.unprocessed_items.unwrap_or_default();
                left.retain(|_, requests| !requests.is_empty());
                let after: usize = left.values().map(Vec::len).sum();
                if after < before {
                    patience = Patience::for_write();
                }
                if after > 0 {
                    let reason = format!("{doing}: {after} of {before} writes were not processed");
                    patience.wait(Fault::Throttled { reason, after: Duration::ZERO }).await?;
                }
            }
            Err(error) if error.code() == Some("ValidationException") => return one_by_one(&batch).await,
            Err(error) => patience.wait(fault::of(&doing, &error)).await?,
        }
    }
    Ok(())
}

/// Finds what DynamoDB refuses: a put or delete may be repeated, so the others happen.
async fn one_by_one(batch: &[Write]) -> Result<(), CommitError> {
    let one = |write| -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move { single::write(write).await.map(drop) })
    };
    let answers: Vec<_> = batch.iter().map(one).collect();
    gather(stream::iter(answers).buffered(IN_FLIGHT).collect().await)
}

fn request(write: &Write) -> Result<WriteRequest, CommitError> {
    let bug = |e: String| CommitError::Fault(Fault::Bug(format!("a write that was checked: {e}")));
    let request = WriteRequest::builder();
    let request = match write.decision.as_ref().and_then(|d| d.operation.as_ref()) {
        Some(Operation::Put(item)) => {
            let put = PutRequest::builder().set_item(Some(to_attributes(item).map_err(bug)?)).build();
            request.put_request(put.map_err(|e| bug(e.to_string()))?)
        }
        Some(Operation::Delete) => {
            let delete = DeleteRequest::builder().set_key(Some(to_attributes(&write.key).map_err(bug)?)).build();
            request.delete_request(delete.map_err(|e| bug(e.to_string()))?)
        }
        Some(Operation::Update(_)) | None => return Err(bug("neither a put nor a delete".to_owned())),
    };
    Ok(request.build())
}
