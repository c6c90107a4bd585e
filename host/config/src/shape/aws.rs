//! `[aws]`, and the location of a resource on AWS.

use super::{Default, KeySpec, Section, ValueKind};

pub(crate) static REGION: KeySpec = KeySpec {
    name: "region",
    kind: ValueKind::Text,
    default: Default::Depends("that of AWS_REGION or the profile"),
    about: "The region; empty is not set.",
};
pub(crate) static ENDPOINT_URL: KeySpec = KeySpec {
    name: "endpoint_url",
    kind: ValueKind::Text,
    default: Default::Depends("AWS' own, or AWS_ENDPOINT_URL_SERVICE"),
    about: "Where requests go instead, an http or https URL; empty is not set.",
};
pub(crate) static MARKS_TABLE: KeySpec = KeySpec {
    name: "marks_table",
    kind: ValueKind::Text,
    default: Default::Value("esclusa-marks"),
    about: "The DynamoDB table that keeps which events are done, for exactly-once from sources without leases.",
};

/// `[aws]`.
pub(crate) static SECTION: Section = Section {
    name: "aws",
    about: "What holds for everything in AWS. Credentials come from the usual chain: environment, profile, role.",
    keys: &[&REGION, &ENDPOINT_URL, &MARKS_TABLE],
    foreign: &[
        ("endpoint", "write endpoint_url = \"http://…\""),
        ("access_key_id", "credentials do not stand in this file: set AWS_ACCESS_KEY_ID, a profile or a role"),
        ("aws_access_key_id", "credentials do not stand in this file: set AWS_ACCESS_KEY_ID, a profile or a role"),
        ("secret_access_key", "credentials do not stand in this file: set AWS_SECRET_ACCESS_KEY, a profile or a role"),
        (
            "aws_secret_access_key",
            "credentials do not stand in this file: set AWS_SECRET_ACCESS_KEY, a profile or a role",
        ),
        ("profile", "set the environment variable AWS_PROFILE"),
    ],
};

/// The region of one resource.
pub(crate) static OWN_REGION: KeySpec = KeySpec {
    name: "region",
    kind: ValueKind::Text,
    default: Default::Depends("that of an ARN, or of [aws]"),
    about: "Its region, where it is another than that of [aws].",
};
/// The endpoint of one resource.
pub(crate) static OWN_ENDPOINT_URL: KeySpec = KeySpec {
    name: "endpoint_url",
    kind: ValueKind::Text,
    default: Default::Depends("that of [aws]"),
    about: "Where its requests go, an http or https URL.",
};
