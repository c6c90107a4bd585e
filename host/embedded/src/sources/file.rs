//! JSON lines of a file: an event per line, its position the byte offset behind the line.
//!
//! What the file began with is remembered, so that one that was replaced or cut off is noticed and read again from
//! its start.

mod identity;
mod lines;

use super::SourceSpec;
use crate::store::Store;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull, Source};
use identity::Identity;
use lines::Lines;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);

/// See the module.
pub struct FileSource {
    store: Store,
    spec: SourceSpec,
    path: PathBuf,
    follow: bool,
    given: bool,
}

impl FileSource {
    /// A source that keeps its position in `store`. `follow`: waits for the file to grow, else it ends.
    #[must_use]
    pub fn new(store: Store, spec: SourceSpec, path: impl Into<PathBuf>, follow: bool) -> Self {
        FileSource { store, spec, path: path.into(), follow, given: false }
    }
}

impl Source for FileSource {
    fn caught_up(&self) -> bool {
        self.given
    }

    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async move {
            if self.given {
                return Ok(None);
            }
            let name = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned();
            let mut lane = FileLane {
                store: self.store.clone(),
                spec: self.spec.clone(),
                path: self.path.clone(),
                follow: self.follow,
                lines: Lines::open(&self.path, 0).map_err(|e| unreadable(&self.path, &e))?,
                name,
                previous: None,
            };
            lane.resume().await?;
            self.given = true;
            Ok(Some(Box::new(lane) as Box<dyn Lane>))
        })
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::Transient(format!("file {}: {error}", path.display()))
}

struct FileLane {
    store: Store,
    spec: SourceSpec,
    path: PathBuf,
    follow: bool,
    name: String,
    lines: Lines,
    previous: Option<Token>,
}

impl FileLane {
    /// Goes to the committed position, or to the start where the file is another one now.
    async fn resume(&mut self) -> Result<(), Fault> {
        let place = self.spec.place(&self.name);
        let position = place.position(self.store.disk())?;
        let known = place.memo(self.store.disk())?.and_then(|memo| Identity::read(&memo));
        let unreadable = |e: std::io::Error| unreadable(&self.path, &e);
        let same = match &known {
            Some(known) => known.matches(&self.path).map_err(unreadable)?,
            None => true,
        };
        let done = match position {
            Some(Token::Offset(done)) => done,
            _ => 0,
        };
        let length = self.lines.length().map_err(unreadable)?;
        let keep = same && done <= length;
        if !keep {
            tracing::warn!(
                source = &*self.spec.source, file = %self.path.display(), position = done,
                "the file was replaced or cut off since it was read; it is read again from its start"
            );
        }
        self.previous = position.filter(|_| keep);
        let memo = Identity::of(&self.path).map_err(unreadable)?.write();
        self.store.set_position(&self.spec, &self.name, self.previous.clone(), Some(memo)).await?;
        let start = if keep { done } else { 0 };
        self.lines = Lines::open(&self.path, start).map_err(unreadable)?;
        Ok(())
    }

    fn fill(&mut self, limit: Limit, columns: &mut Columns, claims: &mut Vec<Claim>) -> Result<bool, Fault> {
        let timestamp = crate::writer::now();
        while claims.len() < limit.events.max(1) {
            let line = self.lines.peek(!self.follow).map_err(|e| unreadable(&self.path, &e))?;
            let Some(line) = line else { return Ok(false) };
            let id = line.start.to_string();
            let size = id.len() + line.bytes.len() + 44;
            if !claims.is_empty() && columns.size() + size > limit.bytes {
                return Ok(true);
            }
            let event = NewEvent { id: &id, key: "", data: line.bytes, attributes: &[], timestamp, attempt: 1 };
            columns.push(&event).map_err(|e| Fault::Permanent(e.to_string()))?;
            claims.push(Claim::new(Token::Offset(line.end)));
            self.lines.advance();
        }
        Ok(true)
    }

    async fn pull_batch(&mut self, limit: Limit) -> Result<Pull, Fault> {
        let start = self.lines.position();
        let mut columns = Columns::default();
        let mut claims = Vec::new();
        let mut full = self.fill(limit, &mut columns, &mut claims)?;
        if claims.is_empty() {
            if !self.follow {
                return Ok(Pull::Ended);
            }
            if self.lines.replaced(&self.path) {
                self.resume().await?;
            }
            return Ok(Pull::Empty { drained: true });
        }
        let end = Instant::now() + limit.window;
        while !full && self.follow && Instant::now() < end {
            // Where this is dropped while it waits, the lines are read again: see `position` below.
            let taken = self.lines.position();
            self.lines.rewind(start);
            sleep(POLL.min(end.saturating_duration_since(Instant::now()))).await;
            self.lines.rewind(taken);
            full = self.fill(limit, &mut columns, &mut claims)?;
        }
        let last = claims.last().map(|claim| claim.token().clone());
        let previous = std::mem::replace(&mut self.previous, last);
        Ok(Pull::Batch(Batch { origin: self.spec.origin(&self.name, true), columns, claims, previous }))
    }
}

impl Lane for FileLane {
    fn id(&self) -> &str {
        &self.name
    }

    fn runs_ahead(&self) -> bool {
        true
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(self.pull_batch(limit))
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(sleep(POLL))
    }
}
