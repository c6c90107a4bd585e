//! Sends a mail through an SMTP server for each message. The message's data is the text; its attributes `to`
//! (a list of addresses, RFC 5322) and `subject` replace those of the configuration.
//!
//! If the answer of the server is lost, the mail is sent again with the same Message-ID, so that mail programs can
//! recognise duplicates.

use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::verdict::cut;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Mailboxes};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use std::sync::OnceLock;

/// Most bytes of an error message of the server.
const LONGEST: usize = 1000;

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Why a mail was not sent.
enum MailError {
    /// The server refused it, for now or for good.
    Refused(Fault),
    /// The server does not answer.
    Unreachable(String),
}

/// A server that takes mails.
pub(crate) struct SmtpSink {
    url: String,
    from: String,
    to: Vec<String>,
    subject: Option<String>,
    transport: OnceLock<Result<Transport, String>>,
}

impl SmtpSink {
    /// Mails from `from` through the server at `url` (smtp or smtps); `to` and `subject` are those of messages without
    /// such attributes. Nothing is connected yet.
    #[must_use]
    pub(crate) fn new(url: String, from: String, to: Vec<String>, subject: Option<String>) -> Self {
        SmtpSink { url, from, to, subject, transport: OnceLock::new() }
    }

    async fn mail(&self, message: &OutboxMessage) -> Result<(), MailError> {
        let mail = self.compose(message).map_err(|why| MailError::Refused(Fault::Permanent(why)))?;
        let transport = self.transport.get_or_init(|| {
            let builder = Transport::from_url(&self.url).map_err(|error| error.to_string())?;
            Ok(builder.build())
        });
        let transport =
            transport.as_ref().map_err(|why| MailError::Refused(Fault::Permanent(format!("smtp: {why}"))))?;
        transport.send(mail).await.map(drop).map_err(|error| {
            let why = cut(&format!("smtp: {error}"), LONGEST);
            match (error.is_permanent(), error.is_transient()) {
                (true, _) => MailError::Refused(Fault::Permanent(why)),
                (_, true) => MailError::Refused(Fault::Transient(why)),
                _ => MailError::Unreachable(why),
            }
        })
    }

    fn compose(&self, message: &OutboxMessage) -> Result<lettre::Message, String> {
        let attribute =
            |name: &str| message.send.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let address =
            |text: &str| text.trim().parse::<Mailbox>().map_err(|error| format!("{text:?} is not an address: {error}"));
        let mut builder = lettre::Message::builder()
            .from(address(&self.from)?)
            .message_id(Some(format!("<{}@esclusa>", message.id)))
            .header(ContentType::TEXT_PLAIN);
        let mut receivers = match attribute("to") {
            Some(to) => addresses(to)?,
            None => self.to.iter().map(|to| address(to)).collect::<Result<Vec<_>, _>>()?,
        };
        if receivers.is_empty() {
            return Err("the message names no receiver: set its attribute \"to\", or `to` of the output".to_owned());
        }
        for receiver in receivers.drain(..) {
            builder = builder.to(receiver);
        }
        if let Some(subject) = attribute("subject").or(self.subject.as_deref()) {
            builder = builder.subject(subject);
        }
        let text = String::from_utf8(message.send.data.clone()).map_err(|_| "a mail is text in UTF-8".to_owned())?;
        builder.body(text).map_err(|error| error.to_string())
    }
}

/// The addresses of a list as RFC 5322 has it: a comma within quotes belongs to a name.
fn addresses(list: &str) -> Result<Vec<Mailbox>, String> {
    let parsed = list.trim_matches([' ', '\t', '\r', '\n', ',']).parse::<Mailboxes>();
    let why = |error| format!("{list:?} is not a list of addresses: {error}; a name with a comma stands in quotes");
    parsed.map(|found| found.into_iter().collect()).map_err(why)
}

impl Sink for SmtpSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(messages.len());
            for message in messages {
                match self.mail(message).await {
                    // The next mails would wait for the same timeout: they are tried later.
                    Err(MailError::Unreachable(why)) => {
                        results.push(Err(Fault::Transient(why).into()));
                        break;
                    }
                    Err(MailError::Refused(fault)) => results.push(Err(fault.into())),
                    Ok(()) => results.push(Ok(())),
                }
            }
            results.resize(messages.len(), Err(SendError::NotTried));
            results
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_flow::effect::SendMessage;

    fn message(attributes: &[(&str, &str)]) -> OutboxMessage {
        let attributes = attributes.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let send = SendMessage { output: "mail".to_owned(), key: None, data: "Grüße".into(), attributes };
        OutboxMessage { id: "0123".to_owned(), send }
    }

    fn smtp(to: &[&str]) -> SmtpSink {
        let to = to.iter().map(|to| (*to).to_owned()).collect();
        SmtpSink::new("smtp://localhost".to_owned(), "shop@example.com".to_owned(), to, Some("News".to_owned()))
    }

    #[test]
    fn attributes_go_before_the_configuration() {
        let mail =
            smtp(&["all@example.com"]).compose(&message(&[("to", "a@example.com, b@example.com"), ("subject", "Hi")]));
        let text = String::from_utf8(mail.unwrap().formatted()).unwrap();
        assert!(text.contains("To: a@example.com, b@example.com") && text.contains("Subject: Hi"), "{text}");
        assert!(text.contains("Message-ID: <0123@esclusa>"), "{text}");
        let mail = smtp(&["all@example.com"]).compose(&message(&[])).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        assert!(text.contains("To: all@example.com") && text.contains("Subject: News"), "{text}");
    }

    #[test]
    fn a_header_cannot_be_smuggled_in_and_a_receiver_is_needed() {
        let mail = smtp(&["all@example.com"]).compose(&message(&[("subject", "Hi\r\nBcc: x@example.com")])).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        assert!(!text.lines().any(|line| line.starts_with("Bcc")), "{text}");
        assert!(smtp(&[]).compose(&message(&[])).unwrap_err().contains("no receiver"));
        assert!(smtp(&[]).compose(&message(&[("to", "not an address")])).unwrap_err().contains("not an address"));
    }

    #[test]
    fn a_comma_within_a_name_separates_nothing() {
        for (list, receivers) in [
            (r#""Doe, Jane" <jane@example.com>"#, &["jane@example.com"][..]),
            (
                r#" "Doe, Jane" <jane@example.com> , Bob <bob@example.com>,c@example.com, "#,
                &["jane@example.com", "bob@example.com", "c@example.com"],
            ),
            (r#""a\"b, <x@y>" <d@example.com>"#, &["d@example.com"]),
            ("Müller <m@example.com>", &["m@example.com"]),
        ] {
            let mail = smtp(&[]).compose(&message(&[("to", list)])).unwrap();
            let to: Vec<String> = mail.envelope().to().iter().map(ToString::to_string).collect();
            assert_eq!(to, receivers, "{list}");
        }
        for wrong in ["Doe, Jane <jane@example.com>", "a@example.com, nobody", "a@example.com b@example.com"] {
            let error = smtp(&[]).compose(&message(&[("to", wrong)])).unwrap_err();
            assert!(error.contains("is not a list of addresses"), "{error}");
        }
        assert!(smtp(&[]).compose(&message(&[("to", " , ")])).unwrap_err().contains("no receiver"));
    }
}
