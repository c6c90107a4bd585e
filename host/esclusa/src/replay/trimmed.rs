//! Finds events that a replay asks for and that the source has trimmed.

use super::request::ReplayJob;
use crate::wiring::aws::Cloud;
use crate::wiring::store_schema::ingest_stream;
use esclusa_config::plan::Source;
use esclusa_embedded::{Store, TrimmedRecords};
use esclusa_pipeline::meter::epoch_millis;

/// How long a stream of a DynamoDB table keeps its records, milliseconds.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>, "24 hours", October 2026.
const TABLE_STREAM: u64 = 24 * 3600 * 1000;

/// Events that a replay asks for and that the source does not keep any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct TrimmedEvents {
    /// The most that there can have been; `None`: the source does not count them.
    pub events: Option<u64>,
    /// When the oldest event that is kept was accepted, milliseconds since the Unix epoch; `None`: the source keeps
    /// none.
    pub begins: Option<u64>,
}

/// The trimmed events of a job; `None`: there are none, or the source does not know.
///
/// # Errors
/// Why the source does not answer.
pub(super) async fn gone(
    job: &ReplayJob,
    own: Option<&Store>,
    cloud: Option<&Cloud>,
) -> Result<Option<TrimmedEvents>, String> {
    let trimmed = match (&job.source, own) {
        (Source::Stream { stream, .. }, Some(store)) => store.stream_trimmed(stream),
        (Source::Http { .. }, Some(store)) => store.stream_trimmed(&ingest_stream(&job.route.source)),
        (Source::TableChanges { table, .. }, Some(store)) => store.changes_trimmed(table),
        _ => Ok(Vec::new()),
    };
    if let Some(gone) = of_log(job.since, &trimmed.map_err(|fault| fault.to_string())?) {
        return Ok(Some(gone));
    }
    let Some(since) = job.since else { return Ok(None) };
    let begins = match (&job.source, cloud) {
        (Source::Kinesis { stream, place, .. }, Some(cloud)) => cloud.keeps_from(stream, place, epoch_millis()).await?,
        (Source::DynamodbStream { .. }, _) => Some(epoch_millis().saturating_sub(TABLE_STREAM)),
        _ => None,
    };
    let begins = begins.filter(|begins| since < *begins);
    Ok(begins.map(|begins| TrimmedEvents { events: None, begins: Some(begins) }))
}

fn of_log(since: Option<u64>, trimmed: &[TrimmedRecords]) -> Option<TrimmedEvents> {
    let late = |begins: u64| since.is_none_or(|since| since < begins);
    let missing = || trimmed.iter().filter(|partition| partition.begins.is_none_or(late));
    missing().next()?;
    let events = missing().fold(0_u64, |sum, partition| sum.saturating_add(partition.records));
    Some(TrimmedEvents { events: Some(events), begins: missing().filter_map(|partition| partition.begins).max() })
}

#[cfg(test)]
mod tests {
    use super::{TrimmedEvents, of_log};
    use esclusa_embedded::TrimmedRecords;

    #[test]
    fn partitions_that_begin_later_than_asked_for_are_added_up() {
        let trimmed = [
            TrimmedRecords { records: 3, begins: Some(100) },
            TrimmedRecords { records: 5, begins: Some(200) },
            TrimmedRecords { records: 7, begins: None },
        ];
        let gone = |events, begins| Some(TrimmedEvents { events: Some(events), begins });
        assert_eq!(of_log(None, &trimmed), gone(15, Some(200)));
        assert_eq!(of_log(Some(50), &trimmed), gone(15, Some(200)));
        assert_eq!(of_log(Some(100), &trimmed), gone(12, Some(200)));
        assert_eq!(of_log(Some(200), &trimmed), gone(7, None));
        assert_eq!(of_log(Some(200), &trimmed[..2]), None);
        assert_eq!(of_log(None, &[]), None);
    }
}
