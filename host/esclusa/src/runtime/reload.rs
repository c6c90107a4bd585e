//! Reloads: a new plugin is swapped in between two batches; a new routes.toml stops and starts only the routes that
//! changed.
//!
//! Everything is prepared before anything is changed: a reload that fails leaves all as it was. Loading plugins may
//! take minutes; other reloads go on meanwhile.

use super::newest_reload::{ReloadAttempt, ReloadError};
use super::{RunningRoute, Runtime};
use crate::refusal::{self, Refusal};
use crate::wiring::{Resources, aws, store_schema};
use crate::{dead_letters, plugins};
use esclusa_config::plan::{self, Plan};
use esclusa_config::{Code, ConfigPlace, LoadedConfig, Problems};
use esclusa_embedded::StoreSchema;
use esclusa_pipeline::meter::epoch_millis;
use esclusa_pipeline::route::{LoadedPlugin, Mode, Route};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a route that is stopped or restarted may take to finish its events in flight.
const DRAIN: Duration = Duration::from_secs(30);
/// The name of the configuration among the files that are reloaded.
const ROUTES: &str = "routes.toml";

impl Runtime {
    /// Loads the plugin at `path` and swaps it in for all routes that use it. Batches in flight finish with the old
    /// one.
    ///
    /// # Errors
    /// The reasons, for people; nothing has changed then.
    pub(crate) async fn reload_plugin(&self, path: &Path) -> Result<String, Refusal> {
        let mut reload = self.newest.begin(path);
        let what = path.display().to_string();
        self.stale.loads(&what);
        let result = self.unless_stopping(self.replace(path, &mut reload)).await;
        self.conclude(&mut reload, &what, result).await
    }

    /// Notes the outcome of a reload, unless a newer one of the same file took over: that one notes its outcome for
    /// both.
    async fn conclude(
        &self,
        reload: &mut ReloadAttempt,
        what: &str,
        result: Result<String, ReloadError>,
    ) -> Result<String, Refusal> {
        let outcome = match result {
            Err(ReloadError::Newer(newer)) => newer.outcome().await,
            Err(ReloadError::Failed(why)) => self.noted(reload, what, Err(why)),
            Ok(message) => self.noted(reload, what, Ok(message)),
        };
        reload.finish(&outcome);
        outcome
    }

    fn noted(
        &self,
        reload: &mut ReloadAttempt,
        what: &str,
        outcome: Result<String, Refusal>,
    ) -> Result<String, Refusal> {
        // A newer reload may have begun while this one changed the routes, and may even have been refused meanwhile: what is on disk
        // is what that one has read.
        self.newest.if_newest(reload, || match &outcome {
            Ok(_) => self.stale.in_force(what),
            Err(why) => self.stale.refused(what, why),
        });
        self.note_reload(what, &outcome);
        outcome
    }

    async fn replace(&self, path: &Path, reload: &mut ReloadAttempt) -> Result<String, ReloadError> {
        let loaded = self.loaded();
        let users: Vec<&plan::RouteSpec> = loaded.plan.routes.iter().filter(|r| r.plugin == path).collect();
        let began = epoch_millis();
        let loaded_plugins = reload.load(self.load(&users, &loaded)).await?;
        let _changing = self.change_lock.lock().await;
        reload.still_newest()?;
        Ok(self.swap(&users, loaded_plugins, began))
    }

    /// Loads the plugins of some routes of a configuration.
    async fn load(&self, routes: &[&plan::RouteSpec], of: &LoadedConfig) -> Result<Vec<LoadedPlugin>, Refusal> {
        let loaded = plugins::load_all(&self.sandbox, routes.iter().copied()).await;
        loaded.map_err(|refused| {
            let problems = refusal::refusals(&of.plan, &of.locator, &refused).0;
            let helps: BTreeSet<&str> = problems.iter().filter_map(|problem| problem.help.as_deref()).collect();
            let helps: String = helps.into_iter().map(|help| format!("; help: {help}")).collect();
            Refusal { message: describe(&refused) + &helps, problems }
        })
    }

    fn swap(&self, users: &[&plan::RouteSpec], loaded_plugins: Vec<LoadedPlugin>, began: u64) -> String {
        let running = self.running();
        let mut described = String::new();
        for (spec, plugin) in users.iter().zip(loaded_plugins) {
            // Meanwhile a new configuration may have changed or removed this route: its reload has loaded the plugin
            // that it needs.
            let Some(running) = running.get(&spec.name).filter(|running| running.route.spec == **spec) else {
                continue;
            };
            let digest = plugin.plugin.digest().get(..12).unwrap_or_default();
            described = format!("{} {} ({digest})", plugin.name, plugin.version);
            running.route.swap(plugin);
        }
        let names: Vec<&str> = users.iter().map(|s| &*s.name).collect();
        format!("{described} serves {} after {} ms", names.join(", "), epoch_millis().saturating_sub(began))
    }

