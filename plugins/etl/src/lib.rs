//! The `etl` plugin.
