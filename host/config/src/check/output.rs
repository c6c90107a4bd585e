//! `[output.NAME]`, each by itself: those of the embedded engine, of AWS, and mail.

use super::PathResolver;
use super::aws_resource;
use super::declared::Declared;
use super::kafka;
use super::source::{engine_name, partitions};
use crate::codes::Code;
use crate::plan::{AmbiguousSend, Output, ServiceLocation, SnsReceiver};
use crate::report::Finding;
use crate::shape::output::aws as aws_shape;
use crate::shape::{KeySpec, output as shape, root, store};
use crate::syntax::section_reader::SectionReader;
use crate::syntax::toml_tree::TomlValue;

/// Every output.
pub(super) fn outputs(root: &SectionReader<'_>, paths: &PathResolver<'_>, home: &ServiceLocation) -> Declared<Output> {
    // A queue fits every route, so the routes of an output that cannot be read are not reported, too.
    let fallback = || Output::Queue { queue: String::new() };
    Declared::read(root, &root::OUTPUT, &shape::FAMILY, |name, reader| output(name, reader, paths, home), fallback)
}

fn output(name: &str, reader: &SectionReader<'_>, paths: &PathResolver<'_>, home: &ServiceLocation) -> Output {
    match reader.section.name {
        "stream" => {
            Output::Stream { stream: engine_name(name, reader, &shape::STREAM), partitions: partitions(reader) }
        }
        "queue" => Output::Queue { queue: engine_name(name, reader, &shape::QUEUE) },
        "file" => Output::File { path: paths.read(reader, &shape::PATH) },
        "webhook" => {
            Output::Webhook { url: url(reader), headers: headers(reader), timeout: reader.duration(&shape::TIMEOUT) }
        }
        "kinesis" => kinesis(name, reader, home),
        "sqs" => sqs(name, reader, home),
        "sns" => sns(reader, home),
        "ses" => ses(reader, home),
        "smtp" => smtp(reader),
        "s3" => s3(reader, home),
        "kafka" => kafka::output(name, reader, paths),
        _ => Output::Console,
    }
}

fn url(reader: &SectionReader<'_>) -> String {
    let Some(text) = reader.text(&shape::URL) else { return String::new() };
    if let Some(problem) = aws_resource::url_problem(&text, aws_resource::HTTP) {
        let finding = Finding::error(Code::OUTPUT_BAD_WEBHOOK, reader.value_span(&shape::URL), problem);
        reader.findings.add(finding.help("write url = \"https://example.com/hook\""));
    }
    text
}

fn headers(reader: &SectionReader<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let table = reader.table(&shape::HEADERS, "write headers = { Name = \"value\" }");
    for entry in table.map(|table| table.entries.as_slice()).unwrap_or_default() {
        let problem = match &entry.node.value {
            TomlValue::Text(text) if !is_token(&entry.key) || !is_field(&text.text) => "this cannot be an HTTP header",
            TomlValue::Text(text) => {
                headers.push((entry.key.clone(), text.text.clone()));
                continue;
            }
            TomlValue::Broken => continue,
            _ => "the value of a header is a text",
        };
        reader.findings.add(Finding::error(Code::OUTPUT_BAD_WEBHOOK, entry.key_span.clone(), problem));
    }
    headers
}

/// The name of a header: RFC 9110 section 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// The value of a header: RFC 9110 section 5.5, without the bytes that are obsolete.
fn is_field(value: &str) -> bool {
    value.chars().all(|c| c == '\t' || matches!(c, ' '..='~'))
}

/// A stream.
fn kinesis(name: &str, reader: &SectionReader<'_>, home: &ServiceLocation) -> Output {
    let stream = aws_resource::name(reader, &shape::STREAM, &aws_resource::STREAM, name);
    let place = aws_resource::location(reader, &stream, home);
    Output::Kinesis { stream, strict_order: reader.boolean(&aws_shape::STRICT_ORDER), place }
}

/// A queue.
fn sqs(name: &str, reader: &SectionReader<'_>, home: &ServiceLocation) -> Output {
    Output::Sqs {
        queue: aws_resource::queue(reader, &shape::QUEUE, name),
        place: aws_resource::location(reader, "", home),
    }
}

