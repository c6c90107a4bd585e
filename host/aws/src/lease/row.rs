//! Leases as rows of the table: the attributes of KCL 2.
//! <https://github.com/awslabs/amazon-kinesis-client> `DynamoDBLeaseSerializer`, `KinesisClientLeaseSerializer`, 2026-11.

use super::Lease;
use crate::position::{Checkpoint, Position, SHARD_END};
use aws_sdk_dynamodb::types::AttributeValue;
use esclusa_flow::fault::Fault;
use std::collections::HashMap;

/// A row as the SDK gives it.
pub(crate) type LeaseRow = HashMap<String, AttributeValue>;

/// Hash key of the table.
pub(crate) const KEY: &str = "leaseKey";
/// The stream of the shard, by its ARN. An attribute of our own; a lease that KCL made has none before this router takes it.
pub(crate) const STREAM: &str = "streamArn";
/// See [`Lease::first`].
const FIRST: &str = "startsGroup";
const TRIM_HORIZON: &str = "TRIM_HORIZON";
const LATEST: &str = "LATEST";
const AT_TIMESTAMP: &str = "AT_TIMESTAMP";

/// A text as a value.
pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number as a value.
pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

impl Checkpoint {
    /// The values of `checkpoint` and `checkpointSubSequenceNumber`.
    pub fn values(&self) -> (AttributeValue, AttributeValue) {
        let sentinel = |name: &str| (text(name), number(0));
        match self {
            Checkpoint::TrimHorizon => sentinel(TRIM_HORIZON),
            Checkpoint::Latest => sentinel(LATEST),
            Checkpoint::AtTimestamp => sentinel(AT_TIMESTAMP),
            Checkpoint::ShardEnd => sentinel(SHARD_END),
            Checkpoint::At(position) => position_values(position),
        }
    }

    /// `None` if no lease has such a value.
    fn read(name: &str, sub: u64) -> Option<Self> {
        Some(match name {
            TRIM_HORIZON => Checkpoint::TrimHorizon,
            LATEST => Checkpoint::Latest,
            AT_TIMESTAMP => Checkpoint::AtTimestamp,
            SHARD_END => Checkpoint::ShardEnd,
            sequence if sequence.is_empty() || !sequence.bytes().all(|b| b.is_ascii_digit()) => return None,
            sequence => Checkpoint::At(position(sequence, sub)),
        })
    }
}

/// A position as the two attributes of a checkpoint.
pub(crate) fn position_values(position: &Position) -> (AttributeValue, AttributeValue) {
    (text(&position.sequence), number(position.sub.unwrap_or_default()))
}

fn position(sequence: &str, sub: u64) -> Position {
    Position { sequence: sequence.to_owned(), sub: if sub == 0 { None } else { Some(sub) } }
}

/// The values of `checkpoint` of a lease without a position.
pub(crate) const UNBEGUN: [&str; 3] = [TRIM_HORIZON, LATEST, AT_TIMESTAMP];

/// The key of a row that is no lease of this stream: KCL 3 keeps its leader, its workers' figures and its migration in
/// the table (`entityType`), and a KCL of several streams has leases of all of them there (`streamName`).
pub(super) fn no_lease(row: &LeaseRow) -> Option<&str> {
    let kind = string(row, "entityType").unwrap_or("LEASE");
    (kind != "LEASE" || row.contains_key("streamName")).then(|| string(row, KEY)).flatten()
}

/// The stream that a lease says that it belongs to.
pub(super) fn stream_of(row: &LeaseRow) -> Option<&str> {
    string(row, STREAM)
}

