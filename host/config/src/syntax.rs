//! From text to a tree with spans, and from nodes of the tree to values. Knows nothing of what the values mean.

pub(crate) mod document;
pub(crate) mod interpolation;
pub(crate) mod reader;
pub(crate) mod repeated;
pub(crate) mod scalar;
pub(crate) mod tree;
pub(crate) mod unit;
