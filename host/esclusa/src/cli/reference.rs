//! Commands that print facts of the program: schema, IAM policy, codes, version.

use super::{GlobalArgs, InvalidConfiguration, UsageError, completions, print};
use crate::cli::Exit;
use crate::configuration;
use crate::wiring::aws;
use anyhow::Result;
use esclusa_sandbox::CONTRACT;
use serde_json::json;

/// `esclusa explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// The code, as an error or a dead letter shows it
    #[arg(add = completions::codes())]
    code: Option<String>,
}

/// `esclusa schema`.
pub(super) fn schema() -> Result<Exit> {
    print::pretty(&esclusa_config::schema())?;
    Ok(Exit::Ok)
}

/// `esclusa iam-policy`.
pub(super) fn iam_policy(global: &GlobalArgs) -> Result<Exit> {
    let loaded = configuration::read(&global.config).map_err(InvalidConfiguration)?;
    match aws::policy(&loaded.plan) {
        Some(policy) => print::pretty(&policy)?,
        // JSON on standard output in any case: a policy that allows nothing is none.
        None => {
            print::message("no route uses AWS: no policy is needed");
            print::line("null")?;
        }
    }
    Ok(Exit::Ok)
}

impl Explain {
    /// Describes the code, or lists all of them.
    pub(super) fn run(&self, global: &GlobalArgs) -> Result<Exit> {
        let Some(code) = &self.code else { return list(global) };
        let text = esclusa_config::codes::explain(code);
        let text = text.ok_or_else(|| {
            let meant = esclusa_config::codes::meant_by(code).join(" or ");
            let meant = if meant.is_empty() { ";".to_owned() } else { format!(": did you mean {meant}?") };
            UsageError(format!("there is no code {code:?}{meant} `esclusa explain` lists all of them"))
        })?;
        if global.json {
            print::json(&json!({"code": code, "text": text}))?;
        } else {
            print::line(&format!("{code}\n\n{text}"))?;
        }
        Ok(Exit::Ok)
    }
}

/// Prints every code with its first sentence.
fn list(global: &GlobalArgs) -> Result<Exit> {
    let mut all = esclusa_config::codes::summaries();
    if global.json {
        all.try_for_each(|(code, about)| print::json(&json!({"code": code, "about": about})))?;
    } else {
        print::table(
            ["CODE", "WHAT IT MEANS"],
            &all.map(|(code, about)| [code.to_owned(), about]).collect::<Vec<_>>(),
        )?;
    }
    Ok(Exit::Ok)
}

/// `esclusa version`.
pub(super) fn version(global: &GlobalArgs) -> Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    let contract = format!("esclusa:router@{CONTRACT}");
    let (aws, kafka) = (cfg!(feature = "aws"), cfg!(feature = "kafka"));
    if global.json {
        print::json(&json!({"version": version, "contract": contract, "aws": aws, "kafka": kafka}))?;
    } else {
        let without = match (aws, kafka) {
            (true, true) => "",
            (false, true) => " without AWS",
            (true, false) => " without Kafka",
            (false, false) => " without AWS and Kafka",
        };
        print::line(&format!("esclusa {version}{without}, plugin contract {contract}"))?;
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use esclusa_flow::call_output::FailureKind;

    #[test]
    fn every_code_of_a_dead_letter_is_explained() {
        use FailureKind::{Contract, Cpu, Denied, Effects, HostCalls, HostcallBytes, Init, Item, Memory, Time, Trap};
        let failures = [Trap, Init, Contract, Denied, Cpu, Time, Memory, Effects, Item, HostcallBytes, HostCalls];
        let failures = failures.map(FailureKind::code);
        let others = [
            "rejected",
            "retries-exhausted",
            "max-receives",
            "expired",
            "conflict",
            "effect.refused",
            "outbox.send",
            "limit.filter",
            "limit.commit",
            "limit.aggregate",
            "limit.hops",
            "kafka.header",
        ];
        for code in failures.into_iter().chain(others) {
            assert!(esclusa_config::codes::explain(code).is_some(), "{code}");
        }
        assert_eq!(esclusa_config::codes::dead_letters().matches("\n## ").count(), failures.len() + others.len());
    }
}
