//! Reloads: a new plugin is swapped in between two batches; a new routes.toml stops and starts only what changed.
//!
//! Everything is prepared before anything is changed. What cannot be prepared leaves all as it was.

use super::meter::epoch_millis;
use super::route::Version;
use super::wiring::Resources;
use super::{Running, Runtime, load_all, plugins, schema};
use crate::letters;
use esclusa_config::Loaded;
use esclusa_config::plan::{self, Plan};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long routes that change may take to finish what is in flight.
const DRAIN: Duration = Duration::from_secs(30);

impl Runtime {
    /// Loads the plugin at `path` anew and swaps it in wherever it is used. Batches in flight finish on the old one.
    pub async fn reload_plugin(&self, path: &Path) {
        let _turn = self.turn.lock().await;
        let what = path.display().to_string();
        let loaded = self.loaded();
        let users: Vec<&plan::Route> = loaded.plan.routes.iter().filter(|r| r.plugin == path).collect();
        let began = epoch_millis();
        let result = match load_all(&self.sandbox, users.iter().copied()).await {
            Err(refused) => Err(describe(&refused)),
            Ok(versions) => Ok(self.swap(&users, versions, began)),
        };
        self.note_reload(&what, result);
    }

    fn swap(&self, users: &[&plan::Route], versions: Vec<Version>, began: u64) -> String {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = String::new();
        for (spec, version) in users.iter().zip(versions) {
            let Some(running) = running.get(&spec.name) else { continue };
            let digest = version.plugin.digest().get(..12).unwrap_or_default();
            told = format!("{} {} ({digest})", version.name, version.version);
            running.route.swap(version);
        }
        let names: Vec<&str> = users.iter().map(|s| &*s.name).collect();
        format!("{told} serves {} after {} ms", names.join(", "), epoch_millis().saturating_sub(began))
    }

    /// Puts a new configuration in force.
    ///
    /// # Errors
    /// The reasons, in words; nothing has changed then.
    pub async fn reload_config(&self, new: Loaded) -> Result<String, String> {
        let _turn = self.turn.lock().await;
        let result = self.apply(new).await;
        self.note_reload("routes.toml", result.clone());
        result
    }

    /// Notes that a new configuration cannot be read.
    pub fn refuse_config(&self, problems: &str) {
        self.note_reload("routes.toml", Err(problems.to_owned()));
    }

    async fn apply(&self, new: Loaded) -> Result<String, String> {
        let old = self.loaded();
        if old.plan.admin != new.plan.admin || old.plan.engine != new.plan.engine {
            return Err("[admin] and [engine] change only with a restart".to_owned());
        }
        let stay: BTreeSet<Arc<str>> = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            new.plan
                .routes
                .iter()
                .filter(|r| running.get(&r.name).is_some_and(|o| unchanged(o, r, &new.plan)))
                .map(|r| r.name.clone())
                .collect()
        };
        let start: Vec<&plan::Route> = new.plan.routes.iter().filter(|r| !stay.contains(&r.name)).collect();
        let versions = load_all(&self.sandbox, start.iter().copied()).await.map_err(|refused| describe(&refused))?;
        self.store.apply_schema(schema::of(&new.plan)).map_err(|error| error.to_string())?;
        let gone: BTreeSet<Arc<str>> = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.keys().filter(|name| !stay.contains(*name)).cloned().collect()
        };
        self.retire(&gone, DRAIN).await;
        let cloud = self.cloud(&new.plan).await;
        for (spec, version) in start.iter().zip(versions) {
            self.launch(&new.plan, cloud.as_ref(), spec, version);
        }
        let mut message = summary(&stay, &gone, &start);
        for (route, count) in letters::left(&self.store, &new.plan) {
            if gone.contains(&*route) {
                message = format!("{message}; {}", letters::left_told(&route, count));
            }
        }
        self.loaded.store(Arc::new(new));
        Ok(message)
    }
}

/// True where a running route needs nothing new.
fn unchanged(running: &Running, new: &plan::Route, plan: &Plan) -> bool {
    running.route.spec == *new && running.resources == Resources::of(plan, new)
}

/// Why plugins do not serve their routes, each reason once.
fn describe(refused: &[(Arc<str>, plugins::Refused)]) -> String {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for (route, why) in refused {
        let why = why.to_string();
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, routes)) => routes.push(route),
            None => reasons.push((why, vec![route])),
        }
    }
    let told = reasons.iter().map(|(why, routes)| {
        let routes_of = if routes.len() == 1 { "route" } else { "routes" };
        format!("{routes_of} {}: {why}", routes.join(", "))
    });
    told.collect::<Vec<_>>().join("; ")
}

fn summary(stay: &BTreeSet<Arc<str>>, gone: &BTreeSet<Arc<str>>, start: &[&plan::Route]) -> String {
    let started: BTreeSet<&str> = start.iter().map(|r| &*r.name).collect();
    let list = |what: &str, names: Vec<&str>| {
        if names.is_empty() { None } else { Some(format!("{what} {}", names.join(", "))) }
    };
    let restarted: Vec<&str> = gone.iter().map(|n| &**n).filter(|n| started.contains(n)).collect();
    let stopped: Vec<&str> = gone.iter().map(|n| &**n).filter(|n| !started.contains(n)).collect();
    let added: Vec<&str> = started.iter().copied().filter(|n| !gone.contains(*n)).collect();
    let parts = [list("restarted", restarted), list("stopped", stopped), list("started", added)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        format!("no route changed, {} keep running", stay.len())
    } else {
        format!("{}; {} unchanged", parts.join("; "), stay.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{describe, plugins::Refused};

    #[test]
    fn a_reason_is_told_once_for_all_routes_that_have_it() {
        let config = || {
            let extra = (String::new(), "Additional properties are not allowed".to_owned());
            Refused::Config(vec![extra, ("/key".to_owned(), "\"id\" is required".to_owned())])
        };
        let refused = [("a".into(), config()), ("b".into(), Refused::Init("no".to_owned())), ("c".into(), config())];
        let same = "routes a, c: the route's config does not fit the plugin: Additional properties are not allowed; \
            /key: \"id\" is required";
        assert_eq!(describe(&refused), format!("{same}; route b: no"));
    }
}
