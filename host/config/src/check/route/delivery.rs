//! What a route does with failures, and how sure its delivery is.

use crate::check::World;
use crate::codes::Code;
use crate::plan::Output;
use crate::report::Finding;
use crate::shape::route as shape;
use crate::syntax::reader::Reader;
use crate::syntax::tree::Table;
use esclusa_flow::grants::Grants;
use esclusa_flow::retry::{Backoff, Policy};

/// Retries where the route does not say. Lambda retries for as long as a record is retained; here one bad record never
/// stalls a lane for that long.
const RETRIES: u32 = 10;

/// What to do with failures. `receives` is the queue's `max_receive_count`, where the source is a queue: a message that
/// has been received so often is given up, by this route, which can say why.
pub fn policy(reader: &Reader<'_>, receives: Option<u32>) -> Policy {
    let of_queue = receives.map(|receives| receives.saturating_sub(1));
    let max_retry_attempts = match reader.given_integer(&shape::MAX_RETRY_ATTEMPTS) {
        Some(given) => [u32::try_from(given).ok(), of_queue].into_iter().flatten().min(),
        None => Some(of_queue.unwrap_or(RETRIES)),
    };
    Policy {
        max_retry_attempts,
        max_record_age: reader.limit(&shape::MAX_RECORD_AGE),
        bisect: reader.boolean(&shape::BISECT),
        release: receives.is_some(),
        backoff: backoff(reader),
    }
}

fn backoff(route: &Reader<'_>) -> Backoff {
    let given = route.section(&shape::RETRY_BACKOFF, &shape::BACKOFF_SECTION);
    let empty = Table::default();
    let reader = given.unwrap_or_else(|| Reader::open(route.findings, &shape::BACKOFF_SECTION, 0..0, &empty, &[]));
    let backoff = Backoff { base: reader.duration(&shape::BASE), max: reader.duration(&shape::MAX) };
    if backoff.base > backoff.max {
        let key = if reader.entry(&shape::BASE).is_some() { &shape::BASE } else { &shape::MAX };
        let message = "the first wait is longer than the longest";
        let finding = Finding::error(Code::ROUTE_LIMITS_CONFLICT, reader.place(key), message);
        reader.findings.add(finding.help("make base at most max"));
    }
    backoff
}

/// Where given-up events go; and whether every output of the route can do what `delivery` asks for.
pub fn on_failure(reader: &Reader<'_>, world: &World, grants: &Grants) -> Option<String> {
    let on_failure = reader.text(&shape::ON_FAILURE);
    if let Some(name) = &on_failure {
        world.outputs.resolve(reader.findings, Code::ROUTE_UNKNOWN_OUTPUT, name, &reader.place(&shape::ON_FAILURE));
    }
    if reader.entry(&shape::DELIVERY).is_some() && reader.choice(&shape::DELIVERY) == "exactly-once" {
        for name in grants.outputs.iter().chain(&on_failure) {
            exactly_once(reader, world, name);
        }
    }
    on_failure
}

fn exactly_once(reader: &Reader<'_>, world: &World, name: &str) {
    let Some(output) = world.outputs.get(name) else { return };
    let kind = match output.value {
        Output::Stream { .. } | Output::Queue { .. } => return,
        Output::File { .. } => "file",
        Output::Console => "console",
        Output::Webhook { .. } => "webhook",
    };
    let message = format!("the output \"{name}\" of kind {kind} is at-least-once");
    let finding = Finding::error(Code::ROUTE_NOT_EXACTLY_ONCE, reader.place(&shape::DELIVERY), message);
    let help =
        "leave delivery out: tables, objects, streams and queues stay exactly-once; or send to a stream or queue";
    reader.findings.add(finding.related(output.span.clone(), "this output").help(help));
}
