//! `[aws]`, and the names, ARNs and locations of resources on AWS.

use crate::codes::Code;
use crate::plan::{AwsDefaults, ServiceLocation};
use crate::report::{Finding, lower_case};
use crate::shape::aws as shape;
use crate::shape::{KeySpec, root};
use crate::syntax::section_reader::{self, SectionReader};
use std::ops::RangeInclusive;

/// The rules by which an AWS service names one kind of resource.
pub(super) struct ResourceNaming {
    /// The kind of resource, as a message names it.
    what: &'static str,
    /// Permitted length of a name, bytes.
    length: RangeInclusive<usize>,
    /// Permitted characters besides letters and digits.
    others: &'static str,
    /// The service of an ARN and the beginning of its resource, if an ARN may be given instead of a name.
    arn: Option<(&'static str, &'static str)>,
    /// The help of the message: how to write it.
    help: &'static str,
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>, 2026-11.
pub(super) const STREAM: ResourceNaming = ResourceNaming {
    what: "a stream of Kinesis",
    length: 1..=128,
    others: "_.-",
    arn: Some(("kinesis", "stream/")),
    help: "1 to 128 letters, digits, `_`, `.` or `-`, or arn:aws:kinesis:REGION:ACCOUNT:stream/NAME",
};
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html>, 2026-11.
pub(super) const CONSUMER: ResourceNaming = ResourceNaming {
    what: "a consumer of a stream",
    length: 1..=128,
    others: "_.-",
    arn: None,
    help: "1 to 128 letters, digits, `_`, `.` or `-`; it is a name, not an ARN",
};
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>, 2026-11.
pub(super) const TABLE: ResourceNaming = ResourceNaming {
    what: "a table of DynamoDB",
    length: 3..=255,
    others: "_.-",
    arn: None,
    help: "3 to 255 letters, digits, `_`, `.` or `-`",
};
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Stream.html>, 2026-11.
pub(super) const TABLE_STREAM: ResourceNaming = ResourceNaming {
    what: "the ARN of a table's stream",
    length: 0..=0,
    others: "",
    arn: Some(("dynamodb", "table/")),
    help: "write arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL, or table = \"NAME\" instead",
};
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html>, 2026-11.
const QUEUE: ResourceNaming = ResourceNaming {
    what: "a queue of SQS",
    length: 1..=80,
    others: "_-",
    arn: None,
    help: "1 to 80 letters, digits, `_` or `-`, with .fifo at the end of a FIFO queue's; or its URL",
};
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>, 2026-11.
pub(super) const BUCKET: ResourceNaming = ResourceNaming {
    what: "a bucket of S3",
    length: 3..=63,
    others: ".-",
    arn: None,
    help: "3 to 63 small letters, digits, `.` or `-`",
};
/// <https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html>, 2026-11.
pub(super) const TOPIC: ResourceNaming = ResourceNaming {
    what: "the ARN of a topic",
    length: 0..=0,
    others: "",
    arn: Some(("sns", "")),
    help: "write arn:aws:sns:REGION:ACCOUNT:NAME",
};

/// Schemes of endpoints, queues and webhooks.
pub(super) const HTTP: [&str; 2] = ["http", "https"];

/// Reads `[aws]`; gives the defaults if the file does not have it.
pub(super) fn section(root: &SectionReader<'_>) -> AwsDefaults {
    let table = root.table(&root::AWS, "write [aws]");
    let Some(table) = table else {
        return AwsDefaults {
            place: ServiceLocation::default(),
            dedup_table: section_reader::default(&shape::DEDUP_TABLE).to_owned(),
        };
    };
    let reader = SectionReader::open(root.findings, &shape::SECTION, root.key_span(&root::AWS), table, &[]);
    let place = ServiceLocation {
        region: region(&reader, &shape::REGION),
        endpoint_url: endpoint(&reader, &shape::ENDPOINT_URL),
    };
    AwsDefaults {
        place,
        dedup_table: name(&reader, &shape::DEDUP_TABLE, &TABLE, section_reader::default(&shape::DEDUP_TABLE)),
    }
}

/// The location of a resource: from its own keys, else from its ARN, else from `[aws]`.
pub(super) fn location(reader: &SectionReader<'_>, resource: &str, aws: &ServiceLocation) -> ServiceLocation {
    let own = region(reader, &shape::OWN_REGION);
    let of_arn = arn(resource).map(|arn| arn.region.to_owned());
    // A request to the region of the key would not find the resource of the ARN.
    if let (Some(own), Some(of_arn)) = (&own, &of_arn)
        && own != of_arn
    {
        let message = format!("the ARN is of the region {of_arn}");
        let finding = Finding::error(Code::AWS_BAD_RESOURCE, reader.value_span(&shape::OWN_REGION), message);
        reader.findings.add(finding.help("leave region out: the ARN says it"));
    }
    let endpoint_url = endpoint(reader, &shape::OWN_ENDPOINT_URL);
    ServiceLocation {
        region: own.or(of_arn).or_else(|| aws.region.clone()),
        endpoint_url: endpoint_url.or_else(|| aws.endpoint_url.clone()),
    }
}

/// The name or ARN of a resource; `default` if the key is missing.
pub(super) fn name(reader: &SectionReader<'_>, key: &KeySpec, naming: &ResourceNaming, default: &str) -> String {
    let name = reader.text(key).unwrap_or_else(|| default.to_owned());
    // A default is checked, too: it is the name of a section, which may be no name for AWS. A value of another type is
    // reported already.
    let given = reader.entry(key).is_none() || reader.text(key).is_some();
    if given && !naming.fits(&name) {
        refuse(reader, key, naming);
    }
    name
}

/// The name or URL of a queue; `default` if the key is missing.
pub(super) fn queue(reader: &SectionReader<'_>, key: &KeySpec, default: &str) -> String {
    let queue = reader.text(key).unwrap_or_else(|| default.to_owned());
    let given = reader.entry(key).is_none() || reader.text(key).is_some();
    let fits = if queue.contains("://") {
        url_problem(&queue, HTTP).is_none()
    } else {
        // The suffix counts for the length, and only there a name may have a dot.
        QUEUE.fits(queue.strip_suffix(".fifo").unwrap_or(&queue)) && queue.len() <= *QUEUE.length.end()
    };
    if given && !fits {
        refuse(reader, key, &QUEUE);
    }
    queue
}

fn refuse(reader: &SectionReader<'_>, key: &KeySpec, naming: &ResourceNaming) {
    let message = format!("this cannot be {}", naming.what);
    reader.findings.add(Finding::error(Code::AWS_BAD_RESOURCE, reader.value_span(key), message).help(naming.help));
}

impl ResourceNaming {
    fn fits(&self, name: &str) -> bool {
        match (arn(name), self.arn) {
            (Some(arn), Some((service, resource))) => {
                arn.service == service && arn.resource.len() > resource.len() && arn.resource.starts_with(resource)
            }
            _ => {
                let good = |c: char| c.is_ascii_alphanumeric() || self.others.contains(c);
                !name.is_empty() && self.length.contains(&name.len()) && name.chars().all(good)
            }
        }
    }
}

/// The parts of an ARN that are checked.
struct Arn<'a> {
    service: &'a str,
    region: &'a str,
    resource: &'a str,
}

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>, 2026-11.
fn arn(text: &str) -> Option<Arn<'_>> {
    let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
    let (_partition, service, region) = (parts.next()?, parts.next()?, parts.next()?);
    let (_account, resource) = (parts.next()?, parts.next()?);
    // ARNs without a region (S3, IAM) name none of the resources that are given by ARN here.
    let regional = !region.is_empty() && region.chars().all(is_of_region);
    regional.then_some(Arn { service, region, resource })
}

