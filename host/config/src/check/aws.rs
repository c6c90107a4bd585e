//! `[aws]`, and how resources of AWS are named and found.

use crate::codes::Code;
use crate::plan::{Aws, ServiceLocation};
use crate::report::{Finding, lower_case};
use crate::shape::aws as shape;
use crate::shape::{Key, root};
use crate::syntax::reader::{self, Reader};
use std::ops::RangeInclusive;

/// How a service names one kind of its resources.
pub struct Naming {
    /// What it is, as a message names it.
    what: &'static str,
    /// Bytes of a name.
    length: RangeInclusive<usize>,
    /// Characters of a name other than letters and digits.
    others: &'static str,
    /// Service and beginning of the resource, where an ARN may stand for the name.
    arn: Option<(&'static str, &'static str)>,
    /// What to write.
    help: &'static str,
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>, 2026-11.
pub const STREAM: Naming = Naming {
    what: "a stream of Kinesis",
    length: 1..=128,
    others: "_.-",
    arn: Some(("kinesis", "stream/")),
    help: "1 to 128 letters, digits, `_`, `.` or `-`, or arn:aws:kinesis:REGION:ACCOUNT:stream/NAME",
};
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html>, 2026-11.
pub const CONSUMER: Naming = Naming {
    what: "a consumer of a stream",
    length: 1..=128,
    others: "_.-",
    arn: None,
    help: "1 to 128 letters, digits, `_`, `.` or `-`; it is a name, not an ARN",
};
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>, 2026-11.
pub const TABLE: Naming = Naming {
    what: "a table of DynamoDB",
    length: 3..=255,
    others: "_.-",
    arn: None,
    help: "3 to 255 letters, digits, `_`, `.` or `-`",
};
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Stream.html>, 2026-11.
pub const TABLE_STREAM: Naming = Naming {
    what: "the ARN of a table's stream",
    length: 0..=0,
    others: "",
    arn: Some(("dynamodb", "table/")),
    help: "write arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL, or table = \"NAME\" instead",
};
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html>, 2026-11.
const QUEUE: Naming = Naming {
    what: "a queue of SQS",
    length: 1..=80,
    others: "_-",
    arn: None,
    help: "1 to 80 letters, digits, `_` or `-`, with .fifo at the end of a FIFO queue's; or its URL",
};
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>, 2026-11.
pub const BUCKET: Naming = Naming {
    what: "a bucket of S3",
    length: 3..=63,
    others: ".-",
    arn: None,
    help: "3 to 63 small letters, digits, `.` or `-`",
};
/// <https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html>, 2026-11.
pub const TOPIC: Naming = Naming {
    what: "the ARN of a topic",
    length: 0..=0,
    others: "",
    arn: Some(("sns", "")),
    help: "write arn:aws:sns:REGION:ACCOUNT:NAME",
};

/// `[aws]`, or its defaults.
pub fn section(root: &Reader<'_>) -> Aws {
    let table = root.table(&root::AWS, "write [aws]");
    let Some(table) = table else {
        return Aws { place: ServiceLocation::default(), dedup_table: reader::default(&shape::DEDUP_TABLE).to_owned() };
    };
    let reader = Reader::open(root.findings, &shape::SECTION, root.key_place(&root::AWS), table, &[]);
    let place = ServiceLocation {
        region: region(&reader, &shape::REGION),
        endpoint_url: endpoint(&reader, &shape::ENDPOINT_URL),
    };
    Aws { place, dedup_table: name(&reader, &shape::DEDUP_TABLE, &TABLE, reader::default(&shape::DEDUP_TABLE)) }
}

/// Where a resource is: what its ARN and section say, else what `[aws]` says.
pub fn place(reader: &Reader<'_>, resource: &str, aws: &ServiceLocation) -> ServiceLocation {
    let own = region(reader, &shape::OWN_REGION);
    let of_arn = arn(resource).map(|arn| arn.region.to_owned());
    if let (Some(own), Some(of_arn)) = (&own, &of_arn)
        && own != of_arn
    {
        let message = format!("the ARN is of the region {of_arn}");
        let finding = Finding::error(Code::AWS_BAD_RESOURCE, reader.place(&shape::OWN_REGION), message);
        reader.findings.add(finding.help("leave region out: the ARN says it"));
    }
    let endpoint_url = endpoint(reader, &shape::OWN_ENDPOINT_URL);
    ServiceLocation {
        region: own.or(of_arn).or_else(|| aws.region.clone()),
        endpoint_url: endpoint_url.or_else(|| aws.endpoint_url.clone()),
    }
}

/// The name or ARN of a resource; `default` where the key is not given.
pub fn name(reader: &Reader<'_>, key: &Key, naming: &Naming, default: &str) -> String {
    let name = reader.text(key).unwrap_or_else(|| default.to_owned());
    let given = reader.entry(key).is_none() || reader.text(key).is_some();
    if given && !naming.fits(&name) {
        refuse(reader, key, naming);
    }
    name
}

/// The name or URL of a queue; `default` where the key is not given.
pub fn queue(reader: &Reader<'_>, key: &Key, default: &str) -> String {
    let queue = reader.text(key).unwrap_or_else(|| default.to_owned());
    let given = reader.entry(key).is_none() || reader.text(key).is_some();
    let fits = if queue.contains("://") {
        is_http(&queue).is_ok()
    } else {
        QUEUE.fits(queue.strip_suffix(".fifo").unwrap_or(&queue)) && queue.len() <= *QUEUE.length.end()
    };
    if given && !fits {
        refuse(reader, key, &QUEUE);
    }
    queue
}

fn refuse(reader: &Reader<'_>, key: &Key, naming: &Naming) {
    let message = format!("this cannot be {}", naming.what);
    reader.findings.add(Finding::error(Code::AWS_BAD_RESOURCE, reader.place(key), message).help(naming.help));
}

impl Naming {
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

/// The parts of an ARN that matter here.
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
    let regional = !region.is_empty() && region.chars().all(is_of_region);
    regional.then_some(Arn { service, region, resource })
}

fn region(reader: &Reader<'_>, key: &Key) -> Option<String> {
    let region = reader.text(key).filter(|region| !region.is_empty())?;
    if !region.chars().all(is_of_region) {
        let finding = Finding::error(Code::BAD_VALUE, reader.place(key), "this cannot be a region");
        reader.findings.add(finding.help("write region = \"us-east-1\""));
    }
    Some(region)
}

fn is_of_region(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn endpoint(reader: &Reader<'_>, key: &Key) -> Option<String> {
    let endpoint = reader.text(key).filter(|endpoint| !endpoint.is_empty())?;
    if let Err(problem) = is_http(&endpoint) {
        let finding = Finding::error(Code::BAD_VALUE, reader.place(key), problem);
        reader.findings.add(finding.help("write endpoint_url = \"http://localhost:4566\""));
    }
    Some(endpoint)
}

fn is_http(text: &str) -> Result<(), String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        Ok(_) => Err("this is not an http or https URL".to_owned()),
        Err(error) => Err(format!("this is not a URL: {}", lower_case(&error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_are_told_apart() {
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
