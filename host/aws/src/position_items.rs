//! Positions of lanes in DynamoDB, for a source whose service hands out the lanes: an item for each lane of a route, moved by the
//! transaction that holds the effects.
//!
//! The condition on the position before makes the effects happen once, also if a member believes that it still owns the lane. The items are beside the
//! dedup records, and never expire.

use crate::client::Clients;
use crate::fault;
use crate::progress::{ProgressStore, reached};
use crate::retry::RetryBudget;
use crate::tables::DedupTable;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure, Update};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::engine::Progress;
use esclusa_flow::fault::Fault;
use esclusa_flow::lane_progress::LaneProgress;
use esclusa_flow::settings::ServiceLocation;
use esclusa_flow::source::Positions;
use std::collections::HashMap;
use std::sync::Arc;

/// Key attribute of the table of dedup records.
const KEY: &str = "id";
/// The offset of the last settled record.
const POSITION: &str = "settled";

/// The positions of one route.
pub struct PositionItems {
    table: DedupTable,
    route: Arc<str>,
}

impl PositionItems {
    /// Positions in the table of dedup records; nothing is sent before they are used.
    #[must_use]
    pub fn new(clients: &Clients, table: &str, place: &ServiceLocation, route: Arc<str>) -> Arc<Self> {
        Arc::new(PositionItems { table: DedupTable::new(table, place, clients), route })
    }

    /// Reads the positions.
    #[must_use]
    pub fn positions(self: &Arc<Self>) -> Positions {
        let items = self.clone();
        Arc::new(move |lane| {
            let (items, lane) = (items.clone(), lane.to_owned());
            Box::pin(async move { items.read(&lane).await })
        })
    }

    /// The progress of lanes, with their positions here.
    #[must_use]
    pub fn progress_store(self: &Arc<Self>, lanes: Arc<dyn LaneProgress>) -> Arc<dyn ProgressStore> {
        Arc::new(PositionProgress { items: self.clone(), lanes })
    }

    fn key(&self, lane: &str) -> AttributeValue {
        AttributeValue::S(format!("position/{}/{lane}", self.route))
    }

    async fn read(&self, lane: &str) -> Result<Option<Token>, Fault> {
        self.table.ready().await?;
        let doing = format!("read the position of {lane:?} in table {}", self.table.name());
        let request = self.table.client().get_item().table_name(self.table.name()).key(KEY, self.key(lane));
        let answer = request.consistent_read(true).send().await.map_err(|error| fault::of(&doing, &error))?;
        answer.item().and_then(|item| item.get(POSITION)).map(|value| token(value, &doing)).transpose()
    }

    /// Moves a position, if it is still at `from`.
    async fn settle(&self, lane: &str, from: Option<&Token>, to: &Token) -> Result<(), Fault> {
        self.table.ready().await?;
        let doing = format!("settle {lane:?} in table {}", self.table.name());
        let Move { condition, values } = Move::of(from, to)?;
        let mut budget = RetryBudget::for_write();
        loop {
            let request = self.table.client().update_item().table_name(self.table.name()).key(KEY, self.key(lane));
            let request = request.update_expression(UPDATE).condition_expression(condition);
            let request = request.set_expression_attribute_values(Some(values.clone()));
            let request = request.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let error = match request.send().await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            match found(&error) {
                // The answer to an earlier try was lost: that one has moved it.
                Some(item) if item.get(POSITION).is_some_and(|at| token(at, &doing).as_ref() == Ok(to)) => {
                    return Ok(());
                }
                Some(_) => return Err(moved(lane)),
                None => budget.wait(fault::of(&doing, &error)).await?,
            }
        }
    }

    fn update(&self, lane: &str, from: Option<&Token>, to: &Token) -> Result<Update, Fault> {
        let Move { condition, values } = Move::of(from, to)?;
        let update = Update::builder().table_name(self.table.name()).key(KEY, self.key(lane));
        let update = update.update_expression(UPDATE).condition_expression(condition);
        let built = update.set_expression_attribute_values(Some(values)).build();
        built.map_err(|error| Fault::Bug(format!("a position of {lane:?}: {error}")))
    }
}

const UPDATE: &str = "SET settled = :to";

/// A move of a position as an expression.
struct Move {
    condition: &'static str,
    values: HashMap<String, AttributeValue>,
}

impl Move {
    fn of(from: Option<&Token>, to: &Token) -> Result<Self, Fault> {
        let mut values = HashMap::from([(":to".to_owned(), number(to)?)]);
        let condition = match from {
            None => "attribute_not_exists(settled)",
            Some(from) => {
                values.insert(":from".to_owned(), number(from)?);
                "settled = :from"
            }
        };
        Ok(Move { condition, values })
    }
}

/// The item as it is, if the condition of a write does not hold.
fn found<R>(error: &SdkError<UpdateItemError, R>) -> Option<HashMap<String, AttributeValue>> {
    match error.as_service_error()? {
        UpdateItemError::ConditionalCheckFailedException(failed) => Some(failed.item().cloned().unwrap_or_default()),
        _ => None,
    }
}

fn number(token: &Token) -> Result<AttributeValue, Fault> {
    match token {
        Token::Offset(offset) => Ok(AttributeValue::N(offset.to_string())),
        Token::Text(text) => Err(Fault::Bug(format!("{text:?} is no offset"))),
    }
}

fn token(value: &AttributeValue, doing: &str) -> Result<Token, Fault> {
    let offset = value.as_n().ok().and_then(|text| text.parse().ok());
    offset.map(Token::Offset).ok_or_else(|| Fault::Permanent(format!("{doing}: {value:?} is no offset")))
}

fn moved(lane: &str) -> Fault {
    Fault::LeaseLost(format!("another process moved the position of {lane:?}"))
}

struct PositionProgress {
    items: Arc<PositionItems>,
    lanes: Arc<dyn LaneProgress>,
}

impl ProgressStore for PositionProgress {
    fn lost<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Fault> {
        self.lanes.lost(lane)
    }

    fn settle<'a>(&'a self, lane: &'a str, progress: &'a Progress) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            self.lanes.check(lane, progress)?;
            let Some((from, to)) = reached(progress) else { return Ok(()) };
            self.items.settle(lane, from, to).await?;
            self.moved(lane, progress);
            Ok(())
        })
    }

    fn write(&self, lane: &str, progress: &Progress) -> Result<Option<Update>, Fault> {
        self.lanes.check(lane, progress)?;
        let Some((from, to)) = reached(progress) else { return Ok(None) };
        self.items.update(lane, from, to).map(Some)
    }

    fn moved(&self, lane: &str, progress: &Progress) {
        if let Some((_, to)) = reached(progress) {
            // The position has moved. If the lane has left meanwhile, its next reader finds that.
            let _ = self.lanes.settled(lane, to);
        }
    }

    fn prepare<'a>(&'a self, _: &'a str, _: &'a Token) -> BoxFuture<'a, Result<(), Fault>> {
        // A batch that comes again may have other bounds: the group does not keep them.
        Box::pin(std::future::ready(Ok(())))
    }
}