fn region(reader: &SectionReader<'_>, key: &KeySpec) -> Option<String> {
    let region = reader.text(key).filter(|region| !region.is_empty())?;
    if !region.chars().all(is_of_region) {
        let finding = Finding::error(Code::BAD_VALUE, reader.value_span(key), "this cannot be a region");
        reader.findings.add(finding.help("write region = \"us-east-1\""));
    }
    Some(region)
}

fn is_of_region(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn endpoint(reader: &SectionReader<'_>, key: &KeySpec) -> Option<String> {
    let endpoint = reader.text(key).filter(|endpoint| !endpoint.is_empty())?;
    if let Some(problem) = url_problem(&endpoint, HTTP) {
        let finding = Finding::error(Code::BAD_VALUE, reader.value_span(key), problem);
        reader.findings.add(finding.help("write endpoint_url = \"http://localhost:4566\""));
    }
    Some(endpoint)
}

/// The problem of a text that is no URL with a host and one of two schemes; `None`: it has none. The problem does not
/// repeat the text, which may contain a password.
pub(super) fn url_problem(text: &str, schemes: [&str; 2]) -> Option<String> {
    match url::Url::parse(text) {
        Ok(url) if schemes.contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty()) => None,
        Ok(_) => Some(format!("this is not an {} or {} URL", schemes[0], schemes[1])),
        Err(error) => Some(format!("this is not a URL: {}", lower_case(&error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_are_distinguished() {
        for (naming, good, bad) in [
            (STREAM, "arn:aws:kinesis:us-east-1:000000000000:stream/orders", "arn:aws:kinesis:us-east-1:0:stream/"),
            (STREAM, "orders.v2", "orders/v2"),
            (TABLE, "abc", "ab"),
            (TOPIC, "arn:aws-cn:sns:cn-north-1:000000000000:low-stock", "low-stock"),
            (TABLE_STREAM, "arn:aws:dynamodb:us-east-1:0:table/t/stream/2026", "arn:aws:sns:us-east-1:0:table/t"),
            (BUCKET, "a.b-c", "a_b"),
        ] {
            assert!(naming.fits(good) && !naming.fits(bad), "{} {good} {bad}", naming.what);
        }
    }
}
