//! Fuzz targets that need the sandbox or the whole router, as ordinary tests.

mod answers;
#[path = "../../../sandbox/tests/sandbox/bare.rs"]
#[expect(dead_code, reason = "the tests of the sandbox use all of it")]
mod bare;
mod http;

use super::router::Router;
use esclusa_testkit::fuzz;

#[test]
fn whatever_a_plugin_answers_the_core_takes_all_of_it_or_nothing_and_knows_why() {
    fuzz::run_mutations("answers", 1_500, answers::Harness::new().target());
}

#[test]
fn whatever_a_client_sends_a_listener_answers_or_closes_and_goes_on() {
    let mut router = Router::new(http::ROUTES);
    router.start();
    router.until("it listens", |router| router.path("data/router.json").exists());
    let address = router.listener("api");
    fuzz::run_mutations("http", 600, |data| http::target(&address, data));
    assert!(!router.log().contains("panicked"), "{}", router.log());
    assert_eq!(router.signal("TERM"), 0);
}