impl Lease {
    /// Reads a row.
    ///
    /// # Errors
    /// [`Fault::Permanent`] if the row is no lease.
    pub fn read(row: &LeaseRow) -> Result<Self, Fault> {
        let key = string(row, KEY).ok_or_else(|| broken("a row", KEY))?;
        let numeric = |name: &str| row.get(name).map(|v| digits(v).ok_or_else(|| broken(key, name))).transpose();
        let checkpoint = string(row, "checkpoint").ok_or_else(|| broken(key, "checkpoint"))?;
        let sub = numeric("checkpointSubSequenceNumber")?.unwrap_or_default();
        let hash = |name: &str| string(row, name).and_then(|text| text.parse::<u128>().ok());
        Ok(Lease {
            key: key.to_owned(),
            owner: string(row, "leaseOwner").map(str::to_owned),
            counter: numeric("leaseCounter")?.ok_or_else(|| broken(key, "leaseCounter"))?,
            checkpoint: Checkpoint::read(checkpoint, sub).ok_or_else(|| broken(key, "checkpoint"))?,
            pending: pending(row),
            parents: row.get("parentShardId").and_then(|v| v.as_ss().ok()).cloned().unwrap_or_default(),
            hashes: hash("startingHashKey").zip(hash("endingHashKey")),
            opened: numeric("startTimestamp")?,
            first: row.get(FIRST).is_some(),
        })
    }

    /// The row of a new lease.
    #[must_use]
    pub fn row(&self) -> LeaseRow {
        let (checkpoint, sub) = self.checkpoint.values();
        let mut row = LeaseRow::from([
            (KEY.to_owned(), text(&self.key)),
            ("leaseCounter".to_owned(), number(self.counter)),
            ("checkpoint".to_owned(), checkpoint),
            ("checkpointSubSequenceNumber".to_owned(), sub),
            ("ownerSwitchesSinceCheckpoint".to_owned(), number(0)),
        ]);
        if let Some(owner) = &self.owner {
            row.insert("leaseOwner".to_owned(), text(owner));
        }
        if !self.parents.is_empty() {
            row.insert("parentShardId".to_owned(), AttributeValue::Ss(self.parents.clone()));
        }
        if let Some((first, last)) = self.hashes {
            row.insert("startingHashKey".to_owned(), text(first.to_string()));
            row.insert("endingHashKey".to_owned(), text(last.to_string()));
        }
        if self.first {
            row.insert(FIRST.to_owned(), AttributeValue::Bool(true));
        }
        row
    }
}

/// The pending checkpoint, if it is the end of a batch of ours. One that an application on KCL has prepared may lie
/// any number of events ahead, and none of our effects depends on it.
fn pending(row: &LeaseRow) -> Option<Position> {
    let sub = row.get("pendingCheckpointSubSequenceNumber").map_or(Some(0), digits)?;
    let pending = position(string(row, "pendingCheckpoint")?, sub);
    (string(row, "batchEnd")? == batch_end(&pending)).then_some(pending)
}

/// The value of `batchEnd` for a batch that ends there, as a row gives it back: an event that is its record's first has
/// no number there.
pub(super) fn batch_end(end: &Position) -> String {
    position(&end.sequence, end.sub.unwrap_or_default()).to_string()
}

fn string<'a>(row: &'a LeaseRow, name: &str) -> Option<&'a str> {
    row.get(name)?.as_s().ok().map(String::as_str)
}

fn digits(value: &AttributeValue) -> Option<u64> {
    value.as_n().ok()?.parse().ok()
}

