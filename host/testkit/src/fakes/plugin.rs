//! A plugin that follows a script for each event.

use super::{Trouble, World};
use esclusa_flow::BoxFuture;
use esclusa_flow::call_output::{CallError, CallFailure, CallOutput, Disposition, EventOutcome, FailureKind};
use esclusa_flow::effect::{Action, Effect, SendMessage};
use esclusa_flow::event::{BatchOrigin, Columns};
use esclusa_flow::fault::Fault;
use esclusa_flow::index::CallIndex;
use esclusa_flow::item::{Item, Value};
use esclusa_flow::plugin::Plugin;
use esclusa_flow::reads::Reads;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The plugin's part in the delivery of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// An effect on the engine, named like the event.
    Write,
    /// Likewise, and a message for the output "mail".
    Mail,
    /// Reads the table first.
    Read,
    /// Rejects it.
    Reject,
    /// Skips it.
    Skip,
    /// Traps.
    Trap,
    /// Asks to try it again so many times, then writes.
    Retry(u32),
    /// Halts the route.
    Halt,
}

/// The plugin of a world. An event without a script is written.
pub struct FakePlugin {
    world: Arc<World>,
    scripts: BTreeMap<String, Script>,
}

impl FakePlugin {
    /// A plugin with a script for each event, by id.
    #[must_use]
    pub fn new(world: Arc<World>, scripts: BTreeMap<String, Script>) -> Self {
        FakePlugin { world, scripts }
    }

    async fn read(&self, ids: Vec<String>, reads: &dyn Reads) -> Result<(), CallError> {
        let item = reads.get("table", &Item(Vec::new())).await;
        let item = item.map_err(|error| CallError::Host(Fault::Transient(error.to_string())))?.unwrap_or_default();
        let count = item.0.iter().find_map(|(_, value)| match value {
            Value::Text(count) => count.parse().ok(),
            _ => None,
        });
        self.world.state().reads.push((ids, count.unwrap_or(usize::MAX)));
        Ok(())
    }
}

impl Plugin for FakePlugin {
    fn call<'a>(
        &'a self,
        _: &'a BatchOrigin,
        events: &'a Arc<Columns>,
        reads: Arc<dyn Reads>,
    ) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        Box::pin(async move {
            let ids: Vec<String> = events.iter().map(|event| event.id().to_owned()).collect();
            self.world.state().calls.push(ids.clone());
            match self.world.trouble().await {
                Trouble::Fails => return Err(CallError::Retry("not now".to_owned())),
                Trouble::NoCall => return Err(CallError::Host(Fault::Transient("no table".to_owned()))),
                _ => {}
            }
            let scripts = self.world.state().scripts.clone();
            let scripts = scripts.as_ref().unwrap_or(&self.scripts);
            let script = |id: &str| scripts.get(id).copied().unwrap_or(Script::Write);
            if ids.iter().any(|id| script(id) == Script::Read) {
                self.read(ids.clone(), &*reads).await?;
            }
            let mut output = CallOutput::default();
            for (local, event) in CallIndex::all(ids.len()).zip(events.iter()) {
                let send = |to: &str| Effect {
                    cause: Some(local),
                    action: Action::Send(SendMessage {
                        output: to.to_owned(),
                        key: None,
                        data: event.id().as_bytes().to_vec(),
                        attributes: Vec::new(),
                    }),
                };
                let disposition = match script(event.id()) {
                    Script::Trap => return Err(CallFailure::new(FailureKind::Trap, event.id()).into()),
                    Script::Halt => return Err(CallError::Halt(event.id().to_owned())),
                    Script::Reject => Some(Disposition::Reject("bad".to_owned())),
                    Script::Skip => Some(Disposition::Skip("dull".to_owned())),
                    Script::Retry(times) if event.attempt <= times => Some(Disposition::Retry(None)),
                    Script::Mail => {
                        output.effects.push(send("mail"));
                        None
                    }
                    Script::Write | Script::Read | Script::Retry(_) => None,
                };
                // With an effect for every event, also a rejected or skipped one: of those none may be committed.
                output.effects.push(send("table"));
                output.outcomes.extend(disposition.map(|disposition| EventOutcome { event: local, disposition }));
            }
            Ok(output)
        })
    }

    fn digest(&self) -> &'static str {
        "fake"
    }
}
