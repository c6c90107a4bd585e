//! Which sources get what is written to a table, an object store or an output.
//!
//! Only what routes.toml says can be known: that a topic of SNS sends to a queue, or that the address of a webhook is a
//! proxy before this process, it does not say.

use crate::check::{Declarations, absolute};
use crate::plan::{
    AdminListener, DynamodbStreamName, Endpoint, HttpListener, KafkaConnection, Objects, Output, Segment,
    ServiceLocation, Source, TableSpec,
};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use url::{Host, Url};

/// How sure it must be that two names mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) enum Certainty {
    /// They may mean the same: one of them leaves the region to the environment.
    Possible,
    /// They do.
    Certain,
}

/// True if messages to an output become events of the source called `name`.
pub(in crate::check) fn output_feeds(
    world: &Declarations,
    output: &Output,
    (name, source): (&str, &Source),
    sure: Certainty,
) -> bool {
    match (output, source) {
        (Output::Stream { stream: to, .. }, Source::Stream { stream: from, .. })
        | (Output::Queue { queue: to }, Source::Queue { queue: from, .. }) => to == from,
        (Output::Kinesis { stream: to, place: there, .. }, Source::Kinesis { stream: from, place: here, .. }) => {
            bare_name(to) == bare_name(from) && same_place(there, here, sure)
        }
        (Output::Sqs { queue: to, place: there }, Source::Sqs { queue: from, place: here, .. }) => {
            bare_name(to) == bare_name(from) && same_place(there, here, sure)
        }
        (Output::Kafka { connection: there, topic }, Source::Kafka { connection: here, topics, .. }) => {
            topics.contains(topic) && share_a_broker(here, there)
        }
        (Output::File { path: to }, Source::File { path: from, .. }) => absolute(to) == absolute(from),
        (Output::Webhook { url, .. }, Source::Http { on, .. }) => {
            let Ok(url) = Url::parse(url) else { return false };
            match on {
                Some(on) => world.listeners.get(&on.listener).is_some_and(|listener| {
                    let HttpListener { listen, .. } = &listener.value;
                    reaches(&url, listen) && on.endpoints.iter().any(|endpoint| takes_post(endpoint, &url))
                }),
                None => world.admin.as_ref().is_some_and(|AdminListener { listen }| {
                    reaches(&url, listen) && segments(&url) == Some(vec!["ingest".to_owned(), name.to_owned()])
                }),
            }
        }
        _ => false,
    }
}

/// True if writes to the table called `name` become events of a source.
pub(super) fn table_feeds(name: &str, table: &TableSpec, source: &Source) -> bool {
    match (table, source) {
        (TableSpec::Embedded(_), Source::TableChanges { table, .. }) => table == name,
        (TableSpec::Dynamodb { name, place: there, .. }, Source::DynamodbStream { of, place: here, .. }) => {
            let of = match of {
                DynamodbStreamName::Table(table) => table,
                // arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL
                DynamodbStreamName::Arn(arn) => arn.split('/').nth(1).unwrap_or_default(),
            };
            of == name && same_place(there, here, Certainty::Possible)
        }
        _ => false,
    }
}

/// True if objects in a store can be the file that a source reads.
pub(super) fn objects_feed(objects: &Objects, source: &Source) -> bool {
    match (objects, source) {
        (Objects::Directory { path: directory }, Source::File { path, .. }) => {
            absolute(path).starts_with(absolute(directory))
        }
        _ => false,
    }
}

/// True if what comes by a source says how many routes it has come by. A record of Kinesis, a change of an item in DynamoDB and a
/// line of a file have no place for it.
pub(super) fn carries_hops(source: &Source) -> bool {
    !matches!(source, Source::Kinesis { .. } | Source::DynamodbStream { .. } | Source::File { .. })
}

/// The name of a stream or queue that is given by name, ARN or URL.
fn bare_name(text: &str) -> &str {
    text.rsplit_once('/').map_or(text, |(_, name)| name)
}

