//! Writes that happen together or not at all. Every attempt of one transaction has the same token, so that an answer that
//! was lost does not make it happen twice.

use super::attribute::{from_attributes, to_attributes};
use super::cancellation::{Role, Verdict, judge};
use super::expression::Placeholders;
use super::fence::Fence;
use super::fold::{Decision, Failing, Operation, STEPS, resolve};
use super::patience::Patience;
use super::plan::Write;
use crate::fault;
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
pub const ITEMS: usize = 100;
/// Bytes in a transaction, less what the fence and the expressions take. The same source says 4 MB.
pub const BYTES: usize = 3_800_000;
/// How often items are read again before the commit is given back as a conflict.
const REREADS: u32 = 10;

/// How many writes, from the front on, go into each of as few transactions as hold them, when `fence` items go into each.
#[must_use]
pub fn cuts(writes: &[Write], fence: usize) -> Vec<usize> {
    let room = ITEMS.saturating_sub(fence).max(1);
    let mut cuts: Vec<usize> = Vec::new();
    let mut bytes = 0usize;
    for write in writes {
        let size = write.size();
        bytes = bytes.saturating_add(size);
        match cuts.last_mut() {
            Some(count) if *count < room && bytes <= BYTES => *count = count.saturating_add(1),
            _ => {
                bytes = size;
                cuts.push(1);
            }
        }
    }
    cuts
}

/// One transaction, until it has happened; gives the actions that were left out.
///
/// # Errors
/// [`CommitError`]; nothing of it was written.
pub async fn write(
    mut writes: Vec<Write>,
    fence: &Fence,
    last: bool,
    several: bool,
) -> Result<Vec<usize>, CommitError> {
    let mut skipped: Vec<usize> = Vec::new();
    let mut rereads = 0u32;
    let Some(client) = writes.first().map(|write| write.table.client.clone()) else { return Ok(skipped) };
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
                roles.push(Role::Write(index));
            }
        }
        match attempt(&client, items, &roles).await? {
            Answer::Done => {
                skipped.extend(left_out);
                skipped.sort_unstable();
                return Ok(skipped);
            }
            Answer::Refused(why) => return Err(blame(&writes, &why, several).await?),
            Answer::Cancelled(verdict) => {
                let failed = settle(verdict, &writes)?;
                let is = |index: &usize, what| failing.get(*index) == Some(&Some(what));
                if failed.iter().any(|index| is(index, Failing::Rerun)) || rereads >= REREADS {
                    return Err(CommitError::Conflict);
                }
                rereads = rereads.saturating_add(u32::from(failed.iter().any(|index| is(index, Failing::Reread))));
                let skips: Vec<usize> = failed.into_iter().filter(|index| is(index, Failing::Skip)).collect();
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

/// What the steps of a write come to, reading the item where that decides.
async fn decide(write: &Write) -> Result<Decision, CommitError> {
    match &write.decision {
        Some(decision) => Ok(decision.clone()),
        None => resolve(&write.steps, &write.key, read(write).await?.as_ref(), &mut StepBudget::of(STEPS)),
    }
}

/// Who is to blame for a transaction that was refused without saying so: actions that do not go with what is stored; else
/// the only event, which is found by halving where there are several.
async fn blame(writes: &[Write], why: &str, several: bool) -> Result<CommitError, Fault> {
    let mut refused = Vec::new();
    for write in writes.iter().filter(|write| write.steps.iter().any(|s| matches!(s.operation, Operation::Update(_)))) {
        if let Err(CommitError::Refused(actions)) =
            resolve(&write.steps, &write.key, read(write).await?.as_ref(), &mut StepBudget::of(STEPS))
        {
            refused.extend(actions);
        }
    }
    if refused.is_empty() && several {
        return Ok(CommitError::TooLarge);
    }
    if refused.is_empty() {
        refused.extend(writes.iter().flat_map(|write| &write.steps).map(|step| (step.action, why.to_owned())));
    }
    Ok(CommitError::Refused(refused))
}

/// The item as it is stored.
async fn read(write: &Write) -> Result<Option<Item>, Fault> {
    let bug = |e: String| Fault::Bug(format!("a key that was checked: {e}"));
    let key = to_attributes(&write.key).map_err(bug)?;
    let table = &write.table;
    let mut patience = Patience::for_write();
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
            Err(error) => patience.wait(fault::of(&format!("get from table {}", table.name), &error)).await?,
        }
    };
    Ok(answer.item.map(|attributes| from_attributes(attributes, &table.schema.key)))
}

/// The writes whose conditions failed, or the error that a verdict is.
fn settle(verdict: Verdict, writes: &[Write]) -> Result<Vec<usize>, CommitError> {
    match verdict {
        Verdict::Failed(failed) => Ok(failed),
        Verdict::LeaseLost => Err(Fault::LeaseLost("its position was moved by somebody else".to_owned()).into()),
        Verdict::DoneBefore(events) => Err(CommitError::DoneBefore(events)),
        Verdict::Again(fault) | Verdict::Stuck(fault) => Err(fault.into()),
        Verdict::Refused(refused) => {
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

enum Answer {
    Done,
    Cancelled(Verdict),
    /// As a whole, without saying which item is wrong.
    Refused(String),
}

/// Sends a transaction, again where nothing was wrong with it.
async fn attempt(client: &Client, items: Vec<TransactWriteItem>, roles: &[Role]) -> Result<Answer, Fault> {
    const DOING: &str = "write a transaction";
    if items.is_empty() {
        return Ok(Answer::Done);
    }
    let token = uuid::Uuid::new_v4().to_string();
    let mut patience = Patience::for_write();
    loop {
        let request =
            client.transact_write_items().client_request_token(&token).set_transact_items(Some(items.clone()));
        let Err(error) = request.send().await else { return Ok(Answer::Done) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                match judge(cancelled.cancellation_reasons(), roles) {
                    Verdict::Again(fault) => patience.wait(fault).await?,
                    verdict => return Ok(Answer::Cancelled(verdict)),
                }
            }
            Some(service) if service.code() == Some("ValidationException") => {
                return Ok(Answer::Refused(fault::brief(service.message().unwrap_or_default()).to_owned()));
            }
            _ => patience.wait(fault::of(DOING, &error)).await?,
        }
    }
}

/// A write as an item of a transaction; `None` where nothing is left of it.
fn item(write: &Write, decision: Decision) -> Result<Option<TransactWriteItem>, CommitError> {
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
        Operation::Put(item) => {
            let put = Put::builder().table_name(name).set_item(Some(to_attributes(&item).map_err(bug)?));
            let put = put.set_condition_expression(condition).set_expression_attribute_names(placeholders.names());
            built.put(
                put.set_expression_attribute_values(placeholders.values()).build().map_err(|e| bug(e.to_string()))?,
            )
        }
        Operation::Update(changes) => {
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
        Operation::Delete => {
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
