//! How the program ends: its exit codes, as `docs/reference/cli.md` lists them.

use std::process::ExitCode;

/// The result of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything went well.
    Ok,
    /// Something went wrong.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// The router stopped before everything in flight was finished. Nothing is lost: it is delivered again.
    Incomplete,
    /// routes.toml, or a plugin in it, cannot be used: `EX_CONFIG` of sysexits.h.
    Configuration,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Incomplete => 3,
            Exit::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}
