//! Sources and outputs of kind `kafka`: brokers, topics, security, and properties of librdkafka.

use super::PathResolver;
use crate::codes::Code;
use crate::named_file;
use crate::plan::{KafkaConnection, KafkaSecurity, Output, Source, Start};
use crate::report::Finding;
use crate::shape::KeySpec;
use crate::shape::output::kafka as output_shape;
use crate::shape::source::kafka as shape;
use crate::syntax::section_reader::SectionReader;
use crate::syntax::toml_tree::TomlValue;
use esclusa_flow::settings::refused_kafka_property;
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::ops::Range;
use std::path::Path;

/// Most bytes of a file of certificates that are looked at.
const PEM_BYTES: u64 = 1 << 20;

/// A source.
pub(super) fn source(name: &str, reader: &SectionReader<'_>, paths: &PathResolver<'_>, start: Start) -> Source {
    Source::Kafka {
        connection: connection(reader, paths),
        topics: topics(name, reader),
        start,
        group_instance_id: instance(reader),
        revoke_timeout: reader.duration(&shape::REVOKE_TIMEOUT),
    }
}

/// An output.
pub(super) fn output(name: &str, reader: &SectionReader<'_>, paths: &PathResolver<'_>) -> Output {
    let topic = reader.text(&output_shape::TOPIC).unwrap_or_else(|| name.to_owned());
    check_topic(reader, &topic, reader.value_span(&output_shape::TOPIC));
    Output::Kafka { connection: connection(reader, paths), topic }
}

/// The id of a consumer group: any text that a broker takes.
pub(super) fn check_group(reader: &SectionReader<'_>, id: &str, key: &KeySpec) {
    if id.is_empty() || id.len() > 255 || id.chars().any(char::is_control) {
        let finding = Finding::error(Code::KAFKA_BAD_NAME, reader.value_span(key), "this cannot be a consumer group");
        reader.findings.add(finding.help("1 to 255 characters, such as \"lake\""));
    }
}

fn connection(reader: &SectionReader<'_>, paths: &PathResolver<'_>) -> KafkaConnection {
    KafkaConnection {
        bootstrap_servers: servers(reader),
        security: reader
            .section(&shape::SECURITY, &shape::SECURITY_SECTION)
            .map(|own| security(&own, paths))
            .unwrap_or_default(),
        client: properties(reader),
    }
}

/// Each text may hold several brokers with commas between them, as an environment variable has them.
fn servers(reader: &SectionReader<'_>) -> Vec<String> {
    let mut servers = Vec::new();
    let given = reader.one_or_more(&shape::BOOTSTRAP_SERVERS);
    for (text, node) in &given {
        for server in text.split(',').map(str::trim) {
            if is_server(server) {
                servers.push(server.to_owned());
            } else {
                refuse(reader, node.span.clone(), "this is not a broker", "write \"HOST:PORT\", without a scheme");
            }
        }
    }
    empty(reader, &shape::BOOTSTRAP_SERVERS, given.is_empty());
    servers
}

/// `host:port`, `[::1]:port`.
fn is_server(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let host_is_good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(good),
    };
    host_is_good && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn topics(name: &str, reader: &SectionReader<'_>) -> Vec<String> {
    if reader.entry(&shape::TOPICS).is_none() {
        check_topic(reader, name, reader.span.clone());
        return vec![name.to_owned()];
    }
    let mut topics = Vec::new();
    for (topic, node) in reader.one_or_more(&shape::TOPICS) {
        check_topic(reader, &topic, node.span.clone());
        if topics.contains(&topic) {
            let finding = Finding::error(Code::BAD_VALUE, node.span.clone(), "this topic is named twice");
            reader.findings.add(finding.help("name each topic once"));
        }
        topics.push(topic);
    }
    empty(reader, &shape::TOPICS, topics.is_empty());
    topics
}

/// Reports a list without elements; one of another type is reported already.
fn empty(reader: &SectionReader<'_>, key: &KeySpec, none_read: bool) {
    let list = reader.node(key).is_some_and(|node| matches!(&node.value, TomlValue::List(list) if list.is_empty()));
    if none_read && list {
        let message = format!("`{}` is empty", key.name);
        reader.findings.add(Finding::error(Code::BAD_VALUE, reader.value_span(key), message));
    }
}

/// Reports a topic that no broker would create: `Topic.validate` of Kafka 4.4, 2026-11.
fn check_topic(reader: &SectionReader<'_>, topic: &str, place: Range<usize>) {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let dots = topic == "." || topic == "..";
    if dots || topic.is_empty() || topic.len() > 249 || !topic.chars().all(good) {
        let help = "1 to 249 letters, digits, `_`, `.` or `-`; patterns are not known here: name each topic";
        refuse(reader, place, "this cannot be a topic", help);
    }
}

fn refuse(reader: &SectionReader<'_>, place: Range<usize>, message: &str, help: &str) {
    reader.findings.add(Finding::error(Code::KAFKA_BAD_NAME, place, message).help(help));
}

fn instance(reader: &SectionReader<'_>) -> Option<String> {
    let id = reader.text(&shape::GROUP_INSTANCE_ID)?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if id.is_empty() || id.len() > 249 || !id.chars().all(good) {
        let place = reader.value_span(&shape::GROUP_INSTANCE_ID);
        refuse(reader, place, "this cannot be the name of a member", "1 to 249 letters, digits, `_`, `.` or `-`");
    }
    Some(id)
}

