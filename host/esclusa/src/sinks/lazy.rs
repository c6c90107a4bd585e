//! An sink that is opened by its first message, and again by later ones until that works: a receiver that does not
//! answer when the router starts does not keep a route from starting.

use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::Sink;
use esclusa_flow::fault::Fault;
use std::sync::Arc;
use tokio::sync::OnceCell;

type Open = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Sink>, Fault>> + Send + Sync>;

/// See the module.
pub struct Lazy {
    open: Open,
    opened: OnceCell<Arc<dyn Sink>>,
}

impl Lazy {
    /// An sink that `open` opens.
    pub fn new(open: impl Fn() -> BoxFuture<'static, Result<Arc<dyn Sink>, Fault>> + Send + Sync + 'static) -> Self {
        Lazy { open: Box::new(open), opened: OnceCell::new() }
    }
}

impl Sink for Lazy {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(async move {
            match self.opened.get_or_try_init(|| (self.open)()).await {
                Ok(sink) => sink.send(messages).await,
                // Not the messages' fault, whatever it is: they wait.
                Err(fault) => messages.iter().map(|_| Err(Fault::Transient(fault.to_string()))).collect(),
            }
        })
    }
}
