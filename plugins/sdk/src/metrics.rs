//! Metrics of the plugin's own, at the router's `/metrics` as `esclusa_custom_NAME` with the label `route` and those given:
//! `metrics::count("orders", &[("kind", "late")], 1)`.
//!
//! Those of a call that fails are dropped. Names match `[a-z][a-z0-9_]*`; a route has at most 500 series, so no label may come from
//! data without a bound, such as an id. In tests, [`crate::testing::metrics`] gives them.

/// Adds to a counter. Its name gets the suffix `_total`.
pub fn count(name: &str, labels: &[(&str, &str)], amount: u64) {
    imported::count(name, &owned(labels), amount);
}

/// Sets a gauge.
pub fn gauge(name: &str, labels: &[(&str, &str)], value: f64) {
    imported::gauge(name, &owned(labels), value);
}

/// Adds a value to a histogram, with bounds of 1, 2.5 and 5 times the powers of ten from 0.001 to 10,000.
pub fn observe(name: &str, labels: &[(&str, &str)], value: f64) {
    imported::observe(name, &owned(labels), value);
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[cfg(target_family = "wasm")]
use crate::guest::bindings::esclusa::router::metrics as imported;

/// Keeps what a test has counted.
#[cfg(not(target_family = "wasm"))]
pub(crate) mod imported {
    use std::cell::RefCell;
    use std::fmt::Display;

    thread_local! {
        static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    fn keep(kind: &str, name: &str, labels: &[(String, String)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        LINES.with_borrow_mut(|lines| lines.push(format!("{kind} {name}{{{}}} {value}", labels.join(","))));
    }

    pub(crate) fn count(name: &str, labels: &[(String, String)], amount: u64) {
        keep("count", name, labels, amount);
    }

    pub(crate) fn gauge(name: &str, labels: &[(String, String)], value: f64) {
        keep("gauge", name, labels, value);
    }

    pub(crate) fn observe(name: &str, labels: &[(String, String)], value: f64) {
        keep("observe", name, labels, value);
    }

    /// Takes the lines of this thread.
    pub(crate) fn take() -> Vec<String> {
        LINES.take()
    }
}
