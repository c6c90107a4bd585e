//! Sources in AWS, each by itself. What only one route can have is in `exclusive`.

use crate::check::{aws, position};
use crate::codes::Code;
use crate::plan::{Coordination, ServiceLocation, Source, TableStream};
use crate::report::Finding;
use crate::shape::source::aws as shape;
use crate::syntax::reader::Reader;

/// A Kinesis data stream.
pub fn kinesis(name: &str, reader: &Reader<'_>, home: &ServiceLocation) -> Source {
    let stream = aws::name(reader, &shape::STREAM, &aws::STREAM, name);
    let consumer = reader.entry(&shape::CONSUMER).map(|_| aws::name(reader, &shape::CONSUMER, &aws::CONSUMER, ""));
    let place = aws::place(reader, &stream, home);
    let (start, ordered, coordination) = (position::start(reader), ordered(reader), coordination(reader));
    Source::Kinesis { stream, start, consumer, ordered, coordination, place }
}

/// The stream of a table.
pub fn dynamodb_stream(name: &str, reader: &Reader<'_>, home: &ServiceLocation) -> Source {
    let start = position::without_time(reader);
    let (ordered, coordination) = (ordered(reader), coordination(reader));
    let Some(entry) = reader.entry(&shape::STREAM_ARN) else {
        let table = aws::name(reader, &shape::STREAM_OF, &aws::TABLE, name);
        let place = aws::place(reader, "", home);
        return Source::DynamodbStream { of: TableStream::Table(table), start, ordered, coordination, place };
    };
    if reader.entry(&shape::STREAM_OF).is_some() {
        let finding =
            Finding::error(Code::BAD_VALUE, entry.key_span.clone(), "`table` and `stream_arn` exclude each other");
        reader.findings.add(
            finding
                .related(reader.key_place(&shape::STREAM_OF), "here")
                .help("keep table: its current stream is found by itself"),
        );
    }
    let arn = aws::name(reader, &shape::STREAM_ARN, &aws::TABLE_STREAM, "");
    let place = aws::place(reader, &arn, home);
    Source::DynamodbStream { of: TableStream::Arn(arn), start, ordered, coordination, place }
}

/// A queue.
pub fn sqs(name: &str, reader: &Reader<'_>, home: &ServiceLocation) -> Source {
    let receives = reader.given_integer(&shape::MAX_RECEIVE_COUNT);
    Source::Sqs {
        queue: aws::queue(reader, &shape::QUEUE, name),
        visibility_timeout: reader.limit(&shape::VISIBILITY_TIMEOUT),
        max_receive_count: receives.and_then(|receives| u32::try_from(receives).ok()),
        place: aws::place(reader, "", home),
    }
}

fn ordered(reader: &Reader<'_>) -> bool {
    reader.choice(&shape::ORDERING) != "none"
}

fn coordination(reader: &Reader<'_>) -> Coordination {
    if reader.choice(&shape::COORDINATION) == "none" {
        for entry in [&shape::LEASE_TABLE, &shape::LEASE_DURATION].into_iter().filter_map(|key| reader.entry(key)) {
            let message = format!("`{}` has no effect with coordination = \"none\"", entry.key);
            reader.findings.add(Finding::warning(Code::NO_EFFECT, entry.key_span.clone(), message));
        }
        return Coordination::None;
    }
    let table = reader.entry(&shape::LEASE_TABLE).map(|_| aws::name(reader, &shape::LEASE_TABLE, &aws::TABLE, ""));
    Coordination::Leases { table, duration: reader.duration(&shape::LEASE_DURATION) }
}
