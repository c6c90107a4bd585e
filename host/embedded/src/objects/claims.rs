//! Names in directories that unfinished objects need: as the name of an object, or as a directory above it.
//!
//! A staged object gets its name after the commit, when it is too late to refuse it. So no directory is made at a name that is
//! claimed for an object, and no object claims a name that is to become a directory. A name may be claimed for one of the two
//! any number of times: the last object with a name stays.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The claims of this process, which alone has the store.
static CLAIMS: Mutex<BTreeMap<(PathBuf, Use), usize>> = Mutex::new(BTreeMap::new());

/// What a name is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// It is the name of an object.
    Object,
    /// It is a directory above an object.
    Directory,
}

/// A name that is needed until this is dropped.
#[derive(Debug)]
pub(super) struct Claim((PathBuf, Use));

impl Claim {
    /// Claims a name; `None`: an unfinished object needs it for something else.
    pub(super) fn of(path: &Path, this: Use) -> Option<Claim> {
        let mut claims = CLAIMS.lock();
        let other = if this == Use::Object { Use::Directory } else { Use::Object };
        if claims.contains_key(&(path.to_owned(), other)) {
            return None;
        }
        let claim = (path.to_owned(), this);
        let times = claims.entry(claim.clone()).or_default();
        *times = times.saturating_add(1);
        Some(Claim(claim))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = CLAIMS.lock();
        let Some(times) = claims.get_mut(&self.0) else { return };
        *times = times.saturating_sub(1);
        if *times == 0 {
            claims.remove(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_object_or_a_directory_for_as_long_as_it_is_needed() {
        let (object, other) = (Path::new("/test-of-claims/a"), Path::new("/test-of-claims/b"));
        let first = Claim::of(object, Use::Object).unwrap();
        let second = Claim::of(object, Use::Object).unwrap();
        assert!(Claim::of(other, Use::Directory).is_some());
        drop(first);
        assert!(Claim::of(object, Use::Directory).is_none(), "the second object still needs it");
        drop(second);
        let directory = Claim::of(object, Use::Directory).unwrap();
        assert!(Claim::of(object, Use::Object).is_none());
        drop(directory);
        assert!(Claim::of(object, Use::Object).is_some());
    }
}
