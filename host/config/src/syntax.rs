//! From the text to a tree whose nodes have their places, and from a node to a value of the type that a key takes. The
//! meaning of the values is the matter of `check`.

pub(crate) mod interpolation;
pub(crate) mod nesting;
pub(crate) mod repeated_keys;
pub(crate) mod scalar;
pub(crate) mod section_reader;
pub(crate) mod toml_document;
pub(crate) mod toml_tree;
pub(crate) mod units;
