//! A fleet of routers on one Kinesis stream; `tests/fleet/fleet.py` makes the checks.

use super::compiled;
use super::router::{plugins, python, server};
use std::path::Path;
use std::process::Command;

/// Records of this test: enough for kills, splits and merges while they are read. The default of `fleet.py` is
/// 100,000.
const RECORDS: &str = "20000";

/// Runs a check of `tests/fleet`; its members begin with plugins that were compiled before.
pub(crate) fn check(script: &str, arguments: &[&str]) {
    server("DYNAMODB");
    let first = tempfile::tempdir().unwrap();
    compiled::lend(first.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fleet").join(script);
    let mut command = Command::new(python());
    command.arg(script).arg(env!("CARGO_BIN_EXE_esclusa")).arg(plugins()).args(arguments);
    let output = command.env_remove("ESCLUSA_CONFIG").env("FLEET_DATA", first.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}

#[test]
fn a_fleet_keeps_everything_while_processes_are_killed_and_shards_split_and_merged() {
    check("fleet.py", &[RECORDS]);
}
