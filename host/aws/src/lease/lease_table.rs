//! The lease table. Every write has a condition: the lease is still as its writer saw it.

use super::Lease;
use super::row::{KEY, LeaseRow, STREAM, UNBEGUN, batch_end, no_lease, number, position_values, stream_of, text};
use crate::fault;
use crate::position::{Checkpoint, Position};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TableStatus, Update,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::fault::Fault;
use std::collections::HashMap;
use std::time::Duration;

/// How long a new table may take to become active. DynamoDB says seconds.
const CREATION: Duration = Duration::from_secs(60);

/// The leases of one group, as one worker sees them.
#[derive(Debug, Clone)]
pub(crate) struct LeaseTable {
    client: Client,
    name: String,
    me: String,
    /// The stream whose leases it holds, see [`crate::lineage::ShardList::identity`].
    stream: String,
}

/// The rows of the table.
#[derive(Debug, Default)]
pub(crate) struct LeaseRows {
    /// The leases.
    pub leases: Vec<Lease>,
    /// The other rows. They are left as they are.
    pub others: Vec<OtherRow>,
}

/// A row that is no lease of this stream, or cannot be read as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherRow {
    /// Its key.
    pub key: String,
    /// Why it cannot be read; `None` if it says itself that it is no lease of this stream.
    pub unreadable: Option<String>,
}

/// A write of one lease: an update and the condition for it.
struct LeaseWrite {
    update: String,
    condition: String,
    values: HashMap<String, AttributeValue>,
}

/// The result of a conditional write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It happened; the lease as it is now.
    Yes(Box<Lease>),
    /// The condition does not hold; the lease as it is, `None` if there is none.
    No(Option<Box<Lease>>),
}

impl LeaseRows {
    fn add(&mut self, row: &LeaseRow) {
        if let Some(key) = no_lease(row) {
            self.others.push(OtherRow { key: key.to_owned(), unreadable: None });
            return;
        }
        match Lease::read(row) {
            Ok(lease) => self.leases.push(lease),
            Err(fault) => {
                let key = row.get(KEY).and_then(|key| key.as_s().ok()).cloned().unwrap_or_default();
                self.others.push(OtherRow { key, unreadable: Some(fault.to_string()) });
            }
        }
    }
}

impl LeaseTable {
    /// The table of the leases of `stream` as `me` sees it; nothing is sent.
    pub(crate) fn new(client: Client, name: &str, me: &str, stream: &str) -> Self {
        LeaseTable { client, name: name.to_owned(), me: me.to_owned(), stream: stream.to_owned() }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Name of this worker, as the table shows it.
    pub(crate) fn me(&self) -> &str {
        &self.me
    }

    /// Makes the table if it is missing, and waits until it is active.
    ///
    /// # Errors
    /// A [`Fault`] that names the table.
    pub(crate) async fn ensure(&self) -> Result<(), Fault> {
        let end = tokio::time::Instant::now() + CREATION;
        let mut made = false;
        while tokio::time::Instant::now() < end {
            match self.client.describe_table().table_name(&self.name).send().await {
                Ok(output) => {
                    let status = output.table().and_then(|table| table.table_status());
                    if matches!(status, Some(TableStatus::Active | TableStatus::Updating)) {
                        return Ok(());
                    }
                }
                Err(error) if error.code() == Some("ResourceNotFoundException") => {
                    // Only once: after CreateTable the table may stay unknown for a moment.
                    if !made {
                        self.make().await?;
                        made = true;
                    }
                }
                Err(error) => return Err(fault::of(&format!("read lease table {:?}", self.name), &error)),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(Fault::Transient(format!("lease table {:?} is not active after {} s", self.name, CREATION.as_secs())))
    }

    async fn make(&self) -> Result<(), Fault> {
        let doing = format!("make lease table {:?}", self.name);
        let build = |error: aws_sdk_dynamodb::error::BuildError| Fault::Bug(format!("{doing}: {error}"));
        let key = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash).build().map_err(build)?;
        let attribute = AttributeDefinition::builder().attribute_name(KEY).attribute_type(ScalarAttributeType::S);
        let request = self.client.create_table().table_name(&self.name).billing_mode(BillingMode::PayPerRequest);
        match request.key_schema(key).attribute_definitions(attribute.build().map_err(build)?).send().await {
            Ok(_) => Ok(()),
            // Another worker was first.
            Err(error) if error.code() == Some("ResourceInUseException") => Ok(()),
            Err(error) => Err(fault::of(&doing, &error)),
        }
    }

    /// All rows, as they are now. A row that cannot be read does not keep others from being read.
    ///
    /// # Errors
    /// A [`Fault`] that names the table; [`Fault::Permanent`] if it holds the leases of another stream. The shards of two streams
    /// have the same names, so both would settle the same rows (failures.md D6).
    pub(crate) async fn rows(&self) -> Result<LeaseRows, Fault> {
        let mut pages = self.client.scan().table_name(&self.name).consistent_read(true).into_paginator().items().send();
        let mut rows = LeaseRows::default();
        while let Some(row) = pages.next().await {
            let row = row.map_err(|e| fault::of(&format!("read lease table {:?}", self.name), &e))?;
            if let Some(other) = stream_of(&row).filter(|stream| *stream != self.stream) {
                return Err(Fault::Permanent(format!(
                    "lease table {:?} holds the leases of another stream, {other:?}, and this source reads {:?}: set lease_table to the name of another table",
                    self.name, self.stream
                )));
            }
            rows.add(&row);
        }
        Ok(rows)
    }

    /// Adds a lease; false if there is one.
    ///
    /// # Errors
    /// A [`Fault`] that names the table.
    pub(crate) async fn add(&self, lease: &Lease) -> Result<bool, Fault> {
        let request = self.client.put_item().table_name(&self.name).set_item(Some(lease.row()));
        let request = request.item(STREAM, text(&self.stream));
        match request.condition_expression("attribute_not_exists(leaseKey)").send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(fault::of(&self.doing("add", &lease.key), &error)),
        }
    }

    /// Deletes the lease of a finished shard.
    ///
    /// # Errors
    /// A [`Fault`] that names the table.
    pub(crate) async fn forget(&self, key: &str) -> Result<(), Fault> {
        // Conditional, because another worker may have made the shard's lease anew meanwhile.
        let (end, _) = Checkpoint::ShardEnd.values();
        let request = self.client.delete_item().table_name(&self.name).key(KEY, text(key));
        match request.condition_expression("checkpoint = :end").expression_attribute_values(":end", end).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(fault::of(&self.doing("delete", key), &error)),
        }
    }

