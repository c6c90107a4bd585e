//! Positions in a shard: a sequence number, and within an aggregated record a number of its own.
//!
//! As a token a position is the text `SEQUENCE` or `SEQUENCE/SUB`. Sequence numbers are decimal numbers of up to 128
//! digits, so they are compared as texts.

use esclusa_flow::batch::Token;
use esclusa_flow::fault::Fault;
use std::cmp::Ordering;
use std::fmt;

/// The token of a finished shard: everything of it is done.
pub(crate) const SHARD_END: &str = "SHARD_END";

/// An event of a shard, or the point just behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Sequence number of the record.
    pub sequence: String,
    /// Place among the events of an aggregated record; `None` if the record is one event. The first event of a record
    /// and a record of one event have the same position.
    pub sub: Option<u64>,
}

/// How far a shard is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checkpoint {
    /// Nothing is done; the shard starts at its oldest record.
    TrimHorizon,
    /// Nothing is done; the shard starts with the next record.
    Latest,
    /// Nothing is done; the shard starts at the time in the settings.
    AtTimestamp,
    /// Everything is done up to this event, which is included.
    At(Position),
    /// Everything of the shard is done.
    ShardEnd,
}

impl Position {
    /// The position that a token names.
    ///
    /// # Errors
    /// [`Fault::Permanent`] if the token is none of a shard.
    pub fn parse(token: &Token) -> Result<Self, Fault> {
        let Token::Text(text) = token else {
            return Err(Fault::Permanent(format!(
                "the stored position {token:?} is not one of a shard: rename the source"
            )));
        };
        let (sequence, sub) = match text.split_once('/') {
            Some((sequence, sub)) => (sequence, Some(sub.parse::<u64>())),
            None => (&**text, None),
        };
        if sequence.is_empty() || !sequence.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Fault::Permanent(format!(
                "the stored position {text:?} is not one of a shard: rename the source"
            )));
        }
        match sub.transpose() {
            Ok(sub) => Ok(Position { sequence: sequence.to_owned(), sub }),
            Err(_) => {
                Err(Fault::Permanent(format!("the stored position {text:?} is not one of a shard: rename the source")))
            }
        }
    }

    /// The token that names it.
    #[must_use]
    pub fn token(&self) -> Token {
        Token::Text(self.to_string().into())
    }

    /// True if `other` is this event or an earlier one.
    #[must_use]
    pub fn covers(&self, other: &Position) -> bool {
        let subs = || self.sub.unwrap_or_default().cmp(&other.sub.unwrap_or_default());
        sequence_order(&self.sequence, &other.sequence).then_with(subs) != Ordering::Less
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sub {
            Some(sub) => write!(f, "{}/{sub}", self.sequence),
            None => f.write_str(&self.sequence),
        }
    }
}

/// The order of two decimal numbers of any length.
fn sequence_order(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(sequence: &str, sub: Option<u64>) -> Position {
        Position { sequence: sequence.to_owned(), sub }
    }

    #[test]
    fn a_checkpoint_holds_the_place_within_an_aggregate() {
        // K15
        let third = at("495", Some(2));
        assert!(third.covers(&at("495", Some(1))) && third.covers(&at("495", Some(2))));
        assert!(!third.covers(&at("495", Some(3))) && !third.covers(&at("496", Some(0))));
        assert!(at("495", None).covers(&at("495", Some(0))) && !at("495", None).covers(&at("495", Some(1))));
        assert!(at("100", None).covers(&at("99", Some(7))));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "SHARD_END", "12/", "/1", "1/x", "-1"] {
            assert!(Position::parse(&Token::Text(text.into())).is_err(), "{text}");
        }
        assert!(Position::parse(&Token::Offset(7)).is_err());
    }

    proptest! {
        #[test]
        fn tokens_name_their_position(sequence in "[1-9][0-9]{0,55}", sub in proptest::option::of(any::<u64>())) {
            let position = Position { sequence, sub };
            prop_assert_eq!(Position::parse(&position.token()), Ok(position));
        }

        #[test]
        fn sequences_are_ordered_as_numbers(a in any::<u128>(), b in any::<u128>(), zeros in 0usize..3) {
            let padded = format!("{}{a}", "0".repeat(zeros));
            prop_assert_eq!(sequence_order(&padded, &b.to_string()), a.cmp(&b));
        }
    }
}
