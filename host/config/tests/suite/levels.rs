//! The delivery guarantee that is shown for each target of a route: never more than it keeps.

use crate::cases::read;
use esclusa_config::plan::{DeliveryLevel, KafkaProgress, Plan, WriteTarget};
use std::path::Path;

fn plan() -> Plan {
    read(Path::new("tests/cases/levels.toml")).unwrap().plan
}

fn level(plan: &Plan, route: &str, target: WriteTarget<'_>) -> DeliveryLevel {
    let route = plan.routes.iter().find(|known| &*known.name == route).unwrap();
    plan.level(route, target)
}

#[test]
fn levels_follow_from_where_effects_and_progress_are() {
    use DeliveryLevel::{AtLeastOnce, Deduplicated, Overwriting, PerRequest, WithCommit};
    use WriteTarget::{Objects, Output, Table};
    let plan = plan();
    for (route, target, expected) in [
        // The embedded engine alone.
        ("embedded", Table("local"), WithCommit),
        ("embedded", Objects("files"), WithCommit),
        ("embedded", Output("queue"), WithCommit),
        ("embedded", Output("console"), AtLeastOnce),
        ("embedded", Output("fifo"), Deduplicated),
        ("embedded", Output("fifo-topic"), Deduplicated),
        ("embedded", Objects("lake"), AtLeastOnce),
        ("asked", Table("local"), PerRequest),
        ("asked", Output("queue"), PerRequest),
        ("asked", Output("console"), AtLeastOnce),
        // Positions in the embedded engine, of a stream in AWS.
        ("without-leases", Table("local"), WithCommit),
        // Positions and messages elsewhere.
        ("leased-into-embedded", Table("local"), AtLeastOnce),
        ("leased-into-embedded", Objects("lake"), AtLeastOnce),
        ("queue-into-embedded", Table("local"), AtLeastOnce),
        ("queue-into-embedded", Objects("lake"), AtLeastOnce),
        // DynamoDB, asked for exactly-once and not.
        ("leased", Table("cloud"), WithCommit),
        ("leased", Objects("lake"), Overwriting),
        ("leased-by-default", Table("cloud"), AtLeastOnce),
        ("leased-by-default", Objects("lake"), Overwriting),
        ("leased-by-default", Output("stream"), AtLeastOnce),
        ("leased-by-default", Output("fifo"), Deduplicated),
        ("leased-by-default", Output("plain-topic"), AtLeastOnce),
        ("marked", Table("cloud"), WithCommit),
        ("mixed", Table("cloud"), AtLeastOnce),
        ("mixed", Table("local"), AtLeastOnce),
        ("mixed", Output("queue"), AtLeastOnce),
    ] {
        assert_eq!(level(&plan, route, target), expected, "{route} {target:?}");
    }
}

#[test]
fn what_keeps_the_progress_of_a_route_from_kafka_follows_from_its_targets() {
    use DeliveryLevel::{AtLeastOnce, WithCommit};
    use KafkaProgress::{Dynamodb, Embedded, Group, Transaction};
    use WriteTarget::{Objects, Output, Table};
    let plan = read(Path::new("tests/cases/kafka.toml")).unwrap().plan;
    for (route, expected, single_member) in [
        ("lake", Group, false),
        ("cloud", Dynamodb, false),
        ("cloud-by-default", Group, false),
        ("local", Embedded, true),
        ("kafka", Transaction, false),
        ("kafka-by-default", Group, false),
    ] {
        let route = plan.routes.iter().find(|known| &*known.name == route).unwrap();
        assert_eq!(plan.kafka_progress(route), Some(expected), "{}", route.name);
        assert_eq!(plan.writes_embedded(route), single_member, "{}", route.name);
        assert!(route.ordered && !plan.needs_dedup(route), "{}", route.name);
    }
    for (route, target, expected) in [
        ("lake", Objects("lake"), AtLeastOnce),
        ("cloud", Table("cloud"), WithCommit),
        ("cloud-by-default", Table("cloud"), AtLeastOnce),
        ("local", Table("local"), WithCommit),
        ("local", Output("local"), WithCommit),
        ("local", Output("confirmed"), AtLeastOnce),
        ("kafka", Output("confirmed"), WithCommit),
        ("kafka-by-default", Output("confirmed"), AtLeastOnce),
    ] {
        assert_eq!(level(&plan, route, target), expected, "{route} {target:?}");
    }
}

#[test]
fn nothing_is_promised_of_what_is_not_there() {
    let plan = plan();
    for target in [WriteTarget::Table("none"), WriteTarget::Objects("none"), WriteTarget::Output("none")] {
        assert_eq!(level(&plan, "embedded", target), DeliveryLevel::AtLeastOnce);
    }
}

#[test]
fn events_are_marked_only_for_exactly_once_without_leases() {
    let plan = plan();
    let deduplicated: Vec<_> =
        plan.routes.iter().filter(|route| plan.needs_dedup(route)).map(|route| &*route.name).collect();
    assert_eq!(deduplicated, ["marked"]);
}

#[test]
fn order_is_known_of_every_source() {
    let plan = plan();
    let unordered: Vec<_> = plan.routes.iter().filter(|route| !route.ordered).map(|route| &*route.name).collect();
    assert_eq!(unordered, ["asked", "queue-into-embedded", "marked"]);
}

#[test]
fn levels_read_as_what_they_promise() {
    let texts = [DeliveryLevel::WithCommit, DeliveryLevel::Deduplicated, DeliveryLevel::AtLeastOnce]
        .map(|level| level.to_string());
    assert_eq!(
        texts,
        ["exactly-once with the commit", "at-least-once, deduplicated for 5 minutes by FIFO ids", "at-least-once"]
    );
}

#[test]
fn a_lease_table_is_the_routes_own_unless_it_is_named() {
    let plan = plan();
    let of = |source: &str, route| plan.sources.get(source).unwrap().coordination().unwrap().lease_table(route);
    assert_eq!(of("leased", "etl").as_deref(), Some("esclusa-etl"));
    assert_eq!(of("named", "etl").as_deref(), Some("my-leases"));
    assert_eq!(of("alone", "etl"), None);
}
