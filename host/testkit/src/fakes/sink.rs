//! A sink in memory.

use super::{Trouble, World};
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use std::sync::Arc;

/// The sink of a world. In trouble it takes all messages but does not answer, or takes none.
pub struct FakeSink(pub Arc<World>);

impl Sink for FakeSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(async move {
            let trouble = self.0.trouble().await;
            let fault = || Err(Fault::Transient("no answer".to_owned()).into());
            if trouble == Trouble::Fails {
                return messages.iter().map(|_| fault()).collect();
            }
            self.0
                .state()
                .sent
                .extend(messages.iter().map(|message| String::from_utf8_lossy(&message.send.data).into_owned()));
            messages.iter().map(|_| if trouble == Trouble::Unheard { fault() } else { Ok(()) }).collect()
        })
    }
}
