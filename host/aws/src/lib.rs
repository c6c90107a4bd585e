//! AWS: Kinesis, SQS and DynamoDB streams in; DynamoDB, S3, SNS, SES, SQS and Kinesis out.
//!
//! The only crate that names the AWS SDK. It implements the boundary traits of `esclusa-flow`, and never sees the
//! embedded engine but through them.

pub mod client;
pub mod dynamodb_stream;
pub mod fault;
pub mod kinesis;
pub mod lease;
pub mod progress;
pub mod shards;
