//! Messages on standard output, a line each.

use super::line;
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::Message;
use esclusa_flow::engine::Outlet;
use esclusa_flow::fault::Fault;
use std::io::Write;

/// Standard output.
pub struct Console;

impl Outlet for Console {
    fn send<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        let text: String = messages.iter().map(|m| line(&m.send.data) + "\n").collect();
        let written = std::io::stdout().lock().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
        let result = written.map_err(|error| Fault::Transient(format!("cannot write to standard output: {error}")));
        Box::pin(std::future::ready(vec![result; messages.len()]))
    }
}
