//! Lists of objects in directories, in the order of the bytes of their paths.
//!
//! A directory stands in this order where its first object would: as its name with a `/`. So directories are read when the list
//! arrives at them, and of all names that have been read only the least are kept, as many as a page has and one more. A
//! directory may have any number of files: the memory of a list does not grow with it, but the time of every page does.
//!
//! Left out are symlinks, and files that no object can be: see [`super::path`].

use super::path;
use esclusa_flow::bounds::PATH_BYTES;
use esclusa_flow::page_token;
use esclusa_flow::reads::{ObjectList, ObjectPage, PAGE, ReadError};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

/// Names that are kept: one more than a page has shows that there is a next one.
const KEPT: usize = PAGE + 1;

/// A page of the objects of the store at `root`. Blocks.
pub(crate) fn page(root: &Path, list: &ObjectList) -> Result<ObjectPage, ReadError> {
    let context = |why: String| format!("a list of store {:?}: {why}", list.store);
    let directory = list.prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
    if list.prefix.contains('/') {
        path::check(directory)
            .map_err(|why| ReadError::Invalid(context(format!("prefix {:?}: {why}", list.prefix))))?;
    }
    let scope = format!("store {} {}", list.store, list.prefix);
    let from = match &list.token {
        None => String::new(),
        Some(token) => after(&place(&scope, token).map_err(|why| ReadError::Invalid(context(why.to_string())))?),
    };
    let unavailable = |error: std::io::Error| ReadError::Unavailable(context(error.to_string()));
    let paths = Walk { root, prefix: &list.prefix }.least(from).map_err(unavailable)?;
    let next = paths.get(PAGE).and(paths.get(PAGE - 1)).map(|last| page_token::seal(&scope, last.as_bytes()));
    let mut entries = Vec::with_capacity(paths.len().min(PAGE));
    for path in paths.into_iter().take(PAGE) {
        match std::fs::symlink_metadata(root.join(&path)) {
            Ok(about) => entries.push((path, about.len())),
            // It was deleted meanwhile.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(unavailable(error)),
        }
    }
    Ok(ObjectPage { entries, next })
}

/// The least text that is greater than `path`.
fn after(path: &str) -> String {
    format!("{path}\0")
}

struct Walk<'a> {
    root: &'a Path,
    prefix: &'a str,
}

impl Walk<'_> {
    /// The least paths that are `from` or greater, at most [`KEPT`].
    fn least(&self, mut from: String) -> std::io::Result<Vec<String>> {
        let mut paths = Vec::new();
        loop {
            let (found, rest) = self.go(&from, KEPT.saturating_sub(paths.len()))?;
            paths.extend(found);
            match rest {
                // Directories without objects have pushed names out that are needed now.
                Some(rest) if paths.len() < KEPT => from = rest,
                _ => return Ok(paths),
            }
        }
    }

    /// Paths that are `from` or greater, at most `most`, and the least name that had no place among them.
    fn go(&self, from: &str, most: usize) -> std::io::Result<(BTreeSet<String>, Option<String>)> {
        let first = self.prefix.rsplit_once('/').map_or(String::new(), |(directory, _)| format!("{directory}/"));
        let (mut names, mut rest): (BTreeSet<String>, Option<String>) = (BTreeSet::new(), None);
        let mut next = Some(first);
        while let Some(directory) = next {
            self.read(&directory, &mut |name| {
                if !self.wants(&name, from) {
                    return;
                }
                names.insert(name);
                if names.len() > most
                    && let Some(last) = names.pop_last()
                    && rest.as_ref().is_none_or(|rest| last < *rest)
                {
                    rest = Some(last);
                }
            })?;
            // A directory ends with a slash, and gives way to what it holds.
            next = names.iter().find(|name| name.ends_with('/')).cloned();
            if let Some(directory) = &next {
                names.remove(directory);
            }
        }
        Ok((names, rest))
    }

    /// True if a file, or anything that a directory may hold, is to be listed.
    fn wants(&self, name: &str, from: &str) -> bool {
        if name.ends_with('/') {
            (name.starts_with(self.prefix) || self.prefix.starts_with(name)) && (name >= from || from.starts_with(name))
        } else {
            name.starts_with(self.prefix) && name >= from
        }
    }

    /// The names in a directory, which is empty or ends with a slash; those of directories end with one.
    fn read(&self, directory: &str, found: &mut dyn FnMut(String)) -> std::io::Result<()> {
        let entries = match std::fs::read_dir(self.root.join(directory)) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) && !directory.is_empty() => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            };
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| path::check(name).is_ok()) else { continue };
            let slash = if kind.is_dir() { "/" } else { "" };
            if (kind.is_dir() || kind.is_file()) && directory.len() + name.len() + slash.len() <= PATH_BYTES {
                found(format!("{directory}{name}{slash}"));
            }
        }
        Ok(())
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The place of a token: a path.
fn place(scope: &str, token: &str) -> Result<String, page_token::UnknownToken> {
    String::from_utf8(page_token::open(scope, token)?).map_err(|_| page_token::UnknownToken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(root: &Path, prefix: &str) -> Vec<String> {
        let mut list = ObjectList { store: "s".to_owned(), prefix: prefix.to_owned(), token: None };
        let mut paths = Vec::new();
        loop {
            let page = page(root, &list).unwrap();
            assert!(page.entries.len() <= PAGE);
            paths.extend(page.entries.into_iter().map(|(path, _)| path));
            match page.next {
                Some(next) => list.token = Some(next),
                None => return paths,
            }
        }
    }

    fn write(root: &Path, path: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A path may be a directory of another one.
        let _ = std::fs::write(path, "x");
    }

    #[test]
    fn pages_go_on_past_directories_that_hold_no_objects() {
        let dir = tempfile::tempdir().unwrap();
        // More empty directories than names are kept, before and between the files.
        (0..KEPT + 20).for_each(|i| std::fs::create_dir_all(dir.path().join(format!("a/{i:05}/empty"))).unwrap());
        (0..2 * PAGE + 3).for_each(|i| write(dir.path(), &format!("b/{i:05}")));
        write(dir.path(), "z");
        let listed = list(dir.path(), "");
        assert_eq!(listed.len(), 2 * PAGE + 4);
        assert!(listed.is_sorted());
        assert_eq!(list(dir.path(), "a/"), [""; 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn a_walk_finds_the_least_paths_whatever_is_kept(
            paths in prop::collection::btree_set("[ab.-]{1,2}(/[ab.-]{1,2}){0,3}", 0..40),
            prefix in "([ab]{1,2}/){0,2}[ab.-]{0,2}", from in "[ab/-]{0,4}", most in 1_usize..5,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let valid = paths.iter().filter(|path| path::check(path).is_ok());
            for path in valid.clone() {
                let _ = std::fs::create_dir_all(dir.path().join(path).parent().unwrap());
                if !dir.path().join(path).exists() {
                    let _ = std::fs::write(dir.path().join(path), "x");
                }
            }
            let files = valid.filter(|path| dir.path().join(path).is_file());
            let wanted: Vec<_> = files.filter(|path| path.starts_with(&prefix) && **path >= from).cloned().collect();
            let walk = Walk { root: dir.path(), prefix: &prefix };
            let (mut found, mut at) = (Vec::new(), Some(from));
            while let Some(from) = at {
                let (some, rest) = walk.go(&from, most).unwrap();
                prop_assert!(some.len() <= most);
                prop_assert!(rest.as_ref().is_none_or(|rest| *rest >= from));
                found.extend(some);
                at = rest;
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
