//! Settles messages of a route: what all routes are done with is deleted, what is given back is shown again.

use super::hub::Hub;
use crate::progress::ProgressStore;
use aws_sdk_dynamodb::types::Update;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::engine::Progress;
use esclusa_flow::fault::Fault;
use std::sync::Arc;

/// The keeper of a route. A receipt that is not valid any more is a duplicate to come, and no error: its message is
/// somebody else's by now, and the effects are written (reliability Q1).
pub struct Receipts {
    /// What the routes of the source have in common.
    pub hub: Arc<Hub>,
    /// The route.
    pub route: Arc<str>,
}

impl ProgressStore for Receipts {
    fn lost<'a>(&'a self, _lane: &'a str) -> BoxFuture<'a, Fault> {
        Box::pin(std::future::pending())
    }

    fn settle<'a>(&'a self, _lane: &'a str, progress: &'a Progress) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let Progress::Receipts { delete, release } = progress else { return Ok(()) };
            let done = delete.iter().filter_map(|token| Some((receipt(token)?, None)));
            let back = release.iter().filter_map(|(token, wait)| Some((receipt(token)?, Some(*wait))));
            self.hub.settle(&self.route, done.chain(back).collect()).await
        })
    }

    fn write(&self, _lane: &str, _progress: &Progress) -> Result<Option<Update>, Fault> {
        Ok(None)
    }

    fn prepare<'a>(&'a self, _lane: &'a str, _to: &'a Token) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn receipt(token: &Token) -> Option<Box<str>> {
    match token {
        Token::Text(receipt) => Some(receipt.clone()),
        Token::Offset(_) => None,
    }
}
