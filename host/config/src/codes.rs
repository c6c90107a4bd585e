//! The codes of diagnostics, and the explanations that `esclusa explain CODE` prints. A released code keeps its meaning.

use crate::nearest::nearest;

/// Every explanation: `## code`, then its text.
const EXPLANATIONS: &str = include_str!("codes/explanations.md");

/// The explanations of the codes of dead letters, in the same form. Those codes are made in other crates.
const DEAD_LETTERS: &str = include_str!("codes/dead-letters.md");

/// The explanations of the codes of faults that an operator has to act on, in the same form. Those codes, too, are made in other crates.
const FAULTS: &str = include_str!("codes/faults.md");

/// The explanations of the codes of refused requests, in the same form. They are made in other crates as well.
const REQUESTS: &str = include_str!("codes/requests.md");

/// A stable name for a kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(&'static str);

impl Code {
    /// The code as it is written: `family::name`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        impl Code {
            $($(#[$doc])* pub const $name: Code = Code($text);)+
            /// All of them, in the order of the reference page.
            pub const ALL: &'static [Code] = &[$(Code::$name),+];
        }
    };
}

codes! {
    /// The file cannot be read.
    UNREADABLE = "config::unreadable";
    /// The file is not TOML.
    SYNTAX = "config::syntax";
    /// `version` is missing or of another format.
    VERSION = "config::version";
    /// A key that does not exist.
    UNKNOWN_KEY = "config::unknown_key";
    /// A key that must be given.
    MISSING_KEY = "config::missing_key";
    /// A value of another type.
    WRONG_TYPE = "config::wrong_type";
    /// A value of the right type that the key does not take.
    BAD_VALUE = "config::bad_value";
    /// A value outside its range.
    OUT_OF_RANGE = "config::out_of_range";
    /// `${…}` without a value.
    INTERPOLATION = "config::interpolation";
    /// A name with characters that names do not have.
    BAD_NAME = "config::bad_name";
    /// Something that nothing uses (warning).
    UNUSED = "config::unused";
    /// No route (warning).
    NO_ROUTES = "config::no_routes";
    /// A key that has no effect here (warning).
    NO_EFFECT = "config::no_effect";
    /// The dashboard would be open to other machines.
    ADMIN_REMOTE = "admin::remote";
    /// The address of the dashboard cannot be listened on.
    ADMIN_NOT_BOUND = "admin::not_bound";
    /// Another process has the store open.
    ENGINE_IN_USE = "engine::in_use";
    /// The directory of the store cannot be created, read or written.
    ENGINE_NOT_OPENED = "engine::not_opened";
    /// The store was written by another version.
    ENGINE_OTHER_FORMAT = "engine::other_format";
    /// What the store holds does not fit routes.toml.
    ENGINE_SCHEMA = "engine::schema";
    /// A section that changes only with a restart.
    ENGINE_NEEDS_RESTART = "engine::needs_restart";
    /// A name, ARN or region that cannot be one.
    AWS_BAD_RESOURCE = "aws::bad_resource";
    /// Something on AWS, in a build without it.
    AWS_NOT_BUILT = "aws::not_built";
    /// A broker, topic, consumer group or member that cannot be one.
    KAFKA_BAD_NAME = "kafka::bad_name";
    /// A property of librdkafka that the router does not let be set.
    KAFKA_REFUSED_PROPERTY = "kafka::refused_property";
    /// Something in Kafka, in a build without it.
    KAFKA_NOT_BUILT = "kafka::not_built";
    /// An unknown kind of source.
    SOURCE_UNKNOWN_KIND = "source::unknown_kind";
    /// Two sections give one stream different settings.
    SOURCE_STREAM_CONFLICT = "source::stream_conflict";
    /// Two sources give one queue different settings.
    SOURCE_QUEUE_CONFLICT = "source::queue_conflict";
    /// Two sources compete for the messages of one queue (warning).
    SOURCE_QUEUE_SHARED = "source::queue_shared";
    /// A source for the changes of an undeclared table.
    SOURCE_UNKNOWN_TABLE = "source::unknown_table";
    /// A source for the changes of a table without changes.
    SOURCE_NO_CHANGES = "source::no_changes";
    /// A source of kind http without a listener.
    SOURCE_HTTP_WITHOUT_ADMIN = "source::http_without_admin";
    /// A source of kind http without a listener, and an `[admin]` that other machines can reach.
    SOURCE_INGEST_REMOTE = "source::ingest_remote";
    /// A key that has no meaning without a listener.
    SOURCE_NEEDS_LISTENER = "source::needs_listener";
    /// A source on an undeclared listener.
    SOURCE_UNKNOWN_LISTENER = "source::unknown_listener";
    /// A method or path that cannot be an endpoint.
    SOURCE_BAD_ENDPOINT = "source::bad_endpoint";
    /// Two endpoints of a listener that take the same requests.
    SOURCE_ENDPOINT_CONFLICT = "source::endpoint_conflict";
    /// A proof of the sender that cannot work.
    SOURCE_BAD_AUTH = "source::bad_auth";
    /// Answers that cannot be kept with the commit.
    SOURCE_ANSWERS_NOT_KEPT = "source::answers_not_kept";
    /// Two listeners with one address.
    LISTENER_SAME_ADDRESS = "listener::same_address";
    /// An address that cannot be listened on.
    LISTENER_NOT_BOUND = "listener::not_bound";
    /// A certificate or key that cannot be used.
    LISTENER_BAD_TLS = "listener::bad_tls";
    /// A cron expression that is invalid, or has no time to come.
    SOURCE_BAD_CRON = "source::bad_cron";
    /// A file to be read to its end that is not there.
    SOURCE_MISSING_FILE = "source::missing_file";
    /// A file that is read and written.
    SOURCE_FILE_LOOP = "source::file_loop";
    /// A file that is compressed.
    SOURCE_COMPRESSED = "source::compressed_file";
    /// An unknown kind of table.
    TABLE_UNKNOWN_KIND = "table::unknown_kind";
    /// A key that cannot be one.
    TABLE_BAD_KEY = "table::bad_key";
    /// A time of expiry that cannot change.
    TABLE_BAD_TTL = "table::bad_ttl";
    /// An unknown kind of object store.
    OBJECTS_UNKNOWN_KIND = "objects::unknown_kind";
    /// A directory of objects that cannot be created.
    OBJECTS_NOT_CREATED = "objects::not_created";
    /// A directory of objects that contains files of the router.
    OBJECTS_EXPOSED = "objects::exposed";
    /// An unknown kind of output.
    OUTPUT_UNKNOWN_KIND = "output::unknown_kind";
    /// A URL or header that cannot be one.
    OUTPUT_BAD_WEBHOOK = "output::bad_webhook";
    /// A mail address, phone number or mail server that cannot be one.
    OUTPUT_BAD_ADDRESS = "output::bad_address";
    /// Two routes of one name.
    ROUTE_DUPLICATE = "route::duplicate";
    /// A route from an undeclared source.
    ROUTE_UNKNOWN_SOURCE = "route::unknown_source";
    /// A grant of an undeclared table.
    ROUTE_UNKNOWN_TABLE = "route::unknown_table";
    /// A grant of an undeclared object store.
    ROUTE_UNKNOWN_OBJECTS = "route::unknown_objects";
    /// An undeclared output.
    ROUTE_UNKNOWN_OUTPUT = "route::unknown_output";
    /// A pattern that is no valid filter.
    ROUTE_BAD_FILTER = "route::bad_filter";
    /// A filter that names a field which no event has (warning).
    ROUTE_UNKNOWN_FIELD = "route::unknown_field";
    /// Two routes would share a resource that only one can use.
    ROUTE_NOT_SHARED = "route::not_shared";
    /// Dead letters would go to an output whose messages must name their receiver.
    ROUTE_NO_RECEIVER = "route::no_receiver";
    /// Dead letters would come back to the route as events.
    ROUTE_FEEDS_ITSELF = "route::feeds_itself";
    /// Events may come back to a route that caused them (warning).
    ROUTE_LOOP = "route::loop";
    /// A text that is no SHA-256 digest.
    ROUTE_BAD_DIGEST = "route::bad_digest";
    /// Exactly-once is asked of an output that cannot give it.
    ROUTE_NOT_EXACTLY_ONCE = "route::not_exactly_once";
    /// Two limits of a route that exclude each other.
    ROUTE_LIMITS_CONFLICT = "route::limits_conflict";
    /// The plugin's configuration names a table, object store or output that the route does not grant.
    ROUTE_MISSING_GRANT = "route::missing_grant";
    /// The plugin's file cannot be read.
    PLUGIN_MISSING = "plugin::missing";
    /// The plugin's file is no plugin.
    PLUGIN_INVALID = "plugin::invalid";
    /// The plugin was built for another version of the contract.
    PLUGIN_CONTRACT = "plugin::contract";
    /// The plugin's file, or a part of it, is larger than it may be.
    PLUGIN_TOO_LARGE = "plugin::too_large";
    /// Compiling the plugin takes too long.
    PLUGIN_COMPILE_TIME = "plugin::compile_time";
    /// Compiling the plugin takes too much memory.
    PLUGIN_COMPILE_MEMORY = "plugin::compile_memory";
    /// The process that compiled the plugin is gone.
    PLUGIN_COMPILE_CRASHED = "plugin::compile_crashed";
    /// The plugin's file has another digest.
    PLUGIN_DIGEST_MISMATCH = "plugin::digest_mismatch";
    /// The plugin's schema refuses the route's configuration.
    PLUGIN_CONFIG_REJECTED = "plugin::config_rejected";
    /// Checking with the plugin's schema takes too long.
    PLUGIN_SCHEMA_TIME = "plugin::schema_time";
    /// Checking with the plugin's schema takes too much memory.
    PLUGIN_SCHEMA_MEMORY = "plugin::schema_memory";
    /// The process that checked with the plugin's schema is gone.
    PLUGIN_SCHEMA_CRASHED = "plugin::schema_crashed";
    /// The plugin refuses to start.
    PLUGIN_INIT_FAILED = "plugin::init_failed";
    /// The plugin needs order, and the source has none.
    PLUGIN_NEEDS_ORDER = "plugin::needs_order";
    /// Different values can give the same key.
    PLUGIN_SHARED_KEY = "plugin::shared_key";
    /// A text can add fields to a message that is JSON.
    PLUGIN_OPEN_JSON = "plugin::open_json";
}

