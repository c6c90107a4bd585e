//! Keeps a running router up to date: reloads changed files, and reloads on SIGHUP.

use crate::configuration;
use crate::file_watch::FileWatch;
use crate::runtime::Runtime;
use anyhow::{Context, Result};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the program handles.
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over: by default each of them ends the process.
    pub(crate) fn new() -> Result<Self> {
        let take = |kind| signal(kind).context("cannot take over signals");
        Ok(Signals {
            hangup: take(SignalKind::hangup())?,
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
        })
    }

    /// Waits for a signal to stop. Cancel-safe.
    pub(crate) async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for a signal that ends a command: those to stop, or SIGHUP, which the loss of the terminal sends.
    /// Cancel-safe.
    pub(crate) async fn end(&mut self) {
        tokio::select! {
            _ = self.hangup.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Reloads a router when its files change.
pub(super) struct Upkeep {
    runtime: Arc<Runtime>,
    config: PathBuf,
    watch: FileWatch,
}

impl Upkeep {
    /// `watch` was set before the router read the files, so that no change in between is missed.
    pub(super) fn new(runtime: Arc<Runtime>, config: PathBuf, watch: FileWatch) -> Self {
        runtime.watched_by(watch.missing());
        Upkeep { runtime, config, watch }
    }

    /// Reloads until a signal to stop. Reloads run side by side with this loop: one may take minutes, and neither a
    /// signal nor another change waits for it.
    pub(super) async fn run(&mut self, signals: &mut Signals) {
        let (runtime, config) = (self.runtime.clone(), self.config.clone());
        let mut reloads = FuturesUnordered::new();
        loop {
            let changed = tokio::select! {
                _ = signals.interrupt.recv() => return,
                _ = signals.terminate.recv() => return,
                _ = signals.hangup.recv() => {
                    tracing::info!("reloading on SIGHUP");
                    vec![self.config.clone()]
                }
                changed = self.watch.changed() => changed,
                Some(()) = reloads.next() => {
                    if reloads.is_empty() {
                        self.watch_all();
                    }
                    continue;
                }
            };
            let plugins_only = self.only_plugins(&changed);
            if !plugins_only {
                // Files that are new in this configuration are watched before they are loaded, so that no change in
                // between is missed.
                self.watch_all();
            }
            reloads.push(apply(&runtime, &config, changed, plugins_only));
        }
    }

    /// Watches the files of the configuration in force, and of the one on disk: if that was refused, one of its files may change and
    /// be what it lacked.
    fn watch_all(&mut self) {
        let mut files = configuration::files(&self.config, &self.runtime.loaded());
        files.extend(configuration::files_on_disk(&self.config));
        self.watch.set(files);
    }

    /// True if none of these files is the configuration or one that it names with `${file:PATH}`.
    fn only_plugins(&self, changed: &[PathBuf]) -> bool {
        let loaded = self.runtime.loaded();
        changed.iter().all(|file| loaded.plan.routes.iter().any(|route| route.plugin == *file))
            && !changed.iter().any(|file| *file == self.config || loaded.files.contains(file))
    }
}

async fn apply(runtime: &Runtime, config: &Path, changed: Vec<PathBuf>, plugins_only: bool) {
    if !plugins_only {
        // A reload of the configuration reads changed plugins as well. The router logs and remembers the result.
        let _ = configuration::reload(runtime, config).await;
        return;
    }
    join_all(changed.iter().map(|plugin| runtime.reload_plugin(plugin))).await;
}
