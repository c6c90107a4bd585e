//! One instance of a plugin: its store, and the calls of its functions `describe`, `init` and `handle`.

use crate::call_meter::CallMeter;
use crate::checked_component::{CheckedComponent, Handle, Handled};
use crate::contract::lift::{BatchRefusal, HandleResult};
use crate::contract::{BatchRef, PluginInfo, lifecycle};
use crate::guest::Guest;
use crate::guest_clock::{GuestClock, GuestRandom};
use crate::guest_log::{Journal, LogRate};
use crate::guest_metrics::MetricSet;
use crate::instance_pool::Reusable;
use crate::trap::{self, GuestError, GuestPhase};
use esclusa_flow::call_output::{CallError, CallFailure, CallOutput, FailureKind};
use esclusa_flow::event::Columns;
use esclusa_flow::reads::Reads;
use esclusa_flow::secrets::Secrets;
use esclusa_flow::settings::Limits;
use esclusa_flow::verdict::short;
use std::sync::Arc;
use wasmtime::component::{self, ComponentExportIndex, ComponentNamedList, Lift, Lower, TypedFunc};
use wasmtime::{Store, UpdateDeadline};

/// An instance. After an error, or if a call of it is dropped, its owner drops the instance too.
pub(crate) struct Instance {
    program: Arc<CheckedComponent>,
    store: Store<Guest>,
    exports: Option<component::Instance>,
    phase: GuestPhase,
    calls: u32,
}