/// The meaning of a code, why it is an error and how to mend it, with an example; `None`: unknown code.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    all().find(|(heading, _)| *heading == code).map(|(_, text)| text)
}

/// The codes that somebody may have meant who wrote this one: those with this name in any family, or else the one with the
/// closest spelling.
#[must_use]
pub fn meant_by(code: &str) -> Vec<&'static str> {
    let name = |code: &'static str| code.rsplit(['.', ':']).next().unwrap_or(code);
    let of_name: Vec<&str> = all().map(|(known, _)| known).filter(|known| name(known) == code).collect();
    if !of_name.is_empty() {
        return of_name;
    }
    let close = nearest(code, all().map(|(known, _)| known));
    // Without its family, a name is compared with names.
    let close = close.or_else(|| {
        let closest = nearest(code, all().map(|(known, _)| name(known)))?;
        all().map(|(known, _)| known).find(|known| name(known) == closest)
    });
    close.into_iter().collect()
}

/// Every code that is explained, with the first sentence.
pub fn summaries() -> impl Iterator<Item = (&'static str, String)> {
    let summary = |text: &str| {
        let paragraph = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let sentence = paragraph.split_once(". ").map_or(paragraph.as_str(), |(sentence, _)| sentence);
        sentence.trim_end_matches('.').to_owned()
    };
    all().map(move |(code, text)| (code, summary(text)))
}

