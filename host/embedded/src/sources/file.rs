//! JSON lines of a file: an event per line, its position the byte offset behind the line.
//!
//! A digest of the file's beginning is stored, so that another file under the same path is noticed, whether it was
//! renamed there or written over the old one. The new file is read from its start. If the old one was renamed within
//! its directory, or copied there and truncated, the rest of it comes first: until nothing was added for a while, because
//! its writer may not have noticed the rename yet, and with its last line, even without an end of line. Files that
//! rotation has put between the two come next. A new file is begun only once every event of the old one is settled.

mod identity;
mod lines;

pub use lines::{LONGEST as LONGEST_LINE, line_text};

use super::single_lane::{OpenLane, SingleLaneSource};
use crate::progress::SourceSpec;
use crate::store::Store;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::event::{Columns, ColumnsRoom, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull};
use identity::{BetweenFiles, FileIdentity, LastBytes};
use lines::FileLines;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep};

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);

/// How long a renamed file is still polled after the last line was read.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// The lines of a file as a source of one ordered lane.
pub type FileSource = SingleLaneSource<FileOpener>;

/// Opens a file as a lane.
pub struct FileOpener {
    store: Store,
    spec: SourceSpec,
    path: PathBuf,
    follow: bool,
}

impl SingleLaneSource<FileOpener> {
    /// A source that keeps its position in `store`. `follow`: waits for the file to grow, else it ends.
    #[must_use]
    pub fn new(store: Store, spec: SourceSpec, path: impl Into<PathBuf>, follow: bool) -> Self {
        SingleLaneSource::of(FileOpener { store, spec, path: path.into(), follow })
    }
}

impl OpenLane for FileOpener {
    fn open_lane(&self) -> BoxFuture<'_, Result<Box<dyn Lane>, Fault>> {
        Box::pin(async move {
            let name = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned();
            Ok(Box::new(FileLane::open(self, name).await?) as Box<dyn Lane>)
        })
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::Transient(format!("file {}: {error}", path.display()))
}

fn offset(position: Option<&Token>) -> u64 {
    if let Some(Token::Offset(offset)) = position { *offset } else { 0 }
}

struct FileLane {
    store: Store,
    spec: SourceSpec,
    path: PathBuf,
    follow: bool,
    name: String,
    identity: FileIdentity,
    lines: FileLines,
    previous: Option<Token>,
    /// Going to the start of another file was begun and is not finished.
    anew: bool,
    /// When something was read last.
    last_read: Instant,
    /// The file when it was last known to be the one that is read; `None`: not since the lane was opened.
    seen: Option<FileState>,
    /// The end of what was handed out: a file that begins alike after it was truncated does not have it there.
    last_bytes: LastBytes,
    /// What the last batch took.
    room: ColumnsRoom,
}

/// Length and time of change of a file.
#[derive(Debug, Clone, Copy)]
struct FileState {
    length: u64,
    modified: SystemTime,
}

impl FileState {
    fn of(file: &File) -> Option<Self> {
        let about = file.metadata().ok()?;
        Some(FileState { length: about.len(), modified: about.modified().ok()? })
    }
}

impl FileLane {
    /// Opens the file at the committed position, or another one at its start.
    async fn open(opener: &FileOpener, name: String) -> Result<Self, Fault> {
        let FileOpener { store, spec, path, follow } = opener;
        let route_lane = spec.route_lane(&name);
        let previous = route_lane.position(store.disk())?;
        let known = route_lane
            .memo(store.disk())?
            .and_then(|memo| FileIdentity::read(&memo))
            .unwrap_or_else(|| FileIdentity::any(0));
        let (done, unreadable) = (offset(previous.as_ref()), |e: std::io::Error| unreadable(path, &e));
        let mut file = lines::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let alike = done <= length && known.matches(&file).map_err(unreadable)?;
        let mut same = alike && !known.lies_beside(path, &file);
        let mut identity = known;
        if !same && let Some(rest) = identity.rest(path, done, &LastBytes::default()) {
            tracing::info!(route = &*spec.route, source = &*spec.source, file = %path.display(), rest = %rest.display(),
                position = done, "the file was renamed or truncated since it was read; the rest of it is read first");
            file = lines::open(&rest).map_err(unreadable)?;
            same = true;
        } else if done == 0 {
            // Nothing of it is committed: what was remembered may be of an older file.
            identity = FileIdentity::any(identity.generation);
            same = true;
        }
        let seen = same.then(|| FileState::of(&file)).flatten();
        let mut lane = FileLane {
            store: store.clone(),
            spec: spec.clone(),
            path: path.clone(),
            follow: *follow,
            name,
            identity,
            lines: FileLines::new(file, done).map_err(unreadable)?,
            previous,
            anew: false,
            last_read: Instant::now(),
            seen,
            last_bytes: LastBytes::default(),
            room: ColumnsRoom::default(),
        };
        if !same {
            lane.report_gap();
            lane.begin_anew().await?;
        }
        Ok(lane)
    }

