//! `[output.NAME]`, each by itself.

mod aws;

use super::declared::Declared;
use super::paths::Paths;
use super::source::{engine_name, partitions};
use crate::codes::Code;
use crate::plan::{Output, ServiceLocation};
use crate::report::{Finding, lower_case};
use crate::shape::{output as shape, root};
use crate::syntax::reader::Reader;
use crate::syntax::tree::Value;

/// Every output.
pub fn all(root: &Reader<'_>, paths: &Paths<'_>, home: &ServiceLocation) -> Declared<Output> {
    // An output that cannot be read is taken for one that can do everything, so that its routes are not reported, too.
    let fallback = || Output::Queue { queue: String::new() };
    Declared::read(root, &root::OUTPUT, &shape::FAMILY, |name, reader| output(name, reader, paths, home), fallback)
}

fn output(name: &str, reader: &Reader<'_>, paths: &Paths<'_>, home: &ServiceLocation) -> Output {
    match reader.section.name {
        "stream" => {
            Output::Stream { stream: engine_name(name, reader, &shape::STREAM), partitions: partitions(reader) }
        }
        "queue" => Output::Queue { queue: engine_name(name, reader, &shape::QUEUE) },
        "file" => Output::File { path: paths.read(reader, &shape::PATH) },
        "webhook" => {
            Output::Webhook { url: url(reader), headers: headers(reader), timeout: reader.duration(&shape::TIMEOUT) }
        }
        "kinesis" => aws::kinesis(name, reader, home),
        "sqs" => aws::sqs(name, reader, home),
        "sns" => aws::sns(reader, home),
        "ses" => aws::ses(reader, home),
        "smtp" => aws::smtp(reader),
        "s3" => aws::s3(reader, home),
        _ => Output::Console,
    }
}

fn url(reader: &Reader<'_>) -> String {
    let Some(text) = reader.text(&shape::URL) else { return String::new() };
    let problem = match url::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return text,
        Ok(_) => "this is not an http or https URL".to_owned(),
        Err(error) => format!("this is not a URL: {}", lower_case(&error.to_string())),
    };
    let finding = Finding::error(Code::OUTPUT_BAD_WEBHOOK, reader.place(&shape::URL), problem);
    reader.findings.add(finding.help("write url = \"https://example.com/hook\""));
    text
}

fn headers(reader: &Reader<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let table = reader.table(&shape::HEADERS, "write headers = { Name = \"value\" }");
    for entry in table.map(|table| table.entries.as_slice()).unwrap_or_default() {
        let problem = match &entry.node.value {
            Value::Text(text) if !is_token(&entry.key) || !is_field(&text.text) => "this cannot be an HTTP header",
            Value::Text(text) => {
                headers.push((entry.key.clone(), text.text.clone()));
                continue;
            }
            Value::Broken => continue,
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

/// The value of a header: RFC 9110 section 5.5, without what is obsolete.
fn is_field(value: &str) -> bool {
    value.chars().all(|c| c == '\t' || matches!(c, ' '..='~'))
}
