//! The least IAM policy for a list of uses. Pure.
//!
//! Resources that are known only by name get `${Region}` and `${Account}` as placeholders, for the operator to fill in.
//! Actions: <https://docs.aws.amazon.com/service-authorization/latest/reference/>, 2026-11.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A use of a resource by the router. Names may be ARNs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// Reads a stream.
    KinesisRead {
        /// Name or ARN.
        stream: String,
        /// By a registered consumer, which the router registers.
        fan_out: bool,
    },
    /// Keeps leases in a table, which the router makes if it is missing.
    Leases {
        /// Name or ARN.
        table: String,
    },
    /// Receives from a queue.
    SqsRead {
        /// Name, URL or ARN.
        queue: String,
    },
    /// Reads the stream of a table.
    DynamodbStream {
        /// Name or ARN.
        table: String,
    },
    /// Reads and writes a table.
    Table {
        /// Name or ARN.
        name: String,
        /// Indexes that are queried.
        indexes: Vec<String>,
    },
    /// Keeps dedup records in a table, which the router makes if it is missing.
    Dedup {
        /// Name or ARN.
        table: String,
    },
    /// Keeps answers to requests in the table of dedup records.
    Answers {
        /// Name or ARN.
        table: String,
    },
    /// Keeps positions of lanes in the table of dedup records.
    Positions {
        /// Name or ARN.
        table: String,
    },
    /// Puts objects.
    ObjectsWrite {
        /// Bucket.
        bucket: String,
        /// The text in front of all paths; may be empty.
        prefix: String,
    },
    /// Reads and lists objects.
    ObjectsRead {
        /// Bucket.
        bucket: String,
        /// The text in front of all paths; may be empty.
        prefix: String,
    },
    /// Writes records to a stream.
    KinesisWrite {
        /// Name or ARN.
        stream: String,
    },
    /// Sends to a queue.
    SqsWrite {
        /// Name, URL or ARN.
        queue: String,
    },
    /// Publishes to a topic.
    SnsPublish {
        /// ARN.
        topic: String,
    },
    /// Texts phones. A phone number is no resource: this allows everything that the account may publish to.
    Sms,
    /// Sends mails.
    SesSend {
        /// The sender's address.
        from: String,
    },
}

/// The policy document: a statement for each kind of use, over all its resources, in a stable order.
#[must_use]
pub fn policy(uses: &[Use]) -> Value {
    let mut statements: BTreeMap<&str, (Vec<&str>, BTreeSet<String>)> = BTreeMap::new();
    for Grant { sid, actions, resources } in uses.iter().flat_map(grants) {
        statements.entry(sid).or_insert((actions, BTreeSet::new())).1.extend(resources);
    }
    let statement = |(sid, (actions, resources)): (&str, (Vec<&str>, BTreeSet<String>))| json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources });
    json!({ "Version": "2012-10-17", "Statement": statements.into_iter().map(statement).collect::<Vec<_>>() })
}

struct Grant {
    sid: &'static str,
    actions: Vec<&'static str>,
    resources: Vec<String>,
}

fn grant<const N: usize>(sid: &'static str, actions: [&'static str; N], resources: Vec<String>) -> Grant {
    Grant { sid, actions: actions.into(), resources }
}

/// The grants for one kind of item in the table of dedup records.
fn dedup_table<const N: usize>(sid: &'static str, table: &str, items: [&'static str; N]) -> Vec<Grant> {
    // The first process that needs the table makes it.
    let make =
        ["dynamodb:CreateTable", "dynamodb:DescribeTable", "dynamodb:UpdateTimeToLive", "dynamodb:DescribeTimeToLive"];
    vec![Grant { sid, actions: [&make[..], &items].concat(), resources: vec![arn("dynamodb", "table/", table)] }]
}

