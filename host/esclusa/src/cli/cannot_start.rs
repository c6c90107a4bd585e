//! Why a router does not start, or a command cannot open the store: at the key of routes.toml, with the remedy, and with the exit
//! code that sysexits.h has for it.

use crate::cli::Exit;
use crate::refusal::not_bound;
use crate::runtime::listening::NotListening;
use esclusa_config::plan::Plan;
use esclusa_config::{Code, ConfigPlace, Diagnostic, Locator};
use esclusa_embedded::{OpenError, SchemaError};
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;

/// The path of the key that names the directory of the store.
const ENGINE: ConfigPlace<'static> = ConfigPlace::Key(&["engine", "path"]);

/// The reason why the program cannot start its work.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problem.message)]
pub(super) struct CannotStart {
    /// The reason at its place in routes.toml.
    pub problem: Box<Diagnostic>,
    /// The exit code.
    pub exit: Exit,
}

impl CannotStart {
    fn new(problem: Diagnostic, exit: Exit) -> Self {
        CannotStart { problem: Box::new(problem), exit }
    }

    /// The address of `[admin]` cannot be listened on.
    pub(super) fn admin(locator: &Locator, address: SocketAddr, why: &Error) -> Self {
        let problem = not_bound(locator, &["admin"], Code::ADMIN_NOT_BOUND, address, why);
        CannotStart::new(problem, exit_of(why.kind(), Exit::Unavailable))
    }

    /// A listener cannot serve.
    pub(super) fn listener(locator: &Locator, why: &NotListening) -> Self {
        let exit = match why {
            NotListening::Address { why, .. } => exit_of(why.kind(), Exit::Unavailable),
            NotListening::Tls { .. } => Exit::Configuration,
        };
        CannotStart::new(why.problem(locator), exit)
    }

    /// A file that is to be read to its end is not there.
    pub(super) fn missing_file(locator: &Locator, source: &str, path: &Path) -> Self {
        let message =
            format!("source {source:?}: {} does not exist, and with --until-idle it is not waited for", path.display());
        let help = "create the file, correct its path, or run without --until-idle";
        let place = ConfigPlace::Key(&["source", source, "path"]);
        CannotStart::new(locator.diagnostic(place, Code::SOURCE_MISSING_FILE, &message, Some(help)), Exit::Unavailable)
    }

    /// A file in the directory of the store cannot be written.
    pub(super) fn not_written(locator: &Locator, path: &Path, why: &Error) -> Self {
        let message = format!("{} cannot be written: {why}", path.display());
        CannotStart::directory(locator, ENGINE, Code::ENGINE_NOT_OPENED, why.kind(), &message)
    }

    /// The store cannot be opened.
    pub(super) fn store(locator: &Locator, plan: &Plan, why: &OpenError) -> Self {
        let message = why.to_string();
        let at = |place, code, help: &str, exit| {
            CannotStart::new(locator.diagnostic(place, code, &message, Some(help)), exit)
        };
        match why {
            OpenError::Locked { .. } => {
                let help = match plan.admin {
                    Some(_) => "stop that process, or give this router another directory: two of them cannot share one",
                    None => "stop that process; if it is a router, an [admin] section lets commands ask it",
                };
                at(ENGINE, Code::ENGINE_IN_USE, help, Exit::Unavailable)
            }
            OpenError::Outdated { .. } | OpenError::Newer { .. } => {
                let help = "do as the message says, or write another path";
                at(ENGINE, Code::ENGINE_OTHER_FORMAT, help, Exit::Failed)
            }
            OpenError::Damaged { .. } => {
                let help = "`esclusa store check` tells more; restore a backup, or see `esclusa store --help`";
                at(ENGINE, Code::ENGINE_NOT_OPENED, help, Exit::Failed)
            }
            OpenError::Unusable { kind, .. } => {
                CannotStart::directory(locator, ENGINE, Code::ENGINE_NOT_OPENED, *kind, &message)
            }
            OpenError::Schema(SchemaError::Objects { name, kind, .. }) => {
                let place = ConfigPlace::Key(&["objects", name, "path"]);
                CannotStart::directory(locator, place, Code::OBJECTS_NOT_CREATED, *kind, &message)
            }
            OpenError::Schema(SchemaError::Fault(_)) => {
                at(ENGINE, Code::ENGINE_NOT_OPENED, "see the reason; nothing was changed", Exit::Failed)
            }
            OpenError::Schema(SchemaError::KeyChanged { table, .. } | SchemaError::Index { table, .. }) => {
                let help = "the store keeps what it holds: change routes.toml";
                at(ConfigPlace::Table(table), Code::ENGINE_SCHEMA, help, Exit::Configuration)
            }
            OpenError::Schema(SchemaError::Invalid(_)) => {
                let help = "the store keeps what it holds: change routes.toml";
                at(ENGINE, Code::ENGINE_SCHEMA, help, Exit::Configuration)
            }
        }
    }

