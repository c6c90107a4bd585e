//! Writes that happen together or not at all. Every attempt of one transaction has the same token, so that it does not
//! happen twice if an answer is lost.

use super::attribute::{from_attributes, to_attributes};
use super::cancellation::{Cancellation, ItemRole, judge};
use super::dedup::Fence;
use super::expression::Placeholders;
use super::fold::{FoldedWrite, GuardFailure, ItemOperation, STEPS, resolve};
use super::item_write::ItemWrite;
use crate::fault;
use crate::retry::RetryBudget;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem, Update};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::engine::CommitError;
use esclusa_flow::fault::Fault;
use esclusa_flow::item::Item;
use esclusa_flow::step_budget::StepBudget;

/// Items in a transaction.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>, November 2026.
pub(crate) const ITEMS: usize = 100;
/// Bytes of writes in a transaction. The same source says 4 MB; the fence and the expressions take some of it.
pub(crate) const BYTES: usize = 3_800_000;
/// How often items are read again before the commit ends as a conflict.
const REREADS: u32 = 10;

/// Splits the writes, in order, into as few transactions as hold them; gives the number of writes in each. `fence`
/// items go into each of them too.
#[must_use]
pub(crate) fn chunks(writes: &[ItemWrite], fence: usize) -> Vec<usize> {
    let room = ITEMS.saturating_sub(fence).max(1);
    let mut chunks: Vec<usize> = Vec::new();
    let mut bytes = 0usize;
    for write in writes {
        let size = write.size();
        bytes = bytes.saturating_add(size);
        match chunks.last_mut() {
            Some(count) if *count < room && bytes <= BYTES => *count = count.saturating_add(1),
            _ => {
                bytes = size;
                chunks.push(1);
            }
        }
    }
    // Answers are kept even if nothing else is written.
    if chunks.is_empty() && fence > 0 {
        chunks.push(0);
    }
    chunks
}

/// One transaction, until it has happened; gives the actions that were left out.
///
/// # Errors
/// [`CommitError`]; nothing of it was written.
pub(crate) async fn write(
    mut writes: Vec<ItemWrite>,
    fence: &Fence,
    last: bool,
    several: bool,
) -> Result<Vec<usize>, CommitError> {
    let mut skipped: Vec<usize> = Vec::new();
    let mut rereads = 0u32;
    let client = writes.first().map(|write| write.table.client.clone()).or_else(|| fence.client.clone());
    let Some(client) = client else { return Ok(skipped) };
    // Each round decides anew: a skipped write leaves, and a write whose item changed meanwhile is folded on the new
    // item.
    loop {
        let (mut items, mut roles): (Vec<_>, Vec<_>) = fence.items(last)?.into_iter().unzip();
        let mut left_out = Vec::new();
        let mut failing = Vec::with_capacity(writes.len());
        for (index, write) in writes.iter().enumerate() {
            let decision = decide(write).await?;
            left_out.extend_from_slice(&decision.skipped);
            failing.push(decision.condition.as_ref().map(|(_, failing)| *failing));
            if let Some(item) = item(write, decision)? {
                items.push(item);
                roles.push(ItemRole::ItemWrite(index));
            }
        }
        match attempt(&client, items, &roles).await? {
            AttemptOutcome::Done => {
                skipped.extend(left_out);
                skipped.sort_unstable();
                return Ok(skipped);
            }
            AttemptOutcome::Refused(why) => return Err(blame(&writes, &why, several).await?),
            AttemptOutcome::Cancelled(verdict) => {
                let failed = settle(verdict, &writes)?;
                let is = |index: &usize, what| failing.get(*index) == Some(&Some(what));
                if failed.iter().any(|index| is(index, GuardFailure::Rerun)) || rereads >= REREADS {
                    // The plugin decided on an item that has changed since: only calling it again helps.
                    return Err(CommitError::Conflict);
                }
                rereads = rereads.saturating_add(u32::from(failed.iter().any(|index| is(index, GuardFailure::Reread))));
                let skips: Vec<usize> = failed.into_iter().filter(|index| is(index, GuardFailure::Skip)).collect();
                let mut index = 0usize;
                writes.retain(|write| {
                    let keep = !skips.contains(&index);
                    index = index.saturating_add(1);
                    if !keep {
                        skipped.extend(write.steps.iter().map(|step| step.action));
                    }
                    keep
                });
            }
        }
    }
}

/// The write that the steps fold into; reads the item if it has to.
async fn decide(write: &ItemWrite) -> Result<FoldedWrite, CommitError> {
    match &write.decision {
        Some(decision) => Ok(decision.clone()),
        None => resolve(&write.steps, &write.key, read(write).await?.as_ref(), &mut StepBudget::of(STEPS)),
    }
}

/// Finds the actions at fault, if DynamoDB refused a transaction without naming them: updates that do not fit the
/// stored item. Else the only event is at fault; several are halved until the one at fault stands alone.
async fn blame(writes: &[ItemWrite], why: &str, several: bool) -> Result<CommitError, Fault> {
    let mut refused = Vec::new();
    for write in
        writes.iter().filter(|write| write.steps.iter().any(|s| matches!(s.operation, ItemOperation::Update(_))))
    {
        if let Err(CommitError::Refused(actions)) =
            resolve(&write.steps, &write.key, read(write).await?.as_ref(), &mut StepBudget::of(STEPS))
        {
            refused.extend(actions);
        }
    }
    // TooLarge makes delivery halve the batch, until the event at fault is alone.
    if refused.is_empty() && several {
        return Ok(CommitError::TooLarge);
    }
    if refused.is_empty() {
        refused.extend(writes.iter().flat_map(|write| &write.steps).map(|step| (step.action, why.to_owned())));
    }
    Ok(CommitError::Refused(refused))
}

