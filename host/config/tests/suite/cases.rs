//! Golden cases: every `tests/cases/*.toml` has a neighbour `.ok` (the effective configuration, after its warnings) or
//! `.err` (the messages). `ESCLUSA_BLESS=1 cargo test -p esclusa-config` writes the neighbours anew.

use esclusa_config::{LoadedConfig, Problems, effective, parse};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The directory of the cases, relative to the crate, so that no message holds a path of some machine.
pub(crate) const CASES: &str = "tests/cases";

/// The environment of every case.
pub(crate) fn env(name: &str) -> Option<String> {
    match name {
        "HOME_OF_TESTS" => Some("/home/tests".to_owned()),
        "FIVE" => Some("5".to_owned()),
        "YES" => Some("true".to_owned()),
        "SECRET" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// Reads a case.
pub(crate) fn read(path: &Path) -> Result<LoadedConfig, Problems> {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    parse(&text, name, Path::new(CASES), &env)
}

/// Every case.
pub(crate) fn all() -> Vec<PathBuf> {
    let files = std::fs::read_dir(CASES).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    cases.sort();
    cases
}

#[test]
fn every_case_gives_its_plan_or_its_messages() {
    let bless = std::env::var_os("ESCLUSA_BLESS").is_some();
    let mut wrong = String::new();
    for case in all() {
        let (extension, actual) = match read(&case) {
            Ok(loaded) => {
                let warnings: String = loaded.warnings.iter().map(|warning| warning.render(false) + "\n").collect();
                ("ok", warnings + &effective(&loaded))
            }
            Err(problems) => ("err", problems.render(false)),
        };
        let golden = case.with_extension(extension);
        if bless {
            let other = if extension == "ok" { "err" } else { "ok" };
            let _missing = std::fs::remove_file(case.with_extension(other));
            std::fs::write(&golden, &actual).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != actual {
            write!(wrong, "\n{} differs; it is now:\n{actual}", golden.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
