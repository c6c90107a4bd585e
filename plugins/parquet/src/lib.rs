//! The `parquet` plugin.
