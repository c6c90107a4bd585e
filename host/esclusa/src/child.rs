//! Commands that the program starts itself with, to work in a process that can be killed. No help lists them.

use crate::runtime::plugins::check::check_config;
use esclusa_sandbox::child::ChildCommand;
use esclusa_sandbox::{Compiler, compile_plugin};
use std::process::ExitCode;

/// Compiles one plugin.
const COMPILE: &str = "compile-plugin";
/// Checks one configuration with the schema of a plugin.
const CHECK: &str = "check-config";

/// Does what such a command asks for; `None`: the command line is a user's. Called before anything else has begun: the
/// limits that it sets itself are for all that comes.
#[must_use]
pub fn serve() -> Option<ExitCode> {
    match std::env::args_os().nth(1)?.to_str()? {
        COMPILE => Some(compile_plugin()),
        CHECK => Some(check_config()),
        _ => None,
    }
}

/// Checks configurations in processes of their own.
#[must_use]
pub fn checker() -> ChildCommand {
    ChildCommand::this(CHECK)
}

/// Compiles plugins in processes of their own.
#[must_use]
pub fn compiler() -> Compiler {
    Compiler::Child(ChildCommand::this(COMPILE))
}
