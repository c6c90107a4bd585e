//! Paths of the files. The same batch gives the same paths, so that a repetition overwrites.

use esclusa_plugin::json::{Json, Record};
use esclusa_plugin::moment::Moment;
use esclusa_plugin::{Batch, EventError, Template};
use std::borrow::Cow;

/// The fields of a path template that the batch gives, not the record.
const OF_THE_BATCH: [&str; 3] = ["batch", "date", "hour"];

/// Makes paths for the rows of a batch.
pub(crate) struct PathTemplate<'a> {
    template: &'a Template,
    of_the_batch: [String; 3],
    /// The path, if it does not depend on the record.
    common: Option<String>,
}

/// Without the batch's name every batch would overwrite the one before.
///
/// # Errors
/// In words for the operator.
pub(crate) fn check(template: &Template) -> Result<(), String> {
    if template.fields().any(|field| field == "batch") {
        return Ok(());
    }
    Err(format!("config.path: {:?} has no {{batch}}; each batch would overwrite the one before", template.source()))
}

impl<'a> PathTemplate<'a> {
    /// For the rows of this batch.
    pub(crate) fn new(template: &'a Template, batch: &Batch) -> Self {
        let now = i64::try_from(batch.now()).ok().and_then(|now| Moment::in_units(now, 1000)).map(Moment::calendar);
        let (date, hour) = now.map(|now| (now.date(), format!("{:02}", now.hour))).unwrap_or_default();
        let mut paths = PathTemplate { template, of_the_batch: [name(batch), date, hour], common: None };
        if template.fields().all(|field| OF_THE_BATCH.contains(&field)) {
            paths.common = paths.of_record(&Record::default()).ok();
        }
        paths
    }

    /// The path for a record.
    ///
    /// # Errors
    /// [`EventError::Reject`] if a field is missing, or would lead out of its directory.
    pub(crate) fn of_record(&self, record: &Record<'_>) -> Result<String, EventError> {
        if let Some(common) = &self.common {
            return Ok(common.clone());
        }
        for field in self.template.fields().filter(|field| !OF_THE_BATCH.contains(field)) {
            // A record must not lead out of the directory that the template gives it.
            if let Some(Json::Text(text)) = record.find(field)
                && (text.is_empty() || text == "." || text == ".." || text.contains(['/', '\\', '\0']))
            {
                return Err(EventError::Reject(format!(
                    "field {field:?} is {text:?}, which cannot be a part of a path"
                )));
            }
        }
        let of_the_batch = |field: &str| OF_THE_BATCH.iter().zip(&self.of_the_batch).find(|(name, _)| **name == field);
        let path = self.template.render_with(|field| match of_the_batch(field) {
            Some((_, text)) => Some(Json::Text(Cow::Borrowed(text))),
            None => record.find(field),
        });
        Ok(path?.into_owned())
    }
}

/// A name that depends on route, lane and event ids alone: their FNV-1a hash of 128 bits.
fn name(batch: &Batch) -> String {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    let mut hash: u128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D;
    let ids = batch.iter().map(|event| event.id());
    for text in [batch.origin.route.as_str(), &batch.origin.source, &batch.origin.lane].into_iter().chain(ids) {
        // A length in front keeps ("ab", "c") and ("a", "bc") apart.
        for byte in (text.len() as u32).to_le_bytes().into_iter().chain(text.bytes()) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    }
    format!("{hash:032x}")
}
