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
use esclusa_config::named_file;
use std::ffi::OsString;
use std::path::PathBuf;
use toml::{Table, Value};

/// The variable by which the script asks for words.
const VARIABLE: &str = "ESCLUSA_COMPLETE";

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
        let mut script = Vec::new();
        shell.write_registration(VARIABLE, "esclusa", "esclusa", &program()?, &mut script)?;
        print::text(&String::from_utf8(script)?)?;
        Ok(Exit::Ok)
    }
}

/// How the script calls this program: by its path, if it was called by one, else by its name, which is looked up in PATH.
fn program() -> Result<String> {
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    if called.components().count() == 1 {
        return Ok("esclusa".to_owned());
    }
    let path = std::path::absolute(called)?.to_string_lossy().into_owned();
    // The scripts put it between quotes of their own.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '+');
    Ok(if path.chars().all(plain) { path } else { "esclusa".to_owned() })
}

/// Answers a shell that asks for words, and ends the process. Does nothing if none asks. For the beginning of the program: it changes
/// the environment.
pub fn answer_shell() {
    // The scripts write this before the words: the variable alone, in the environment of a service, asks for nothing.
    if std::env::args_os().nth(1).is_some_and(|first| first == "--") {
        CompleteEnv::with_factory(Cli::command).var(VARIABLE).complete();
    }
}

/// The names of routes.
pub(super) fn routes() -> ArgValueCandidates {
    let name = |route: &Value| Some(route.get("name")?.as_str()?.to_owned());
    offered(move |file| file.get("route").and_then(Value::as_array).into_iter().flatten().filter_map(name).collect())
}

/// The names of sources.
pub(super) fn sources() -> ArgValueCandidates {
    offered(|file| sections(file, "source"))
}

/// The names of tables.
pub(super) fn tables() -> ArgValueCandidates {
    offered(|file| sections(file, "table"))
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

fn offered(names: impl Fn(&Table) -> Vec<String> + Send + Sync + 'static) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        let file = configuration(std::env::args_os()).unwrap_or_default();
        // The shell puts them into a command line: nothing that it would understand, whatever the file says.
        let plain = |name: &String| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        names(&file).into_iter().filter(plain).map(CompletionCandidate::new).collect::<Vec<_>>()
    })
}

/// The file that the words of the command line name, as it is; `None` if it cannot be read.
fn configuration(words: impl Iterator<Item = OsString>) -> Option<Table> {
    let text = named_file::read(&expanded(named(words))).ok()?;
    let text = String::from_utf8(text).ok().filter(|text| !esclusa_config::too_deep(text))?;
    text.parse().ok()
}

/// The file that words name. Bash gives `--config=FILE` as three words.
fn named(words: impl Iterator<Item = OsString>) -> PathBuf {
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        if word == "-c" || word == "--config" {
            words.next_if(|word| word == "=");
            return words.next().unwrap_or_default().into();
        }
        let joined = word.to_str().and_then(|word| word.strip_prefix("--config=").or_else(|| word.strip_prefix("-c")));
        if let Some(file) = joined {
            return file.strip_prefix('=').unwrap_or(file).into();
        }
    }
    let file = std::env::var_os("ESCLUSA_CONFIG").filter(|file| !file.is_empty());
    file.unwrap_or_else(|| "routes.toml".into()).into()
}

/// The words are as they were typed: the shell has not replaced `~` yet.
fn expanded(file: PathBuf) -> PathBuf {
    match (file.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => file,
    }
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
            ("esclusa pause --config = other.toml", "other.toml"),
            ("esclusa -cother.toml pause", "other.toml"),
            ("esclusa -c=other.toml pause", "other.toml"),
            ("esclusa pause -c", ""),
        ] {
            assert_eq!(named(words.split(' ').map(OsString::from)), PathBuf::from(file), "{words}");
        }
    }

    #[test]
    fn a_configuration_that_is_nested_too_deep_offers_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("routes.toml");
        let offered = |text: String| {
            std::fs::write(&file, text).unwrap();
            configuration(["-c".into(), file.clone().into()].into_iter())
        };
        let key = vec!["a"; 63].join(".");
        let deep = format!("{}1{}", format!("{{ {key} = ").repeat(75), " }".repeat(75));
        assert_eq!(
            offered("[source.s]\n".to_owned()).map(|file| sections(&file, "source")),
            Some(vec!["s".to_owned()])
        );
        assert_eq!(offered(format!("[source.s]\na = {deep}\n")), None);
    }
}
