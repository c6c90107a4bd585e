//! What of a plan cannot be reached.

/// Something that routes.toml names and that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// Routes that need it.
    pub routes: Vec<String>,
    /// What is wrong, and the remedy.
    pub why: String,
}