    /// Takes a lease that is still as it was seen.
    ///
    /// # Errors
    /// A [`Fault`] that names the lease.
    pub(crate) async fn take(&self, seen: &Lease) -> Result<Written, Fault> {
        let mut values = HashMap::from([
            (":me".to_owned(), text(&self.me)),
            (":seen".to_owned(), number(seen.counter)),
            (":one".to_owned(), number(1)),
            (":zero".to_owned(), number(0)),
            (":stream".to_owned(), text(&self.stream)),
        ]);
        let mut condition = "leaseCounter = :seen AND ".to_owned();
        match &seen.owner {
            Some(owner) => {
                condition.push_str("leaseOwner = :owner");
                values.insert(":owner".to_owned(), text(owner));
            }
            None => condition.push_str("attribute_not_exists(leaseOwner)"),
        }
        // `checkpointOwner`: the worker that KCL 3 lets finish its batch before the owner begins. It is not waited for.
        let update = "SET leaseOwner = :me, leaseCounter = leaseCounter + :one, \
            ownerSwitchesSinceCheckpoint = if_not_exists(ownerSwitchesSinceCheckpoint, :zero) + :one, \
            streamArn = :stream \
            REMOVE checkpointOwner";
        self.write("take", &seen.key, LeaseWrite { update: update.to_owned(), condition, values }).await
    }

    /// Renews a lease whose counter this worker left at `counter`.
    ///
    /// # Errors
    /// A [`Fault`] that names the lease.
    pub(crate) async fn renew(&self, key: &str, counter: u64) -> Result<Written, Fault> {
        self.counted("renew", key, counter, "SET leaseCounter = leaseCounter + :one").await
    }

    /// Releases a lease: no worker has it then.
    ///
    /// # Errors
    /// A [`Fault`] that names the lease.
    pub(crate) async fn release(&self, key: &str, counter: u64) -> Result<Written, Fault> {
        let update = "SET leaseCounter = leaseCounter + :one REMOVE leaseOwner, checkpointOwner";
        self.counted("release", key, counter, update).await
    }

    async fn counted(&self, doing: &str, key: &str, counter: u64, update: &str) -> Result<Written, Fault> {
        let values = HashMap::from([
            (":me".to_owned(), text(&self.me)),
            (":seen".to_owned(), number(counter)),
            (":one".to_owned(), number(1)),
        ]);
        let condition = "leaseOwner = :me AND leaseCounter = :seen".to_owned();
        self.write(doing, key, LeaseWrite { update: update.to_owned(), condition, values }).await
    }

    /// Moves the checkpoint from `from` (`None`: nothing is settled) to `to`.
    ///
    /// # Errors
    /// A [`Fault`] that names the lease.
    pub(crate) async fn settle(&self, key: &str, from: Option<&Position>, to: &Checkpoint) -> Result<Written, Fault> {
        self.write("settle", key, self.settling(from, to)).await
    }

    /// Notes that everything of the shard is done: `from` was its last position, `children` came from it.
    ///
    /// # Errors
    /// A [`Fault`] that names the lease.
    pub(crate) async fn finish(
        &self,
        key: &str,
        from: Option<&Position>,
        children: Vec<String>,
    ) -> Result<Written, Fault> {
        let mut write = self.settling(from, &Checkpoint::ShardEnd);
        // A set cannot be empty.
        if !children.is_empty() {
            write.update.insert_str("SET ".len(), "childShardIds = :children, ");
            write.values.insert(":children".to_owned(), AttributeValue::Ss(children));
        }
        self.write("finish", key, write).await
    }

