//! Dead letters as objects: `PREFIX/ROUTE/DATE/ID.json`, the date being the day (UTC) on which the event was given up.
//! A letter that is sent twice overwrites itself.

use super::fault_of;
use crate::client::Clients;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use esclusa_flow::BoxFuture;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use futures_util::future::join_all;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;

/// Puts at the same time.
const AT_ONCE: usize = 8;

/// The bucket of dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketSinkSettings {
    /// Bucket.
    pub bucket: String,
    /// Prefix of all paths; may be empty.
    pub prefix: String,
    /// Where the bucket is.
    pub place: ServiceLocation,
    /// The bucket is part of the path rather than of the host name.
    pub path_style: bool,
}

/// A sink to a bucket.
#[must_use]
pub fn open(clients: &Clients, settings: BucketSinkSettings) -> Arc<dyn Sink> {
    Arc::new(BucketSink { client: clients.s3(&settings.place, settings.path_style), settings })
}

struct BucketSink {
    client: Client,
    settings: BucketSinkSettings,
}

impl Sink for BucketSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(messages.len());
            for some in messages.chunks(AT_ONCE) {
                let put = join_all(some.iter().map(|message| self.put(message))).await;
                results.extend(put.into_iter().map(|result| result.map_err(SendError::from)));
            }
            results
        })
    }
}

impl BucketSink {
    async fn put(&self, message: &OutboxMessage) -> Result<(), Fault> {
        let path = path(&self.settings.prefix, message);
        let request =
            self.client.put_object().bucket(&self.settings.bucket).key(&path).content_type("application/json");
        let put = request.body(ByteStream::from(message.send.data.clone())).send().await;
        put.map(drop)
            .map_err(|error| fault_of(&format!("put {path:?} into the bucket {:?}", self.settings.bucket), &error))
    }
}

/// The path of a letter. A message that is no dead letter has no route and no day.
fn path(prefix: &str, message: &OutboxMessage) -> String {
    let letter: Option<DeadLetter> = serde_json::from_slice(&message.send.data).ok();
    let (route, day) = letter.map_or(("-".to_owned(), "-".to_owned()), |letter| {
        let died = DateTime::from_millis(i64::try_from(letter.died.millis()).unwrap_or_default());
        let day = died.fmt(Format::DateTime).ok().and_then(|text| Some(text.get(..10)?.to_owned()));
        (escape(&letter.route), day.unwrap_or_default())
    });
    let prefix = prefix.trim_matches('/');
    let id = escape(&message.id);
    if prefix.is_empty() { format!("{route}/{day}/{id}.json") } else { format!("{prefix}/{route}/{day}/{id}.json") }
}

/// One part of a path; different names stay different.
fn escape(name: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b':');
    utf8_percent_encode(name, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_flow::effect::SendMessage;

    fn message(id: &str, data: &str) -> OutboxMessage {
        let send = SendMessage { output: "dead".into(), key: None, data: data.into(), attributes: vec![] };
        OutboxMessage { id: id.to_owned(), send }
    }

    #[test]
    fn a_letter_lies_under_its_route_and_the_day_of_its_death() {
        let letter = r#"{"route":"etl","source":"s","kind":"sqs","lane":"","event":"e","key":"","data":{"text":"x"},
            "attributes":[],"timestamp":0,"died":1700000000000,"attempts":1,"code":"c","reason":"r","backtrace":null,
            "logs":[],"plugin":"p","digest":"d","output":null}"#;
        assert_eq!(path("/dead/", &message("dead-1", letter)), "dead/etl/2023-11-14/dead-1.json");
        assert_eq!(path("", &message("a/../b", "no letter")), "-/-/a%2F..%2Fb.json");
    }
}
