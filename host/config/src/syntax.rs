//! From text to a tree with spans, and from nodes of the tree to values. Knows nothing of what the values mean.

pub mod document;
pub mod interpolation;
pub mod reader;
pub mod repeated;
pub mod scalar;
pub mod tree;
pub mod unit;
