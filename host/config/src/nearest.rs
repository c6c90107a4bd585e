//! Names that somebody probably meant.

/// Most candidates that are compared: a file may declare a million.
const MOST: usize = 2_000;

/// The candidate closest to `name`, if any is close: case, `-` and `_` count nothing, and a third of the letters may
/// differ.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(name);
    let allowed = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .take(MOST)
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= allowed + 2)
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// A name in small letters, without `_` and `-`.
pub(crate) fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_' && *c != '-').flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_understood_and_a_stranger_is_not() {
        let keys = ["batch_size", "batch_window", "tables"];
        assert_eq!(nearest("batchSize", keys), Some("batch_size"));
        assert_eq!(nearest("bacth_window", keys), Some("batch_window"));
        assert_eq!(nearest("table", keys), Some("tables"));
        assert_eq!(nearest("concurrency", keys), None);
    }
}