fn broken(key: &str, attribute: &str) -> Fault {
    Fault::Permanent(format!("lease {key:?}: attribute {attribute:?} is missing or no lease has such a value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_kcl_wrote_is_read() {
        let row = LeaseRow::from([
            (KEY.to_owned(), text("shardId-000000000001")),
            ("leaseOwner".to_owned(), text("host:uuid")),
            ("leaseCounter".to_owned(), number(77)),
            ("checkpoint".to_owned(), text("49590338271490256608559692538361571095921575989136588898")),
            ("checkpointSubSequenceNumber".to_owned(), number(3)),
            ("ownerSwitchesSinceCheckpoint".to_owned(), number(1)),
            ("pendingCheckpoint".to_owned(), text("49590338271490256608559692538361571095921575989136588999")),
            ("pendingCheckpointSubSequenceNumber".to_owned(), number(0)),
            ("parentShardId".to_owned(), AttributeValue::Ss(vec!["shardId-000000000000".to_owned()])),
            ("startingHashKey".to_owned(), text("0")),
            ("endingHashKey".to_owned(), text("340282366920938463463374607431768211455")),
            ("throughputKBps".to_owned(), number("1.5")),
        ]);
        let lease = Lease::read(&row).unwrap();
        assert_eq!((lease.counter, lease.owner.as_deref()), (77, Some("host:uuid")));
        let Checkpoint::At(position) = &lease.checkpoint else { panic!("{lease:?}") };
        assert_eq!(position.sub, Some(3));
        assert!(!lease.first);
        assert_eq!(lease.parents, ["shardId-000000000000"]);
        assert_eq!(lease.hashes, Some((0, u128::MAX)));
    }

    #[test]
    fn a_written_lease_is_read_again() {
        for checkpoint in [Checkpoint::TrimHorizon, Checkpoint::Latest, Checkpoint::AtTimestamp, Checkpoint::ShardEnd] {
            let first = checkpoint == Checkpoint::TrimHorizon;
            let lease = Lease {
                key: "shard".into(),
                owner: Some("me".into()),
                counter: 3,
                checkpoint,
                pending: None,
                parents: vec!["a".into(), "b".into()],
                hashes: Some((1, 2)),
                opened: None,
                first,
            };
            assert_eq!(Lease::read(&lease.row()), Ok(lease));
        }
    }

    #[test]
    fn a_pending_checkpoint_that_is_not_the_end_of_a_batch_of_ours_ends_none() {
        let row = |end: Option<&str>, pending: AttributeValue| {
            let lease = [
                (KEY, text("s")),
                ("leaseCounter", number(1)),
                ("checkpoint", text("7")),
                ("pendingCheckpoint", pending),
            ];
            let mut row: LeaseRow = lease.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            row.extend(end.map(|end| ("batchEnd".to_owned(), text(end))));
            row.insert("pendingCheckpointSubSequenceNumber".to_owned(), number(2));
            Lease::read(&row).unwrap().pending.map(|position| position.to_string())
        };
        assert_eq!(row(Some("9/2"), text("9")).as_deref(), Some("9/2"));
        assert_eq!(row(None, text("9")), None, "of KCL");
        assert_eq!(row(Some("8/2"), text("9")), None, "KCL has prepared another one since");
        assert_eq!(row(Some("9/2"), number(9)), None, "no text");
    }

    #[test]
    fn a_row_of_another_kind_is_told_from_a_lease() {
        let row =
            |name: &str, value: &str| LeaseRow::from([(KEY.to_owned(), text("x")), (name.to_owned(), text(value))]);
        for kind in ["LEADER", "WORKER_METRIC_STATS", "TABLE_MIGRATION", "STREAM"] {
            assert_eq!(no_lease(&row("entityType", kind)), Some("x"));
        }
        assert_eq!(no_lease(&row("streamName", "000000000000:s:1")), Some("x"));
        assert_eq!((no_lease(&row("entityType", "LEASE")), no_lease(&row("checkpoint", "7"))), (None, None));
    }

    #[test]
    fn a_row_that_is_no_lease_is_an_error_with_its_attribute() {
        let row = LeaseRow::from([(KEY.to_owned(), text("x")), ("leaseCounter".to_owned(), text("many"))]);
        assert!(matches!(Lease::read(&row), Err(Fault::Permanent(why)) if why.contains("checkpoint")));
        let lease = |checkpoint: &str| {
            LeaseRow::from([
                (KEY.to_owned(), text("x")),
                ("leaseCounter".to_owned(), number(1)),
                ("checkpoint".to_owned(), text(checkpoint)),
            ])
        };
        for checkpoint in ["", "12x", "-1", "shard_end"] {
            assert!(Lease::read(&lease(checkpoint)).is_err(), "{checkpoint:?}");
        }
        assert!(Lease::read(&lease("12")).is_ok());
    }
}
