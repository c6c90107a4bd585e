//! Reads of the object stores that the route names in `read_objects`. A read sees what the store holds now.
//!
//! In tests, [`crate::testing::Tables`] answers.

use std::fmt;

/// A read that failed. With `?` it becomes a retry of the batch if the store did not answer, and a stop of the route if the store
/// is not granted. A wrong read of an event rejects that event; outside of an event it stops the route, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectError {
    /// The route does not name the store in `read_objects`.
    NotGranted(String),
    /// The read is wrong: a path that leaves the store, an object over 16 MiB without a range, an unknown token.
    Invalid(String),
    /// The store did not answer.
    Unavailable(String),
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectError::NotGranted(store) => {
                write!(f, "object store {store:?} is not granted: add it to the route's read_objects")
            }
            ObjectError::Invalid(reason) | ObjectError::Unavailable(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ObjectError {}

/// An object, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Bytes of the whole object.
    pub size: u64,
    /// The object, or the part that was asked for; shorter if the object ends within it.
    pub bytes: Vec<u8>,
}

/// An object of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path within the store.
    pub path: String,
    /// Its bytes.
    pub size: u64,
}

/// A page of a list of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its objects.
    pub entries: Vec<Entry>,
    /// Token of the next page; `None`: this is the last one.
    pub next: Option<String>,
}

/// An object; `None` if there is none. One of more than 16 MiB is [`ObjectError::Invalid`]: ask for parts of it.
///
/// # Errors
/// [`ObjectError`].
pub fn get(store: &str, path: &str) -> Result<Option<Object>, ObjectError> {
    reader::get(store, path, None)
}

/// `length` bytes of an object from `offset` on, at most 16 MiB; `None` if there is no such object.
///
/// # Errors
/// [`ObjectError`].
pub fn get_range(store: &str, path: &str, offset: u64, length: u32) -> Result<Option<Object>, ObjectError> {
    reader::get(store, path, Some((offset, length)))
}

/// A page of at most 1,000 objects whose paths begin with `prefix`, in the order of the bytes of their paths. The token is that of
/// the page before.
///
/// # Errors
/// [`ObjectError`].
pub fn list(store: &str, prefix: &str, token: Option<&str>) -> Result<Page, ObjectError> {
    reader::list(store, prefix, token)
}

/// Answers reads of objects in a native build, in place of the router.
#[cfg(not(target_family = "wasm"))]
pub(crate) trait ObjectReader {
    /// An object, or a part of it.
    fn object(&self, store: &str, path: &str, range: Option<(u64, u32)>) -> Result<Option<Object>, ObjectError>;

    /// A page of objects.
    fn objects(&self, store: &str, prefix: &str, token: Option<&str>) -> Result<Page, ObjectError>;
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use reader::set_reader;

#[cfg(not(target_family = "wasm"))]
mod reader {
    use super::{Object, ObjectError, ObjectReader, Page};
    use std::cell::RefCell;
    use std::rc::Rc;

    thread_local! {
        static READER: RefCell<Option<Rc<dyn ObjectReader>>> = const { RefCell::new(None) };
    }

    /// Lets `reader` answer the reads of this thread; `None`: nobody.
    pub(crate) fn set_reader(reader: Option<Rc<dyn ObjectReader>>) {
        READER.set(reader);
    }

    pub(super) fn get(store: &str, path: &str, range: Option<(u64, u32)>) -> Result<Option<Object>, ObjectError> {
        reader()?.object(store, path, range)
    }

    pub(super) fn list(store: &str, prefix: &str, token: Option<&str>) -> Result<Page, ObjectError> {
        reader()?.objects(store, prefix, token)
    }

    fn reader() -> Result<Rc<dyn ObjectReader>, ObjectError> {
        let outside = "outside of the router: run this within testing::with_tables";
        READER.with_borrow(Option::clone).ok_or_else(|| ObjectError::Unavailable(outside.to_owned()))
    }
}

#[cfg(target_family = "wasm")]
mod reader {
    use super::{Entry, Object, ObjectError, Page};
    use crate::guest::bindings::esclusa::router::objects as imported;

    pub(super) fn get(store: &str, path: &str, range: Option<(u64, u32)>) -> Result<Option<Object>, ObjectError> {
        let range = range.map(|(offset, length)| imported::ByteRange { offset, length });
        let found = imported::get(store, path, range).map_err(error)?;
        Ok(found.map(|object| Object { size: object.size, bytes: object.bytes }))
    }

    pub(super) fn list(store: &str, prefix: &str, token: Option<&str>) -> Result<Page, ObjectError> {
        let page = imported::list(store, prefix, token).map_err(error)?;
        let entries = page.entries.into_iter().map(|entry| Entry { path: entry.path, size: entry.size });
        Ok(Page { entries: entries.collect(), next: page.next })
    }

    fn error(error: imported::Error) -> ObjectError {
        match error {
            imported::Error::NotGranted(store) => ObjectError::NotGranted(store),
            imported::Error::Invalid(reason) => ObjectError::Invalid(reason),
            imported::Error::Unavailable(reason) => ObjectError::Unavailable(reason),
        }
    }
}
