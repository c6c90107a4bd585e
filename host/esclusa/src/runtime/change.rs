//! Reloads: a new plugin is swapped in between two batches; a new routes.toml stops and starts only what changed.
//!
//! Everything is prepared before anything is changed. What cannot be prepared leaves all as it was. While plugins are
//! loaded, which may take minutes, other reloads go on.

use super::newest::{Reload, Undone};
use super::wiring::Resources;
use super::{Running, Runtime, cloud, plugins, schema};
use crate::letters;
use esclusa_config::LoadedConfig;
use esclusa_config::plan::{self, Plan};
use esclusa_embedded::Schema;
use esclusa_pipeline::meter::epoch_millis;
use esclusa_pipeline::route::{LoadedPlugin, Mode, Route};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long routes that change may take to finish what is in flight.
const DRAIN: Duration = Duration::from_secs(30);

impl Runtime {
    /// Loads the plugin at `path` anew and swaps it in wherever it is used. Batches in flight finish on the old one.
    ///
    /// # Errors
    /// The reasons, in words; nothing has changed then.
    pub async fn reload_plugin(&self, path: &Path) -> Result<String, String> {
        let mut reload = self.newest.begin(path);
        let result = self.unless_stopping(self.replace(path, &mut reload)).await;
        self.conclude(&reload, &path.display().to_string(), result).await
    }

    /// Notes what came of a reload; a newer one of the same file has noted it already.
    async fn conclude(&self, reload: &Reload, what: &str, result: Result<String, Undone>) -> Result<String, String> {
        let outcome = match result {
            Err(Undone::Newer(newer)) => newer.outcome().await,
            Err(Undone::Failed(why)) => self.noted(what, Err(why)),
            Ok(message) => self.noted(what, Ok(message)),
        };
        reload.finish(&outcome);
        outcome
    }

    fn noted(&self, what: &str, outcome: Result<String, String>) -> Result<String, String> {
        self.note_reload(what, outcome.clone());
        outcome
    }

    async fn replace(&self, path: &Path, reload: &mut Reload) -> Result<String, Undone> {
        let loaded = self.loaded();
        let users: Vec<&plan::RouteSpec> = loaded.plan.routes.iter().filter(|r| r.plugin == path).collect();
        let began = epoch_millis();
        let versions = reload.load(self.load(&users)).await?;
        let _turn = self.turn.lock().await;
        reload.still_newest()?;
        Ok(self.swap(&users, versions, began))
    }

    async fn load(&self, routes: &[&plan::RouteSpec]) -> Result<Vec<LoadedPlugin>, String> {
        let loaded = plugins::load_all(&self.sandbox, routes.iter().copied()).await;
        loaded.map_err(|refused| describe(&refused))
    }

