//! A shard whose records are pushed (enhanced fan-out): SubscribeToShard.
//!
//! A subscription lasts five minutes; it is renewed a little before, behind the last record that was pushed.

use super::records::{Hashes, look, place};
use crate::fault;
use crate::shards::{Cursor, FetchedRecord, Page, PageError, ShardFeed, wall_millis};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{ConsumerStatus, StartingPosition, SubscribeToShardEventStream};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Before the service ends a subscription after five minutes,
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html>, 2026-11.
const LIFETIME: Duration = Duration::from_secs(290);
/// How long a new consumer may take to become active; the service says seconds.
const REGISTRATION: Duration = Duration::from_secs(60);

type PushReceiver = EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>;

/// Waits until the consumer of this name is active and gives its ARN; registers it if it is missing.
///
/// # Errors
/// A [`Fault`] that names the consumer.
pub(crate) async fn consumer(client: &Client, stream: &str, name: &str) -> Result<String, Fault> {
    let doing = format!("register consumer {name:?} of {stream}");
    let end = Instant::now() + REGISTRATION;
    while Instant::now() < end {
        match client.describe_stream_consumer().stream_arn(stream).consumer_name(name).send().await {
            Ok(output) => {
                if let Some(found) =
                    output.consumer_description().filter(|c| *c.consumer_status() == ConsumerStatus::Active)
                {
                    return Ok(found.consumer_arn().to_owned());
                }
            }
            Err(error) if error.code() == Some("ResourceNotFoundException") => {
                match client.register_stream_consumer().stream_arn(stream).consumer_name(name).send().await {
                    Ok(_) => {}
                    // Another process was first.
                    Err(error) if error.code() == Some("ResourceInUseException") => {}
                    Err(error) => return Err(fault::of(&doing, &error)),
                }
            }
            Err(error) => return Err(fault::of(&doing, &error)),
        }
        sleep(Duration::from_millis(200)).await;
    }
    Err(Fault::Transient(format!("{doing}: it is not active after {} s", REGISTRATION.as_secs())))
}

/// A shard whose records are pushed.
pub(crate) struct FanOut {
    client: Client,
    consumer: String,
    shard: String,
    hashes: Hashes,
    doing: String,
    /// Cursor of the next subscription.
    at: Cursor,
    subscription: Option<(PushReceiver, Instant)>,
    /// Pushed records that are being taken apart on another thread.
    looking: Option<PushedRecords>,
    /// The pushed page that was not given yet.
    pushed: Option<Result<Page, PageError>>,
}

/// Pushed records that are being taken apart on another thread.
struct PushedRecords {
    records: JoinHandle<(Vec<FetchedRecord>, usize)>,
    behind_millis: Option<u64>,
    /// Cursor behind these records; `None`: the shard has ended.
    next: Option<Cursor>,
}

impl FanOut {
    /// Reads `shard` as `consumer`; `doing` says so in errors.
    pub(crate) fn new(client: Client, consumer: String, shard: &str, hashes: Hashes, doing: String) -> Self {
        let (shard, at) = (shard.to_owned(), Cursor::TrimHorizon);
        FanOut { client, consumer, shard, hashes, doing, at, subscription: None, looking: None, pushed: None }
    }

    async fn subscribe(&mut self) -> Result<(), PageError> {
        let (kind, sequence, time) = place(&self.at);
        let position =
            StartingPosition::builder().r#type(kind).set_sequence_number(sequence).set_timestamp(time).build();
        let position = position.map_err(|error| PageError::Fault(Fault::Bug(format!("{}: {error}", self.doing))))?;
        let request = self.client.subscribe_to_shard().consumer_arn(&self.consumer).shard_id(&self.shard);
        let asked = wall_millis();
        match request.starting_position(position).send().await {
            Ok(output) => {
                if self.at == Cursor::Latest {
                    self.at = Cursor::Since(asked);
                }
                self.subscription = Some((output.event_stream, Instant::now()));
                Ok(())
            }
            // The subscription before this one is still known to the service, for five seconds at most.
            Err(error) if error.code() == Some("ResourceInUseException") => {
                Err(PageError::Throttled(format!("{}: the shard is subscribed to already", self.doing)))
            }
            Err(error) => Err(PageError::of(&self.doing, &error)),
        }
    }

    /// Waits for the next pushed records. Cancel-safe: received records are kept until they are a page.
    async fn receive(&mut self) {
        if self.looking.is_none() {
            self.receive_event().await;
        }
        let Some(looking) = &mut self.looking else { return };
        let looked = (&mut looking.records).await;
        let Some(PushedRecords { behind_millis, next, .. }) = self.looking.take() else { return };
        self.pushed = Some(match looked {
            Ok((records, bytes)) => {
                let ended = next.is_none();
                self.at = next.unwrap_or_else(|| self.at.clone());
                Ok(Page { records, bytes, behind_millis, ended })
            }
            Err(error) => {
                self.subscription = None;
                Err(PageError::Fault(Fault::Bug(format!("{}: {error}", self.doing))))
            }
        });
    }

    /// Cancel-safe: the receiver keeps a part of an event that has come.
    async fn receive_event(&mut self) {
        let Some((receiver, since)) = &mut self.subscription else { return };
        let event = match timeout(LIFETIME.saturating_sub(since.elapsed()), receiver.recv()).await {
            Ok(event) => event,
            Err(_) => Ok(None),
        };
        match event {
            Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => {
                let behind_millis = u64::try_from(event.millis_behind_latest).ok();
                // At the end of a shard the service names its children and no place to continue at.
                let ended = !event.child_shards().is_empty() || event.continuation_sequence_number.is_empty();
                let next = (!ended).then_some(Cursor::After(event.continuation_sequence_number));
                self.looking = Some(PushedRecords { records: look(event.records, self.hashes), behind_millis, next });
            }
            Ok(Some(_)) => {}
            Ok(None) => self.subscription = None,
            Err(error) => {
                self.subscription = None;
                let why = format!(
                    "{}: the subscription broke: {}",
                    self.doing,
                    aws_sdk_kinesis::error::DisplayErrorContext(&error)
                );
                self.pushed = Some(Err(match error.code() {
                    Some("ResourceNotFoundException") => PageError::Gone(why),
                    _ => PageError::Fault(Fault::Transient(why)),
                }));
            }
        }
    }

    async fn read(&mut self, wait: Duration) -> Result<Page, PageError> {
        if self.pushed.is_none() {
            if self.subscription.is_none() {
                self.subscribe().await?;
            }
            // If nothing comes in time the page is empty.
            let _ = timeout(wait, self.receive()).await;
        }
        self.pushed.take().unwrap_or_else(|| Ok(Page::default()))
    }
}

impl ShardFeed for FanOut {
    fn seek(&mut self, to: Cursor) {
        (self.at, self.subscription, self.looking, self.pushed) = (to, None, None, None);
    }

    fn page(&mut self, wait: Duration) -> BoxFuture<'_, Result<Page, PageError>> {
        Box::pin(self.read(wait))
    }

    fn pushed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.pushed.is_none() {
                match self.subscription {
                    Some(_) => self.receive().await,
                    None => std::future::pending().await,
                }
            }
        })
    }
}
