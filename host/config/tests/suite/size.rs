//! Large files are read in reasonable time. The time is printed, not judged.

use esclusa_config::parse;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

/// So many routes, each with a source and a table of its own.
fn routes(number: usize, comment: usize) -> String {
    let mut text = String::from("version = 1\n");
    let padding = "x".repeat(comment);
    for n in 0..number {
        write!(
            text,
            "[source.s{n}]\nkind = \"stream\"\n[table.t{n}]\nkind = \"embedded\"\npartition_key = \"id\"\n[[route]]\n\
             name = \"route-{n}\"\nsource = \"s{n}\"\nplugin = \"plugins/etl.wasm\"\ntables = [\"t{n}\"]\n\
             filter = {{ data = {{ n = [{n}] }} }}\n[route.config]\ntable = \"t{n}\"\nnote = \"{padding}\"\n"
        )
        .unwrap();
    }
    text
}

#[test]
fn ten_thousand_routes_are_read() {
    for number in [2_500, 10_000] {
        let text = routes(number, 300);
        let start = Instant::now();
        let loaded = parse(&text, "routes.toml", Path::new(""), &|_| None).unwrap();
        println!("{} bytes, {number} routes: {:?}", text.len(), start.elapsed());
        assert_eq!(loaded.plan.routes.len(), number);
    }
}

#[test]
fn ten_thousand_mistakes_are_reported() {
    let text = routes(10_000, 0).replace("source = \"s", "source = \"z");
    let start = Instant::now();
    let problems = parse(&text, "routes.toml", Path::new(""), &|_| None).unwrap_err();
    let read = start.elapsed();
    let drawn = problems.render(false).len();
    println!("{} mistakes: {read:?} to read, {:?} with drawing {drawn} bytes", problems.0.len(), start.elapsed());
    assert_eq!(problems.0.len(), 10_000);
}
