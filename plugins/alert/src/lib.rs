//! The `alert` plugin.
