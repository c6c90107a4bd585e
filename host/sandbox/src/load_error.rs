//! Why a plugin cannot be loaded. Each message names what was found and what is expected, and how to mend it.

use crate::contract::CONTRACT;
use crate::guest_log::escape;
use esclusa_flow::call_output::CallError;
use esclusa_flow::verdict::cut;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes that a plugin's file may have.
pub const MAX_FILE: usize = 32 << 20;

/// Why a plugin cannot be loaded or configured.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The path is not that of a file.
    #[error("{path} is {what}, expected a plugin's file")]
    NoFile {
        /// The path.
        path: PathBuf,
        /// Its kind, with the article.
        what: &'static str,
    },
    /// The file is too large.
    #[error("the file is larger than {} MiB, the most that a plugin may have", MAX_FILE >> 20)]
    TooLarge,
    /// The file is no component.
    #[error("found {found}, expected a WebAssembly component{hint}")]
    NotAComponent {
        /// The kind of file.
        found: String,
        /// How to mend it, beginning with punctuation; may be empty.
        hint: String,
    },
    /// The component is malformed.
    #[error("the component is damaged or cut off: {0}; build it again")]
    Malformed(String),
    /// The component needs a proposal that is off.
    #[error(
        "the component needs the WebAssembly proposal {proposal:?}, which is off here: {detail}; build for wasm32-wasip2 without it"
    )]
    Proposal {
        /// Name of the proposal.
        proposal: String,
        /// The place of its use, as the validator gives it.
        detail: String,
    },
    /// The component would take too long to compile, or too much memory.
    #[error("the component is too large to compile: {0}")]
    Bomb(String),
    /// Compiling failed.
    #[error("the component cannot be compiled: {0}")]
    Compile(String),
    /// Compiling took too much processor time.
    #[error(
        "compiling took more than {0:?} of processor time and was given up; split large functions, or build with optimisation"
    )]
    CompileTime(Duration),
    /// Compiling took too much memory.
    #[error("compiling took more than {} MiB of memory, or more than the machine has, and was given up; split large functions, or build with optimisation", .0 >> 20)]
    CompileMemory(u64),
    /// The child that compiled ended without an answer.
    #[error("compiling ended without a result: {0}; build the plugin again, and report it if it happens again")]
    CompileLost(String),
    /// A text of the plugin's description of itself is too long.
    #[error("the plugin's {what} has {bytes} bytes, more than {most}")]
    Wordy {
        /// Which of its texts.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The most that it may have.
        most: usize,
    },
    /// The component was built for another version of the contract.
    #[error(
        "the plugin was built for version {found} of the contract esclusa:router, and this router speaks {CONTRACT}; build it \
         again with the SDK of this release"
    )]
    OtherContract {
        /// The version that the component names.
        found: String,
    },
    /// The component imports interfaces that the router does not offer.
    #[error("the plugin imports interfaces that the router does not offer: {}; offered are {}", listed(.0), crate::guest::OFFERED)]
    Imports(Vec<String>),
    /// The component does not export the contract.
    #[error("the plugin does not export {}; it exports {found}; build it for the contract esclusa:router@{CONTRACT}", .missing.join(", "))]
    Exports {
        /// The missing interfaces.
        missing: Vec<String>,
        /// The component's exports.
        found: String,
    },
    /// An export has another type than the contract.
    #[error("the plugin's {export} does not have the type of the contract, {expected}: {detail}")]
    Signature {
        /// The function.
        export: String,
        /// Its type in the contract.
        expected: &'static str,
        /// The difference.
        detail: String,
    },
    /// The plugin's `describe` failed.
    #[error("the plugin failed when it was asked to describe itself: {}", text(.0))]
    Describe(CallError),
    /// The plugin refused its configuration, or its `init` failed.
    #[error("the plugin does not start with this configuration: {}", text(.0))]
    Init(CallError),
    /// The sandbox is shutting down.
    #[error("the sandbox is shutting down")]
    Stopped,
}

/// Bytes of a name out of a plugin's file that a message contains.
const NAME: usize = 256;
/// Bytes of what the validator or the compiler says of a file.
const DETAIL: usize = 1 << 10;

impl LoadError {
    /// The same error, with the texts out of the plugin's file cut and visible on one line: a file of unknown origin moves no cursor,
    /// forges no line and fills no log.
    pub(crate) fn visible(self) -> Self {
        let detail = |text: String| escape(text.as_bytes(), DETAIL);
        match self {
            LoadError::Malformed(why) => LoadError::Malformed(detail(why)),
            LoadError::Proposal { proposal, detail: place } => LoadError::Proposal { proposal, detail: detail(place) },
            LoadError::Bomb(what) => LoadError::Bomb(detail(what)),
            LoadError::Compile(why) => LoadError::Compile(detail(why)),
            LoadError::Imports(names) => {
                LoadError::Imports(names.into_iter().map(|name| escape(name.as_bytes(), NAME)).collect())
            }
            LoadError::Exports { missing, found } => LoadError::Exports { missing, found: detail(found) },
            LoadError::Signature { export, expected, detail: difference } => {
                LoadError::Signature { export, expected, detail: detail(difference) }
            }
            other => other,
        }
    }
}

/// Bytes of a plugin's reason that a message contains.
const REASON: usize = 4 << 10;

fn text(error: &CallError) -> String {
    let text = match error {
        CallError::Retry(why) | CallError::Halt(why) => why.clone(),
        CallError::Failed(failure) => format!("{}: {}", failure.kind.code(), failure.message),
        CallError::Host(fault) => fault.to_string(),
    };
    cut(&text, REASON)
}

/// Names of interfaces that a message lists.
const LISTED: usize = 20;

/// The first names, and the number of the others.
pub(crate) fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(LISTED);
    let first: Vec<_> = names.iter().take(LISTED).map(String::as_str).collect();
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}
