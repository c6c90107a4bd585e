//! The file as a whole, `[admin]` and `[engine]`.

use super::{Default, KeySpec, Section, ValueKind, aws, listener, output, route, source, store};

pub(crate) static VERSION: KeySpec = KeySpec {
    name: "version",
    kind: ValueKind::Integer { min: 1, max: 1 },
    default: Default::Required,
    about: "The version of this format.",
};
pub(crate) static ADMIN: KeySpec = KeySpec {
    name: "admin",
    kind: ValueKind::Section(&ADMIN_SECTION),
    default: Default::Depends("without this section nothing listens"),
    about: "The address of the dashboard, the API and metrics, and of /ingest for sources of kind http without a listener.",
};
pub(crate) static ENGINE: KeySpec = KeySpec {
    name: "engine",
    kind: ValueKind::Section(&ENGINE_SECTION),
    default: Default::Nothing,
    about: "The embedded engine.",
};
pub(crate) static AWS: KeySpec = KeySpec {
    name: "aws",
    kind: ValueKind::Section(&aws::SECTION),
    default: Default::Nothing,
    about: "Settings for all resources in AWS.",
};
pub(crate) static LISTENER: KeySpec = KeySpec {
    name: "listener",
    kind: ValueKind::Sections(&listener::SECTION),
    default: Default::Nothing,
    about: "Addresses that serve the endpoints of sources of kind http.",
};
pub(crate) static SOURCE: KeySpec = KeySpec {
    name: "source",
    kind: ValueKind::Family(&source::FAMILY),
    default: Default::Nothing,
    about: "Sources of events.",
};
pub(crate) static TABLE: KeySpec = KeySpec {
    name: "table",
    kind: ValueKind::Family(&store::TABLES),
    default: Default::Nothing,
    about: "Tables that plugins read and write.",
};
pub(crate) static OBJECTS: KeySpec = KeySpec {
    name: "objects",
    kind: ValueKind::Family(&store::OBJECTS),
    default: Default::Nothing,
    about: "Object stores that plugins write to or read from.",
};
pub(crate) static OUTPUT: KeySpec = KeySpec {
    name: "output",
    kind: ValueKind::Family(&output::FAMILY),
    default: Default::Nothing,
    about: "Outputs for messages of plugins and for given-up events.",
};
pub(crate) static ROUTE: KeySpec = KeySpec {
    name: "route",
    kind: ValueKind::SectionList(&route::SECTION),
    default: Default::Nothing,
    about: "Routes: one source, one plugin, and the rules of delivery between them.",
};

/// The file.
pub(crate) static SECTION: Section = Section {
    name: "routes.toml",
    about: "The configuration of the router.",
    keys: &[&VERSION, &ADMIN, &ENGINE, &AWS, &LISTENER, &SOURCE, &TABLE, &OBJECTS, &OUTPUT, &ROUTE],
    foreign: &[
        ("sources", "write [source.NAME]"),
        ("listeners", "write [listener.NAME]"),
        ("tables", "write [table.NAME]"),
        ("outputs", "write [output.NAME]"),
        ("routes", "write [[route]]"),
        ("object", "write [objects.NAME]"),
    ],
};

pub(crate) static LISTEN: KeySpec = KeySpec {
    name: "listen",
    kind: ValueKind::Text,
    default: Default::Value("127.0.0.1:8080"),
    about: "IP address and port. Port 0 is any free port; the router prints it at the start.",
};
pub(crate) static ALLOW_REMOTE: KeySpec = KeySpec {
    name: "allow_remote",
    kind: ValueKind::Boolean,
    default: Default::Value("false"),
    about: "Allows an address that other machines can reach. There is no authentication.",
};
pub(crate) static ADMIN_SECTION: Section = Section {
    name: "admin",
    about: "The address of the dashboard, the API and metrics, and of /ingest for sources of kind http without a listener.",
    keys: &[&LISTEN, &ALLOW_REMOTE],
    foreign: &[],
};

pub(crate) static ENGINE_PATH: KeySpec = KeySpec {
    name: "path",
    kind: ValueKind::Path,
    default: Default::Value("data"),
    about: "The directory of tables, streams, queues, positions and dead letters.",
};

pub(crate) static MAX_BYTES: KeySpec = KeySpec {
    name: "max_bytes",
    kind: ValueKind::Size { min: "256MiB", max: "1048576GiB" },
    default: Default::Value("64GiB"),
    about: "Bytes of the store beyond which its streams and queues take nothing from outside. Routes go on.",
};
pub(crate) static MAX_DEAD_LETTERS: KeySpec = KeySpec {
    name: "max_dead_letters",
    kind: ValueKind::Integer { min: 1, max: 1_000_000_000 },
    default: Default::Value("1000000"),
    about: "Dead letters of all routes. Beyond it a route waits with an event that would be another one.",
};
pub(crate) static MAX_DEAD_LETTER_BYTES: KeySpec = KeySpec {
    name: "max_dead_letter_bytes",
    kind: ValueKind::Size { min: "1KiB", max: "1048576GiB" },
    default: Default::Value("4GiB"),
    about: "Bytes of all dead letters. Beyond it a route waits with an event that would be another one.",
};

/// `[engine]`.
pub(crate) static ENGINE_SECTION: Section = Section {
    name: "engine",
    about: "The embedded engine.",
    keys: &[&ENGINE_PATH, &MAX_BYTES, &MAX_DEAD_LETTERS, &MAX_DEAD_LETTER_BYTES],
    foreign: &[],
};
