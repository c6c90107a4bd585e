//! A plugin configured for a route, and its calls: with a new instance for each batch, or one that is kept for a while.
//!
//! Keeps invariant 2: after a trap, a limit or a dropped call an instance is never used again, and its output is lost.

use crate::checked_component::CheckedComponent;
use crate::contract::BatchRef;
use crate::guest_log::LogRate;
use crate::guest_metrics::RouteMetrics;
use crate::instance::Instance;
use crate::instance_pool::InstancePool;
use crate::load::CompiledPlugin;
use crate::load_error::LoadError;
use crate::run_permits::ReserveToken;
use crate::sandbox::{SandboxCore, run_on};
use crate::trap;
use esclusa_flow::BoxFuture;
use esclusa_flow::call_output::{CallError, CallFailure, CallOutput, FailureKind};
use esclusa_flow::event::{BatchOrigin, Columns};
use esclusa_flow::plugin::Plugin;
use esclusa_flow::reads::Reads;
use esclusa_flow::secrets::Secrets;
use esclusa_flow::settings::{Instances, Limits};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How one route uses a plugin.
#[derive(Debug, Clone)]
pub struct RouteSettings {
    /// Name of the route.
    pub route: Arc<str>,
    /// The route's configuration of the plugin, a JSON object.
    pub config: String,
    /// The limits of a call.
    pub limits: Limits,
    /// Whether instances are reused.
    pub instances: Instances,
    /// What no text of the plugin may show.
    pub secrets: Secrets,
}

/// A plugin configured for a route.
pub struct ConfiguredPlugin(Arc<RouteCalls>);

/// The state that all calls of a configured plugin share.
struct RouteCalls {
    program: Arc<CheckedComponent>,
    digest: Arc<str>,
    settings: RouteSettings,
    rate: Arc<LogRate>,
    metrics: Arc<RouteMetrics>,
    kept: InstancePool<Instance>,
    /// Permits of this route: at most half of the sandbox's, so that one route cannot keep all the others from running.
    share: Semaphore,
    /// For one call at a time, a permit that other routes cannot hold.
    reserve: ReserveToken,
}

impl std::fmt::Debug for ConfiguredPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configured")
            .field("digest", &self.0.digest)
            .field("route", &self.0.settings.route)
            .finish_non_exhaustive()
    }
}

impl CompiledPlugin {
    /// Configures the plugin for a route. A first instance takes the configuration, so that an error in it is found
    /// before any traffic.
    ///
    /// # Errors
    /// [`LoadError::Init`] with the plugin's reason, or its failure.
    pub fn configure(&self, settings: RouteSettings) -> BoxFuture<'_, Result<ConfiguredPlugin, LoadError>> {
        let inner = &self.program.inner;
        let calls = Arc::new(RouteCalls {
            program: self.program.clone(),
            digest: self.digest.clone(),
            kept: InstancePool::new(inner.clone(), settings.instances),
            metrics: inner.metrics.of(&settings.route),
            settings,
            rate: Arc::default(),
            share: Semaphore::new(permits_per_route(inner)),
            reserve: ReserveToken::default(),
        });
        // Boxed, so that wasmtime's generic code is compiled in this crate only.
        Box::pin(async move {
            let first = calls.clone();
            let taken = run_on(inner.config.threads.clone(), async move { first.configure().await }).await;
            taken.unwrap_or(Err(LoadError::Stopped))?;
            Ok(ConfiguredPlugin(calls))
        })
    }
}

/// Permits that one route may have at the same time.
fn permits_per_route(inner: &SandboxCore) -> usize {
    (inner.config.instances as usize / 2).max(1)
}

impl RouteCalls {
    async fn configure(&self) -> Result<(), LoadError> {
        let _permit = self.program.inner.running.of_new().await.map_err(|_| LoadError::Stopped)?;
        let mut instance = self.instance();
        match timeout(self.settings.limits.time, instance.initialise(&self.settings.config)).await {
            Ok(Ok(())) => {}
            Ok(Err(stopped)) => return Err(LoadError::Init(instance.failure(stopped))),
            Err(_) => return Err(LoadError::Init(instance.timed_out())),
        }
        // A route that reuses instances begins with this one.
        instance.finish();
        self.kept.keep(instance);
        Ok(())
    }

    /// An instance that has not started yet.
    fn instance(&self) -> Instance {
        let (rate, secrets) = (&self.rate, &self.settings.secrets);
        Instance::new(&self.program, &self.settings.route, (rate, secrets), self.settings.limits)
    }

    async fn run(
        &self,
        origin: &BatchOrigin,
        events: &Columns,
        reads: Arc<dyn Reads>,
    ) -> Result<CallOutput, CallError> {
        let stopped = |_| trap::host_fault("the sandbox is shutting down");
        let _share = self.share.acquire().await.map_err(stopped)?;
        let permits = &self.program.inner.running;
        let _permit = permits.of_route(&self.reserve).await.map_err(stopped)?;
        let (mut instance, ready) = match self.kept.take() {
            Some(kept) => (kept, true),
            None => (self.instance(), false),
        };
        // Two limits hold: this timer counts waiting, too; the ticks of `CallMeter` count computing alone.
        // The instance stays out of the pool while it runs: if this future is dropped or the call fails, it is dropped too.
        let handled = timeout(self.settings.limits.time, async {
            if !ready {
                instance.initialise_quietly(&self.settings.config).await?;
            }
            instance.begin(&self.settings.route, events, reads);
            instance.handle(BatchRef::new(origin, events)).await
        });
        let output = match handled.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(stopped)) => return Err(instance.failure(stopped)),
            Err(_) => return Err(instance.timed_out()),
        };
        let most = self.settings.limits.effects;
        match output {
            Ok(output) if output.effects.len() > most => {
                let message = format!("the plugin returned {} effects, limits.effects is {most}", output.effects.len());
                let (logs, fated) = (instance.finish(), instance.is_fated(FailureKind::Effects));
                Err(CallError::Failed(Box::new(CallFailure {
                    logs,
                    fated,
                    ..*CallFailure::new(FailureKind::Effects, message)
                })))
            }
            Ok(output) => {
                self.metrics.absorb(&self.settings.route, instance.metrics());
                instance.finish();
                self.kept.keep(instance);
                Ok(output)
            }
            Err(refusal) => Err(instance.refused(refusal)),
        }
    }
}

impl Plugin for ConfiguredPlugin {
    fn call<'a>(
        &'a self,
        origin: &'a BatchOrigin,
        events: &'a Arc<Columns>,
        reads: Arc<dyn Reads>,
    ) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        let (calls, origin, events) = (self.0.clone(), origin.clone(), events.clone());
        let threads = self.0.program.inner.config.threads.clone();
        let call = run_on(threads, async move {
            let secrets = &calls.settings.secrets;
            let result = calls.run(&origin, &events, reads).await;
            result.map(|output| secrets.mask_output(output)).map_err(|error| secrets.mask_call_error(error))
        });
        Box::pin(async { call.await.unwrap_or_else(|| Err(trap::host_fault("the call was broken off"))) })
    }

    fn digest(&self) -> &str {
        &self.0.digest
    }
}