    /// A directory that the system refuses.
    fn directory(locator: &Locator, place: ConfigPlace<'_>, code: Code, kind: ErrorKind, message: &str) -> Self {
        let help = match kind {
            ErrorKind::PermissionDenied => {
                "give the directory to the user that runs the router (`chown -R`), or write another path"
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space on the disk, or write another path",
            ErrorKind::ReadOnlyFilesystem => "the disk is mounted read-only: write a path on another one",
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                "a file has the name of a directory on this path: move it away, or write another path"
            }
            _ => "see the reason of the system; another path may be on a disk that works",
        };
        CannotStart::new(locator.diagnostic(place, code, message, Some(help)), exit_of(kind, Exit::CannotCreate))
    }
}

/// The exit code for an error of the system.
fn exit_of(kind: ErrorKind, otherwise: Exit) -> Exit {
    if kind == ErrorKind::PermissionDenied { Exit::NoPermission } else { otherwise }
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_flow::fault::Fault;
    use std::path::PathBuf;

    const ROUTES: &str = "version = 1\n[admin]\nlisten = \"127.0.0.1:80\"\n[engine]\npath = \"data\"\n\
        [listener.hooks]\nlisten = \"127.0.0.1:443\"\n[table.orders]\nkind = \"embedded\"\npartition_key = \"id\"\n";

    fn seen(refused: &CannotStart) -> (usize, &str, u8) {
        (refused.problem.line, refused.problem.code.as_str(), refused.exit.code())
    }

    #[test]
    fn every_error_of_the_start_is_at_its_key_and_has_its_exit_code() {
        let loaded = esclusa_config::parse(ROUTES, "routes.toml", Path::new(""), &|_| None).unwrap();
        let (locator, plan) = (&loaded.locator, &loaded.plan);
        let of = |kind: ErrorKind| Error::from(kind);
        let address: SocketAddr = ([127, 0, 0, 1], 80).into();
        let admin = |kind| CannotStart::admin(locator, address, &of(kind));
        assert_eq!(seen(&admin(ErrorKind::AddrInUse)), (3, "admin::not_bound", 69));
        assert_eq!(seen(&admin(ErrorKind::AddrNotAvailable)), (3, "admin::not_bound", 69));
        assert_eq!(seen(&admin(ErrorKind::PermissionDenied)), (3, "admin::not_bound", 77));
        let listener =
            |why| CannotStart::listener(locator, &NotListening::Address { name: "hooks".to_owned(), address, why });
        assert_eq!(seen(&listener(of(ErrorKind::PermissionDenied))), (7, "listener::not_bound", 77));
        assert_eq!(seen(&listener(of(ErrorKind::AddrInUse))), (7, "listener::not_bound", 69));

        let path = PathBuf::from("data");
        let store = |why: OpenError| CannotStart::store(locator, plan, &why);
        let unusable = |kind| store(OpenError::Unusable { path: path.clone(), kind, reason: String::new() });
        assert_eq!(seen(&store(OpenError::Locked { path: path.clone(), holder: None })), (5, "engine::in_use", 69));
        for (kind, exit) in [
            (ErrorKind::PermissionDenied, 77),
            (ErrorKind::StorageFull, 73),
            (ErrorKind::ReadOnlyFilesystem, 73),
            (ErrorKind::NotADirectory, 73),
            (ErrorKind::Other, 73),
        ] {
            assert_eq!(seen(&unusable(kind)), (5, "engine::not_opened", exit), "{kind}");
        }
        let formats = [OpenError::Outdated { path: path.clone() }, OpenError::Newer { path: path.clone(), found: 9 }];
        for other in formats {
            assert_eq!(seen(&store(other)), (5, "engine::other_format", 1));
        }
        let [table, stored, wanted] = ["orders", "a", "b"].map(str::to_owned);
        let schema = |why| store(OpenError::Schema(why));
        assert_eq!(seen(&schema(SchemaError::KeyChanged { table, stored, wanted })), (8, "engine::schema", 78));
        assert_eq!(seen(&schema(SchemaError::Fault(Fault::Bug(String::new())))), (5, "engine::not_opened", 1));
    }
}
