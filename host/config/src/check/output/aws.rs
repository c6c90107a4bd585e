//! Outputs in AWS, and mail, each by itself.

use crate::check::aws;
use crate::codes::Code;
use crate::plan::{Ambiguous, Output, Receiver, ServiceLocation};
use crate::report::{Finding, lower_case};
use crate::shape::output::{QUEUE, STREAM, aws as shape};
use crate::shape::{Key, store};
use crate::syntax::reader::Reader;

/// A stream.
pub fn kinesis(name: &str, reader: &Reader<'_>, home: &ServiceLocation) -> Output {
    let stream = aws::name(reader, &STREAM, &aws::STREAM, name);
    let place = aws::place(reader, &stream, home);
    Output::Kinesis { stream, strict_order: reader.boolean(&shape::STRICT_ORDER), place }
}

/// A queue.
pub fn sqs(name: &str, reader: &Reader<'_>, home: &ServiceLocation) -> Output {
    Output::Sqs { queue: aws::queue(reader, &QUEUE, name), place: aws::place(reader, "", home) }
}

/// A topic, or text messages.
pub fn sns(reader: &Reader<'_>, home: &ServiceLocation) -> Output {
    let topic = reader.entry(&shape::TOPIC_ARN).map(|_| aws::name(reader, &shape::TOPIC_ARN, &aws::TOPIC, ""));
    let phone = reader.entry(&shape::PHONE_NUMBER).map(|entry| (entry, phone(reader)));
    let place = aws::place(reader, topic.as_deref().unwrap_or_default(), home);
    let receiver = match (topic, phone) {
        (Some(topic), None) => Receiver::Topic(topic),
        (None, Some((_, phone))) => Receiver::Phone(phone),
        (None, None) => Receiver::Attribute,
        (Some(topic), Some((entry, _))) => {
            let message = "`topic_arn` and `phone_number` exclude each other";
            let finding = Finding::error(Code::BAD_VALUE, entry.key_span.clone(), message);
            let other = reader.key_place(&shape::TOPIC_ARN);
            reader.findings.add(finding.related(other, "here").help("make two outputs of it"));
            Receiver::Topic(topic)
        }
    };
    Output::Sns { receiver, place }
}

/// Mails by SES.
pub fn ses(reader: &Reader<'_>, home: &ServiceLocation) -> Output {
    let rate = reader.given_integer(&shape::RATE).and_then(|rate| u32::try_from(rate).ok());
    let ambiguous = match reader.choice(&shape::AMBIGUOUS) {
        "dead-letter" => Ambiguous::DeadLetter,
        _ => Ambiguous::Retry,
    };
    let (from, to, subject) = mail(reader);
    Output::Ses { from, to, subject, rate, ambiguous, place: aws::place(reader, "", home) }
}

/// Mails by a server.
pub fn smtp(reader: &Reader<'_>) -> Output {
    let url = reader.text(&shape::SERVER);
    if let Some(problem) = url.as_deref().and_then(bad_server) {
        let finding = Finding::error(Code::OUTPUT_BAD_ADDRESS, reader.place(&shape::SERVER), problem);
        reader.findings.add(finding.help("write url = \"smtp://user:password@mail.example.com:587\""));
    }
    let (from, to, subject) = mail(reader);
    Output::Smtp { url: url.unwrap_or_default(), from, to, subject }
}

/// A bucket.
pub fn s3(reader: &Reader<'_>, home: &ServiceLocation) -> Output {
    Output::S3 {
        bucket: aws::name(reader, &store::BUCKET, &aws::BUCKET, ""),
        prefix: reader.text_or_default(&store::PREFIX),
        path_style: reader.boolean(&store::PATH_STYLE),
        place: aws::place(reader, "", home),
    }
}

/// Sender, receivers and subject.
fn mail(reader: &Reader<'_>) -> (String, Vec<String>, Option<String>) {
    let from = reader.text(&shape::FROM);
    if from.as_deref().is_some_and(|from| !is_mail(from)) {
        refuse_mail(reader, reader.place(&shape::FROM));
    }
    let mut to = Vec::new();
    for (address, node) in reader.one_or_more(&shape::TO) {
        if !is_mail(&address) {
            refuse_mail(reader, node.span.clone());
        }
        to.push(address);
    }
    let subject = reader.text(&shape::SUBJECT);
    if subject.as_deref().is_some_and(|subject| subject.chars().any(char::is_control)) {
        let message = "a subject is one line, without control characters";
        reader.findings.add(Finding::error(Code::BAD_VALUE, reader.place(&shape::SUBJECT), message));
    }
    (from.unwrap_or_default(), to, subject)
}

fn refuse_mail(reader: &Reader<'_>, place: std::ops::Range<usize>) {
    let finding = Finding::error(Code::OUTPUT_BAD_ADDRESS, place, "this is not a mail address");
    reader.findings.add(finding.help("write \"name@example.com\", or \"Name <name@example.com>\""));
}

/// No more than that a server may find it good: one `@` with something around it, on one line.
fn is_mail(text: &str) -> bool {
    let address = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text,
    };
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';');
    let parts = address.rsplit_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
    parts.is_some() && !address.contains(strange) && !text.contains(char::is_control)
}

/// E.164: a plus sign and up to 15 digits. <https://docs.aws.amazon.com/sns/latest/dg/sns-mobile-phone-number-as-subscriber.html>, 2026-11.
fn phone(reader: &Reader<'_>) -> String {
    let key: &Key = &shape::PHONE_NUMBER;
    let Some(number) = reader.text(key) else { return String::new() };
    let digits = number.strip_prefix('+').unwrap_or_default();
    if !(2..=15).contains(&digits.len()) || !digits.chars().all(|c| c.is_ascii_digit()) {
        let finding = Finding::error(Code::OUTPUT_BAD_ADDRESS, reader.place(key), "this is not a phone number");
        reader.findings.add(finding.help("with the country's code and digits only: \"+15555550100\""));
    }
    number
}

/// What is wrong with a mail server's URL. No message repeats it: it may hold a password.
fn bad_server(text: &str) -> Option<String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "smtp" | "smtps") && url.host_str().is_some_and(|host| !host.is_empty()) => {
            None
        }
        Ok(_) => Some("this is not an smtp or smtps URL".to_owned()),
        Err(error) => Some(format!("this is not a URL: {}", lower_case(&error.to_string()))),
    }
}
