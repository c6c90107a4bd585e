//! Tells a text of its configuration in every way that a plugin has: `{"do": "tell-log", "secret": "…"}`.

use crate::generated::esclusa::router::{log as router_log, metrics};
use crate::generated::exports::esclusa::router::handler::{Batch, Disposition, Failure, Outcome, Output};
use crate::generated::wasi::logging::logging::{Level, log};
use crate::output;

/// Carries out an order; `None`: it is none of these.
pub(crate) fn tell(order: &str, config: &str, batch: &Batch) -> Option<Result<Output, Failure>> {
    let secret = secret(config);
    let about = format!("the secret is {secret}, I say");
    match order {
        "tell-log" => {
            println!("{about}");
            eprintln!("{about} {config}");
            log(Level::Info, &about, &about);
            router_log::write(router_log::Level::Warn, &about);
            metrics::count("told", &[("secret".to_owned(), secret.to_owned())], 1);
            Some(Ok(output(Vec::new())))
        }
        "tell-cut" => {
            // The line is cut in the middle of the secret.
            println!("{}{secret}", "x".repeat(4096 - secret.len() / 2));
            Some(Ok(output(Vec::new())))
        }
        "tell-panic" => panic!("{about}"),
        "tell-trap" => {
            println!("{about}");
            std::process::abort()
        }
        "tell-reject" => Some(Ok(outcomes(batch, || Disposition::Reject(about.clone())))),
        "tell-skip" => Some(Ok(outcomes(batch, || Disposition::Skip(about.clone())))),
        "tell-retry" => Some(Err(Failure::Retry(about))),
        "tell-halt" => Some(Err(Failure::Halt(about))),
        _ => None,
    }
}

/// The text under `secret`.
pub(crate) fn secret(config: &str) -> &str {
    let after = config.split_once("\"secret\"").map_or("", |(_, after)| after);
    after.split('"').nth(1).unwrap_or_default()
}

fn outcomes(batch: &Batch, disposition: impl Fn() -> Disposition) -> Output {
    let all = (0..).take(batch.timestamps.len()).map(|event| Outcome { event, disposition: disposition() });
    Output { outcomes: all.collect(), ..output(Vec::new()) }
}
