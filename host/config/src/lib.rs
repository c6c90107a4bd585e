//! routes.toml: text to a checked [`plan::Plan`], or to all of its diagnostics.

pub mod plan;
