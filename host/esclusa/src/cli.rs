//! The command line: what can be asked for, and which file answers it.
//!
//! Standard output is data, standard error is messages. A command that needs a router talks to the one that runs,
//! or opens the store itself where none does.

mod audit;
mod control;
mod dlq;
mod invoke;
mod plugin;
mod print;
mod reach;
mod reference;
mod replay;
mod routes;
mod run;
mod send;
mod table;
mod validate;

use crate::configuration;
use crate::exit::Exit;
use crate::telemetry::{self, Format};
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use esclusa_config::{LoadedConfig, Problems};
use std::path::PathBuf;

/// Routes events from streams and queues to sandboxed WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "esclusa", version, disable_help_subcommand = true)]
#[command(
    after_help = "Examples:\n  esclusa run -c routes.toml\n  esclusa table scan orders --json | head\n\nExit codes: 0 ok, 1 failed, 2 usage, 3 drain incomplete, 78 configuration"
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The configuration
    #[arg(short, long, global = true, env = "ESCLUSA_CONFIG", default_value = "routes.toml", value_name = "FILE")]
    config: PathBuf,
    /// Write JSON instead of text for people
    #[arg(long, global = true)]
    json: bool,
    /// How log lines look on standard error
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    log_format: Format,
    /// What is logged: a level, or directives such as warn,esclusa=debug [default: info for run, else warn]
    #[arg(long, global = true, env = "ESCLUSA_LOG", value_name = "FILTER")]
    log_level: Option<String>,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the router until it is told to stop
    Run(run::Run),
    /// Check the configuration and every plugin in it; exit 78 where something is wrong
    Validate(validate::Validate),
    /// Put events into a stream, a queue or an http source
    Send(send::Send),
    /// Read tables
    #[command(subcommand, after_help = "Example:\n  esclusa table scan orders")]
    Table(table::Table),
    /// Run a route's plugin on events and print what it wants done; --live carries it out
    Invoke(invoke::Invoke),
    /// Rebuild a table from the events that a route's source keeps; the route itself is left alone
    Replay(replay::Replay),
    /// Read, replay and drop dead letters
    #[command(subcommand, after_help = "Example:\n  esclusa dlq ls --route orders")]
    Dlq(dlq::Dlq),
    /// List the routes: source, plugin, state, and what their outputs promise
    #[command(after_help = "Example:\n  esclusa routes --json")]
    Routes,
    /// Tell how every route is doing
    #[command(after_help = "Example:\n  esclusa status")]
    Status,
    /// Prove that every event is accounted for: received = done + skipped + filtered + dead + in flight
    #[command(after_help = "Example:\n  esclusa audit && echo 'nothing is missing'")]
    Audit,
    /// Stop taking events for a route, until it is resumed
    #[command(after_help = "Example:\n  esclusa pause orders")]
    Pause(control::Route),
    /// Let a paused or halted route go on
    #[command(after_help = "Example:\n  esclusa resume orders")]
    Resume(control::Route),
    /// Put the configuration and changed plugins in force; returns when that is done or refused
    #[command(after_help = "Example:\n  esclusa reload")]
    Reload,
    /// Look at a plugin's file
    #[command(subcommand, after_help = "Example:\n  esclusa plugin inspect plugins/etl.wasm")]
    Plugin(plugin::Plugin),
    /// Print the least IAM policy that the routes need, as JSON
    #[command(after_help = "Example:\n  esclusa iam-policy -c routes.toml > policy.json")]
    IamPolicy,
    /// Print the JSON Schema of routes.toml, for editors
    #[command(after_help = "Example:\n  esclusa schema > routes.schema.json")]
    Schema,
    /// Describe the code of a diagnostic
    #[command(after_help = "Example:\n  esclusa explain route::missing_grant")]
    Explain(reference::Explain),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  esclusa completions bash > /etc/bash_completion.d/esclusa")]
    Completions(reference::Completions),
    /// Print the version
    #[command(after_help = "Example:\n  esclusa version --json")]
    Version,
}

/// A configuration that cannot be used: every problem of it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.summary())]
struct Broken(Problems);

/// Something that is missing is the fault of the command line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misused(String);

impl Cli {
    /// Runs the command; problems are written to standard error.
    ///
    /// Not async, so that the futures of all commands are compiled here and not a second time in the program.
    pub fn run(self) -> Exit {
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                complain(&anyhow::Error::new(error).context("cannot start the threads of the program"));
                return Exit::Failed;
            }
        };
        let exit = runtime.block_on(self.answer());
        // A compiler that still runs, say, has nothing more to write.
        runtime.shutdown_background();
        exit
    }

    async fn answer(self) -> Exit {
        let level = match (&self.global.log_level, &self.command) {
            (Some(level), _) => level,
            (None, Command::Run(_)) => "info",
            (None, _) => "warn",
        };
        let result = match telemetry::start(self.global.log_format, level) {
            Ok(()) => self.command.run(&self.global).await,
            Err(why) => Err(Misused(why).into()),
        };
        match result {
            Ok(exit) => exit,
            Err(error) => verdict(&error, self.global.json),
        }
    }
}

impl Command {
    async fn run(self, global: &Global) -> Result<Exit> {
        match self {
            Command::Run(run) => run.run(global).await,
            Command::Validate(validate) => validate.run(global).await,
            Command::Send(send) => send.run(global).await,
            Command::Table(table) => table.run(global).await,
            Command::Invoke(invoke) => invoke.run(global).await,
            Command::Replay(replay) => replay.run(global).await,
            Command::Dlq(dlq) => dlq.run(global).await,
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

impl Global {
    /// The configuration, its warnings told.
    fn load(&self) -> Result<LoadedConfig> {
        let loaded = configuration::read(&self.config).map_err(Broken)?;
        for warning in &loaded.warnings {
            print::message(warning.render(telemetry::colour()).trim_end());
        }
        Ok(loaded)
    }

    /// The configuration, where its warnings are no news.
    fn load_quietly(&self) -> Result<LoadedConfig> {
        Ok(configuration::read(&self.config).map_err(Broken)?)
    }
}

/// Tells what went wrong, and the exit code of it.
fn verdict(error: &anyhow::Error, json: bool) -> Exit {
    if error.is::<print::ReaderGone>() {
        return Exit::Ok;
    }
    if let Some(Broken(problems)) = error.downcast_ref::<Broken>() {
        if json {
            print::problems(&problems.to_json());
        } else {
            print::error(problems.render(telemetry::colour()).trim_end());
        }
        return Exit::Configuration;
    }
    complain(error);
    if error.is::<Misused>() { Exit::Usage } else { Exit::Failed }
}

/// Tells what went wrong.
fn complain(error: &anyhow::Error) {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    print::error(&format!("error: {}", causes.join(": ")));
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
