//! Why a configuration, a plugin or an address is not in force: for people, and with the places in routes.toml that are known.

mod not_bound;
mod of_plugins;

pub(crate) use not_bound::not_bound;
pub(crate) use of_plugins::refusals;

use esclusa_config::{Diagnostic, Problems, Severity};

/// Problems that a message of one line names; the page and `esclusa validate` show all of them.
const NAMED: usize = 10;

/// The reasons why something is not in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// The reasons in one line, with what to do about them.
    pub message: String,
    /// The places in routes.toml; empty if there are none.
    pub problems: Vec<Diagnostic>,
}

impl From<Problems> for Refusal {
    fn from(problems: Problems) -> Self {
        let errors: Vec<_> = problems.0.iter().filter(|d| d.severity == Severity::Error).collect();
        let line = |d: &&Diagnostic| {
            let help = d.help.as_ref().map_or_else(String::new, |help| format!("; help: {help}"));
            format!("{}:{}:{}: {} [{}]{help}", d.file, d.line, d.column, d.message, d.code)
        };
        let mut lines: Vec<String> = errors.iter().take(NAMED).map(line).collect();
        if errors.len() > NAMED {
            lines.push(format!("and {} more: see `esclusa validate`", errors.len() - NAMED));
        }
        Refusal { message: lines.join("; "), problems: problems.0 }
    }
}

impl From<Diagnostic> for Refusal {
    fn from(problem: Diagnostic) -> Self {
        Problems(vec![problem]).into()
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Refusal { message, problems: Vec::new() }
    }
}

impl Refusal {
    /// The reasons as text, with the lines of routes.toml if they are known.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        if self.problems.is_empty() { self.message.clone() } else { Problems(self.problems.clone()).render(false) }
    }

    /// The places as JSON; `None` if there are none.
    #[must_use]
    pub(crate) fn diagnostics(&self) -> Option<serde_json::Value> {
        (!self.problems.is_empty()).then(|| Problems(self.problems.clone()).to_json())
    }

    /// All reasons as one.
    #[must_use]
    pub(crate) fn of_all(all: Vec<Refusal>) -> Self {
        let message = all.iter().map(|refusal| refusal.message.as_str()).collect::<Vec<_>>().join("; ");
        Refusal { message, problems: all.into_iter().flat_map(|refusal| refusal.problems).collect() }
    }
}
