//! From text to a tree with spans, and from nodes of the tree to values. Knows nothing of what the values mean.

pub(crate) mod interpolation;
pub(crate) mod repeated_keys;
pub(crate) mod scalar;
pub(crate) mod section_reader;
pub(crate) mod toml_document;
pub(crate) mod toml_tree;
pub(crate) mod units;
