//! The switches of `scripts/guards.sh`: every row of the catalogue has one, for a test of its own, and the code that each switch replaces
//! is still there. Whether the tests fail with the mends off is what the script shows.

use super::{root, rows};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Rows of the catalogue without a switch. Only ever made smaller.
const WITHOUT_SWITCH: usize = 0;

/// The switches by their rows.
fn switches() -> BTreeMap<String, Table> {
    let mut switches = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("scripts/guards")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            for (row, switch) in text.parse::<Table>().unwrap() {
                let Value::Table(switch) = switch else { panic!("{row} is no table") };
                assert!(switches.insert(row.clone(), switch).is_none(), "{row} has two switches");
            }
        }
    }
    switches
}

fn text(table: &Table, key: &str) -> Option<String> {
    Some(table.get(key)?.as_str()?.to_owned())
}

/// The edits of a switch: file, code and guard.
fn edits(switch: &Table) -> Vec<(String, String, String)> {
    let more = switch.get("more").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table);
    let edit = |table: &Table| Some((text(table, "file")?, text(table, "code")?, text(table, "guard")?));
    std::iter::once(switch).chain(more).filter_map(edit).collect()
}

fn tests(switch: &Table) -> Vec<(String, String)> {
    let named = switch.get("test").map(|test| match test {
        Value::Array(tests) => tests.iter().filter_map(Value::as_str).collect(),
        one => Vec::from_iter(one.as_str()),
    });
    let split = |test: &str| test.split_once(": ").map(|(path, name)| (path.to_owned(), name.to_owned())).unwrap();
    named.unwrap_or_default().into_iter().map(split).collect()
}

#[test]
fn every_row_has_a_switch_for_tests_of_its_own() {
    let (switches, page) = (switches(), super::page());
    let (mut wrong, mut without) = (Vec::new(), 0);
    for row in rows(&page) {
        let Some(switch) = switches.get(&row.id) else {
            without += 1;
            continue;
        };
        let tests = tests(switch);
        if tests.is_empty() || text(switch, "off").is_none() {
            wrong.push(format!("{}: its switch says not what is off, or not which test fails", row.id));
        }
        let foreign = tests.iter().filter(|test| !row.tests.contains(test));
        wrong.extend(foreign.map(|(path, name)| format!("{}: {name} in {path} is not among its tests", row.id)));
    }
    let unknown = switches.keys().filter(|id| !rows(&page).iter().any(|row| row.id == **id));
    wrong.extend(unknown.map(|id| format!("{id}: there is no such row")));
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(without, WITHOUT_SWITCH, "rows without a switch; if one has got its switch, lower WITHOUT_SWITCH");
}

#[test]
fn the_code_of_every_switch_is_there_once_and_its_guard_asks_for_its_row() {
    let (switches, mut wrong) = (switches(), Vec::new());
    let mut guards = String::new();
    for (id, switch) in &switches {
        for (file, code, guard) in edits(switch) {
            let found = std::fs::read_to_string(root().join(&file)).unwrap_or_default().matches(&code).count();
            if found != 1 {
                wrong.push(format!("{id}: its code is {found} times in {file}: {code}"));
            }
            guards.push_str(&guard);
        }
    }
    for (id, switch) in &switches {
        let asked = match text(switch, "same") {
            Some(other) => switches.contains_key(&other),
            None => guards.contains(&format!("OFF({id})")),
        };
        if !asked {
            wrong.push(format!("{id}: no guard asks for it"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
