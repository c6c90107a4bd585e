//! Reads why DynamoDB cancelled a transaction: one reason per item, whose meaning depends on the item's role
//! (failures.md E4). Pure.

use crate::fault;
use aws_sdk_dynamodb::types::CancellationReason;
use esclusa_flow::fault::Fault;
use std::time::Duration;

/// The role of an item in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemRole {
    /// The progress of the lane, or the check of it.
    Progress,
    /// The dedup record of the event with this index in the commit.
    Dedup(usize),
    /// The write with this index.
    ItemWrite(usize),
}

/// Why a transaction was cancelled, by what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cancellation {
    /// Nothing was wrong with it: send it again.
    Again(Fault),
    /// Another process owns the lane.
    LeaseLost,
    /// The events with these indexes were done before.
    DoneBefore(Vec<usize>),
    /// These writes can never work.
    Refused(Vec<(usize, String)>),
    /// The conditions of these writes do not hold.
    Failed(Vec<usize>),
    /// Trying again does not help: an operator must look.
    Stuck(Fault),
}

/// Reads the reasons; they align with `roles`.
#[must_use]
pub(crate) fn judge(reasons: &[CancellationReason], roles: &[ItemRole]) -> Cancellation {
    let (mut done, mut refused, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut again, mut stuck) = (None, None);
    for (role, reason) in roles.iter().zip(reasons) {
        let (code, message) = (reason.code().unwrap_or("None"), fault::brief(reason.message().unwrap_or_default()));
        match (code, role) {
            ("None", _) => {}
            ("ConditionalCheckFailed", ItemRole::Progress) => return Cancellation::LeaseLost,
            ("ConditionalCheckFailed", ItemRole::Dedup(event)) => done.push(*event),
            ("ConditionalCheckFailed", ItemRole::ItemWrite(write)) => failed.push(*write),
            ("ValidationError" | "ItemCollectionSizeLimitExceeded", ItemRole::ItemWrite(write)) => {
                refused.push((*write, format!("{code}: {message}")));
            }
            ("TransactionConflict", _) => again = Some(Fault::Transient(format!("{code}: {message}"))),
            ("ProvisionedThroughputExceeded" | "ThrottlingError" | "RequestLimitExceeded", _) => {
                again = Some(Fault::Throttled { reason: format!("{code}: {message}"), after: Duration::ZERO });
            }
            _ => stuck = Some(Fault::Permanent(format!("{code}: {message}"))),
        }
    }
    // Done events first: without them the batch is another one, and other conditions may hold.
    if !done.is_empty() {
        return Cancellation::DoneBefore(done);
    }
    if !refused.is_empty() {
        return Cancellation::Refused(refused);
    }
    match (stuck, failed.is_empty(), again) {
        (Some(fault), _, _) => Cancellation::Stuck(fault),
        (None, false, _) => Cancellation::Failed(failed),
        (None, true, Some(fault)) => Cancellation::Again(fault),
        (None, true, None) => {
            Cancellation::Stuck(Fault::Permanent("a transaction was cancelled without a reason".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: &[ItemRole] =
        &[ItemRole::Progress, ItemRole::Dedup(7), ItemRole::ItemWrite(0), ItemRole::ItemWrite(1)];

    fn verdict(codes: [&str; 4]) -> Cancellation {
        judge(&codes.map(|code| CancellationReason::builder().code(code).message("m").build()), ROLES)
    }

    // E4: a throttled item does not hide that another one can never work, and the other way round.
    #[test]
    fn is_sent_again_only_if_every_reason_allows_it() {
        assert!(matches!(
            verdict(["None", "None", "TransactionConflict", "ThrottlingError"]),
            Cancellation::Again(Fault::Throttled { .. })
        ));
        assert!(matches!(
            verdict(["TransactionConflict", "None", "None", "None"]),
            Cancellation::Again(Fault::Transient(_))
        ));
        let refused = Cancellation::Refused(vec![(0, "ValidationError: m".to_owned())]);
        assert_eq!(verdict(["None", "None", "ValidationError", "TransactionConflict"]), refused);
        assert!(matches!(
            verdict(["None", "None", "AccessDenied", "TransactionConflict"]),
            Cancellation::Stuck(Fault::Permanent(_))
        ));
        assert!(matches!(verdict(["None"; 4]), Cancellation::Stuck(_)));
    }

    #[test]
    fn a_failed_condition_means_what_its_item_is() {
        const FAILED: &str = "ConditionalCheckFailed";
        assert_eq!(verdict([FAILED, FAILED, FAILED, FAILED]), Cancellation::LeaseLost);
        assert_eq!(verdict(["None", FAILED, FAILED, "ThrottlingError"]), Cancellation::DoneBefore(vec![7]));
        assert_eq!(verdict(["None", "None", FAILED, FAILED]), Cancellation::Failed(vec![0, 1]));
        assert_eq!(verdict(["None", "None", "TransactionConflict", FAILED]), Cancellation::Failed(vec![1]));
    }
}
