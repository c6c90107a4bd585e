//! `[aws]`, and the region and endpoint of a resource of AWS.

use super::{Default, KeySpec, Section, ValueKind};

pub(crate) static REGION: KeySpec = KeySpec {
    name: "region",
    kind: ValueKind::Text,
    default: Default::Depends("that of AWS_REGION or the profile"),
    about: "The region; an empty text counts as not set.",
};
pub(crate) static ENDPOINT_URL: KeySpec = KeySpec {
    name: "endpoint_url",
    kind: ValueKind::Text,
    default: Default::Depends("AWS' own, or AWS_ENDPOINT_URL_SERVICE"),
    about: "The http or https URL that requests go to instead; an empty text counts as not set.",
};
pub(crate) static DEDUP_TABLE: KeySpec = KeySpec {
    name: "dedup_table",
    kind: ValueKind::Text,
    // Not "esclusa-dedup": an upgraded router must find the records that the one before it wrote.
    default: Default::Value("esclusa-marks"),
    about: "The DynamoDB table of dedup records, for exactly-once from sources without leases; also of positions in Kafka, and of kept answers.",
};

/// `[aws]`.
pub(crate) static SECTION: Section = Section {
    name: "aws",
    about: "Settings for all resources in AWS. Credentials come from the usual chain: environment, profile, role.",
    keys: &[&REGION, &ENDPOINT_URL, &DEDUP_TABLE],
    foreign: &[
        ("endpoint", "write endpoint_url = \"http://…\""),
        ("access_key_id", "credentials do not belong in this file: set AWS_ACCESS_KEY_ID, a profile or a role"),
        ("aws_access_key_id", "credentials do not belong in this file: set AWS_ACCESS_KEY_ID, a profile or a role"),
        ("secret_access_key", "credentials do not belong in this file: set AWS_SECRET_ACCESS_KEY, a profile or a role"),
        (
            "aws_secret_access_key",
            "credentials do not belong in this file: set AWS_SECRET_ACCESS_KEY, a profile or a role",
        ),
        ("profile", "set the environment variable AWS_PROFILE"),
    ],
};

/// The region of one resource.
pub(crate) static OWN_REGION: KeySpec = KeySpec {
    name: "region",
    kind: ValueKind::Text,
    default: Default::Depends("that of the ARN, else of [aws]"),
    about: "The region of this resource.",
};
/// The endpoint of one resource.
pub(crate) static OWN_ENDPOINT_URL: KeySpec = KeySpec {
    name: "endpoint_url",
    kind: ValueKind::Text,
    default: Default::Depends("that of [aws]"),
    about: "The http or https URL for requests to this resource.",
};
