//! The `parquet` plugin: one Parquet file per batch of JSON records, with a typed schema. The same batch gives the same
//! bytes at the same path.

mod column;
mod config;
mod file;
mod path;
mod row;

use config::ParquetSettings;
use esclusa_plugin::{Batch, Effects, Failure, Object, Plugin, export};
use file::RowFile;
use path::PathTemplate;
use std::collections::BTreeMap;

/// The plugin; configured, it is a [`config::ParquetSettings`].
pub struct Parquet(ParquetSettings);

impl Plugin for Parquet {
    type Config = config::ParquetConfig;

    const SCHEMA: &'static str = include_str!("../config.schema.json");

    fn new(config: Self::Config) -> Result<Self, String> {
        ParquetSettings::new(config).map(Parquet)
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        let settings = &self.0;
        let paths = PathTemplate::new(&settings.path, batch);
        let mut files: BTreeMap<String, RowFile> = BTreeMap::new();
        out.for_each(batch, |event, _| {
            for (path, row) in row::of_event(settings, &paths, event)? {
                let file = files.entry(path).or_insert_with(|| RowFile::new(&settings.columns));
                file.push(event.index(), row);
            }
            Ok(())
        })?;
        for (path, file) in files {
            let cause = file.cause();
            let bytes =
                file.write(settings).map_err(|error| Failure::Halt(format!("cannot write {path:?}: {error}")))?;
            let object = Object::new(&settings.store, path, bytes).content_type("application/vnd.apache.parquet");
            out.push_for(cause, object);
        }
        Ok(())
    }
}

export!(Parquet);

#[cfg(test)]
mod tests;
