//! Rows: the records of an event, with their values in the columns' types.

use crate::column::Cell;
use crate::config::ParquetSettings;
use crate::path::PathTemplate;
use esclusa_plugin::json::{Json, Record, document};
use esclusa_plugin::{Event, EventError};

/// One value per column.
pub(crate) type Row = Vec<Cell>;

/// The rows of an event, with the paths of their files: one, or one per record of a Lambda event for a queue, in which the
/// records are texts (`{"Records":[{"body":"{…}"}]}`).
///
/// # Errors
/// [`EventError::Reject`] if a record does not fit: then none of the event's rows is written.
pub(crate) fn of_event(
    settings: &ParquetSettings,
    paths: &PathTemplate<'_>,
    event: Event<'_>,
) -> Result<Vec<(String, Row)>, EventError> {
    let record = Record::parse(event.text()?)?;
    let Some(Json::Array(records)) = record.get("Records").filter(|_| !has_column(settings, "Records")) else {
        return Ok(vec![of_record(settings, paths, &record)?]);
    };
    let mut rows = Vec::new();
    for (at, element) in document::array(records)?.iter().enumerate() {
        let body =
            body(element).ok_or_else(|| EventError::Reject(format!("Records[{at}] has no body that is a text")))?;
        let row = Record::parse(&body).map_err(EventError::from).and_then(|record| of_record(settings, paths, &record));
        rows.push(row.map_err(|error| match error {
            EventError::Reject(reason) => EventError::Reject(format!("Records[{at}].body: {reason}")),
            other => other,
        })?);
    }
    if rows.is_empty() { Err(EventError::skip("no records")) } else { Ok(rows) }
}

fn has_column(settings: &ParquetSettings, name: &str) -> bool {
    settings.columns.iter().any(|column| column.name == name)
}

fn body(element: &Json<'_>) -> Option<String> {
    let Json::Object(text) = element else { return None };
    Record::parse(text).ok()?.text("body").map(str::to_owned)
}

fn of_record(
    settings: &ParquetSettings,
    paths: &PathTemplate<'_>,
    record: &Record<'_>,
) -> Result<(String, Row), EventError> {
    let cells = settings.columns.iter().map(|column| column.cell(record.find(&column.name)));
    let row = cells.collect::<Result<_, _>>().map_err(EventError::Reject)?;
    Ok((paths.of_record(record)?, row))
}
