//! Messages as mails by SES (version 2 of its API).
//!
//! Mail cannot be taken back and SES does not deduplicate: the settings decide whether a request without a clear answer
//! is repeated or given up (failures.md E9). The SDK's own retries are off for that reason.

use super::{attribute, fault_of, text};
use crate::client::Clients;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use lettre::message::Mailboxes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// How long the account's rate is believed; AWS raises it as an account grows.
const RATE_AGE: Duration = Duration::from_secs(600);
/// The encoding of subjects and bodies.
const CHARSET: &str = "UTF-8";

/// How mails are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SesSettings {
    /// Where SES is.
    pub place: ServiceLocation,
    /// The sender, an identity that is verified in SES.
    pub from: String,
    /// Recipients of messages without an attribute `to`, which holds a list of addresses (RFC 5322).
    pub to: Vec<String>,
    /// Subject of messages without an attribute `subject`.
    pub subject: Option<String>,
    /// Most recipients a second; no more than the account allows either way.
    pub rate: Option<u32>,
    /// What to do with a mail that may have been sent (a time-out, a broken connection, an error 500).
    pub ambiguous: AmbiguousMail,
}

/// See [`SesSettings::ambiguous`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AmbiguousMail {
    /// It is sent again: at least once.
    #[default]
    Retry,
    /// It becomes a dead letter: at most once.
    DeadLetter,
}

/// A sink to SES that keeps to the account's rate of recipients per second, and to the one in the settings.
#[must_use]
pub fn open(clients: &Clients, settings: SesSettings) -> Arc<dyn Sink> {
    let config = clients.ses(&settings.place).config().to_builder().retry_config(RetryConfig::disabled()).build();
    Arc::new(SesSink { client: Client::from_conf(config), settings, rate: Mutex::default() })
}

struct SesSink {
    client: Client,
    settings: SesSettings,
    rate: Mutex<(SendRate, Option<Instant>)>,
}

impl Sink for SesSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(messages.len());
            for message in messages {
                results.push(self.mail(message).await.map_err(SendError::from));
            }
            results
        })
    }
}

impl SesSink {
    async fn mail(&self, message: &OutboxMessage) -> Result<(), Fault> {
        let to = self.recipients(message)?;
        if to.is_empty() {
            return Err(Fault::Permanent("nobody to mail: no attribute \"to\", and no to in routes.toml".to_owned()));
        }
        let subject = attribute(message, "subject").or(self.settings.subject.as_deref()).unwrap_or_default();
        let broken = |error: aws_sdk_sesv2::error::BuildError| Fault::Bug(format!("a mail: {error}"));
        let part = |data: &str| Content::builder().charset(CHARSET).data(data).build().map_err(broken);
        let body = Body::builder().text(part(text(message)?)?).build();
        let simple = aws_sdk_sesv2::types::Message::builder().subject(part(subject)?).body(body).build();
        self.wait_for_turn(to.len()).await;
        let request = self
            .client
            .send_email()
            .from_email_address(&self.settings.from)
            .destination(Destination::builder().set_to_addresses(Some(to)).build())
            .content(EmailContent::builder().simple(simple).build());
        request.send().await.map(drop).map_err(|error| {
            let fault = fault_of("send a mail", &error);
            match (&fault, self.settings.ambiguous) {
                (Fault::Transient(reason), AmbiguousMail::DeadLetter) if may_have_been_sent(&error) => {
                    Fault::Permanent(format!("the mail may have been sent: {reason}"))
                }
                _ => fault,
            }
        })
    }

    fn recipients(&self, message: &OutboxMessage) -> Result<Vec<String>, Fault> {
        attribute(message, "to").map_or_else(|| Ok(self.settings.to.clone()), addresses)
    }

    /// Waits until `recipients` more are within the rate.
    async fn wait_for_turn(&self, recipients: usize) {
        let turn = {
            let mut state = self.rate.lock().await;
            let (rate, read) = &mut *state;
            if read.is_none_or(|read| read.elapsed() > RATE_AGE) {
                *read = Some(Instant::now());
                let own = self.settings.rate.map(f64::from);
                match self.client.get_account().send().await {
                    Ok(account) => rate.set([account.send_quota.map(|quota| quota.max_send_rate), own]),
                    Err(error) => {
                        rate.set([None, own]);
                        tracing::warn!(error = %fault_of("read the rate of SES", &error), "the rate of the account is not known")
                    }
                }
            }
            rate.turn(Instant::now(), recipients)
        };
        sleep_until(turn).await;
    }
}

/// The addresses of a list as RFC 5322 has it: a comma within quotes belongs to a name.
fn addresses(list: &str) -> Result<Vec<String>, Fault> {
    let parsed = list.trim_matches([' ', '\t', '\r', '\n', ',']).parse::<Mailboxes>();
    let why = |error| format!("{list:?} is not a list of addresses: {error}; a name with a comma stands in quotes");
    let found = parsed.map_err(|error| Fault::Permanent(why(error)))?;
    Ok(found.into_iter().map(|mailbox| mailbox.to_string()).collect())
}

/// True unless the service refused the mail, or was never reached.
fn may_have_been_sent<E>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::DispatchFailure(failure) => failure.as_connector_error().is_none_or(|error| !never_connected(error)),
        SdkError::ServiceError(service) => service.raw().status().as_u16() >= 500,
        _ => true,
    }
}

fn never_connected(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return matches!(io.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable);
        }
        cause = error.source();
    }
    false
}

/// A rate: so many a second, evenly spread. Without a known rate every turn is now.
#[derive(Debug, Default)]
pub struct SendRate {
    each: Duration,
    next: Option<Instant>,
}

impl SendRate {
    /// Sets how many a second: the least of these; nothing, or less than a thousandth, sets no limit.
    pub fn set(&mut self, per_second: [Option<f64>; 2]) {
        let least = per_second.into_iter().flatten().filter(|rate| *rate >= 0.001).reduce(f64::min);
        self.each = least.map(|rate| Duration::from_secs_f64(rate.recip())).unwrap_or_default();
    }

    /// When the next `count` may go; they count as gone.
    pub fn turn(&mut self, now: Instant, count: usize) -> Instant {
        let turn = self.next.map_or(now, |next| next.max(now));
        self.next = Some(turn + self.each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_within_a_name_separates_nothing() {
        let list = r#""Doe, Jane" <jane@example.com>, b@example.com,"#;
        assert_eq!(addresses(list).unwrap(), [r#""Doe, Jane" <jane@example.com>"#, "b@example.com"]);
        assert!(addresses(", ").unwrap().is_empty());
        let error = addresses("Doe, Jane <jane@example.com>").unwrap_err();
        assert!(matches!(&error, Fault::Permanent(why) if why.contains("is not a list of addresses")), "{error}");
    }

    // E9: the limit counts recipients, not mails.
    #[test]
    fn recipients_are_spread_over_time() {
        let (mut rate, now) = (SendRate::default(), Instant::now());
        assert_eq!((rate.turn(now, 5), rate.turn(now, 1)), (now, now), "no limit is known");
        rate.set([Some(10.0), Some(14.0)]);
        assert_eq!(rate.turn(now, 3), now);
        assert_eq!(rate.turn(now, 1), now + Duration::from_millis(300));
        let later = now + Duration::from_secs(60);
        assert_eq!(rate.turn(later, 1), later, "unused turns do not add up");
        rate.set([None, Some(0.0)]);
        assert_eq!(rate.turn(later + Duration::from_secs(1), 9), later + Duration::from_secs(1));
    }
}
