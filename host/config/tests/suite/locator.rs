//! The locator finds places of a file after it has been read.

use crate::cases::read;
use esclusa_config::{Code, ConfigPlace, LoadedConfig};
use std::path::Path;

fn everything() -> LoadedConfig {
    read(Path::new("tests/cases/everything.toml")).unwrap()
}

#[test]
fn every_place_is_found() {
    let loaded = everything();
    let text = std::fs::read_to_string("tests/cases/everything.toml").unwrap();
    for (place, found) in [
        (ConfigPlace::Route("http-etl"), "\"http-etl\""),
        (ConfigPlace::RouteKey("http-etl", "plugin"), "\"plugins/etl.wasm\""),
        (ConfigPlace::RouteKey("all-defaults", "batch_size"), "[[route]]"),
        (ConfigPlace::Config("http-etl", ""), "config"),
        (ConfigPlace::Config("http-etl", "/table"), "\"requests\""),
        (ConfigPlace::Config("http-etl", "/key/sk"), "\"{timestamp}\""),
        (ConfigPlace::Config("http-etl", "/key/missing"), "key"),
        (ConfigPlace::Config("http-etl", "/missing"), "config"),
        (ConfigPlace::Config("jobs", "/rule/1/name"), "\"two\""),
        (ConfigPlace::Config("all-defaults", "/table"), "\"all-defaults\""),
        (ConfigPlace::Source("jobs"), "jobs"),
        (ConfigPlace::Table("inventario"), "inventario"),
        (ConfigPlace::Objects("lake"), "lake"),
        (ConfigPlace::Output("hook"), "hook"),
        (ConfigPlace::Source("nothing"), ""),
        (ConfigPlace::Route("nothing"), ""),
    ] {
        let diagnostic = loaded.locator.diagnostic(place, Code::PLUGIN_INVALID, "wrong", Some("do better"));
        assert_eq!(&text[diagnostic.span.clone()], found, "{place:?}");
    }
}

#[test]
fn a_diagnostic_of_a_place_is_drawn_and_is_json() {
    let place = ConfigPlace::RouteKey("jobs", "plugin");
    let diagnostic = everything().locator.diagnostic(place, Code::PLUGIN_MISSING, "no such file", Some("build it"));
    let text = diagnostic.render(false);
    assert!(text.starts_with("error[plugin::missing]: no such file\n"), "{text}");
    assert!(text.contains(&format!("everything.toml:{}:{}", diagnostic.line, diagnostic.column)), "{text}");
    assert!(
        text.contains("plugin = \"plugins/alert.wasm\"") && text.contains("^^^^") && text.contains("build it"),
        "{text}"
    );
    assert!(diagnostic.render(true).contains('\u{1b}'));
    let json = diagnostic.to_json();
    assert_eq!((json["code"].as_str(), json["severity"].as_str()), (Some("plugin::missing"), Some("error")));
    assert_eq!(json["line"], diagnostic.line);
}

#[test]
fn a_file_that_cannot_be_read_is_one_diagnostic() {
    let problems = esclusa_config::load(Path::new("tests/cases/none.toml"), &|_| None).unwrap_err();
    assert_eq!(problems.0.len(), 1);
    assert_eq!((problems.0[0].code, problems.0[0].line), (Code::UNREADABLE, 0));
    assert!(problems.render(false).contains("tests/cases/none.toml"), "{problems}");
    let directory = tempfile::tempdir().unwrap();
    let latin = directory.path().join("routes.toml");
    std::fs::write(&latin, b"version = 1 # caf\xe9").unwrap();
    assert_eq!(esclusa_config::load(&latin, &|_| None).unwrap_err().0[0].code, Code::UNREADABLE);
}

#[test]
fn what_was_loaded_crosses_threads() {
    fn crosses<T: Send + Sync + 'static>(_: &T) {}
    crosses(&everything());
}

#[test]
fn the_files_that_a_configuration_names_are_known_and_a_byte_order_mark_is_no_part_of_them() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("url"), "\u{feff}http://localhost/\r\n").unwrap();
    std::fs::write(dir.path().join("token"), "t\n").unwrap();
    let text = "version = 1\n[output.hook]\nkind = \"webhook\"\nurl = \"${file:url}\"\n\
        headers = { Authorization = \"Bearer ${file:token}\", X-Again = \"${file:token}\" }\n";
    let loaded = esclusa_config::parse(text, "routes.toml", dir.path(), &|_| None).unwrap();
    assert_eq!(loaded.files.into_iter().collect::<Vec<_>>(), [dir.path().join("token"), dir.path().join("url")]);
}

#[test]
fn files_that_a_configuration_lacks_are_known_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("routes.toml");
    let text = "version = 1
[listener.public]
listen = \"127.0.0.1:0\"
tls = { certificate = \"tls/cert.pem\", key = \"${DIR}/key.pem\" }
[source.in]
kind = \"kafka\"
bootstrap_servers = \"127.0.0.1:9092\"
security = { protocol = \"SSL\", ca = \"./ca.pem\", key_password = \"${file:password}\" }
[output.out]
kind = \"kafka\"
bootstrap_servers = \"127.0.0.1:9092\"
[output.out.security]
protocol = \"SSL\"
certificate = \"/etc/cert.pem\"
key = 5
";
    std::fs::write(&file, text).unwrap();
    let env = |name: &str| (name == "DIR").then(|| "keys".to_owned());
    assert!(esclusa_config::load(&file, &env).is_err());
    let files: Vec<_> = esclusa_config::files_named(&file, &env).into_iter().collect();
    let mut expected =
        ["tls/cert.pem", "keys/key.pem", "ca.pem", "password", "/etc/cert.pem"].map(|name| dir.path().join(name));
    expected.sort();
    assert_eq!(files, expected);
}