/// The page of all explanations, `docs/reference/errors.md`.
#[must_use]
pub fn page() -> &'static str {
    EXPLANATIONS
}

/// The page of the codes of dead letters, `docs/reference/dead-letters.md`.
#[must_use]
pub fn dead_letters() -> &'static str {
    DEAD_LETTERS
}

/// The page of the codes of faults, `docs/reference/faults.md`.
#[must_use]
pub fn faults() -> &'static str {
    FAULTS
}

/// The page of the codes of refused requests, `docs/reference/requests.md`.
#[must_use]
pub fn requests() -> &'static str {
    REQUESTS
}

/// Headings and texts of all pages.
fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    [EXPLANATIONS, DEAD_LETTERS, FAULTS, REQUESTS].into_iter().flat_map(pages)
}

/// Headings and texts of a page.
fn pages(page: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    page.split("\n## ").skip(1).filter_map(|page| page.split_once('\n')).map(|(code, text)| (code.trim(), text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique() {
        let unique: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(unique.len(), Code::ALL.len());
    }

    #[test]
    fn a_code_without_its_family_or_with_a_slip_is_understood() {
        assert_eq!(meant_by("missing_grant"), ["route::missing_grant"]);
        assert_eq!(meant_by("unknown_kind").len(), 4, "one of each family");
        assert_eq!(meant_by("route::mising_grant"), ["route::missing_grant"]);
        assert_eq!(meant_by("mising-grant"), ["route::missing_grant"]);
        assert_eq!(meant_by("trap"), ["plugin.trap"]);
        assert_eq!(meant_by("E42"), [""; 0]);
    }

    #[test]
    fn every_code_has_a_first_sentence_for_the_list() {
        assert!(summaries().any(|each| {
            each == ("config::unknown_key", "A key that does not exist, which is most likely misspelt".to_owned())
        }));
        for (code, about) in summaries() {
            assert!((10..300).contains(&about.len()), "{code}: {about}");
        }
    }

    #[test]
    fn every_code_is_explained_and_every_explanation_has_a_code() {
        let explained: Vec<_> = pages(EXPLANATIONS).map(|(code, _)| code).collect();
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(explained, codes, "codes/explanations.md has the codes in the order of codes.rs");
        for code in codes {
            assert!(explain(code).unwrap().len() > 80, "{code}");
        }
        assert_eq!(explain("config::nothing"), None);
    }
}
