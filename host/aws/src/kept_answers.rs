//! Answers to requests that are kept in DynamoDB, for the listeners that look them up. The engine writes them, in the
//! transaction of their effects.

use crate::client::Clients;
use crate::tables::DedupTable;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;

/// The answers in one table, which all processes share.
#[derive(Debug)]
pub struct KeptAnswers(DedupTable);

impl KeptAnswers {
    /// The answers in the table of dedup records; nothing is sent before they are used.
    #[must_use]
    pub fn new(clients: &Clients, table: &str, place: &ServiceLocation) -> Self {
        KeptAnswers(DedupTable::new(table, place, clients))
    }

    /// The answer to a request; `None`: none is kept, or its time is over.
    ///
    /// # Errors
    /// A [`Fault`] of DynamoDB.
    pub async fn get(&self, request: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.0.answer(request).await
    }
}