    fn swap(&self, users: &[&plan::RouteSpec], versions: Vec<LoadedPlugin>, began: u64) -> String {
        let running = self.running();
        let mut told = String::new();
        for (spec, version) in users.iter().zip(versions) {
            // A new configuration that came in between has loaded what it needs.
            let Some(running) = running.get(&spec.name).filter(|running| running.route.spec == **spec) else {
                continue;
            };
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
    pub async fn reload_config(&self, new: LoadedConfig) -> Result<String, String> {
        let mut reload = self.newest.begin(Path::new("routes.toml"));
        let result = self.unless_stopping(self.prepare(new, &mut reload)).await;
        self.conclude(&reload, "routes.toml", result).await
    }

    /// Notes that a new configuration cannot be read.
    pub fn refuse_config(&self, problems: &str) {
        self.note_reload("routes.toml", Err(problems.to_owned()));
    }

    /// Loads what the new configuration needs, and puts it in force.
    async fn prepare(&self, new: LoadedConfig, reload: &mut Reload) -> Result<String, Undone> {
        let old = self.loaded();
        if old.plan.admin != new.plan.admin || old.plan.engine != new.plan.engine {
            return Err(Undone::Failed("[admin] and [engine] change only with a restart".to_owned()));
        }
        let mut versions: BTreeMap<Arc<str>, LoadedPlugin> = BTreeMap::new();
        loop {
            let stay = self.staying(&new.plan);
            let lacks = |route: &&plan::RouteSpec| !stay.contains(&route.name) && !versions.contains_key(&route.name);
            let missing: Vec<&plan::RouteSpec> = new.plan.routes.iter().filter(lacks).collect();
            let found = reload.load(self.load(&missing)).await?;
            versions.extend(missing.iter().map(|route| route.name.clone()).zip(found));
            let _turn = self.turn.lock().await;
            reload.still_newest()?;
            // What runs may have changed meanwhile: then more has to be loaded.
            let stay = self.staying(&new.plan);
            if new.plan.routes.iter().all(|r| stay.contains(&r.name) || versions.contains_key(&r.name)) {
                return Ok(self.apply(new, &stay, versions).await?);
            }
        }
    }

    /// Routes that run and need nothing new.
    fn staying(&self, plan: &Plan) -> BTreeSet<Arc<str>> {
        let running = self.running();
        let stays = |route: &&plan::RouteSpec| running.get(&route.name).is_some_and(|now| unchanged(now, route, plan));
        plan.routes.iter().filter(stays).map(|route| route.name.clone()).collect()
    }

    async fn apply(
        &self,
        new: LoadedConfig,
        stay: &BTreeSet<Arc<str>>,
        mut versions: BTreeMap<Arc<str>, LoadedPlugin>,
    ) -> Result<String, String> {
        let old = self.loaded();
        let start: Vec<&plan::RouteSpec> = new.plan.routes.iter().filter(|r| !stay.contains(&r.name)).collect();
        let leaving: Vec<(Arc<Route>, Mode)> = {
            let running = self.running();
            let leaving = running.iter().filter(|(name, _)| !stay.contains(*name));
            leaving.map(|(_, running)| (running.route.clone(), running.route.mode())).collect()
        };
        let gone: BTreeSet<Arc<str>> = leaving.iter().map(|(route, _)| route.spec.name.clone()).collect();
        if schema::of(&old.plan) != schema::of(&new.plan) || cloud::readers(&old.plan) != cloud::readers(&new.plan) {
            // All of them first: what is in flight may need what the new schema does not have.
            join_all(gone.iter().map(|name| self.retire(name, DRAIN))).await;
            if let Err(why) = self.apply_schema(schema::of(&new.plan)).await {
                let cloud = self.cloud(&old.plan).await;
                for (route, mode) in leaving {
                    self.launch_as(&old.plan, cloud.as_ref(), &route.spec, route.plugin(), Some(mode));
                }
                return Err(why);
            }
        }
        let cloud = self.cloud(&new.plan).await;
        // Each as soon as it can, whatever the others still have to finish.
        let ready = start.iter().filter_map(|spec| Some((spec, versions.remove(&spec.name)?)));
        let started = ready.map(|(spec, version)| async {
            self.retire(&spec.name, DRAIN).await;
            self.launch(&new.plan, cloud.as_ref(), spec, version);
        });
        let stopped = gone.iter().map(|name| async {
            if !start.iter().any(|spec| spec.name == *name) {
                self.retire(name, DRAIN).await;
                self.running().remove(name);
            }
        });
        tokio::join!(join_all(started), join_all(stopped));
        let mut message = summary(stay, &gone, &start);
        for (route, count) in letters::left(&self.store, &new.plan) {
            if gone.contains(&*route) {
                message = format!("{message}; {}", letters::left_told(&route, count));
            }
        }
        self.loaded.store(Arc::new(new));
        Ok(message)
    }

    /// A reload, as far as it comes before the router stops.
    async fn unless_stopping<T>(&self, reload: impl Future<Output = Result<T, Undone>>) -> Result<T, Undone> {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => Err(Undone::Failed("the router is stopping".to_owned())),
            result = reload => result,
        }
    }

    /// Building an index takes its time.
    async fn apply_schema(&self, schema: Schema) -> Result<(), String> {
        let store = self.store.clone();
        let applied = tokio::task::spawn_blocking(move || store.apply_schema(schema)).await;
        applied.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// True where a running route needs nothing new.
fn unchanged(running: &Running, new: &plan::RouteSpec, plan: &Plan) -> bool {
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

fn summary(stay: &BTreeSet<Arc<str>>, gone: &BTreeSet<Arc<str>>, start: &[&plan::RouteSpec]) -> String {
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