/// The grants that one use needs.
fn grants(used: &Use) -> Vec<Grant> {
    match used {
        Use::KinesisRead { stream, fan_out } => {
            let stream = arn("kinesis", "stream/", stream);
            let read = [
                "kinesis:DescribeStreamSummary",
                "kinesis:ListShards",
                "kinesis:GetShardIterator",
                "kinesis:GetRecords",
            ];
            let mut grants = vec![grant("KinesisRead", read, vec![stream.clone()])];
            if *fan_out {
                let register = ["kinesis:RegisterStreamConsumer"];
                let consume = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];
                grants.push(grant("KinesisFanOutRegister", register, vec![stream.clone()]));
                grants.push(grant("KinesisFanOutConsume", consume, vec![format!("{stream}/consumer/*")]));
            }
            grants
        }
        Use::Leases { table } => {
            let actions = [
                "dynamodb:CreateTable",
                "dynamodb:DescribeTable",
                "dynamodb:Scan",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:UpdateItem",
                "dynamodb:DeleteItem",
                "dynamodb:ConditionCheckItem",
            ];
            vec![grant("Leases", actions, vec![arn("dynamodb", "table/", table)])]
        }
        Use::SqsRead { queue } => {
            let actions = [
                "sqs:GetQueueUrl",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:ChangeMessageVisibility",
            ];
            vec![grant("SqsRead", actions, vec![queue_arn(queue)])]
        }
        Use::DynamodbStream { table } => {
            let table = arn("dynamodb", "table/", table);
            let read = ["dynamodb:DescribeStream", "dynamodb:GetShardIterator", "dynamodb:GetRecords"];
            vec![
                grant("DynamodbStreamFind", ["dynamodb:DescribeTable"], vec![table.clone()]),
                grant("DynamodbStreamRead", read, vec![format!("{table}/stream/*")]),
            ]
        }
        Use::Table { name, indexes } => tables(name, indexes),
        Use::Dedup { table } => dedup_table("DedupRecords", table, ["dynamodb:PutItem", "dynamodb:ConditionCheckItem"]),
        Use::Answers { table } => {
            let actions = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:ConditionCheckItem"];
            dedup_table("KeptAnswers", table, actions)
        }
        Use::Positions { table } => {
            let actions = ["dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem"];
            dedup_table("LanePositions", table, actions)
        }
        Use::ObjectsWrite { bucket, prefix } => {
            objects("ObjectsWrite", ["s3:PutObject", "s3:AbortMultipartUpload"], bucket, prefix)
        }
        Use::ObjectsRead { bucket, prefix } => objects("ObjectsRead", ["s3:GetObject"], bucket, prefix),
        Use::KinesisWrite { .. } | Use::SqsWrite { .. } | Use::SnsPublish { .. } | Use::Sms | Use::SesSend { .. } => {
            sends(used)
        }
    }
}

/// The grants that an output needs; none for other uses.
fn sends(used: &Use) -> Vec<Grant> {
    match used {
        Use::KinesisWrite { stream } => {
            let actions = ["kinesis:DescribeStreamSummary", "kinesis:PutRecords"];
            vec![grant("KinesisWrite", actions, vec![arn("kinesis", "stream/", stream)])]
        }
        Use::SqsWrite { queue } => {
            vec![grant("SqsWrite", ["sqs:GetQueueUrl", "sqs:SendMessage"], vec![queue_arn(queue)])]
        }
        Use::SnsPublish { topic } => {
            vec![grant("SnsPublish", ["sns:GetTopicAttributes", "sns:Publish"], vec![topic.clone()])]
        }
        Use::Sms => vec![grant("Sms", ["sns:Publish"], vec!["*".to_owned()])],
        Use::SesSend { from } => mails(from),
        _ => Vec::new(),
    }
}

/// Without the permission to list the bucket, S3 says of an object that is not there that it is forbidden.
fn objects<const N: usize>(sid: &'static str, actions: [&'static str; N], bucket: &str, prefix: &str) -> Vec<Grant> {
    vec![
        grant("ObjectsFind", ["s3:ListBucket"], vec![format!("arn:aws:s3:::{bucket}")]),
        grant(sid, actions, vec![format!("arn:aws:s3:::{bucket}/{prefix}*")]),
    ]
}

fn tables(name: &str, indexes: &[String]) -> Vec<Grant> {
    let table = arn("dynamodb", "table/", name);
    let actions = [
        "dynamodb:DescribeTable",
        "dynamodb:GetItem",
        "dynamodb:BatchGetItem",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:BatchWriteItem",
        "dynamodb:ConditionCheckItem",
    ];
    let mut grants = vec![grant("Tables", actions, vec![table.clone()])];
    if !indexes.is_empty() {
        let indexes = indexes.iter().map(|index| format!("{table}/index/{index}")).collect();
        grants.push(grant("TableIndexes", ["dynamodb:Query"], indexes));
    }
    grants
}

fn mails(from: &str) -> Vec<Grant> {
    // "Name <address>" is allowed as a sender.
    let address = from.rsplit('<').next().unwrap_or(from).trim_end_matches('>').trim();
    let domain = address.rsplit('@').next().unwrap_or(address);
    let identity = |name: &str| arn("ses", "identity/", name);
    let identities = vec![identity(address), identity(domain)];
    vec![grant("SesSend", ["ses:SendEmail"], identities), grant("SesRate", ["ses:GetAccount"], vec!["*".to_owned()])]
}

/// The ARN of a resource; an ARN stays as it is.
fn arn(service: &str, kind: &str, name: &str) -> String {
    if name.starts_with("arn:") {
        name.to_owned()
    } else {
        format!("arn:aws:{service}:${{Region}}:${{Account}}:{kind}{name}")
    }
}

/// The The ARN of a queue; a URL of AWS contains region and account.
fn queue_arn(queue: &str) -> String {
    let Some((_, rest)) = queue.split_once("://") else { return arn("sqs", "", queue) };
    let mut parts = rest.split('/');
    let (host, account, name) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let region = host.strip_prefix("sqs.").and_then(|rest| rest.split('.').next());
    match (region, account, name) {
        (Some(region), Some(account), Some(name)) => format!("arn:aws:sqs:{region}:{account}:{name}"),
        _ => arn("sqs", "", queue.rsplit('/').next().unwrap_or(queue)),
    }
}

#[cfg(test)]
mod tests;