/// The item as it is stored.
async fn read(write: &ItemWrite) -> Result<Option<Item>, Fault> {
    let bug = |e: String| Fault::Bug(format!("a key that was checked: {e}"));
    let key = to_attributes(&write.key).map_err(bug)?;
    let table = &write.table;
    let mut budget = RetryBudget::for_write();
    let answer = loop {
        match table
            .client
            .get_item()
            .table_name(&table.name)
            .set_key(Some(key.clone()))
            .consistent_read(true)
            .send()
            .await
        {
            Ok(answer) => break answer,
            Err(error) => budget.wait(fault::of(&format!("get from table {}", table.name), &error)).await?,
        }
    };
    Ok(answer.item.map(|attributes| from_attributes(attributes, &table.schema.key)))
}

/// The writes whose conditions failed, or the error that the cancellation means.
fn settle(verdict: Cancellation, writes: &[ItemWrite]) -> Result<Vec<usize>, CommitError> {
    match verdict {
        Cancellation::Failed(failed) => Ok(failed),
        Cancellation::LeaseLost => Err(Fault::LeaseLost("another process moved its position".to_owned()).into()),
        Cancellation::DoneBefore(events) => Err(CommitError::DoneBefore(events)),
        Cancellation::Again(fault) | Cancellation::Stuck(fault) => Err(fault.into()),
        Cancellation::Refused(refused) => {
            let steps = |(index, why): (usize, String)| {
                let write = writes.get(index);
                let why = format!("table {}: {why}", write.map_or("", |w| w.table.name.as_str()));
                let steps: Vec<usize> = write.map_or_else(Vec::new, |w| w.steps.iter().map(|s| s.action).collect());
                steps.into_iter().map(move |action| (action, why.clone()))
            };
            Err(CommitError::Refused(refused.into_iter().flat_map(steps).collect()))
        }
    }
}

enum AttemptOutcome {
    Done,
    Cancelled(Cancellation),
    /// DynamoDB refused it as a whole, without naming an item.
    Refused(String),
}

/// Sends a transaction, again if it failed through no fault of its own.
async fn attempt(client: &Client, items: Vec<TransactWriteItem>, roles: &[ItemRole]) -> Result<AttemptOutcome, Fault> {
    const DOING: &str = "write a transaction";
    if items.is_empty() {
        return Ok(AttemptOutcome::Done);
    }
    // One token for all tries, but a new one after a change of the items: DynamoDB refuses a token with other items.
    let token = uuid::Uuid::new_v4().to_string();
    let mut budget = RetryBudget::for_write();
    loop {
        let request =
            client.transact_write_items().client_request_token(&token).set_transact_items(Some(items.clone()));
        let Err(error) = request.send().await else { return Ok(AttemptOutcome::Done) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                match judge(cancelled.cancellation_reasons(), roles) {
                    Cancellation::Again(fault) => budget.wait(fault).await?,
                    verdict => return Ok(AttemptOutcome::Cancelled(verdict)),
                }
            }
            // DynamoDB does not name the item here, unlike in a cancelled transaction: the caller finds it.
            Some(service) if service.code() == Some("ValidationException") => {
                return Ok(AttemptOutcome::Refused(fault::brief(service.message().unwrap_or_default())));
            }
            _ => budget.wait(fault::of(DOING, &error)).await?,
        }
    }
}

/// A write as an item of a transaction; `None` if nothing is left of it.
fn item(write: &ItemWrite, decision: FoldedWrite) -> Result<Option<TransactWriteItem>, CommitError> {
    let bug = |e: String| CommitError::Fault(Fault::Bug(format!("a write that was checked: {e}")));
    let Some(operation) = decision.operation else { return Ok(None) };
    let mut placeholders = Placeholders::default();
    let condition = match &decision.condition {
        Some((condition, _)) => placeholders.condition(condition).map_err(bug)?,
        None => None,
    };
    let (name, key) = (&write.table.name, to_attributes(&write.key).map_err(bug)?);
    let built = TransactWriteItem::builder();
    let built = match operation {
        ItemOperation::Put(item) => {
            let put = Put::builder().table_name(name).set_item(Some(to_attributes(&item).map_err(bug)?));
            let put = put.set_condition_expression(condition).set_expression_attribute_names(placeholders.names());
            built.put(
                put.set_expression_attribute_values(placeholders.values()).build().map_err(|e| bug(e.to_string()))?,
            )
        }
        ItemOperation::Update(changes) => {
            let changes = placeholders.changes(&changes).map_err(bug)?;
            let update = Update::builder().table_name(name).set_key(Some(key)).update_expression(changes);
            let update =
                update.set_condition_expression(condition).set_expression_attribute_names(placeholders.names());
            built.update(
                update
                    .set_expression_attribute_values(placeholders.values())
                    .build()
                    .map_err(|e| bug(e.to_string()))?,
            )
        }
        ItemOperation::Delete => {
            let delete = Delete::builder().table_name(name).set_key(Some(key));
            let delete =
                delete.set_condition_expression(condition).set_expression_attribute_names(placeholders.names());
            built.delete(
                delete
                    .set_expression_attribute_values(placeholders.values())
                    .build()
                    .map_err(|e| bug(e.to_string()))?,
            )
        }
    };
    Ok(Some(built.build()))
}
