//! One suite per boundary trait. A suite makes a fresh instance for every behaviour and panics if a behaviour is
//! missing, with its name in the message.

mod building;
mod engine;
mod guards;
mod logs;
mod objects;
mod pages;
mod progress;
mod queues;

use esclusa_flow::BoxFuture;
use esclusa_flow::source::Source;

/// Opens a source for a route.
pub type SourceOpener = Box<dyn Fn(&str) -> Box<dyn Source>>;
/// Puts something into a source.
pub type SourceFeed<T> = Box<dyn Fn(Vec<T>) -> BoxFuture<'static, ()>>;

pub use building::{EngineUnderTest, INDEX, TABLE};
pub use engine::engine;
pub use logs::{LogUnderTest, log_source};
pub use objects::{ObjectsUnderTest, STORE, object_reads};
pub use queues::{QueueUnderTest, queue_groups, queue_source};

/// Runs behaviours one after the other and says which one is at work, so that a failure names it.
macro_rules! behaviours {
    ($make:expr, $($module:ident :: $name:ident),+ $(,)?) => {
        $(
            eprintln!("behaviour: {}", stringify!($name));
            $module::$name($make()).await;
        )+
    };
}
pub(crate) use behaviours;