    /// Reads a new configuration and puts it in force.
    ///
    /// # Errors
    /// The reasons, for people; nothing has changed then.
    pub(crate) async fn reload_config(
        &self,
        read: impl FnOnce() -> Result<LoadedConfig, Problems>,
    ) -> Result<String, Refusal> {
        // Before the file is read: a reload that has read an older text must not take over from one that reads a newer text.
        let mut reload = self.newest.begin(Path::new(ROUTES));
        self.stale.loads(ROUTES);
        let result = match read() {
            Ok(new) => self.unless_stopping(self.prepare(new, &mut reload)).await,
            Err(problems) => reload.still_newest().and(Err(problems.into())),
        };
        self.conclude(&mut reload, ROUTES, result).await
    }

    /// Loads the plugins that the new configuration needs, and puts the configuration in force.
    async fn prepare(&self, new: LoadedConfig, reload: &mut ReloadAttempt) -> Result<String, ReloadError> {
        let old = self.loaded();
        for (section, same) in
            [("admin", old.plan.admin == new.plan.admin), ("engine", old.plan.engine == new.plan.engine)]
        {
            if !same {
                let message = format!("[{section}] changes only with a restart");
                let help = "restart the router, or take the change back";
                let place = ConfigPlace::Key(&[section]);
                return Err(new.locator.diagnostic(place, Code::ENGINE_NEEDS_RESTART, &message, Some(help)).into());
            }
        }
        self.check_listeners(&new)?;
        let mut loaded_plugins: BTreeMap<Arc<str>, LoadedPlugin> = BTreeMap::new();
        loop {
            let stay = self.staying(&new.plan);
            let lacks =
                |route: &&plan::RouteSpec| !stay.contains(&route.name) && !loaded_plugins.contains_key(&route.name);
            let missing: Vec<&plan::RouteSpec> = new.plan.routes.iter().filter(lacks).collect();
            let found = reload.load(self.load(&missing, &new)).await?;
            loaded_plugins.extend(missing.iter().map(|route| route.name.clone()).zip(found));
            let _changing = self.change_lock.lock().await;
            reload.still_newest()?;
            // A reload of a plugin may have changed the running routes meanwhile: then more plugins have to be loaded.
            let stay = self.staying(&new.plan);
            if new.plan.routes.iter().all(|r| stay.contains(&r.name) || loaded_plugins.contains_key(&r.name)) {
                // Only now: a reload that waits must hold no address, because a newer one may need it.
                let listeners = self.prepare_listeners(&new)?;
                let message = self.apply(new, &stay, loaded_plugins).await?;
                // Last: what they serve runs by now.
                listeners(&self.loaded().plan);
                return Ok(message);
            }
        }
    }

    /// The running routes that a plan leaves unchanged.
    fn staying(&self, plan: &Plan) -> BTreeSet<Arc<str>> {
        let running = self.running();
        let stays = |route: &&plan::RouteSpec| running.get(&route.name).is_some_and(|now| unchanged(now, route, plan));
        plan.routes.iter().filter(stays).map(|route| route.name.clone()).collect()
    }

