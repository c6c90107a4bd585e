//! Messages as records of a Kinesis stream.

use super::requests::{self, BatchRequests};
use super::{entry_fault, fault_of};
use crate::client::Clients;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use std::sync::Arc;

/// Most records and bytes of a request; the least that any region has allowed.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>, 2026-11.
const LIMITS: (usize, usize) = (500, 5 << 20);

/// A stream to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KinesisSinkSettings {
    /// Name or ARN.
    pub stream: String,
    /// Where it is.
    pub place: ServiceLocation,
    /// Records of a key never overtake each other, at the price of one request for each record of a key. Else only a
    /// throttled record may be overtaken by later ones of its key.
    pub strict_order: bool,
}

/// A sink to a stream. The partition key is the message's key, or its id if it has none.
#[must_use]
pub fn open(clients: &Clients, settings: KinesisSinkSettings) -> Arc<dyn Sink> {
    Arc::new(KinesisSink { client: clients.kinesis(&settings.place), settings })
}

struct KinesisSink {
    client: Client,
    settings: KinesisSinkSettings,
}

impl Sink for KinesisSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(requests::send(self, messages))
    }
}

impl BatchRequests for KinesisSink {
    fn limits(&self) -> (usize, usize) {
        LIMITS
    }

    fn order<'a>(&self, message: &'a OutboxMessage) -> Option<&'a str> {
        message.send.key.as_deref().filter(|_| self.settings.strict_order)
    }

    fn request<'a>(&'a self, messages: Vec<&'a OutboxMessage>) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(async move {
            let doing = format!("put records into the stream {:?}", self.settings.stream);
            let entry = |message: &&OutboxMessage| {
                let key = message.send.key.as_deref().filter(|key| !key.is_empty()).unwrap_or(&message.id);
                PutRecordsRequestEntry::builder().data(Blob::new(&*message.send.data)).partition_key(key).build()
            };
            let entries = match messages.iter().map(entry).collect::<Result<Vec<_>, _>>() {
                Ok(entries) => entries,
                Err(error) => return vec![Err(Fault::Bug(format!("{doing}: {error}"))); messages.len()],
            };
            let request = self.client.put_records().set_records(Some(entries));
            let request = match &self.settings.stream {
                arn if arn.starts_with("arn:") => request.stream_arn(arn),
                name => request.stream_name(name),
            };
            match request.send().await {
                Ok(answer) => {
                    let result = |entry: &aws_sdk_kinesis::types::PutRecordsResultEntry| match &entry.error_code {
                        Some(code) => Err(entry_fault(&doing, code, entry.error_message().unwrap_or_default(), false)),
                        None => Ok(()),
                    };
                    answer.records.iter().map(result).collect()
                }
                Err(error) => vec![Err(fault_of(&doing, &error)); messages.len()],
            }
        })
    }
}
