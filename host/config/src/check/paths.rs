//! Paths of a file: relative to the file's directory.

use crate::codes::Code;
use crate::report::Finding;
use crate::shape::Key;
use crate::syntax::reader::{self, Reader};
use std::path::{Component, Path, PathBuf};

/// Resolves the paths of one file.
pub struct Paths<'a> {
    base: &'a Path,
}

impl<'a> Paths<'a> {
    /// Relative to `base`.
    pub fn new(base: &'a Path) -> Self {
        Paths { base }
    }

    /// The directory of the file.
    pub fn base(&self) -> PathBuf {
        tidy(self.base)
    }

    /// The path of a key, or its default.
    pub fn read(&self, reader: &Reader<'_>, key: &Key) -> PathBuf {
        let path = reader.text_or_default(key);
        if path.is_empty() && reader.text(key).is_some() {
            let message = format!("`{}` is an empty path", key.name);
            reader.findings.add(Finding::error(Code::BAD_VALUE, reader.place(key), message));
        }
        tidy(&self.base.join(path))
    }

    /// The path that a key has where its section is not given.
    pub fn default(&self, key: &Key) -> PathBuf {
        tidy(&self.base.join(reader::default(key)))
    }
}

/// The path without `.`, and without `x/..`: two spellings of one path become equal. Links are not followed.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(tidied.components().next_back(), Some(Component::Normal(_))) => {
                tidied.pop();
            }
            other => tidied.push(other),
        }
    }
    if tidied.as_os_str().is_empty() { PathBuf::from(".") } else { tidied }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_path_become_equal() {
        for (untidy, tidied) in [("./a/./b", "a/b"), ("a/../b", "b"), ("../a", "../a"), ("/../a", "/../a"), ("./", ".")]
        {
            assert_eq!(tidy(Path::new(untidy)), Path::new(tidied));
        }
    }
}
