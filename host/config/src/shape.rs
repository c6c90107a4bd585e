//! The sections, keys and values of routes.toml. The file is read by these tables, and the JSON Schema and the
//! reference page are made from them, so the three cannot disagree. Whether a name is declared is checked in `check`.

pub(crate) mod aws;
pub(crate) mod listener;
pub(crate) mod output;
pub(crate) mod root;
pub(crate) mod route;
pub(crate) mod source;
pub(crate) mod store;

use crate::codes::Code;

/// A table with known keys.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its name; for a section with kinds, the kind.
    pub name: &'static str,
    /// Its description, a sentence.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'static [&'static KeySpec],
    /// Words of Lambda, KCL and other systems, each with the help that says what to write instead.
    pub foreign: &'static [(&'static str, &'static str)],
}

/// A key of a section.
#[derive(Debug)]
pub(crate) struct KeySpec {
    /// Its name.
    pub name: &'static str,
    /// The values it takes.
    pub kind: ValueKind,
    /// Its value if the key is missing.
    pub default: Default,
    /// Its effect, a sentence.
    pub about: &'static str,
}

/// The values that a key takes.
#[derive(Debug)]
pub(crate) enum ValueKind {
    /// A text.
    Text,
    /// A path, relative to the file's directory.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A text such as `"10s"`.
    Duration {
        /// The least, as it is written.
        min: &'static str,
        /// The most, as it is written.
        max: &'static str,
        /// Takes `-1` for "without limit", too.
        endless: bool,
    },
    /// A text such as `"64MiB"`, or a number of bytes.
    Size {
        /// The least, as it is written.
        min: &'static str,
        /// The most, as it is written.
        max: &'static str,
    },
    /// A point in time, RFC 3339.
    Timestamp,
    /// A list of names.
    Names,
    /// A text, or a list of texts.
    OneOrMore,
    /// A table of texts.
    Texts,
    /// Anything.
    Json,
    /// A table with any content.
    Object,
    /// A list of anything.
    List,
    /// A table or a list of tables.
    Patterns,
    /// A table with known keys.
    Section(&'static Section),
    /// Tables with known keys, by name.
    Sections(&'static Section),
    /// Tables that have kinds, by name.
    Family(&'static KindFamily),
    /// A list of tables with known keys.
    SectionList(&'static Section),
}

/// The value of a key that is missing.
#[derive(Debug)]
pub(crate) enum Default {
    /// None: the key is required.
    Required,
    /// No value.
    Nothing,
    /// This value, as it would be written.
    Value(&'static str),
    /// A value that depends on others, described in words.
    Depends(&'static str),
}

/// Tables of which each has a `kind` that says which keys it has.
#[derive(Debug)]
pub(crate) struct KindFamily {
    /// The word in front of the name: `source` in `[source.NAME]`.
    pub name: &'static str,
    /// Its description, a sentence.
    pub about: &'static str,
    /// Its kinds.
    pub kinds: &'static [&'static Section],
    /// The code for an unknown kind.
    pub unknown_kind: Code,
}