fn same_place(one: &ServiceLocation, other: &ServiceLocation, sure: Certainty) -> bool {
    let unknown = sure == Certainty::Possible && (one.region.is_none() || other.region.is_none());
    one.endpoint_url == other.endpoint_url && (unknown || one.region == other.region)
}

fn share_a_broker(one: &KafkaConnection, other: &KafkaConnection) -> bool {
    let brokers: BTreeSet<&String> = one.bootstrap_servers.iter().collect();
    other.bootstrap_servers.iter().any(|broker| brokers.contains(broker))
}

/// True if a URL leads to an address that this process listens on. A name other than `localhost` may lead anywhere.
fn reaches(url: &Url, listen: &SocketAddr) -> bool {
    // Port 0 becomes another one at each start.
    if url.port_or_known_default() != Some(listen.port()) || listen.port() == 0 {
        return false;
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.to_canonical(),
        Some(Host::Domain("localhost")) => return listen.ip().is_loopback() || listen.ip().is_unspecified(),
        Some(Host::Domain(_)) | None => return false,
    };
    let own = listen.ip().to_canonical();
    address == own || (own.is_unspecified() && (address.is_loopback() || address.is_unspecified()))
}

fn takes_post(endpoint: &Endpoint, url: &Url) -> bool {
    let Some(given) = segments(url).filter(|given| given.len() == endpoint.segments.len()) else { return false };
    let fits = |(wanted, given): (&Segment, &String)| match wanted {
        Segment::Text(text) => text == given,
        Segment::Parameter(_) => true,
    };
    endpoint.method == "POST" && endpoint.segments.iter().zip(&given).all(fits)
}

/// The decoded segments of a URL's path.
fn segments(url: &Url) -> Option<Vec<String>> {
    let decode = |segment: &str| Some(percent_encoding::percent_decode_str(segment).decode_utf8().ok()?.into_owned());
    url.path_segments()?.map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_reaches_the_addresses_that_a_process_listens_on() {
        let reaches = |url: &str, listen: &str| reaches(&Url::parse(url).unwrap(), &listen.parse().unwrap());
        for (url, listen) in [
            ("http://127.0.0.1:8080/x", "127.0.0.1:8080"),
            ("http://localhost:8080/x", "127.0.0.1:8080"),
            ("http://localhost:8080/x", "[::1]:8080"),
            ("http://localhost/x", "0.0.0.0:80"),
            ("https://127.0.0.9/x", "[::]:443"),
            ("http://[::ffff:127.0.0.1]:8080/", "127.0.0.1:8080"),
            ("http://10.0.0.7:81/", "10.0.0.7:81"),
        ] {
            assert!(reaches(url, listen), "{url} {listen}");
        }
        for (url, listen) in [
            ("http://127.0.0.1:8081/x", "127.0.0.1:8080"),
            ("http://127.0.0.1/x", "127.0.0.1:0"),
            ("http://10.0.0.7:81/", "0.0.0.0:81"),
            ("http://localhost.example:80/", "127.0.0.1:80"),
            ("http://10.0.0.8:81/", "10.0.0.7:81"),
        ] {
            assert!(!reaches(url, listen), "{url} {listen}");
        }
    }

    #[test]
    fn a_stream_or_queue_has_one_name_however_it_is_given() {
        assert_eq!(bare_name("arn:aws:kinesis:eu-west-1:000000000000:stream/orders"), "orders");
        assert_eq!(bare_name("https://sqs.eu-west-1.amazonaws.com/000000000000/jobs.fifo"), "jobs.fifo");
        assert_eq!(bare_name("orders"), "orders");
    }

    #[test]
    fn a_region_that_the_environment_gives_may_be_any() {
        let place = |region: Option<&str>| ServiceLocation { region: region.map(str::to_owned), endpoint_url: None };
        let (here, there, open) = (place(Some("eu-west-1")), place(Some("us-east-1")), place(None));
        assert!(same_place(&here, &open, Certainty::Possible) && !same_place(&here, &open, Certainty::Certain));
        assert!(same_place(&here, &here, Certainty::Certain) && !same_place(&here, &there, Certainty::Possible));
        assert!(same_place(&open, &open, Certainty::Certain));
    }
}
