//! The `aggregate` plugin.
