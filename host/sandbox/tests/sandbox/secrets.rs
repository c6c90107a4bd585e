//! Secrets of a route in the texts of its plugin. What the hostile guest says is taken for the secret.

use crate::support::{call, hostile, load, order, sandbox, settings};
use esclusa_flow::call_output::{CallError, Disposition};
use esclusa_flow::secrets::Secrets;
use esclusa_flow::settings::Limits;
use esclusa_sandbox::{ConfiguredPlugin, LoadError, RouteSettings};

async fn configured(what: &str, secret: &str) -> Result<ConfiguredPlugin, LoadError> {
    let secrets = Secrets::new([secret.to_owned()]);
    let settings = RouteSettings { secrets, ..settings(&order(what), Limits::default()) };
    load(&sandbox(), hostile()).await?.configure(settings).await
}

#[tokio::test]
async fn no_reason_of_a_plugin_shows_a_secret() {
    let halt = configured("halt", "look at this").await.unwrap();
    assert_eq!(call(&halt, 1).await, Err(CallError::Halt("***".to_owned())));
    let panic = configured("panic", "src/attack.rs").await.unwrap();
    let Err(CallError::Failed(failure)) = call(&panic, 1).await else { panic!("it panics") };
    assert!(failure.message.contains("***") && !failure.message.contains("attack"), "{}", failure.message);
    assert!(failure.logs.iter().any(|line| line.contains("***")), "{:?}", failure.logs);
    assert!(!failure.logs.iter().any(|line| line.contains("attack")), "{:?}", failure.logs);
    let refused = configured("init-refuse", "the key \"table\"").await.unwrap_err().to_string();
    assert!(refused.ends_with("*** is missing"), "{refused}");
}

#[tokio::test]
async fn no_outcome_shows_a_secret() {
    for (secret, shown) in [("asked to", "***"), ("something else", "asked to")] {
        let skipped = call(&configured("skip", secret).await.unwrap(), 1).await.unwrap();
        assert_eq!(skipped.outcomes[0].disposition, Disposition::Skip(shown.to_owned()));
    }
}
