//! Completions for a shell: the commands and their options, and the names that stand in routes.toml.
//!
//! The script that a shell sources calls this program for the words that may come next ([`answer_shell`]), so that they are those of the
//! configuration as it is then.

use super::{Cli, print};
use crate::cli::Exit;
use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::env::Shells;
use clap_complete::{ArgValueCandidates, CompleteEnv, CompletionCandidate, Shell};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use toml::{Table, Value};

/// The variable by which the script asks for words.
const VARIABLE: &str = "ESCLUSA_COMPLETE";
/// Bytes of a configuration that are read for its names: a key press does not wait for more.
const READ_BYTES: u64 = 1 << 20;

/// `esclusa completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub(super) fn run(&self) -> Result<Exit> {
        let name = self.shell.to_string();
        let shell = Shells::builtins();
        let shell = shell.completer(&name).context("no completions for this shell")?;
        let mut program = PathBuf::from(std::env::args_os().next().unwrap_or_default());
        if program.components().count() > 1 {
            // A path is the same file in every directory then; a mere name is looked up in PATH.
            program = std::path::absolute(program)?;
        }
        let mut script = Vec::new();
        shell.write_registration(VARIABLE, "esclusa", "esclusa", &program.to_string_lossy(), &mut script)?;
        print::text(&String::from_utf8(script)?)?;
        Ok(Exit::Ok)
    }
}

/// Answers a shell that asks for words, and ends the process. Does nothing if none asks. For the beginning of the program: it changes
/// the environment.
pub fn answer_shell() {
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).complete();
}

/// The names of routes.
pub(super) fn routes() -> ArgValueCandidates {
    let name = |route: &Value| Some(route.get("name")?.as_str()?.to_owned());
    named(move |file| file.get("route").and_then(Value::as_array).into_iter().flatten().filter_map(name).collect())
}

/// The names of sources.
pub(super) fn sources() -> ArgValueCandidates {
    named(|file| sections(file, "source"))
}

/// The names of tables.
pub(super) fn tables() -> ArgValueCandidates {
    named(|file| sections(file, "table"))
}

/// The codes of errors and dead letters.
pub(super) fn codes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let code = |(code, about): (&str, String)| CompletionCandidate::new(code).help(Some(about.into()));
        esclusa_config::codes::summaries().map(code).collect::<Vec<_>>()
    })
}

fn sections(file: &Table, kind: &str) -> Vec<String> {
    file.get(kind).and_then(Value::as_table).into_iter().flat_map(Table::keys).cloned().collect()
}

fn named(names: impl Fn(&Table) -> Vec<String> + Send + Sync + 'static) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        let file = configuration(std::env::args_os()).unwrap_or_default();
        // The shell puts them into a command line: nothing that it would understand, whatever the file says.
        let plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        names(&file).into_iter().filter(plain).map(CompletionCandidate::new).collect::<Vec<_>>()
    })
}

/// The file that the words of the command line name, as it is; `None` if it cannot be read.
fn configuration(words: impl Iterator<Item = OsString>) -> Option<Table> {
    let mut text = String::new();
    File::open(named_file(words)).ok()?.take(READ_BYTES).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

fn named_file(mut words: impl Iterator<Item = OsString>) -> PathBuf {
    while let Some(word) = words.next() {
        if word == "-c" || word == "--config" {
            return words.next().unwrap_or_default().into();
        }
        let joined = word.to_str().and_then(|word| word.strip_prefix("--config=").or_else(|| word.strip_prefix("-c")));
        if let Some(file) = joined {
            return file.into();
        }
    }
    std::env::var_os("ESCLUSA_CONFIG")
        .filter(|file| !file.is_empty())
        .as_deref()
        .unwrap_or(OsStr::new("routes.toml"))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_the_one_that_the_words_name() {
        for (words, file) in [
            ("esclusa pause", "routes.toml"),
            ("esclusa -c other.toml pause", "other.toml"),
            ("esclusa pause --config other.toml", "other.toml"),
            ("esclusa pause --config=other.toml", "other.toml"),
            ("esclusa -cother.toml pause", "other.toml"),
            ("esclusa pause -c", ""),
        ] {
            assert_eq!(named_file(words.split(' ').map(OsString::from)), PathBuf::from(file), "{words}");
        }
    }
}