    /// Goes to the start of the next file: one that was rotated meanwhile, or the one that the path leads to now. If this
    /// fails or is dropped, the next pull does it.
    async fn begin_anew(&mut self) -> Result<(), Fault> {
        self.anew = true;
        let BetweenFiles { rotated, others } = self.files_between();
        let next = rotated.first().unwrap_or(&self.path);
        let file = lines::open(next).map_err(|e| unreadable(next, &e))?;
        tracing::warn!(
            route = &*self.spec.route, source = &*self.spec.source, file = %self.path.display(), next = %next.display(),
            position = offset(self.previous.as_ref()),
            "the file was replaced, or written anew, since it was read; it is read from its start"
        );
        if !others.is_empty() {
            let which = match self.seen {
                Some(_) => "are newer than the one that was read last",
                None => "may be newer than the one that was read last, which is gone",
            };
            tracing::warn!(route = &*self.spec.route, source = &*self.spec.source, files = ?others,
                "files beside it {which}; they are not read: send what they hold, if no route has read it, with `esclusa send`");
        }
        let (lines, seen) = (file.try_clone().and_then(|file| FileLines::new(file, 0)), FileState::of(&file));
        let lines = lines.map_err(|e| unreadable(next, &e))?;
        let identity = FileIdentity::unread(self.identity.generation + 1, &file).map_err(|e| unreadable(next, &e))?;
        self.store.set_position(&self.spec, &self.name, None, Some(identity.write())).await?;
        (self.lines, self.seen, self.last_read) = (lines, seen, Instant::now());
        (self.identity, self.previous, self.anew) = (identity, None, false);
        self.last_bytes = LastBytes::default();
        Ok(())
    }

    /// The files that rotation has put between this one and the one that the path leads to.
    fn files_between(&self) -> BetweenFiles {
        match self.seen {
            Some(seen) => self.identity.files_between(&self.path, self.lines.file(), seen.modified),
            None => BetweenFiles::of_unknown(&self.path),
        }
    }

    /// Goes on in the copy that was made of the file before it was truncated; false if there is none.
    async fn go_on_in_copy(&mut self) -> Result<bool, Fault> {
        let position = self.lines.position();
        let Some(copy) = self.identity.rest(&self.path, position, &self.last_bytes) else { return Ok(false) };
        let failed = |e: std::io::Error| unreadable(&copy, &e);
        let file = lines::open(&copy).map_err(failed)?;
        let identity = self.identity.within(&file).map_err(failed)?;
        let seen = FileState::of(&file);
        let lines = FileLines::new(file, position).map_err(failed)?;
        self.store.remember(&self.spec, &self.name, identity.write()).await?;
        tracing::info!(route = &*self.spec.route, source = &*self.spec.source, file = %self.path.display(),
            copy = %copy.display(), position, "the file was truncated; the rest of it is read from its copy first");
        (self.lines, self.identity, self.seen, self.last_read) = (lines, identity, seen, Instant::now());
        Ok(true)
    }

    /// Tells of lines that nobody can read any more, if there are any.
    fn report_gap(&self) {
        let position = self.lines.position();
        let lost = self.seen.map(|seen| seen.length.saturating_sub(position));
        if lost != Some(0) {
            let bytes = lost.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
            tracing::warn!(route = &*self.spec.route, source = &*self.spec.source, file = %self.path.display(), position,
                bytes, "the file was truncated or written over, and no file beside it holds the rest: it was not read");
        }
    }

    /// True if every event that was handed out is settled.
    fn all_settled(&self) -> Result<bool, Fault> {
        Ok(self.spec.route_lane(&self.name).position(self.store.disk())? == self.previous)
    }

    /// Stores the digest of the file's beginning, as far as `end`. If this is dropped, the lines since `start` are
    /// read again.
    async fn remember(&mut self, start: u64, end: u64) -> Result<(), Fault> {
        let widened = self.identity.widened(self.lines.file(), end).map_err(|e| unreadable(&self.path, &e))?;
        let Some(identity) = widened else { return Ok(()) };
        let taken = self.lines.position();
        self.lines.rewind(start);
        self.store.remember(&self.spec, &self.name, identity.write()).await?;
        self.lines.rewind(taken);
        self.identity = identity;
        Ok(())
    }

