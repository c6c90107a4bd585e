//! Settles messages: deletes what is done, shows again what is given back.

use super::queue::{Change, Queue};
use crate::progress::Keeper;
use aws_sdk_dynamodb::types::Update;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::engine::Progress;
use esclusa_flow::fault::Fault;
use std::sync::Arc;
use std::time::Duration;

/// The keeper of a queue. A receipt that is not valid any more is a duplicate to come, and no error: its message is
/// somebody else's by now, and the effects are written (reliability Q1).
pub struct Receipts(pub Arc<Queue>);

impl Keeper for Receipts {
    fn lost<'a>(&'a self, _lane: &'a str) -> BoxFuture<'a, Fault> {
        Box::pin(std::future::pending())
    }

    fn settle<'a>(&'a self, _lane: &'a str, progress: &'a Progress) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let Progress::Receipts { delete, release } = progress else { return Ok(()) };
            let delete: Vec<_> = delete.iter().filter_map(|token| Some((receipt(token)?, Duration::ZERO))).collect();
            self.0.change(Change::Delete, &delete).await?;
            let release: Vec<_> = release.iter().filter_map(|(token, wait)| Some((receipt(token)?, *wait))).collect();
            self.0.change(Change::Hide, &release).await?;
            Ok(())
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
