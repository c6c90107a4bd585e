//! The command line: the commands, and the options of all of them. Each command has a file.
//!
//! Standard output is data, standard error is messages. A command talks to the router that runs, or opens the store
//! itself if none runs.

mod audit;
mod cannot_start;
mod completions;
mod connect;
mod control;
mod dlq;
mod invoke;
mod plugin;
mod print;
mod reference;
mod replay;
mod router_file;
mod routes;
mod run;
mod send;
mod store;
mod table;
mod validate;

use crate::configuration;
use crate::telemetry::{self, LogFormat};
use anyhow::Result;
use cannot_start::CannotStart;
use clap::{Args, Parser, Subcommand};
pub use completions::answer_shell;
use esclusa_config::{Diagnostic, LoadedConfig, Problems};
use rustix::fs::Mode;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

/// Routes events from streams and queues to sandboxed WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "esclusa", version, disable_help_subcommand = true)]
#[command(
    after_help = "Examples:\n  esclusa run -c routes.toml\n  esclusa table scan orders --json | head\n\nExit codes: 0 ok, 1 failed, 2 usage, 3 drain incomplete, 69 unavailable, 73 cannot create, 77 no permission, 78 configuration"
)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// The configuration file
    #[arg(short, long, global = true, env = "ESCLUSA_CONFIG", default_value = "routes.toml", value_name = "FILE")]
    config: PathBuf,
    /// Write JSON instead of text for people
    #[arg(long, global = true)]
    json: bool,
    /// The format of standard error
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    log_format: LogFormat,
    /// The log level, or directives such as warn,esclusa=debug [default: info for run, else warn]
    #[arg(long, global = true, env = "ESCLUSA_LOG", value_name = "FILTER")]
    log_level: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the router until a signal stops it
    Run(run::RunArgs),
    /// Check the configuration and every plugin in it; exit 78 if there is a problem
    Validate(validate::ValidateArgs),
    /// Put events into a stream, a queue or an http source
    Send(send::SendArgs),
    /// Read tables
    #[command(subcommand, after_help = "Example:\n  esclusa table scan orders")]
    Table(table::TableCommand),
    /// Call a route's plugin on events and print its effects; --live carries them out
    Invoke(invoke::InvokeArgs),
    /// Rebuild a table from the events that a route's source keeps; the route itself goes on as it is
    Replay(replay::ReplayArgs),
    /// Read, redrive and drop dead letters
    #[command(subcommand, after_help = "Example:\n  esclusa dlq ls --route orders")]
    Dlq(dlq::DlqCommand),
    /// Check, back up, restore, upgrade and salvage the store
    #[command(subcommand, after_help = "Example:\n  esclusa store check")]
    Store(store::StoreCommand),
    /// List the routes: source, plugin, state, and delivery guarantees
    #[command(after_help = "Example:\n  esclusa routes --json")]
    Routes,
    /// Show the state of every route
    #[command(after_help = "Example:\n  esclusa status")]
    Status,
    /// Prove that every event is accounted for: received = done + skipped + filtered + dead + in flight
    #[command(after_help = "Example:\n  esclusa audit && echo 'nothing is missing'")]
    Audit,
    /// Stop a route from taking events, until it is resumed
    #[command(after_help = "Example:\n  esclusa pause orders")]
    Pause(control::RouteArgs),
    /// Let a paused or halted route go on
    #[command(after_help = "Example:\n  esclusa resume orders")]
    Resume(control::RouteArgs),
    /// Load the configuration and changed plugins; returns when they are in force or refused
    #[command(after_help = "Example:\n  esclusa reload")]
    Reload,
    /// Look at a plugin's file
    #[command(subcommand, after_help = "Example:\n  esclusa plugin inspect plugins/etl.wasm")]
    Plugin(plugin::PluginCommand),
    /// Print the least IAM policy that the routes need, as JSON
    #[command(after_help = "Example:\n  esclusa iam-policy -c routes.toml > policy.json")]
    IamPolicy,
    /// Print the JSON Schema of routes.toml, for editors
    #[command(after_help = "Example:\n  esclusa schema > routes.schema.json")]
    Schema,
    /// Explain the code of an error, a dead letter, a fault or a refused request
    #[command(after_help = "Example:\n  esclusa explain route::missing_grant")]
    Explain(reference::Explain),
    /// Print completions for a shell
    #[command(after_help = "Example, for ~/.bashrc:\n  source <(esclusa completions bash)")]
    Completions(completions::Completions),
    /// Print the version
    #[command(after_help = "Example:\n  esclusa version --json")]
    Version,
}

/// The result of a command: its exit code, as `docs/reference/cli.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command has succeeded.
    Ok,
    /// The command failed.
    Failed,
    /// The command line cannot be understood.
    Usage,
    /// The router stopped before all events in flight were finished. They are not lost, but delivered again.
    Incomplete,
    /// Something that the program needs is taken or not there: a port, the store, the router. `EX_UNAVAILABLE` of sysexits.h.
    Unavailable,
    /// A directory or a file cannot be created: `EX_CANTCREAT` of sysexits.h.
    CannotCreate,
    /// The system does not permit it: `EX_NOPERM` of sysexits.h.
    NoPermission,
    /// routes.toml or a plugin in it cannot be used: `EX_CONFIG` of sysexits.h.
    Configuration,
}

