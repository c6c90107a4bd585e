//! A fleet of routers on one Kinesis stream; `tests/fleet/fleet.py` makes the checks.

use super::router::{plugins, python, server};
use std::path::Path;
use std::process::Command;

/// Records of this test: enough for kills, splits and merges while they are read. The default of `fleet.py` is
/// 100,000.
const RECORDS: &str = "20000";

#[test]
fn a_fleet_keeps_everything_while_processes_are_killed_and_shards_split_and_merged() {
    server("DYNAMODB");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fleet/fleet.py");
    let mut command = Command::new(python());
    command.arg(script).arg(env!("CARGO_BIN_EXE_esclusa")).arg(plugins()).arg(RECORDS);
    let output = command.env_remove("ESCLUSA_CONFIG").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}
