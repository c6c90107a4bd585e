//! `${VAR}`, `${VAR:-default}`, `${file:PATH}` and `$$` in texts. They are replaced after TOML has been parsed, so no
//! value can add keys or sections to the file.

use super::toml_tree::TomlText;
use crate::named_file;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The sources of the values.
pub(crate) struct Interpolation<'a> {
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The directory that the paths of `${file:PATH}` are relative to.
    pub base: &'a Path,
    /// The files that were named.
    pub files: RefCell<BTreeSet<PathBuf>>,
}

/// Why a text could not be expanded.
pub(crate) struct InterpolationError {
    /// The part of the text that is at fault.
    pub found: String,
    /// The problem.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Interpolation<'_> {
    /// `text` with every `${…}` replaced by its value.
    pub(crate) fn expand(&self, text: &str) -> Result<TomlText, InterpolationError> {
        let mut out = String::with_capacity(text.len());
        let (mut interpolated, mut values) = (false, Vec::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(after) = after.strip_prefix('{') {
                let Some((inside, after)) = after.split_once('}') else {
                    return Err(failure("${", "`${` has no closing `}`", "close it, or write `$$` for a dollar sign"));
                };
                let (value, from_outside) = self.value(inside)?;
                out.push_str(&value);
                values.extend(from_outside.then_some(value));
                interpolated = true;
                rest = after;
            } else {
                out.push('$');
                rest = after;
            }
        }
        out.push_str(rest);
        Ok(TomlText { text: out, interpolated, values })
    }

    /// A value, and whether it comes from outside of routes.toml.
    fn value(&self, inside: &str) -> Result<(String, bool), InterpolationError> {
        let whole = format!("${{{inside}}}");
        if let Some(path) = inside.strip_prefix("file:") {
            return Ok((self.file(path, &whole)?, true));
        }
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let help = "a variable's name has letters, digits and `_`; write `$$` for a dollar sign";
            return Err(failure(&whole, &format!("`{whole}` names no variable"), help));
        }
        // An empty variable counts as missing if there is a default, as in a shell.
        match ((self.env)(name).filter(|value| !value.is_empty() || default.is_none()), default) {
            (Some(value), _) => Ok((value, true)),
            (None, Some(default)) => Ok((default.to_owned(), false)),
            (None, None) => {
                let help = format!("set it, or give a default: `${{{name}:-default}}`");
                Err(failure(&whole, &format!("the environment variable {name} is not set"), &help))
            }
        }
    }

    fn file(&self, path: &str, whole: &str) -> Result<String, InterpolationError> {
        let path = self.base.join(path);
        self.files.borrow_mut().insert(path.clone());
        let unreadable = |why: &str| {
            let message = format!("cannot read {}: {}", path.display(), crate::report::lower_case(why));
            failure(whole, &message, "the path is relative to the directory of this file")
        };
        let bytes = named_file::read(&path).map_err(|error| unreadable(&error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8 text"))?;
        // Files of secrets end with a newline that is no part of the secret, and some begin with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let text = text.strip_suffix('\n').unwrap_or(text);
        Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
    }
}

fn failure(found: &str, message: &str, help: &str) -> InterpolationError {
    InterpolationError { found: found.to_owned(), message: message.to_owned(), help: help.to_owned() }
}
