//! The file as a whole, `[admin]`.

use super::{Default, Key, Kind, Section, aws, engine, output, route, source, store};

pub static VERSION: Key = Key {
    name: "version",
    kind: Kind::Integer { min: 1, max: 1 },
    default: Default::Required,
    about: "The version of this format.",
};
pub static ADMIN: Key = Key {
    name: "admin",
    kind: Kind::Section(&ADMIN_SECTION),
    default: Default::Depends("without this section nothing listens"),
    about: "The listener for the dashboard, the API, metrics, and events for sources of kind http.",
};
pub static ENGINE: Key = Key {
    name: "engine",
    kind: Kind::Section(&engine::SECTION),
    default: Default::Nothing,
    about: "The embedded engine.",
};
pub static AWS: Key = Key {
    name: "aws",
    kind: Kind::Section(&aws::SECTION),
    default: Default::Nothing,
    about: "Settings for all resources in AWS.",
};
pub static SOURCE: Key =
    Key { name: "source", kind: Kind::Family(&source::FAMILY), default: Default::Nothing, about: "Sources of events." };
pub static TABLE: Key = Key {
    name: "table",
    kind: Kind::Family(&store::TABLES),
    default: Default::Nothing,
    about: "Tables that plugins read and write.",
};
pub static OBJECTS: Key = Key {
    name: "objects",
    kind: Kind::Family(&store::OBJECTS),
    default: Default::Nothing,
    about: "Object stores that plugins write to.",
};
pub static OUTPUT: Key = Key {
    name: "output",
    kind: Kind::Family(&output::FAMILY),
    default: Default::Nothing,
    about: "Outputs for messages of plugins and for given-up events.",
};
pub static ROUTE: Key = Key {
    name: "route",
    kind: Kind::SectionList(&route::SECTION),
    default: Default::Nothing,
    about: "Routes: one source, one plugin, and the rules of delivery between them.",
};

/// The file.
pub static SECTION: Section = Section {
    name: "routes.toml",
    about: "The configuration of the router.",
    keys: &[&VERSION, &ADMIN, &ENGINE, &AWS, &SOURCE, &TABLE, &OBJECTS, &OUTPUT, &ROUTE],
    foreign: &[
        ("sources", "write [source.NAME]"),
        ("tables", "write [table.NAME]"),
        ("outputs", "write [output.NAME]"),
        ("routes", "write [[route]]"),
        ("object", "write [objects.NAME]"),
    ],
};

pub static LISTEN: Key = Key {
    name: "listen",
    kind: Kind::Text,
    default: Default::Value("127.0.0.1:8080"),
    about: "IP address and port. Port 0 is any free port; the router prints it at the start.",
};
pub static ALLOW_REMOTE: Key = Key {
    name: "allow_remote",
    kind: Kind::Boolean,
    default: Default::Value("false"),
    about: "Allows an address that other machines can reach. There is no authentication.",
};
pub static ADMIN_SECTION: Section = Section {
    name: "admin",
    about: "The listener for the dashboard, the API, metrics, and events for sources of kind http.",
    keys: &[&LISTEN, &ALLOW_REMOTE],
    foreign: &[],
};
