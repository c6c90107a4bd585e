//! Every code that reading a file can give has a case.

use crate::cases::{all, read};
use esclusa_config::Code;
use std::collections::BTreeSet;

/// Codes of problems that the program finds later, in a plugin, its own build, the store, an address or a certificate, and of a file
/// that cannot be read.
const ELSEWHERE: [Code; 30] = [
    Code::ADMIN_NOT_BOUND,
    Code::ENGINE_IN_USE,
    Code::ENGINE_NOT_OPENED,
    Code::ENGINE_OTHER_FORMAT,
    Code::ENGINE_SCHEMA,
    Code::ENGINE_NEEDS_RESTART,
    Code::SOURCE_MISSING_FILE,
    Code::OBJECTS_NOT_CREATED,
    Code::LISTENER_NOT_BOUND,
    Code::LISTENER_BAD_TLS,
    Code::UNREADABLE,
    Code::AWS_NOT_BUILT,
    Code::KAFKA_NOT_BUILT,
    Code::ROUTE_MISSING_GRANT,
    Code::PLUGIN_MISSING,
    Code::PLUGIN_INVALID,
    Code::PLUGIN_CONTRACT,
    Code::PLUGIN_TOO_LARGE,
    Code::PLUGIN_COMPILE_TIME,
    Code::PLUGIN_COMPILE_MEMORY,
    Code::PLUGIN_COMPILE_CRASHED,
    Code::PLUGIN_DIGEST_MISMATCH,
    Code::PLUGIN_CONFIG_REJECTED,
    Code::PLUGIN_SCHEMA_TIME,
    Code::PLUGIN_SCHEMA_MEMORY,
    Code::PLUGIN_SCHEMA_CRASHED,
    Code::PLUGIN_INIT_FAILED,
    Code::PLUGIN_NEEDS_ORDER,
    Code::PLUGIN_SHARED_KEY,
    Code::PLUGIN_OPEN_JSON,
];

#[test]
fn every_code_has_a_case() {
    let mut seen: BTreeSet<Code> = ELSEWHERE.into();
    for case in all() {
        let diagnostics = read(&case).map_or_else(|problems| problems.0, |loaded| loaded.warnings);
        seen.extend(diagnostics.iter().map(|diagnostic| diagnostic.code));
    }
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "no case gives {missing:?}");
}
