//! Kinesis streams as sources: by polling, or pushed to a registered consumer (enhanced fan-out).
//!
//! A shard is a lane, a record an event; a record that the Kinesis Producer Library aggregated is several.

mod aggregate;
mod fan_out;
#[cfg(test)]
mod kpl_target;
mod records;

use crate::client::Clients;
use crate::fault;
use crate::lineage::{Shard, ShardList};
use crate::shards::polled::PolledFeed;
use crate::shards::{self, ReadPace, ShardFeed, ShardReader, ShardedStream, Sharing, SourceWithProgress};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::{ServiceLocation, Start};
use std::sync::Arc;
use std::time::Duration;

/// Reads of one shard: 5 per second and 2 MiB per second, shared by all who poll it.
/// <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>, 2026-11.
const SPACING: Duration = Duration::from_millis(200);
const RATE: u32 = 2 << 20;
/// Longest wait between two reads of an idle shard: the one of Lambda's event source mappings.
const IDLE: Duration = Duration::from_secs(1);

/// How often a listing of shards starts again because it took too long.
const LISTINGS: u32 = 3;

/// A stream to read.
#[derive(Clone)]
pub struct KinesisSettings {
    /// Name or ARN.
    pub stream: String,
    /// Where it is.
    pub place: ServiceLocation,
    /// Where a group without positions starts.
    pub start: Start,
    /// Name of the consumer that records are pushed to, registered if it is missing; `None`: shards are polled.
    pub fan_out: Option<String>,
    /// How shards are shared.
    pub sharing: Sharing,
}

/// Opens a stream as one route reads it.
///
/// # Errors
/// A [`Fault`] that names the stream, the consumer or the lease table.
pub async fn open(
    clients: &Clients,
    settings: &KinesisSettings,
    reader: ShardReader,
) -> Result<SourceWithProgress, Fault> {
    let client = clients.kinesis(&settings.place);
    let once = client.config().to_builder().retry_config(RetryConfig::disabled()).build();
    let stream = StreamName::of(&settings.stream);
    let doing = format!("read {}", stream.name);
    let summary = stream.describe(&client).await.map_err(|error| fault::of(&doing, &error))?;
    let arn = summary.stream_description_summary().map(|summary| summary.stream_arn().to_owned());
    let consumer = match (&settings.fan_out, &arn) {
        (Some(name), Some(arn)) => Some(fan_out::consumer(&client, arn, name).await?),
        (Some(_), None) => return Err(Fault::Permanent(format!("{doing}: the service does not tell its ARN"))),
        (None, _) => None,
    };
    let identity = arn.unwrap_or_else(|| settings.stream.clone());
    let stream = KinesisStream { client, reads: Client::from_conf(once), stream, identity, consumer };
    shards::open(clients, Arc::new(stream), settings.start, &settings.sharing, reader).await
}

/// The time from which on a stream keeps its records, in milliseconds since the Unix epoch, like `now`; `None`: it
/// still has every record.
///
/// # Errors
/// A [`Fault`] that names the stream.
pub async fn keeps_from(
    clients: &Clients,
    place: &ServiceLocation,
    stream: &str,
    now: u64,
) -> Result<Option<u64>, Fault> {
    let target = StreamName::of(stream);
    let described = target.describe(&clients.kinesis(place)).await;
    let described = described.map_err(|error| fault::of(&format!("describe {}", target.name), &error))?;
    let Some(summary) = described.stream_description_summary() else { return Ok(None) };
    let created = summary.stream_creation_timestamp().to_millis().ok().and_then(|millis| u64::try_from(millis).ok());
    let hours = u64::try_from(summary.retention_period_hours()).unwrap_or_default();
    Ok(kept(created, hours, now))
}

fn kept(created: Option<u64>, hours: u64, now: u64) -> Option<u64> {
    let kept = now.saturating_sub(hours.saturating_mul(3_600_000));
    (created.unwrap_or(0) < kept).then_some(kept)
}

/// A stream as requests name it.
#[derive(Debug, Clone)]
struct StreamName {
    name: String,
    stream: Option<String>,
    arn: Option<String>,
}

impl StreamName {
    fn of(stream: &str) -> Self {
        let name = format!("stream {stream:?}");
        let text = stream.to_owned();
        let (stream, arn) = if stream.starts_with("arn:") { (None, Some(text)) } else { (Some(text), None) };
        StreamName { name, stream, arn }
    }

