//! What the offset of a record that comes says of its partition. Pure.

/// How a record lies to the place where reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is the next one.
    Next,
    /// Records are missing before it: compacted, or lost. The oldest record tells.
    Behind,
    /// It was fetched before the last seek, and comes after it. The partition still reaches to where reading goes on, so it is the same
    /// one, and nothing is lost.
    Stale,
    /// It comes from before that place, and the partition does not reach there: its topic was made again or cut, and is read anew.
    Anew,
}

impl Arrival {
    /// Of a record at `offset`, if reading goes on at `next`. `end`: the offset behind the last record, as the broker told last.
    pub(super) fn of(offset: i64, next: i64, end: Option<i64>) -> Self {
        if offset == next {
            Arrival::Next
        } else if offset > next {
            Arrival::Behind
        } else if end.is_some_and(|end| end >= next) {
            Arrival::Stale
        } else {
            Arrival::Anew
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_was_fetched_before_a_seek_is_not_taken_for_a_topic_made_again() {
        // Three records were read, and the reader went on behind the hundredth.
        assert_eq!(Arrival::of(3, 100, Some(120)), Arrival::Stale);
        assert_eq!(Arrival::of(3, 100, Some(100)), Arrival::Stale, "nothing has come since");
        // The topic holds two records now: the hundredth is none of them.
        assert_eq!(Arrival::of(0, 100, Some(2)), Arrival::Anew);
        assert_eq!(Arrival::of(0, 100, None), Arrival::Anew, "nobody knows its end: reading it anew loses nothing");
        assert_eq!((Arrival::of(7, 7, Some(8)), Arrival::of(7, 7, None)), (Arrival::Next, Arrival::Next));
        assert_eq!((Arrival::of(9, 7, Some(10)), Arrival::of(9, 7, Some(3))), (Arrival::Behind, Arrival::Behind));
    }
}