impl Exit {
    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Incomplete => 3,
            Exit::Unavailable => 69,
            Exit::CannotCreate => 73,
            Exit::NoPermission => 77,
            Exit::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// A configuration that cannot be used: all problems of it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.summary())]
struct InvalidConfiguration(Problems);

/// A mistake in the command line: exit 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

impl Cli {
    /// Runs the command; errors are written to standard error.
    ///
    /// Not async: the futures of all commands are compiled in this crate, and not a second time in the program.
    pub fn run(self) -> Exit {
        // The store holds what events hold, whichever command makes it: its files are for this account alone.
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let error = anyhow::Error::new(error).context("cannot start the threads of the program");
                return report(&error, self.global.json);
            }
        };
        let exit = runtime.block_on(self.run_async());
        telemetry::finish();
        // Does not wait for work that still runs, such as a compiler: nobody needs its result any more.
        runtime.shutdown_background();
        exit
    }

    async fn run_async(self) -> Exit {
        let level = match (&self.global.log_level, &self.command) {
            // A variable that is set to nothing counts as not set.
            (Some(level), _) if !level.is_empty() => level,
            (_, Command::Run(_)) => "info",
            _ => "warn",
        };
        let result = match telemetry::start(self.global.log_format, level) {
            Ok(()) => self.command.run(&self.global).await,
            Err(why) => Err(UsageError(why).into()),
        };
        match result {
            Ok(exit) => exit,
            Err(error) => report(&error, self.global.json),
        }
    }
}

impl Command {
    async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        match self {
            Command::Run(run) => run.run(global).await,
            Command::Validate(validate) => validate.run(global).await,
            Command::Send(send) => send.run(global).await,
            Command::Table(table) => table.run(global).await,
            Command::Invoke(invoke) => invoke.run(global).await,
            Command::Replay(replay) => replay.run(global).await,
            Command::Dlq(dlq) => dlq.run(global).await,
            Command::Store(store) => store.run(global).await,
            Command::Routes => routes::routes(global).await,
            Command::Status => routes::status(global).await,
            Command::Audit => audit::audit(global).await,
            Command::Pause(route) => route.set(global, "pause").await,
            Command::Resume(route) => route.set(global, "resume").await,
            Command::Reload => control::reload(global).await,
            Command::Plugin(plugin) => plugin.run(global).await,
            Command::IamPolicy => reference::iam_policy(global),
            Command::Schema => reference::schema(),
            Command::Explain(explain) => explain.run(global),
            Command::Completions(completions) => completions.run(),
            Command::Version => reference::version(global),
        }
    }
}

impl GlobalArgs {
    /// Reads the configuration and writes its warnings to standard error.
    fn load(&self) -> Result<LoadedConfig> {
        let loaded = configuration::read(&self.config).map_err(InvalidConfiguration)?;
        for warning in &loaded.warnings {
            print::message(warning.render(telemetry::colour()).trim_end());
        }
        Ok(loaded)
    }

    /// Reads the configuration; warnings are left out, since `run` and `validate` show them.
    fn load_quietly(&self) -> Result<LoadedConfig> {
        Ok(configuration::read(&self.config).map_err(InvalidConfiguration)?)
    }
}

/// Writes an error to standard error, and with `--json` as an object to standard output; gives its exit code.
fn report(error: &anyhow::Error, json: bool) -> Exit {
    if error.is::<print::ReaderGone>() {
        return Exit::Ok;
    }
    let Failure { text, problems, exit } = Failure::of(error);
    if json {
        // If standard output cannot be written, standard error has the same.
        let _ = print::json(&print::failed_answer(problems));
    }
    print::error(text.trim_end());
    exit
}

/// An error as it is shown.
struct Failure {
    text: String,
    /// Its parts as JSON, warnings included.
    problems: Vec<Value>,
    exit: Exit,
}

impl Failure {
    fn of(error: &anyhow::Error) -> Self {
        let colour = telemetry::colour();
        if let Some(InvalidConfiguration(problems)) = error.downcast_ref::<InvalidConfiguration>() {
            let (text, exit) = (problems.render(colour), Exit::Configuration);
            return Failure { text, problems: problems.0.iter().map(Diagnostic::to_json).collect(), exit };
        }
        if let Some(CannotStart { problem, exit }) = error.downcast_ref::<CannotStart>() {
            return Failure { text: problem.render(colour), problems: vec![problem.to_json()], exit: *exit };
        }
        if let Some(refused) = error.downcast_ref::<connect::Refused>()
            && !refused.diagnostics.is_empty()
        {
            let (text, exit) = (refused.message.clone(), Exit::Configuration);
            return Failure { text, problems: refused.diagnostics.clone(), exit };
        }
        let message = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
        let exit = if error.is::<UsageError>() {
            Exit::Usage
        } else if error.is::<connect::NotYet>() {
            Exit::Unavailable
        } else {
            Exit::Failed
        };
        Failure { text: format!("error: {message}"), problems: vec![print::problem(&message)], exit }
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    fn leaves(command: &clap::Command, path: &str, out: &mut Vec<(String, clap::Command)>) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            out.push((path.clone(), sub.clone()));
            leaves(sub, &path, out);
        }
    }

    #[test]
    fn the_command_line_is_sound_and_every_help_has_an_example() {
        let command = Cli::command();
        command.clone().debug_assert();
        let mut all = Vec::new();
        leaves(&command, "esclusa", &mut all);
        assert!(all.len() > 20);
        for (path, mut sub) in all {
            let help = sub.render_help().to_string();
            assert!(help.contains("Example"), "{path} --help has no example");
        }
    }

    #[test]
    fn the_reference_page_names_every_command_and_option() {
        let page = include_str!("../../../docs/reference/cli.md");
        let command = Cli::command();
        let mut all = Vec::new();
        leaves(&command, "esclusa", &mut all);
        for (path, sub) in all {
            assert!(page.contains(&format!("`{path}")), "docs/reference/cli.md does not describe {path}");
            for option in sub.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(
                    page.contains(&format!("--{option}")),
                    "docs/reference/cli.md does not describe {path} --{option}"
                );
            }
        }
    }
}
