//! The keys and sections of which there is one: `version`, `[admin]`, `[engine]`.

use super::PathResolver;
use crate::codes::Code;
use crate::plan::{AdminListener, EngineLimits};
use crate::report::{Finding, Findings};
use crate::shape::{KeySpec, Section, root};
use crate::syntax::scalar;
use crate::syntax::section_reader::{SectionReader, default};
use crate::syntax::toml_tree::{TomlTable, TomlValue};
use crate::syntax::units;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// False if the file has another version: its keys would all be reported as unknown. A missing version is reported as a
/// missing key.
pub(super) fn version(root: &TomlTable, findings: &Findings) -> bool {
    let Some(node) = root.get(root::VERSION.name) else { return true };
    let number = match scalar::integer(&root::VERSION, node) {
        Ok(number) => number,
        // A number out of the key's range is another version, and not a mistake in a number.
        Err(_) if matches!(node.value, TomlValue::Integer(_)) => Some(0),
        Err(finding) => {
            findings.add(finding);
            None
        }
    };
    if number.is_some_and(|number| number != 1) {
        let finding = Finding::error(Code::VERSION, node.span.clone(), "this version of the format is unknown");
        findings.add(finding.help("this program reads `version = 1`; a later one may read this file"));
        return false;
    }
    true
}

/// Reads `[admin]`. An address that other machines can reach needs `allow_remote`.
pub(super) fn admin(reader: &SectionReader<'_>) -> Option<AdminListener> {
    let admin = named(reader, &root::ADMIN, &root::ADMIN_SECTION)?;
    let text = admin.text_or_default(&root::LISTEN);
    let allowed = admin.boolean(&root::ALLOW_REMOTE);
    let Ok(listen) = text.parse::<SocketAddr>() else {
        // The help repeats the port, if the text has one.
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).unwrap_or(8080);
        let finding =
            Finding::error(Code::BAD_VALUE, admin.value_span(&root::LISTEN), "this is not an IP address and a port");
        admin.findings.add(finding.help(format!("write listen = \"127.0.0.1:{port}\"")));
        return Some(AdminListener { listen: (Ipv4Addr::LOCALHOST, port).into() });
    };
    if !listen.ip().is_loopback() {
        let place = admin.value_span(&root::LISTEN);
        admin.findings.add(if allowed {
            let message = "other machines can reach this address, and there is no authentication";
            Finding::warning(Code::ADMIN_REMOTE, place, message)
                .help("keep it behind a firewall, or a proxy that asks who it is")
        } else {
            let message = "other machines could reach this address, and there is no authentication";
            let help = format!("write listen = \"127.0.0.1:{}\", or add allow_remote = true", listen.port());
            Finding::error(Code::ADMIN_REMOTE, place, message).help(help)
        });
    }
    Some(AdminListener { listen })
}

/// The embedded engine's directory, and how much it may hold.
pub(super) fn engine(reader: &SectionReader<'_>, paths: &PathResolver<'_>) -> (PathBuf, EngineLimits) {
    let engine = named(reader, &root::ENGINE, &root::ENGINE_SECTION);
    let path = match &engine {
        Some(engine) => paths.read(engine, &root::ENGINE_PATH),
        None => paths.default(&root::ENGINE_PATH),
    };
    let size = |key: &KeySpec| match &engine {
        Some(engine) => engine.size(key) as u64,
        None => units::size(default(key)).unwrap_or_default(),
    };
    let dead_letters = match &engine {
        Some(engine) => engine.integer(&root::MAX_DEAD_LETTERS),
        None => default(&root::MAX_DEAD_LETTERS).parse().unwrap_or_default(),
    };
    let (bytes, dead_letter_bytes) = (size(&root::MAX_BYTES), size(&root::MAX_DEAD_LETTER_BYTES));
    (path, EngineLimits { bytes, dead_letters, dead_letter_bytes })
}

fn named<'a>(reader: &SectionReader<'a>, key: &KeySpec, section: &'static Section) -> Option<SectionReader<'a>> {
    let table = reader.table(key, &format!("write [{}]", section.name))?;
    Some(SectionReader::open(reader.findings, section, reader.key_span(key), table, &[]))
}