/// A topic, or text messages.
fn sns(reader: &SectionReader<'_>, home: &ServiceLocation) -> Output {
    let topic = reader
        .entry(&aws_shape::TOPIC_ARN)
        .map(|_| aws_resource::name(reader, &aws_shape::TOPIC_ARN, &aws_resource::TOPIC, ""));
    let phone = reader.entry(&aws_shape::PHONE_NUMBER).map(|entry| (entry, phone(reader)));
    let place = aws_resource::location(reader, topic.as_deref().unwrap_or_default(), home);
    let receiver = match (topic, phone) {
        (Some(topic), None) => SnsReceiver::Topic(topic),
        (None, Some((_, phone))) => SnsReceiver::Phone(phone),
        (None, None) => SnsReceiver::Attribute,
        (Some(topic), Some((entry, _))) => {
            let message = "`topic_arn` and `phone_number` exclude each other";
            let finding = Finding::error(Code::BAD_VALUE, entry.key_span.clone(), message);
            let other = reader.key_span(&aws_shape::TOPIC_ARN);
            reader.findings.add(finding.related(other, "here").help("make two outputs of it"));
            SnsReceiver::Topic(topic)
        }
    };
    Output::Sns { receiver, place }
}

/// Mails by SES.
fn ses(reader: &SectionReader<'_>, home: &ServiceLocation) -> Output {
    let rate = reader.given_integer(&aws_shape::RATE).and_then(|rate| u32::try_from(rate).ok());
    let ambiguous = match reader.choice(&aws_shape::AMBIGUOUS) {
        "dead-letter" => AmbiguousSend::DeadLetter,
        _ => AmbiguousSend::Retry,
    };
    let (from, to, subject) = mail(reader);
    Output::Ses { from, to, subject, rate, ambiguous, place: aws_resource::location(reader, "", home) }
}

/// Mails by a server.
fn smtp(reader: &SectionReader<'_>) -> Output {
    let url = reader.text(&aws_shape::SERVER);
    if let Some(problem) = url.as_deref().and_then(|url| aws_resource::url_problem(url, ["smtp", "smtps"])) {
        let finding = Finding::error(Code::OUTPUT_BAD_ADDRESS, reader.value_span(&aws_shape::SERVER), problem);
        reader.findings.add(finding.help("write url = \"smtp://user:password@mail.example.com:587\""));
    }
    let (from, to, subject) = mail(reader);
    Output::Smtp { url: url.unwrap_or_default(), from, to, subject }
}

/// A bucket.
fn s3(reader: &SectionReader<'_>, home: &ServiceLocation) -> Output {
    Output::S3 {
        bucket: aws_resource::name(reader, &store::BUCKET, &aws_resource::BUCKET, ""),
        prefix: reader.text_or_default(&store::PREFIX),
        path_style: reader.boolean(&store::PATH_STYLE),
        place: aws_resource::location(reader, "", home),
    }
}

/// Sender, receivers and subject.
fn mail(reader: &SectionReader<'_>) -> (String, Vec<String>, Option<String>) {
    let from = reader.text(&aws_shape::FROM);
    if from.as_deref().is_some_and(|from| !is_mail(from)) {
        refuse_mail(reader, reader.value_span(&aws_shape::FROM));
    }
    let mut to = Vec::new();
    for (address, node) in reader.one_or_more(&aws_shape::TO) {
        if !is_mail(&address) {
            refuse_mail(reader, node.span.clone());
        }
        to.push(address);
    }
    let subject = reader.text(&aws_shape::SUBJECT);
    if subject.as_deref().is_some_and(|subject| subject.chars().any(char::is_control)) {
        let message = "a subject is one line, without control characters";
        reader.findings.add(Finding::error(Code::BAD_VALUE, reader.value_span(&aws_shape::SUBJECT), message));
    }
    (from.unwrap_or_default(), to, subject)
}

fn refuse_mail(reader: &SectionReader<'_>, place: std::ops::Range<usize>) {
    let finding = Finding::error(Code::OUTPUT_BAD_ADDRESS, place, "this is not a mail address");
    reader.findings.add(finding.help("write \"name@example.com\", or \"Name <name@example.com>\""));
}

/// True for one `@` with text on both sides, on one line. Only the mail server knows if the address exists, and the
/// full grammar would refuse addresses that servers accept.
fn is_mail(text: &str) -> bool {
    let address = match text.rsplit_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text,
    };
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';');
    let parts = address.rsplit_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
    parts.is_some() && !address.contains(strange) && !text.contains(char::is_control)
}

/// E.164: a plus sign and up to 15 digits.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-mobile-phone-number-as-subscriber.html>, 2026-11.
fn phone(reader: &SectionReader<'_>) -> String {
    let key: &KeySpec = &aws_shape::PHONE_NUMBER;
    let Some(number) = reader.text(key) else { return String::new() };
    let digits = number.strip_prefix('+').unwrap_or_default();
    if !(2..=15).contains(&digits.len()) || !digits.chars().all(|c| c.is_ascii_digit()) {
        let finding = Finding::error(Code::OUTPUT_BAD_ADDRESS, reader.value_span(key), "this is not a phone number");
        reader.findings.add(finding.help("with the country's code and digits only: \"+15555550100\""));
    }
    number
}