    async fn apply(
        &self,
        new: LoadedConfig,
        stay: &BTreeSet<Arc<str>>,
        mut loaded_plugins: BTreeMap<Arc<str>, LoadedPlugin>,
    ) -> Result<String, String> {
        let old = self.loaded();
        let start: Vec<&plan::RouteSpec> = new.plan.routes.iter().filter(|r| !stay.contains(&r.name)).collect();
        let leaving: Vec<(Arc<Route>, Mode)> = {
            let running = self.running();
            let leaving = running.iter().filter(|(name, _)| !stay.contains(*name));
            leaving.map(|(_, running)| (running.route.clone(), running.route.mode())).collect()
        };
        let gone: BTreeSet<Arc<str>> = leaving.iter().map(|(route, _)| route.spec.name.clone()).collect();
        if store_schema::of(&old.plan) != store_schema::of(&new.plan)
            || aws::queue_readers(&old.plan) != aws::queue_readers(&new.plan)
        {
            // All changed routes stop before the schema changes: their events in flight may need a table that the new
            // schema does not have.
            join_all(gone.iter().map(|name| self.stop_route(name, DRAIN))).await;
            if let Err(why) = self.apply_schema(store_schema::of(&new.plan)).await {
                let cloud = self.cloud(&old.plan).await;
                for (route, mode) in leaving {
                    self.start_route(&old.plan, cloud.as_ref(), &route.spec, route.plugin(), Some(mode));
                }
                return Err(why);
            }
        }
        let cloud = self.cloud(&new.plan).await;
        // Each route starts as soon as its old one has ended: a slow one does not hold up the others.
        let ready = start.iter().filter_map(|spec| Some((spec, loaded_plugins.remove(&spec.name)?)));
        let started = ready.map(|(spec, plugin)| async {
            self.stop_route(&spec.name, DRAIN).await;
            self.start_route(&new.plan, cloud.as_ref(), spec, plugin, None);
        });
        let stopped = gone.iter().map(|name| async {
            if !start.iter().any(|spec| spec.name == *name) {
                self.stop_route(name, DRAIN).await;
                let removed = self.running().remove(name);
                removed.into_iter().for_each(|removed| self.refuse_waiting(&removed.route.spec.source, &new.plan));
            }
        });
        tokio::join!(join_all(started), join_all(stopped));
        let mut message = summary(stay, &gone, &start);
        for (route, count) in dead_letters::of_removed_routes(&self.store, &new.plan) {
            if gone.contains(&*route) {
                message = format!("{message}; {}", dead_letters::removed_route_message(&route, count));
            }
        }
        // A plugin that was refused and that no route uses any more is forgotten.
        let used = new.plan.routes.iter().map(|route| route.plugin.display().to_string());
        self.stale.keep(&used.chain([ROUTES.to_owned()]).collect());
        self.loaded.store(Arc::new(new));
        Ok(message)
    }

    /// Refuses the requests that wait at a source of kind `http`, unless a route of a plan reads it.
    fn refuse_waiting(&self, source: &str, plan: &Plan) {
        if let Some(requests) = self.http_source(source)
            && !plan.routes.iter().any(|route| *route.source == *source)
        {
            requests.refuse_waiting();
        }
    }

    /// Runs a reload until the router stops.
    async fn unless_stopping<T>(&self, reload: impl Future<Output = Result<T, ReloadError>>) -> Result<T, ReloadError> {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => Err("the router is stopping".to_owned().into()),
            result = reload => result,
        }
    }

    /// Changes the schema of the store, on a thread that may block: building an index reads the whole table.
    async fn apply_schema(&self, schema: StoreSchema) -> Result<(), String> {
        let store = self.store.clone();
        let applied = tokio::task::spawn_blocking(move || store.apply_schema(schema)).await;
        applied.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// True if a plan leaves a running route unchanged.
fn unchanged(running: &RunningRoute, new: &plan::RouteSpec, plan: &Plan) -> bool {
    running.route.spec == *new && running.resources == Resources::of(plan, new)
}

/// The reasons why plugins cannot serve their routes, each reason once with all its routes.
fn describe(refused: &[(Arc<str>, plugins::PluginRefusal)]) -> String {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for (route, why) in refused {
        let why = why.to_string();
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, routes)) => routes.push(route),
            None => reasons.push((why, vec![route])),
        }
    }
    let lines = reasons.iter().map(|(why, routes)| {
        let routes_of = if routes.len() == 1 { "route" } else { "routes" };
        format!("{routes_of} {}: {why}", routes.join(", "))
    });
    lines.collect::<Vec<_>>().join("; ")
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
    use super::{describe, plugins::PluginRefusal};
    use crate::plugins::config_check::ConfigMisfit;

    #[test]
    fn a_reason_is_given_once_for_all_routes_that_have_it() {
        let config = || {
            let misfit = |pointer: &str, reason: &str| {
                let (pointer, reason) = (pointer.to_owned(), reason.to_owned());
                ConfigMisfit { pointer, key: false, reason, help: None }
            };
            PluginRefusal::Config(vec![misfit("", "it is no object"), misfit("/key", "\"id\" is required")])
        };
        let refused =
            [("a".into(), config()), ("b".into(), PluginRefusal::Init("no".to_owned())), ("c".into(), config())];
        let same = "routes a, c: the route's config does not fit the plugin: it is no object; \
            /key: \"id\" is required";
        assert_eq!(describe(&refused), format!("{same}; route b: no"));
    }
}
