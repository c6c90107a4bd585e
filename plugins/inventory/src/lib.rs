//! The `inventory` plugin.