impl Instance {
    /// A store with all limits set, in which no code has run yet.
    pub(crate) fn new(
        program: &Arc<CheckedComponent>,
        route: &Arc<str>,
        (rate, secrets): (&Arc<LogRate>, &Secrets),
        limits: Limits,
    ) -> Self {
        let journal = Journal::new(route.clone(), rate.clone(), secrets.clone(), limits.log_bytes);
        let random = if program.random { GuestRandom::of_route(route) } else { GuestRandom::of_route("") };
        let mut store = Store::new(&program.inner.engine, Guest::new(CallMeter::new(limits), random, journal));
        store.limiter(|guest| &mut guest.meter);
        // Bounds what wasmtime allocates in the host for a guest's arguments and results.
        store.set_hostcall_fuel(limits.output_bytes);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            store.data_mut().meter.tick()?;
            Ok(UpdateDeadline::Yield(1))
        });
        Instance { program: program.clone(), store, exports: None, phase: GuestPhase::Start, calls: 0 }
    }

    /// Instantiates the component and runs its start functions.
    pub(crate) async fn start(&mut self) -> Result<(), GuestError> {
        self.phase = GuestPhase::Start;
        let program = self.program.clone();
        let started = program.pre.instantiate_async(&mut self.store).await;
        self.exports = Some(started.map_err(|error| GuestError { phase: GuestPhase::Start, error })?);
        Ok(())
    }

    /// Instantiates the component and calls `init` with the configuration.
    pub(crate) async fn initialise(&mut self, config: &str) -> Result<(), GuestError> {
        self.start().await?;
        self.phase = GuestPhase::Init;
        let init = self.program.init;
        match self.call::<(&str,), (Result<(), String>,)>(init, (config,)).await? {
            (Ok(()),) => Ok(()),
            (Err(why),) => Err(GuestError { phase: GuestPhase::Init, error: trap::ConfigRefused(why).into() }),
        }
    }

    /// Likewise, without logging: the plugin has taken this configuration before, and its lines about it were logged then.
    pub(crate) async fn initialise_quietly(&mut self, config: &str) -> Result<(), GuestError> {
        self.store.data().journal.quiet(true);
        self.initialise(config).await?;
        self.store.data().journal.quiet(false);
        Ok(())
    }

    /// Calls `describe`.
    pub(crate) async fn describe(&mut self) -> Result<PluginInfo, GuestError> {
        self.phase = GuestPhase::Describe;
        let (info,) = self.call::<(), (lifecycle::Info,)>(self.program.describe, ()).await?;
        Ok(PluginInfo {
            name: info.name,
            version: info.version,
            description: info.description,
            config_schema: info.config_schema,
        })
    }

    /// Sets clock, random numbers and reads for a batch, before its `handle`.
    pub(crate) fn begin(&mut self, route: &str, events: &Columns, reads: Arc<dyn Reads>) {
        let random = self.program.random.then(|| GuestRandom::of(route, events));
        let guest = self.store.data_mut();
        guest.clock = GuestClock::of(events);
        guest.random = random.unwrap_or(guest.random);
        guest.reads = Some(reads);
        guest.fault = None;
        guest.awaiting_read = false;
        guest.has_read = false;
        guest.metrics.clear();
        guest.meter.restart();
    }

    /// Calls `handle` with a batch.
    pub(crate) async fn handle(&mut self, batch: BatchRef<'_>) -> Result<Result<CallOutput, BatchRefusal>, GuestError> {
        self.phase = GuestPhase::Handle;
        self.calls = self.calls.saturating_add(1);
        let (HandleResult(answer),) = self.call::<Handle<'_>, Handled>(self.program.handle, (batch,)).await?;
        Ok(answer)
    }

    async fn call<Params, Return>(
        &mut self,
        function: ComponentExportIndex,
        params: Params,
    ) -> Result<Return, GuestError>
    where
        Params: ComponentNamedList + Lower,
        Return: ComponentNamedList + Lift + 'static,
    {
        let phase = self.phase;
        let stopped = |error| GuestError { phase, error };
        let exports = self.exports.ok_or_else(|| stopped(wasmtime::Error::msg("the instance has not started")))?;
        let function = exports.get_func(&mut self.store, function);
        let function = function.ok_or_else(|| stopped(wasmtime::Error::msg("the export is not a function")))?;
        // SAFETY: loading the component compared these very types with those of its exports, which have not changed.
        #[expect(unsafe_code, reason = "comparing them again would cost more than small calls do")]
        let function = unsafe { TypedFunc::<Params, Return>::new_unchecked(function) };
        // Ticks have passed since the last call of a kept instance.
        self.store.set_epoch_deadline(1);
        function.call_async(&mut self.store, params).await.map_err(stopped)
    }

    /// The metrics of this call.
    pub(crate) fn metrics(&mut self) -> &mut MetricSet {
        &mut self.store.data_mut().metrics
    }

    /// Takes the reads away and flushes the log after a call; gives the last lines that it logged.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        let guest = self.store.data_mut();
        guest.reads = None;
        guest.journal.close(guest.meter.limits().log_bytes)
    }

    /// True if a call that failed in this way would fail again with the same events: it read nothing that may change,
    /// and a limit or trap of this kind repeats.
    pub(crate) fn is_fated(&self, kind: FailureKind) -> bool {
        !self.store.data().has_read && kind.repeats(self.calls <= 1)
    }

    /// The error of a call that was stopped.
    pub(crate) fn failure(&mut self, stopped: GuestError) -> CallError {
        let logs = self.finish();
        let error = trap::failure(self.store.data(), stopped, logs);
        match error {
            CallError::Failed(failure) => {
                let fated = self.is_fated(failure.kind);
                CallError::Failed(Box::new(CallFailure { fated, ..*failure }))
            }
            other => other,
        }
    }

    /// The error of a call that took too long.
    pub(crate) fn timed_out(&mut self) -> CallError {
        let logs = self.finish();
        trap::timed_out(self.store.data(), self.phase, logs)
    }

    /// The error of a batch that the plugin refused. If a read failed by the host's fault, a plugin that asks for a
    /// retry only passes that on.
    pub(crate) fn refused(&mut self, refusal: BatchRefusal) -> CallError {
        self.finish();
        match (refusal, self.store.data_mut().fault.take()) {
            (BatchRefusal::Retry(_), Some(fault)) => CallError::Host(fault),
            (BatchRefusal::Retry(why), None) => CallError::Retry(short(self.store.data().journal.masked(why))),
            (BatchRefusal::Halt(why), _) => CallError::Halt(short(self.store.data().journal.masked(why))),
        }
    }
}

impl Reusable for Instance {
    fn calls(&self) -> u32 {
        self.calls
    }

    fn memory(&self) -> usize {
        self.store.data().meter.memory()
    }
}
