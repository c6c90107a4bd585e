//! `starting_position`.

use crate::codes::Code;
use crate::plan::Start;
use crate::report::Finding;
use crate::shape::source::{CHANGES_POSITION, STARTING_POSITION, STARTING_POSITION_TIMESTAMP};
use crate::syntax::reader::Reader;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the routes of a source start that have no position yet, of a source that knows no times.
pub fn without_time(reader: &Reader<'_>) -> Start {
    if reader.choice(&CHANGES_POSITION) == "LATEST" { Start::Latest } else { Start::TrimHorizon }
}

/// Where a stream's routes start that have no position yet.
pub fn start(reader: &Reader<'_>) -> Start {
    let word = reader.choice(&STARTING_POSITION);
    let time = reader.timestamp(&STARTING_POSITION_TIMESTAMP);
    let given = reader.entry(&STARTING_POSITION_TIMESTAMP);
    match (word, given) {
        ("AT_TIMESTAMP", Some(_)) => {
            let time = time.unwrap_or_default();
            if UNIX_EPOCH + Duration::from_millis(time) > SystemTime::now() {
                let place = reader.place(&STARTING_POSITION_TIMESTAMP);
                let finding = Finding::error(Code::BAD_VALUE, place, "this time is still to come");
                reader
                    .findings
                    .add(finding.help("events of the past are read from a time on; LATEST waits for new ones"));
            }
            return Start::AtTimestamp(time);
        }
        ("AT_TIMESTAMP", None) => {
            let finding =
                Finding::error(Code::MISSING_KEY, reader.place(&STARTING_POSITION), "AT_TIMESTAMP needs a time");
            reader.findings.add(finding.help("add starting_position_timestamp = \"2026-01-31T12:00:00Z\""));
        }
        (_, Some(entry)) => {
            let message = "this has no effect without starting_position = \"AT_TIMESTAMP\"";
            reader.findings.add(Finding::warning(Code::NO_EFFECT, entry.key_span.clone(), message));
        }
        (_, None) => {}
    }
    if word == "LATEST" { Start::Latest } else { Start::TrimHorizon }
}