    async fn describe(
        &self,
        client: &Client,
    ) -> Result<
        aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryOutput,
        aws_sdk_kinesis::error::SdkError<
            aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryError,
        >,
    > {
        client
            .describe_stream_summary()
            .set_stream_name(self.stream.clone())
            .set_stream_arn(self.arn.clone())
            .send()
            .await
    }
}

struct KinesisStream {
    client: Client,
    /// Without retries of its own: they would use up the shard's limit (failures.md K13).
    reads: Client,
    stream: StreamName,
    /// ARN of the stream.
    identity: String,
    /// ARN of the consumer that records are pushed to.
    consumer: Option<String>,
}

impl KinesisStream {
    /// ListShards (100 per second) and not DescribeStream (10 per second and account, failures.md K16).
    async fn list_all(&self) -> Result<Vec<Shard>, Fault> {
        let (mut shards, mut token, mut begun) = (Vec::new(), None::<String>, 0);
        loop {
            let request = self.client.list_shards().set_next_token(token.clone());
            let request = match token {
                Some(_) => request,
                None => request.set_stream_name(self.stream.stream.clone()).set_stream_arn(self.stream.arn.clone()),
            };
            let output = match request.send().await {
                Ok(output) => output,
                // Tokens are valid for five minutes: the listing starts again.
                Err(error) if error.code() == Some("ExpiredNextTokenException") && begun < LISTINGS => {
                    (shards, token, begun) = (Vec::new(), None, begun + 1);
                    continue;
                }
                Err(error) => return Err(fault::of(&format!("list the shards of {}", self.stream.name), &error)),
            };
            shards.extend(output.shards().iter().map(shard));
            token = output.next_token().map(str::to_owned);
            if token.is_none() {
                return Ok(shards);
            }
        }
    }
}

fn shard(shard: &aws_sdk_kinesis::types::Shard) -> Shard {
    let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
    let range = shard.hash_key_range();
    let hash = |text: Option<&str>| text.and_then(|text| text.parse::<u128>().ok());
    Shard {
        id: shard.shard_id().to_owned(),
        parents: parents.into_iter().flatten().map(str::to_owned).collect(),
        closed: shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some()),
        hashes: hash(range.map(|r| r.starting_hash_key())).zip(hash(range.map(|r| r.ending_hash_key()))),
    }
}

impl ShardList for KinesisStream {
    fn name(&self) -> &str {
        &self.stream.name
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Shard>, Fault>> {
        Box::pin(self.list_all())
    }
}

impl ShardedStream for KinesisStream {
    fn kind(&self) -> &'static str {
        "kinesis"
    }

    fn feed(&self, shard: &str, hashes: Option<(u128, u128)>) -> Box<dyn ShardFeed> {
        let doing = format!("read shard {shard:?} of {}", self.stream.name);
        match &self.consumer {
            Some(consumer) => {
                Box::new(fan_out::FanOut::new(self.reads.clone(), consumer.clone(), shard, hashes, doing))
            }
            None => {
                let (client, stream) = (self.reads.clone(), self.stream.clone());
                Box::new(PolledFeed::new(records::KinesisPages {
                    client,
                    stream,
                    shard: shard.to_owned(),
                    hashes,
                    doing,
                }))
            }
        }
    }

    fn pace(&self) -> ReadPace {
        match self.consumer {
            Some(_) => ReadPace::new(Duration::ZERO, None, Duration::ZERO),
            None => ReadPace::new(SPACING, Some(RATE), IDLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{kept, kpl_target};

    #[test]
    fn whatever_bytes_a_record_has_its_events_are_those_of_protobuf() {
        esclusa_testkit::fuzz::run("kpl", kpl_target::target);
    }

    #[test]
    fn a_stream_that_is_younger_than_its_retention_keeps_everything() {
        const HOUR: u64 = 3_600_000;
        let now = 1000 * HOUR;
        assert_eq!(kept(Some(now - 23 * HOUR), 24, now), None);
        assert_eq!(kept(Some(now - 25 * HOUR), 24, now), Some(now - 24 * HOUR));
        assert_eq!(kept(None, 24, now), Some(now - 24 * HOUR));
    }
}
