//! An address that cannot be listened on, as a problem of its key in routes.toml.

use esclusa_config::{Code, ConfigPlace, Diagnostic, Locator};
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;

/// The problem of a section, such as `["admin"]`, whose `listen` cannot be bound.
#[must_use]
pub(crate) fn not_bound(
    locator: &Locator,
    section: &[&str],
    code: Code,
    address: SocketAddr,
    why: &Error,
) -> Diagnostic {
    let name = section.join(".");
    let message = format!("[{name}] cannot listen on {address}: {why}");
    let port = address.port();
    let remedy = match why.kind() {
        ErrorKind::AddrInUse => format!(
            "another program listens there, perhaps another router; `ss -ltnp 'sport = :{port}'` shows it: stop it, or write another port"
        ),
        ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: write one of those that `ip address` lists".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE: write another port, or give it to the program (systemd: AmbientCapabilities)"
                .to_owned()
        }
        _ => "write another address".to_owned(),
    };
    let path: Vec<&str> = section.iter().copied().chain(["listen"]).collect();
    locator.diagnostic(ConfigPlace::Key(&path), code, &message, Some(&remedy))
}
