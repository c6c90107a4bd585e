//! Requests, to a router in this process, so that it gives feedback, too.
#![no_main]

#[path = "../../../host/esclusa/tests/scenarios/fuzz/http.rs"]
mod http;

use clap::Parser;
use std::sync::LazyLock;
use std::time::Duration;

/// The address of the listener of a router that runs until the process ends.
static ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory").keep();
    let (routes, told) = (directory.join("routes.toml"), directory.join("data/router.json"));
    std::fs::write(&routes, http::ROUTES).expect("routes.toml");
    let cli = esclusa::Cli::parse_from(["esclusa", "run", "-c", &routes.display().to_string()]);
    std::thread::spawn(move || cli.run());
    loop {
        let text = std::fs::read_to_string(&told).unwrap_or_default();
        let told: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(address) = told["listeners"]["api"].as_str() {
            return address.to_owned();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| http::target(&ADDRESS, data));