    /// Reads lines up to the limit; true if the limit closed the batch. `last`: also a last line without an end of
    /// line.
    fn fill(
        &mut self,
        limit: Limit,
        last: bool,
        columns: &mut Columns,
        claims: &mut Vec<Claim>,
    ) -> Result<bool, Fault> {
        let timestamp = crate::clock::wall_millis();
        while claims.len() < limit.events.max(1) {
            let line = match self.lines.peek(last) {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(false),
                // The lines before the error are delivered; the next pull meets the error again.
                Err(_) if !claims.is_empty() => return Ok(true),
                Err(error) => return Err(unreadable(&self.path, &error)),
            };
            let id = format!("{}-{}", self.identity.generation, line.start);
            let size = id.len() + line.bytes.len() + 44;
            if !claims.is_empty() && columns.size() + size > limit.bytes {
                return Ok(true);
            }
            if claims.is_empty() {
                columns.reserve(self.room);
            }
            let event = NewEvent { id: &id, key: "", data: line.bytes, attributes: &[], timestamp, attempt: 1 };
            columns.push(&event).map_err(|e| Fault::Permanent(e.to_string()))?;
            claims.push(Claim::new(Token::Offset(line.end)));
            self.lines.advance();
        }
        Ok(true)
    }

    async fn pull_batch(&mut self, limit: Limit) -> Result<Pull, Fault> {
        if self.anew {
            self.begin_anew().await?;
        }
        let start = self.lines.position();
        let pulled = self.pull_from(start, limit).await;
        if pulled.is_err() {
            // These lines were not handed out: the next pull reads them again.
            self.lines.rewind(start);
        }
        pulled
    }

    /// Leaves a replaced file that cannot be read any further and begins the new one.
    async fn leave(&mut self, fault: &Fault) -> Result<Pull, Fault> {
        if self.all_settled()? {
            tracing::error!(source = &*self.spec.source, position = self.lines.position(), error = %fault,
                "the rest of a file that was replaced is left out");
            self.begin_anew().await?;
        }
        Ok(Pull::Empty { drained: false })
    }

    /// True if the file holds what was handed out of it.
    fn is_same(&self) -> std::io::Result<bool> {
        Ok(self.identity.matches(self.lines.file())? && self.last_bytes.lie_in(self.lines.file())?)
    }

    /// True if the file is shorter than it was.
    fn shortened(&self) -> bool {
        self.seen.zip(FileState::of(self.lines.file())).is_some_and(|(seen, now)| now.length < seen.length)
    }

    /// Goes to the file that comes next: after a cut to the copy with the rest of this one, if there is one.
    async fn next_file(&mut self, start: u64, cut: bool) -> Result<Pull, Fault> {
        self.lines.rewind(start);
        if !(cut && self.go_on_in_copy().await?) && self.all_settled()? {
            // A copy of a file of which nothing was read comes next as a whole.
            if cut && (start > 0 || self.files_between().rotated.is_empty()) {
                self.report_gap();
            }
            self.begin_anew().await?;
        }
        Ok(Pull::Empty { drained: false })
    }

    async fn pull_from(&mut self, start: u64, limit: Limit) -> Result<Pull, Fault> {
        let mut columns = Columns::default();
        let mut claims = Vec::new();
        let mut full = match self.fill(limit, !self.follow, &mut columns, &mut claims) {
            Err(fault) if claims.is_empty() && self.lines.replaced(&self.path) => return self.leave(&fault).await,
            filled => filled?,
        };
        let end = Instant::now() + limit.window;
        while !full && !claims.is_empty() && self.follow && Instant::now() < end {
            // If the pull is dropped while it waits, the lines are read again.
            let taken = self.lines.position();
            self.lines.rewind(start);
            sleep(POLL.min(end.saturating_duration_since(Instant::now()))).await;
            self.lines.rewind(taken);
            full = self.fill(limit, !self.follow, &mut columns, &mut claims)?;
        }
        let replaced = claims.is_empty() && self.lines.replaced(&self.path);
        if replaced && self.follow && !self.lines.cut_off() {
            if self.last_read.elapsed() < LAST_LOOK {
                return Ok(Pull::Empty { drained: false });
            }
            self.fill(limit, true, &mut columns, &mut claims)?;
        }
        // Checked after reading, so that the lines just read belong to the file that was checked.
        let same = self.is_same().map_err(|e| unreadable(&self.path, &e))?;
        let cut = !same || (claims.is_empty() && self.lines.cut_off()) || (start == 0 && self.shortened());
        if cut || (replaced && claims.is_empty()) {
            return self.next_file(start, cut).await;
        }
        self.seen = FileState::of(self.lines.file()).or(self.seen);
        let Some(last) = claims.last().map(|claim| claim.token().clone()) else {
            return Ok(if self.follow { Pull::Empty { drained: true } } else { Pull::Ended });
        };
        self.last_read = Instant::now();
        self.remember(start, offset(Some(&last))).await?;
        self.last_bytes =
            LastBytes::before(self.lines.file(), offset(Some(&last))).map_err(|e| unreadable(&self.path, &e))?;
        self.room = columns.room();
        let previous = self.previous.replace(last);
        Ok(Pull::Batch(Batch { origin: self.spec.origin(&self.name, true), columns: columns.into(), claims, previous }))
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