    /// The same as a write for a transaction.
    pub(crate) fn settlement(&self, key: &str, from: Option<&Position>, to: &Checkpoint) -> Result<Update, Fault> {
        let LeaseWrite { update, condition, values } = self.settling(from, to);
        let built = Update::builder().table_name(&self.name).key(KEY, text(key)).update_expression(update);
        let built = built.condition_expression(condition).set_expression_attribute_values(Some(values));
        built.build().map_err(|error| Fault::Bug(format!("{}: {error}", self.doing("settle", key))))
    }

    /// It does not touch the counter, so that a settlement and a renewal at the same time do not fail each other.
    fn settling(&self, from: Option<&Position>, to: &Checkpoint) -> LeaseWrite {
        let (checkpoint, sub) = to.values();
        let mut values = HashMap::from([
            (":me".to_owned(), text(&self.me)),
            (":to".to_owned(), checkpoint),
            (":sub".to_owned(), sub),
            (":zero".to_owned(), number(0)),
        ]);
        // The position must be the one that the batch began at: a stale owner whose lease came back would settle twice
        // otherwise.
        let place = match from {
            Some(position) => {
                let (from, sub) = position_values(position);
                values.extend([(":from".to_owned(), from), (":fromsub".to_owned(), sub)]);
                "checkpoint = :from AND checkpointSubSequenceNumber = :fromsub"
            }
            None => {
                let [trim, latest, time] = UNBEGUN.map(text);
                values.extend([(":trim".to_owned(), trim), (":latest".to_owned(), latest), (":time".to_owned(), time)]);
                "checkpoint IN (:trim, :latest, :time)"
            }
        };
        let update = "SET checkpoint = :to, checkpointSubSequenceNumber = :sub, ownerSwitchesSinceCheckpoint = :zero \
            REMOVE pendingCheckpoint, pendingCheckpointSubSequenceNumber, pendingCheckpointState, batchEnd";
        LeaseWrite { update: update.to_owned(), condition: format!("leaseOwner = :me AND {place}"), values }
    }

    /// Notes the end of the batch in work.
    ///
    /// # Errors
    /// A [`Fault`] that names the lease.
    pub(crate) async fn prepare(&self, key: &str, to: &Position) -> Result<Written, Fault> {
        let (pending, sub) = position_values(to);
        let values = [(":me", text(&self.me)), (":to", pending), (":sub", sub), (":end", text(batch_end(to)))];
        let values = values.map(|(name, v)| (name.to_owned(), v));
        let update = "SET pendingCheckpoint = :to, pendingCheckpointSubSequenceNumber = :sub, batchEnd = :end";
        self.write(
            "prepare",
            key,
            LeaseWrite { update: update.to_owned(), condition: "leaseOwner = :me".to_owned(), values: values.into() },
        )
        .await
    }

    /// Notes when the lane was first opened, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// A [`Fault`] that names the lease.
    pub(crate) async fn open_at(&self, key: &str, time: u64) -> Result<Written, Fault> {
        let values = [(":me", text(&self.me)), (":time", number(time))].map(|(name, v)| (name.to_owned(), v));
        let condition = "leaseOwner = :me AND attribute_not_exists(startTimestamp)".to_owned();
        self.write(
            "open",
            key,
            LeaseWrite { update: "SET startTimestamp = :time".to_owned(), condition, values: values.into() },
        )
        .await
    }

    async fn write(&self, doing: &str, key: &str, write: LeaseWrite) -> Result<Written, Fault> {
        let request = self.client.update_item().table_name(&self.name).key(KEY, text(key));
        let request = request.update_expression(write.update).condition_expression(write.condition);
        let request = request.set_expression_attribute_values(Some(write.values)).return_values(ReturnValue::AllNew);
        let request = request.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.send().await {
            Ok(output) => Ok(Written::Yes(Box::new(Lease::read(output.attributes().unwrap_or(&LeaseRow::new()))?))),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                let UpdateItemError::ConditionalCheckFailedException(failed) = error.into_err() else {
                    return Ok(Written::No(None));
                };
                Ok(Written::No(failed.item().filter(|row| !row.is_empty()).map(Lease::read).transpose()?.map(Box::new)))
            }
            // One of this worker's transactions holds the row: the write may be repeated soon.
            Err(error) if error.code() == Some("TransactionConflictException") => {
                Err(Fault::Transient(format!("{}: a transaction is at work on it", self.doing(doing, key))))
            }
            Err(error) => Err(fault::of(&self.doing(doing, key), &error)),
        }
    }

    fn doing(&self, what: &str, key: &str) -> String {
        format!("{what} lease {key:?} in table {:?}", self.name)
    }
}
