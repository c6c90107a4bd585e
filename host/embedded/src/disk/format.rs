//! The marker of a store: a line of text that says its format, readable before anything else is opened. With its own
//! checksum, so that a flipped bit is not taken for another format.

use super::sync_directory;
use crate::error::OpenError;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// The format that this program writes.
pub(crate) const FORMAT: u32 = 2;
/// Name of the file.
pub(crate) const MARKER: &str = "format";
/// The whole marker of format 1, which had no checksum.
const FIRST: &str = "esclusa embedded store 1\n";
const PREFIX: &str = "esclusa embedded store ";

/// What a marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    /// There is none, or it is empty: nothing was ever stored.
    Absent,
    /// A format.
    Format(u32),
    /// It is no marker that any version wrote.
    Damaged,
}

/// The marker of a format, from 2 on.
fn text(format: u32) -> String {
    let line = format!("{PREFIX}{format}");
    format!("{line} {:016x}\n", xxh3_64(line.as_bytes()))
}

/// Reads the marker of the store at `path`.
pub(crate) fn read(path: &Path) -> std::io::Result<Marker> {
    let bytes = match std::fs::read(path.join(MARKER)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Marker::Absent),
        Err(error) => return Err(error),
    };
    if bytes.is_empty() {
        return Ok(Marker::Absent);
    }
    if bytes == FIRST.as_bytes() {
        return Ok(Marker::Format(1));
    }
    let format = std::str::from_utf8(&bytes).ok().and_then(|found| {
        let format = found.strip_prefix(PREFIX)?.split(' ').next()?.parse().ok()?;
        (found == text(format)).then_some(format)
    });
    Ok(format.map_or(Marker::Damaged, Marker::Format))
}

/// Replaces the marker, durably: after a crash it is either the old one or the new one.
pub(crate) fn write(path: &Path) -> std::io::Result<()> {
    let new = path.join("format.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text(FORMAT).as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path.join(MARKER))?;
    sync_directory(path)
}

/// Fails unless the store has the format of this program. `holds`: true if there is a database.
pub(crate) fn check(path: &Path, holds: bool) -> Result<Marker, OpenError> {
    let path = path.to_owned();
    match read(&path) {
        Err(error) => Err(super::unusable(&path)(error)),
        Ok(Marker::Format(1)) => Err(OpenError::Outdated { path }),
        Ok(Marker::Format(found)) if found > FORMAT => Err(OpenError::Newer { path, found }),
        Ok(Marker::Format(FORMAT)) => Ok(Marker::Format(FORMAT)),
        // Nothing was ever stored before the marker was complete.
        Ok(Marker::Absent) if !holds => Ok(Marker::Absent),
        Ok(_) => Err(OpenError::Damaged { path, damage: vec![damage()] }),
    }
}

/// A marker that is damaged or missing.
pub(crate) fn damage() -> crate::damage::Damage {
    let found = format!("it is not the marker of any format; this program writes format {FORMAT}");
    let remedy = format!(
        "if `esclusa store check` finds nothing else, write this line into it: {}; otherwise restore a backup",
        text(FORMAT).trim_end()
    );
    crate::damage::Damage::new(Path::new(MARKER), "the format of the store", found).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_of_the_marker_is_no_other_format() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), Marker::Absent);
        write(directory.path()).unwrap();
        assert_eq!(read(directory.path()).unwrap(), Marker::Format(FORMAT));
        let file = directory.path().join(MARKER);
        let good = std::fs::read(&file).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&file, bad).unwrap();
            assert_eq!(read(directory.path()).unwrap(), Marker::Damaged, "bit {bit}");
        }
        std::fs::write(&file, text(7)).unwrap();
        assert_eq!(read(directory.path()).unwrap(), Marker::Format(7));
        std::fs::write(&file, FIRST).unwrap();
        assert_eq!(read(directory.path()).unwrap(), Marker::Format(1));
    }
}
