//! The retries of a route, the output of its dead letters, and its delivery mode.

use crate::check::Declarations;
use crate::check::loops::{Certainty, output_feeds};
use crate::codes::Code;
use crate::plan::delivery_level::{CommitScope, Obstacle};
use crate::plan::{DeliveryMode, Objects, Output, Source};
use crate::report::Finding;
use crate::shape::route as shape;
use crate::syntax::section_reader::SectionReader;
use crate::syntax::toml_tree::TomlTable;
use esclusa_flow::grants::Grants;
use esclusa_flow::retry::{Backoff, RetryPolicy};
use std::ops::Range;

/// Retries if the route gives no `max_retry_attempts`. Lambda retries as long as the stream retains a record; here one
/// bad record does not stall a lane that long.
const RETRIES: u32 = 10;

/// The retry policy. A message that fails is released to its queue, which counts its receives: at the last one that
/// `max_receive_count` permits the route makes a dead letter of it, with the reason. Without `max_receive_count` the
/// redrive policy of SQS decides. `given`: the route's `max_retry_attempts`.
pub(super) fn policy(reader: &SectionReader<'_>, source: Option<&Source>, given: Option<i64>) -> RetryPolicy {
    let receives = match source {
        Some(Source::Queue { max_receive_count, .. }) => Some(Some(*max_receive_count)),
        Some(Source::Sqs { max_receive_count, .. }) => Some(*max_receive_count),
        _ => None,
    };
    // The first receive is no retry.
    let of_queue = receives.flatten().map(|receives| receives.saturating_sub(1));
    let max_retry_attempts = match given {
        Some(given) => [u32::try_from(given).ok(), of_queue].into_iter().flatten().min(),
        None if receives.is_some() => of_queue,
        None => Some(RETRIES),
    };
    RetryPolicy {
        max_retry_attempts,
        max_record_age: reader.endless_duration(&shape::MAX_RECORD_AGE),
        bisect: reader.boolean(&shape::BISECT),
        release: receives.is_some(),
        backoff: backoff(reader),
    }
}

/// Most retries of a message that an output does not take; `None`: no limit.
pub(super) fn message_retries(given: Option<i64>) -> Option<u32> {
    given.map_or(Some(RETRIES), |given| u32::try_from(given).ok())
}

fn backoff(route: &SectionReader<'_>) -> Backoff {
    let given = route.section(&shape::RETRY_BACKOFF, &shape::BACKOFF_SECTION);
    let empty = TomlTable::default();
    let reader =
        given.unwrap_or_else(|| SectionReader::open(route.findings, &shape::BACKOFF_SECTION, 0..0, &empty, &[]));
    let backoff = Backoff { base: reader.duration(&shape::BASE), max: reader.duration(&shape::MAX) };
    if backoff.base > backoff.max {
        let key = if reader.entry(&shape::BASE).is_some() { &shape::BASE } else { &shape::MAX };
        let message = "the first wait is longer than the longest";
        let finding = Finding::error(Code::ROUTE_LIMITS_CONFLICT, reader.value_span(key), message);
        reader.findings.add(finding.help("make base at most max"));
    }
    backoff
}

/// The output of the route's dead letters.
pub(super) fn on_failure(
    reader: &SectionReader<'_>,
    world: &Declarations,
    source: Option<(&str, &Source)>,
) -> Option<String> {
    let name = reader.text(&shape::ON_FAILURE)?;
    let place = reader.value_span(&shape::ON_FAILURE);
    let found = world.outputs.resolve(reader.findings, Code::ROUTE_UNKNOWN_OUTPUT, &name, &place);
    if let Some(output) = found.filter(|found| found.value.needs_receiver()) {
        let message = format!("\"{name}\" sends to the receiver that a message names, and a dead letter names none");
        let key = if output.value.kind() == "sns" { "phone_number" } else { "to" };
        let finding = Finding::error(Code::ROUTE_NO_RECEIVER, place, message);
        let finding = finding.related(output.span.clone(), "this output");
        reader.findings.add(finding.help(format!("give [output.{name}] a receiver: {key} = \"…\"")));
    }
    let feeds = |output: &Output| source.is_some_and(|source| output_feeds(world, output, source, Certainty::Certain));
    if let Some(output) = found.filter(|found| feeds(&found.value)) {
        let message = "the dead letters of this route would come back to it";
        let finding = Finding::error(Code::ROUTE_FEEDS_ITSELF, reader.value_span(&shape::ON_FAILURE), message);
        let finding = finding.related(output.span.clone(), "this output writes to the route's source");
        reader.findings.add(finding.help("name another output, or leave on_failure out: dead letters are kept"));
    }
    Some(name)
}

/// True if the plugin may write to directories, streams or queues of the embedded engine.
fn local_targets(world: &Declarations, grants: &Grants) -> bool {
    let (objects, outputs) = (&world.objects, &world.outputs);
    let directory = |name: &String| matches!(objects.get(name)?.value, Objects::Directory { .. }).then_some(());
    let local =
        |name: &String| matches!(outputs.get(name)?.value, Output::Stream { .. } | Output::Queue { .. }).then_some(());
    grants.objects.iter().find_map(directory).or_else(|| grants.outputs.iter().find_map(local)).is_some()
}

/// The delivery mode. If the route asks for exactly-once, reports every target that cannot have it.
pub(super) fn delivery(
    reader: &SectionReader<'_>,
    world: &Declarations,
    source: Option<&Source>,
    grants: &Grants,
    on_failure: Option<&str>,
) -> DeliveryMode {
    let given = reader.entry(&shape::DELIVERY).map(|_| reader.choice(&shape::DELIVERY));
    if given == Some("at-least-once") {
        return DeliveryMode::AtLeastOnce;
    }
    // An unknown source has been reported.
    let Some(source) = source else { return DeliveryMode::ExactlyOnce };
    let tables = || grants.tables.iter().filter_map(|name| Some((name, world.tables.get(name)?)));
    let commits = CommitScope::new(source, tables().map(|(_, table)| &table.value), &world.home)
        .with_local_targets(local_targets(world, grants));
    if given.is_none() {
        // Nothing is asked for: the embedded engine commits exactly once anyway, and DynamoDB would need transactions
        // for it.
        return if commits.embedded_only() { DeliveryMode::ExactlyOnce } else { DeliveryMode::AtLeastOnce };
    }
    for (name, table) in tables() {
        refuse(reader, "table", name, &table.span, commits.table(&table.value));
    }
    for (name, store) in grants.objects.iter().filter_map(|name| Some((name, world.objects.get(name)?))) {
        refuse(reader, "object store", name, &store.span, commits.objects(&store.value));
    }
    let outputs = grants.outputs.iter().map(String::as_str).chain(on_failure);
    for (name, output) in outputs.filter_map(|name| Some((name, world.outputs.get(name)?))) {
        refuse(
            reader,
            &format!("output of kind {}", output.value.kind()),
            name,
            &output.span,
            commits.output(&output.value),
        );
    }
    DeliveryMode::ExactlyOnce
}

fn refuse(reader: &SectionReader<'_>, what: &str, name: &str, span: &Range<usize>, obstacle: Option<Obstacle>) {
    let Some(Obstacle { why, help }) = obstacle else { return };
    let message = format!("this cannot be exactly-once: the {what} \"{name}\" {why}");
    let finding = Finding::error(Code::ROUTE_NOT_EXACTLY_ONCE, reader.value_span(&shape::DELIVERY), message);
    reader.findings.add(finding.related(span.clone(), "this one").help(help));
}
