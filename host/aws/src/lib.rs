//! AWS: Kinesis, SQS and DynamoDB streams in; DynamoDB, S3, SNS, SES, SQS and Kinesis out.
//!
//! The only crate that names the AWS SDK. It implements the boundary traits of `esclusa-flow`, and never sees the
//! embedded engine but through them.

pub mod check;
pub mod client;
pub mod dynamodb_stream;
pub mod engine;
mod fault;
pub mod iam;
pub mod kept_answers;
pub mod kinesis;
pub mod lease;
mod lineage;
pub mod objects;
mod position;
pub mod position_items;
pub mod progress;
mod retry;
pub mod shards;
pub mod sinks;
pub mod sqs;
pub mod tables;
