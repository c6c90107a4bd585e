//! What running guests take: their memories and stacks, what the host holds for their calls, and instances that are kept.

use super::{Part, part};
use esclusa_config::plan::{Instances, RouteSpec};
use esclusa_flow::engine::QueryResult;
use esclusa_sandbox::{KEEP_RESIDENT, STACK, SandboxConfig};

/// Outputs are held twice while they are committed: as effects, and as the writes that they become.
const HELD: u64 = 2;

/// Calls that may run at the same time, and what is held for them.
pub fn parts(routes: &[RouteSpec]) -> Vec<Part> {
    let instances = SandboxConfig::default().instances as usize;
    let mut calls: Vec<&RouteSpec> = routes.iter().flat_map(|route| vec![route; at_once(route, instances)]).collect();
    // The sandbox runs no more than that: in the worst case the largest.
    calls.sort_by_key(|route| std::cmp::Reverse(route.limits.memory));
    let sum = |of: fn(&RouteSpec) -> u64, calls: &[&RouteSpec]| {
        calls.iter().fold(0_u64, |sum, route| sum.saturating_add(of(route)))
    };
    let running = calls.get(..SandboxConfig::default().most_running() as usize).unwrap_or(&calls);
    let memory = sum(|route| (route.limits.memory + STACK) as u64, running);
    let outputs = sum(|route| (route.limits.output_bytes as u64).saturating_mul(HELD), &calls);
    let reads = sum(|route| if route.grants.tables.is_empty() { 0 } else { QueryResult::MOST as u64 }, running);
    let why = format!("{} call(s) at a time: limits.memory and a stack each", running.len());
    vec![
        part("guests", memory, why),
        part("outputs of calls", outputs, format!("{} call(s): {HELD} times limits.output each", calls.len())),
        part("answers to reads", reads, "a query's answer for each call that may read tables"),
        kept(routes, instances),
    ]
}

/// Calls of a route at the same time: one route has at most half of the permits to run.
fn at_once(route: &RouteSpec, instances: usize) -> usize {
    route.concurrency.saturating_mul(route.parallelization_factor).min(instances / 2).max(1)
}

/// Instances kept for reuse, all routes together, and the slots of those that are gone, which stay warm.
fn kept(routes: &[RouteSpec], instances: usize) -> Part {
    let reused = |route: &RouteSpec| match route.instances {
        Instances::Fresh => None,
        Instances::Reuse { memory_high_water, .. } => Some((memory_high_water + STACK) as u64),
    };
    let largest = routes.iter().filter_map(reused).max().unwrap_or_default();
    let warm = (KEEP_RESIDENT as u64).max(largest);
    part("instances kept", warm.saturating_mul(instances as u64), format!("{instances} of {} KiB", warm >> 10))
}
