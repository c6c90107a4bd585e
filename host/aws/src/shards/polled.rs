//! A shard whose records are polled. An iterator is kept from page to page, replaced if it has expired, and dropped if
//! it was refused.

use super::{Cursor, Page, PageError, ShardFeed, wall_millis};
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use std::time::Duration;

/// The requests of a service, for one shard.
pub(crate) trait PageRequests: Send + Sync {
    /// The request in words, for errors.
    fn doing(&self) -> &str;

    /// An iterator at a cursor; `None` if the service gave none.
    fn iterator<'a>(&'a self, at: &'a Cursor) -> BoxFuture<'a, Result<Option<String>, PageError>>;

    /// The records at an iterator.
    fn page(&self, iterator: String) -> BoxFuture<'_, Result<FetchedPage, PageError>>;
}

/// The answer to a request for records.
pub(crate) struct FetchedPage {
    /// The records. `next` says whether the shard has ended.
    pub page: Page,
    /// Sequence number of the last record, even if it was left out.
    pub last: Option<String>,
    /// Iterator of the next page; `None`: the shard has ended.
    pub next: Option<String>,
}

/// Polls one shard.
pub(crate) struct PolledFeed<P> {
    pages: P,
    /// Cursor of the next iterator.
    at: Cursor,
    /// Records accepted before this time are left out: not every service has iterators for a time. Rounded to the
    /// second, like the times of the services.
    since: Option<u64>,
    iterator: Option<String>,
}

impl<P: PageRequests> PolledFeed<P> {
    /// Reads a shard by `pages`.
    pub(crate) fn new(pages: P) -> Self {
        PolledFeed { pages, at: Cursor::TrimHorizon, since: None, iterator: None }
    }

    async fn iterator(&mut self) -> Result<String, PageError> {
        if let Some(iterator) = &self.iterator {
            return Ok(iterator.clone());
        }
        let asked = wall_millis();
        let Some(iterator) = self.pages.iterator(&self.at).await? else {
            return Err(PageError::Fault(Fault::Transient(format!(
                "{}: the service gave no iterator",
                self.pages.doing()
            ))));
        };
        match self.at {
            Cursor::Since(time) => self.since = Some(time / 1000 * 1000),
            // If the iterator expires before the first record, the next one begins here, so that no record since is
            // left out.
            Cursor::Latest => self.at = Cursor::Since(asked),
            _ => {}
        }
        Ok(self.iterator.insert(iterator).clone())
    }

    async fn read(&mut self) -> Result<Page, PageError> {
        let iterator = self.iterator().await?;
        let read = match self.pages.page(iterator).await {
            Err(PageError::Expired(_)) => {
                self.iterator = None;
                let iterator = self.iterator().await?;
                self.pages.page(iterator).await?
            }
            read => read?,
        };
        let FetchedPage { mut page, last, next } = read;
        if let Some(last) = last {
            // Behind the last record that was read, and not at it (failures.md K10, D4).
            self.at = Cursor::After(last);
        }
        if let Some(since) = self.since {
            page.records.retain(|record| record.timestamp() >= since);
        }
        page.ended = next.is_none();
        self.iterator = next;
        Ok(page)
    }
}

impl<P: PageRequests> ShardFeed for PolledFeed<P> {
    fn seek(&mut self, to: Cursor) {
        (self.at, self.since, self.iterator) = (to, None, None);
    }

    fn page(&mut self, _wait: Duration) -> BoxFuture<'_, Result<Page, PageError>> {
        Box::pin(async move {
            let page = self.read().await;
            if page.as_ref().is_err_and(|error| !matches!(error, PageError::Throttled(_))) {
                // A refused iterator is not tried again.
                self.iterator = None;
            }
            page
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;
    use crate::shards::{FetchedRecord, ShardRecord};
    use std::collections::VecDeque;
    use std::sync::Mutex;

    /// Answers, and where iterators were asked for meanwhile.
    struct Scripted(Mutex<VecDeque<Result<FetchedPage, PageError>>>, Mutex<Vec<Cursor>>);

    impl PageRequests for Scripted {
        fn doing(&self) -> &str {
            "read"
        }

        fn iterator<'a>(&'a self, at: &'a Cursor) -> BoxFuture<'a, Result<Option<String>, PageError>> {
            self.1.lock().unwrap().push(at.clone());
            Box::pin(std::future::ready(Ok(Some("iterator".to_owned()))))
        }

        fn page(&self, _: String) -> BoxFuture<'_, Result<FetchedPage, PageError>> {
            Box::pin(std::future::ready(self.0.lock().unwrap().pop_front().unwrap()))
        }
    }

    fn records(times: &[u64]) -> Result<FetchedPage, PageError> {
        let record = |time: &u64| {
            let position = Position { sequence: time.to_string(), sub: None };
            let (id, key) = (time.to_string(), String::new());
            ShardRecord { position, id, key, data: Vec::new(), timestamp: *time, refused: None }.into()
        };
        let page = Page { records: times.iter().map(record).collect(), ..Page::default() };
        Ok(FetchedPage { page, last: times.last().map(u64::to_string), next: Some("next".to_owned()) })
    }

    async fn read(at: Cursor, answers: Vec<Result<FetchedPage, PageError>>) -> (Vec<u64>, Vec<Cursor>) {
        let pages = answers.iter().filter(|answer| answer.is_ok()).count();
        let mut polled = PolledFeed::new(Scripted(Mutex::new(answers.into()), Mutex::default()));
        polled.seek(at);
        let mut times = Vec::new();
        for _ in 0..pages {
            times.extend(polled.page(Duration::ZERO).await.unwrap().records.iter().map(FetchedRecord::timestamp));
        }
        let asked = polled.pages.1.lock().unwrap().clone();
        (times, asked)
    }

    fn expired() -> Result<FetchedPage, PageError> {
        Err(PageError::Expired("too old".to_owned()))
    }

    #[tokio::test]
    async fn what_is_older_than_a_start_at_a_time_is_left_out_on_every_page() {
        let answers = vec![records(&[1000, 4000]), expired(), records(&[4999, 5000, 6000])];
        let (times, asked) = read(Cursor::Since(5500), answers).await;
        assert_eq!(times, [5000, 6000], "to the second");
        assert_eq!(asked, [Cursor::Since(5500), Cursor::After("4000".to_owned())]);
    }

    #[tokio::test]
    async fn a_start_at_the_newest_record_goes_by_no_clock_and_leaves_nothing_out_when_it_expires() {
        let (times, asked) = read(Cursor::Latest, vec![records(&[]), records(&[1])]).await;
        assert_eq!((times, asked), (vec![1], vec![Cursor::Latest]));
        let (_, asked) = read(Cursor::Latest, vec![records(&[]), expired(), records(&[])]).await;
        assert!(matches!(asked.as_slice(), [Cursor::Latest, Cursor::Since(_)]), "{asked:?}");
    }
}
