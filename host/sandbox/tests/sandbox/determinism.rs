//! A redelivered batch gives byte-identical output, even if the guest asks for time, random numbers and tables.

use crate::support::{NoReads, call, events, hostile, load, order, ordered, origin, sandbox, sent, settings};
use esclusa_flow::plugin::Plugin;
use esclusa_flow::settings::Limits;
use esclusa_sandbox::RouteSettings;
use std::sync::Arc;

#[tokio::test]
async fn the_same_batch_gives_the_same_output_for_a_guest_that_looks_at_clock_and_randomness() {
    let plugin = ordered("see", Limits::default()).await;
    let first = call(&plugin, 10).await.unwrap();
    let again = call(&plugin, 10).await.unwrap();
    assert_eq!(first, again);
    let elsewhere = ordered("see", Limits { memory: 32 << 20, ..Limits::default() }).await;
    assert_eq!(call(&elsewhere, 10).await.unwrap(), first);
    assert_ne!(call(&plugin, 11).await.unwrap(), first);
}

#[tokio::test]
async fn another_route_sees_other_numbers() {
    let loaded = load(&sandbox(), hostile()).await.unwrap();
    let mut seen = Vec::new();
    for route in ["one", "two"] {
        let settings = RouteSettings { route: route.into(), ..settings(&order("see"), Limits::default()) };
        let plugin = loaded.configure(settings).await.unwrap();
        seen.push(plugin.call(&origin(), &events(10), Arc::new(NoReads)).await.unwrap());
    }
    assert_ne!(seen[0], seen[1]);
}

#[tokio::test]
async fn the_clock_shows_the_newest_event_and_sleeping_moves_it() {
    let seen = sent(&call(&ordered("see", Limits::default()).await, 10).await.unwrap()).remove(0);
    assert!(seen.starts_with("Ok(1700000000.009s) 10µs true "), "{seen}");
}
