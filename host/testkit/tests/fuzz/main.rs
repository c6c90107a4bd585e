//! Fuzz targets of what host and plugins share, as ordinary tests.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod filters;
mod sdk_json;

use esclusa_testkit::fuzz;

#[test]
fn whatever_filter_and_event_there_are_the_filter_says_what_a_naive_reading_says_within_its_budget() {
    fuzz::run("filters", filters::target);
}

#[test]
fn the_sdk_takes_the_json_that_serde_json_takes_and_reads_the_same() {
    fuzz::run("sdk_json", sdk_json::target);
}