fn properties(reader: &SectionReader<'_>) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    let table = reader.table(&shape::CLIENT, "write client = { \"fetch.max.bytes\" = \"10485760\" }");
    for entry in table.map(|table| table.entries.as_slice()).unwrap_or_default() {
        let finding = match (&entry.node.value, refused_kafka_property(&entry.key)) {
            (_, Some(why)) => {
                let message = format!("the router does not let `{}` be set: {why}", entry.key);
                Finding::error(Code::KAFKA_REFUSED_PROPERTY, entry.key_span.clone(), message).help("leave it out")
            }
            (TomlValue::Text(text), None) => {
                properties.insert(entry.key.clone(), text.text.clone());
                continue;
            }
            (TomlValue::Broken, None) => continue,
            (_, None) => {
                let message = "the value of a property is a text, also if it is a number";
                Finding::error(Code::WRONG_TYPE, entry.node.span.clone(), message)
                    .help(format!("write \"{}\" = \"…\"; a name with dots is in quotes", entry.key))
            }
        };
        reader.findings.add(finding);
    }
    properties
}

fn security(reader: &SectionReader<'_>, paths: &PathResolver<'_>) -> KafkaSecurity {
    let protocol = reader.choice(&shape::PROTOCOL);
    let login_keys = [&shape::MECHANISM, &shape::USERNAME, &shape::PASSWORD];
    let file_keys = [&shape::CERTIFICATE, &shape::KEY];
    // A protocol that cannot be read is reported, and then nothing follows from it.
    if protocol.starts_with("SASL") {
        missing(reader, &login_keys, protocol);
    } else if !protocol.is_empty() {
        idle(reader, &login_keys, "protocol = \"SASL_SSL\"");
    }
    if !protocol.is_empty() && !protocol.ends_with("SSL") {
        idle(
            reader,
            &[&shape::CA, &shape::CERTIFICATE, &shape::KEY, &shape::KEY_PASSWORD],
            "protocol = \"SSL\" or \"SASL_SSL\"",
        );
    } else if file_keys.iter().any(|key| reader.entry(key).is_some()) {
        missing(reader, &file_keys, "a certificate of the router");
    }
    let path = |key: &KeySpec| reader.entry(key).map(|_| file(reader, &paths.read(reader, key), key));
    let mut security = KafkaSecurity {
        protocol: Some(protocol.to_owned()),
        mechanism: reader.entry(&shape::MECHANISM).map(|_| reader.choice(&shape::MECHANISM).to_owned()),
        username: reader.text(&shape::USERNAME),
        password: reader.text(&shape::PASSWORD),
        ca: path(&shape::CA),
        certificate: path(&shape::CERTIFICATE),
        key: path(&shape::KEY),
        key_password: reader.text(&shape::KEY_PASSWORD),
        contents: Vec::new(),
    };
    security.contents = security.files().map(|file| content(Path::new(file))).collect();
    security
}

/// A hash of a file; 0 if it cannot be read, which librdkafka reports.
fn content(path: &Path) -> u64 {
    let read = || {
        // A pipe would block the reader.
        std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(PEM_BYTES).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    let Some(bytes) = read() else { return 0 };
    let mut hash = DefaultHasher::new();
    bytes.hash(&mut hash);
    hash.finish()
}

/// The path of a file, which the client library reads by itself.
fn file(reader: &SectionReader<'_>, path: &Path, key: &KeySpec) -> String {
    if let Some(what) = named_file::endless(path) {
        let message = format!("`{}`: {} is {what}, expected a file", key.name, path.display());
        reader.findings.add(Finding::error(Code::BAD_VALUE, reader.value_span(key), message));
    }
    path.display().to_string()
}

/// Reports keys that another one makes necessary.
fn missing(reader: &SectionReader<'_>, keys: &[&KeySpec], of: &str) {
    for key in keys.iter().filter(|key| reader.entry(key).is_none()) {
        let finding = Finding::error(Code::MISSING_KEY, reader.span.clone(), format!("{of} needs `{}`", key.name));
        reader.findings.add(finding.help(format!("add {} = \"…\"", key.name)));
    }
}

/// Warns of keys that the protocol switches off.
fn idle(reader: &SectionReader<'_>, keys: &[&KeySpec], without: &str) {
    for entry in keys.iter().filter_map(|key| reader.entry(key)) {
        let message = format!("`{}` has no effect without {without}", entry.key);
        reader.findings.add(Finding::warning(Code::NO_EFFECT, entry.key_span.clone(), message));
    }
}

#[cfg(test)]
mod tests {
    use crate::load::parse;
    use crate::plan::Source;

    #[test]
    fn a_rotated_certificate_is_another_setting() {
        let dir = tempfile::tempdir().unwrap();
        let text = "version = 1\n[source.bookings]\nkind = \"kafka\"\nbootstrap_servers = \"localhost:9093\"\n\
            [source.bookings.security]\nprotocol = \"SSL\"\nca = \"ca.pem\"\n";
        let read = || {
            let loaded = parse(text, "routes.toml", dir.path(), &|_| None).unwrap();
            let Some(Source::Kafka { connection, .. }) = loaded.plan.sources.get("bookings").cloned() else {
                panic!("no source")
            };
            connection.security
        };
        let missing = read();
        assert_eq!(missing.files().collect::<Vec<_>>(), [dir.path().join("ca.pem").to_str().unwrap()]);
        std::fs::write(dir.path().join("ca.pem"), "one").unwrap();
        let one = read();
        assert!(one != missing && one == read());
        std::fs::write(dir.path().join("ca.pem"), "two").unwrap();
        assert!(read() != one);
    }
}
