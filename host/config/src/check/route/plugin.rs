//! How a route runs its plugin: digest, limits, instances, configuration.

use crate::codes::Code;
use crate::plan::{Instances, Limits};
use crate::report::Finding;
use crate::shape::route as shape;
use crate::syntax::json::json;
use crate::syntax::reader::Reader;
use serde_json::Value as Json;

/// The digest that the plugin's file must have.
pub fn digest(reader: &Reader<'_>) -> Option<String> {
    let digest = reader.text(&shape::SHA256)?;
    if digest.len() != 64 || !digest.chars().all(|c| c.is_ascii_hexdigit()) {
        let finding =
            Finding::error(Code::ROUTE_BAD_DIGEST, reader.place(&shape::SHA256), "this is not a SHA-256 digest");
        reader.findings.add(finding.help("64 hexadecimal digits, as `sha256sum` prints them"));
    }
    Some(digest.to_lowercase())
}

/// What the plugin may use per call.
pub fn limits(route: &Reader<'_>) -> Limits {
    let given = route.section(&shape::LIMITS, &shape::LIMITS_SECTION);
    let empty = crate::syntax::tree::Table::default();
    let reader = given.unwrap_or_else(|| Reader::open(route.findings, &shape::LIMITS_SECTION, 0..0, &empty, &[]));
    Limits {
        memory: reader.size(&shape::MEMORY),
        time: reader.duration(&shape::TIME),
        effects: reader.integer(&shape::EFFECTS),
        output_bytes: reader.size(&shape::OUTPUT),
        log_bytes: reader.size(&shape::LOGS),
        ..Limits::default()
    }
}

/// How instances are used.
pub fn instances(reader: &Reader<'_>, memory: usize) -> Instances {
    let max_invocations = reader.integer(&shape::MAX_INVOCATIONS);
    let memory_high_water = reader.given_size(&shape::MEMORY_HIGH_WATER).unwrap_or(memory / 2);
    if reader.choice(&shape::INSTANCES) == "reuse" {
        if memory_high_water > memory {
            let message = "memory_high_water is above limits.memory, so it is never reached";
            let finding = Finding::error(Code::ROUTE_LIMITS_CONFLICT, reader.place(&shape::MEMORY_HIGH_WATER), message);
            reader.findings.add(finding.help("make it less than limits.memory; by default it is half of it"));
        }
        return Instances::Reuse { max_invocations, memory_high_water };
    }
    for entry in [&shape::MAX_INVOCATIONS, &shape::MEMORY_HIGH_WATER].into_iter().filter_map(|key| reader.entry(key)) {
        let message = format!("`{}` has no effect without instances = \"reuse\"", entry.key);
        reader.findings.add(Finding::warning(Code::NO_EFFECT, entry.key_span.clone(), message));
    }
    Instances::Fresh
}

/// What is handed to the plugin.
pub fn config(reader: &Reader<'_>) -> Json {
    let empty = || Json::Object(serde_json::Map::new());
    match reader.table(&shape::CONFIG, "write [route.config]") {
        Some(_) => reader.node(&shape::CONFIG).map_or_else(empty, json),
        None => empty(),
    }
}
