//! Puts events from outside into the stream or queue of a source: lines become records.
//!
//! A call returns once its records are durable. All records of a call are stored, or none.

use crate::configuration::list_names;
use crate::json_field;
use crate::wiring::store_schema::ingest_stream;
use esclusa_config::plan::{Plan, Source};
use esclusa_embedded::{NewRecord, Store, line_text};
use esclusa_flow::fault::Fault;
use serde_json::value::RawValue;

/// Why records were not stored; none of them was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// There is no source of that name.
    #[error("there is no source {name:?}; routes.toml has {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The source takes no events from here.
    #[error("source {name:?} is of kind {kind}: {instead}")]
    Closed {
        /// The source.
        name: String,
        /// Its kind.
        kind: &'static str,
        /// The remedy.
        instead: &'static str,
    },
    /// An event is malformed.
    #[error("{0}")]
    Malformed(String),
    /// There are too many events for one request.
    #[error("a request may have {LINES} lines, this one has {0}: send it in parts")]
    TooMany(usize),
    /// A fault of the store.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Most lines of a request to a running router: a record takes far more memory than a short line has bytes.
const LINES: usize = 100_000;

/// The stream or queue that the events of a source are put into.
enum IntakeTarget {
    Stream(String),
    Queue(String),
}

/// Puts records into the stream or queue of a source; gives their ids once they are durable.
///
/// # Errors
/// [`NotTaken`]; none was stored then.
pub(crate) async fn put(
    store: &Store,
    plan: &Plan,
    source: &str,
    records: &[NewRecord],
) -> Result<Vec<String>, NotTaken> {
    let target = target(plan, source)?;
    // After the check of the source: a wrong name is an error even without records.
    if records.is_empty() {
        return Ok(Vec::new());
    }
    Ok(match target {
        IntakeTarget::Stream(stream) => store.append(&stream, records).await?,
        IntakeTarget::Queue(queue) => store.enqueue(&queue, records).await?,
    })
}

fn target(plan: &Plan, name: &str) -> Result<IntakeTarget, NotTaken> {
    let closed = |kind, instead| Err(NotTaken::Closed { name: name.to_owned(), kind, instead });
    match plan.sources.get(name) {
        Some(Source::Stream { stream, .. }) => Ok(IntakeTarget::Stream(stream.clone())),
        Some(Source::Queue { queue, .. }) => Ok(IntakeTarget::Queue(queue.clone())),
        Some(Source::Http { reply: false, .. }) => Ok(IntakeTarget::Stream(ingest_stream(name))),
        Some(Source::Http { reply: true, .. }) => {
            closed("http with reply = true", "ask a running router, at the source's listener or at /ingest")
        }
        Some(Source::File { .. }) => closed("file", "append lines to the file"),
        Some(Source::TableChanges { .. }) => closed("table-changes", "its events come from writes to the table"),
        Some(Source::Kinesis { .. }) => closed("kinesis", "put records with `aws kinesis put-records`"),
        Some(Source::DynamodbStream { .. }) => closed("dynamodb-stream", "its events come from writes to the table"),
        Some(Source::Sqs { .. }) => closed("sqs", "send messages with `aws sqs send-message`"),
        Some(Source::Kafka { .. }) => closed("kafka", "send records with `kafka-console-producer.sh`"),
        Some(Source::Generate { .. }) => closed("generate", "it generates its events itself"),
        Some(Source::Schedule { .. }) => closed("schedule", "it generates its events itself"),
        None => Err(NotTaken::Unknown { name: name.to_owned(), known: list_names(plan.sources.keys()) }),
    }
}

/// A record with a whole text.
#[must_use]
pub(crate) fn raw(data: Vec<u8>, key: &str) -> NewRecord {
    NewRecord { key: key.to_owned(), data, attributes: Vec::new() }
}

/// The lines of a text with their numbers, counted from 1; white space around them, and byte order marks and NULs in front of
/// them, are cut, and empty lines are left out.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let numbered = text.split(|byte| *byte == b'\n').enumerate();
    numbered.map(|(at, line)| (at + 1, line_text(line.trim_ascii()).trim_ascii())).filter(|(_, line)| !line.is_empty())
}

/// Counts the lines of a text; gives the text back, so that this can run on another thread.
///
/// # Errors
/// [`NotTaken::TooMany`].
pub(crate) fn count(text: Vec<u8>) -> (Vec<u8>, Result<usize, NotTaken>) {
    let count = lines(&text).count();
    (text, if count > LINES { Err(NotTaken::TooMany(count)) } else { Ok(count) })
}

/// A record for each line; each has to be JSON. `field` is the path of the field that holds the key, with dots between
/// nested names; `first` is the number of the first line, for messages.
///
/// # Errors
/// [`NotTaken::Malformed`] with the number of the line.
pub(crate) fn json_lines(text: &[u8], field: Option<&str>, first: usize) -> Result<Vec<NewRecord>, NotTaken> {
    let record = |(at, line): (usize, &[u8])| {
        let at = first.saturating_add(at).saturating_sub(1);
        let json: &RawValue = serde_json::from_slice(line).map_err(|error| {
            NotTaken::Malformed(format!("line {at} is not JSON: {error}; send other payloads with --raw"))
        })?;
        let key = match field {
            None => String::new(),
            Some(field) => key(json, field).ok_or_else(|| {
                NotTaken::Malformed(format!("line {at} has no text or number in field {field:?} to be its key"))
            })?,
        };
        Ok(raw(line.to_vec(), &key))
    };
    lines(text).map(record).collect()
}

/// The text or number in a field.
fn key(json: &RawValue, field: &str) -> Option<String> {
    let value = json_field::find(json.get(), field)?.get();
    match value.as_bytes().first()? {
        b'"' => serde_json::from_str(value).ok(),
        // As it was sent, with every digit, which a float would not keep.
        b'-' | b'0'..=b'9' => Some(value.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::json_lines;

    #[test]
    fn keys_are_taken_from_fields_with_every_digit() {
        let text = b"{\"a\":{\"b\":\"x\"}}\n\n {\"a\":{\"b\":12345678901234567890.10}} \r\n";
        let keys: Vec<String> = json_lines(text, Some("a.b"), 1).unwrap().into_iter().map(|r| r.key).collect();
        assert_eq!(keys, ["x", "12345678901234567890.10"]);
    }

    #[test]
    fn byte_order_marks_and_nuls_are_no_part_of_a_line() {
        let text = b"\xef\xbb\xbf{\"k\":1}\r\n\0\0\0{\"k\":2}\n\xef\xbb\xbf\n\xef\xbb\xbf {\"k\":\"\xef\xbb\xbf\"}";
        let records = json_lines(text, Some("k"), 1).unwrap();
        let lines: Vec<_> = records.iter().map(|record| (record.key.as_str(), record.data.as_slice())).collect();
        assert_eq!(lines, [("1", &b"{\"k\":1}"[..]), ("2", b"{\"k\":2}"), ("\u{feff}", b"{\"k\":\"\xef\xbb\xbf\"}")]);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_nothing_is_taken() {
        let error = json_lines(b"{}\n\nnope\n", None, 11).unwrap_err().to_string();
        assert!(error.starts_with("line 13 is not JSON"), "{error}");
        let error = json_lines(b"{\"k\":[]}", Some("k"), 1).unwrap_err().to_string();
        assert!(error.contains("line 1 has no text or number in field \"k\""), "{error}");
    }
}
