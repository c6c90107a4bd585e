//! Values of `${…}` are in no message and not in the effective form, wherever a text that has them is used.

use esclusa_config::{Code, ConfigPlace, effective, parse};
use std::path::Path;

const VALUE: &str = "SUPERSECRETVALUE";

fn env(name: &str) -> Option<String> {
    match name {
        "TOK" => Some(VALUE.to_owned()),
        "DIR" => Some(format!("/srv//x/../{VALUE}")),
        "BRACE" => Some(format!("{{{VALUE}}}")),
        "MAIL" => Some(format!("{VALUE}@example.com")),
        "SHORT" => Some("orders".to_owned()),
        _ => None,
    }
}

const HEAD: &str =
    "version = 1\n[source.s]\nkind = \"stream\"\n[[route]]\nname = \"r\"\nsource = \"s\"\nplugin = \"a.wasm\"\n";

/// Everything that is said about a text, and its effective form.
fn shown(text: &str) -> String {
    match parse(text, "routes.toml", Path::new("/etc/esclusa"), &env) {
        Ok(loaded) => loaded.warnings.iter().map(|one| one.render(false)).collect::<String>() + &effective(&loaded),
        Err(problems) => problems.render(false) + &problems.to_json().to_string(),
    }
}

#[test]
fn messages_hide_the_values_that_they_quote() {
    for (text, says) in [
        (format!("{HEAD}filter = {{ data = {{ ip = [{{ cidr = \"${{TOK}}\" }}] }} }}\n"), "no range of addresses"),
        (HEAD.replace("source = \"s\"", "source = \"${TOK}\""), "there is no [source.***]"),
        (
            HEAD.replace("kind = \"stream\"", "kind = \"generate\"\ninterval = \"1s\"\nevent = { a = \"${BRACE}\" }"),
            "unknown placeholder",
        ),
        (HEAD.replace("kind = \"stream\"", "kind = \"${TOK}\""), "error"),
        (format!("{HEAD}batch_window = \"${{TOK}}\"\n"), "error"),
        (format!("{HEAD}on_failure = \"${{TOK}}\"\n"), "***"),
        (format!("{HEAD}outputs = [\"${{TOK}}\", \"a-${{TOK}}\"]\n"), "a-***"),
        (
            format!("{HEAD}[output.o]\nkind = \"smtp\"\nurl = \"${{TOK}}\"\nfrom = \"${{TOK}}\"\nto = \"${{TOK}}\"\n"),
            "error",
        ),
    ] {
        let shown = shown(&text);
        assert!(shown.contains(says) && !shown.contains(VALUE), "{shown}");
    }
}

#[test]
fn the_effective_form_hides_the_values_of_every_text() {
    let text = "version = 1
[source.cron]
kind = \"schedule\"
cron = \"0 0 * * *\"
event = { token = \"x-${TOK}\" }
[source.made]
kind = \"generate\"
interval = \"1s\"
event = { token = [\"${TOK}\"] }
[source.stream]
kind = \"stream\"
stream = \"${SHORT}\"
[output.file]
kind = \"file\"
path = \"${DIR}/out\"
[output.mail]
kind = \"smtp\"
url = \"smtps://mail.example.com\"
from = \"a@example.com\"
to = \"${MAIL}\"
[objects.lake]
kind = \"directory\"
path = \"/srv/lake/${TOK}\"
";
    let shown = shown(text);
    assert!(!shown.contains(VALUE), "{shown}");
    for kept in
        ["\"x-***\"", "\"***/out\"", "\"/srv/lake/***\"", "\"to\": [\n        \"***\"", "\"stream\": \"orders\""]
    {
        assert!(shown.contains(kept), "{kept}: {shown}");
    }
}

#[test]
fn problems_that_are_found_later_hide_them_too() {
    let text = format!("{HEAD}[route.config]\ntoken = \"${{TOK}}\"\n");
    let loaded = parse(&text, "routes.toml", Path::new(""), &env).unwrap();
    let message = format!("{VALUE} is no name");
    let place = ConfigPlace::Config("r", "/token");
    for found in [
        loaded.locator.diagnostic(place, Code::PLUGIN_INVALID, &message, Some(VALUE)),
        loaded.locator.warning(place, Code::PLUGIN_INVALID, &message, Some(VALUE)),
    ] {
        assert_eq!((found.message.as_str(), found.help.as_deref()), ("*** is no name", Some("***")));
    }
}

#[test]
fn no_text_of_a_whole_configuration_shows_a_value() {
    let whole = include_str!("../cases/everything.toml");
    let lines: Vec<&str> = whole.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        // The first text of each line that has one.
        let Some((before, (_, after))) = line.split_once('"').and_then(|(b, rest)| Some((b, rest.split_once('"')?)))
        else {
            continue;
        };
        if before.trim_end().is_empty() || before.contains('#') {
            continue;
        }
        let changed = format!("{before}\"${{TOK}}\"{after}");
        let text: Vec<&str> =
            lines.iter().enumerate().map(|(n, line)| if n == at { &*changed } else { line }).collect();
        let env = |name: &str| env(name).or_else(|| crate::cases::env(name));
        let shown = match parse(&text.join("\n"), "routes.toml", Path::new(crate::cases::CASES), &env) {
            Ok(loaded) => loaded.warnings.iter().map(|one| one.render(false)).collect::<String>() + &effective(&loaded),
            Err(problems) => problems.render(false),
        };
        assert!(!shown.to_uppercase().contains(VALUE), "{changed}: {shown}");
    }
}
