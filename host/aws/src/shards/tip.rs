//! When a reader is at the tip of its shard.

/// Reads what a service says of the lag (reliability K12): a reader is at the tip only when two pages in a row were
/// empty and the service says so; a page with records was not at the tip, whatever is said of it.
#[derive(Debug, Default)]
pub(crate) struct Tip {
    behind: Option<u64>,
    empty: bool,
}

impl Tip {
    /// Notes a page.
    pub fn read(&mut self, empty: bool, behind_millis: Option<u64>) -> Option<u64> {
        self.behind = match behind_millis {
            None => self.behind,
            Some(0) if empty && self.empty => Some(0),
            Some(0) => Some(self.behind.unwrap_or(1).max(1)),
            Some(behind) => Some(behind),
        };
        self.empty = empty;
        self.behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_zero_only_after_two_empty_pages() {
        // K12
        let mut tip = Tip::default();
        assert_eq!(tip.read(false, Some(5000)), Some(5000));
        assert_eq!(tip.read(false, Some(0)), Some(5000));
        assert_eq!(tip.read(true, Some(0)), Some(5000));
        assert_eq!(tip.read(true, Some(0)), Some(0));
        assert_eq!(tip.read(true, Some(0)), Some(0), "it does not grow on an idle stream");
        assert_eq!(tip.read(false, Some(0)), Some(1));
    }

    #[test]
    fn an_empty_page_in_a_backlog_is_not_the_tip() {
        // K11
        let mut tip = Tip::default();
        assert_eq!(tip.read(true, Some(90_000)), Some(90_000));
        assert_eq!(tip.read(true, Some(60_000)), Some(60_000));
    }

    #[test]
    fn a_service_that_says_nothing_leaves_the_lag_unknown() {
        assert_eq!(Tip::default().read(true, None), None);
    }
}
