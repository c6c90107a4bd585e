//! Tests of templates.

use super::*;

fn render(template: &str, record: &str) -> Result<String, String> {
    let template = Template::parse(template).map_err(|e| e.to_string())?;
    template.render(&Record::parse(record).unwrap()).map(Cow::into_owned).map_err(|e| e.to_string())
}

#[test]
fn fields_paths_and_braces_are_rendered() {
    assert_eq!(render("path#{path}", r#"{"path":"/a"}"#).unwrap(), "path#/a");
    assert_eq!(render("{a.b}-{n}-{t}", r#"{"a":{"b":"x"},"n":1.50,"t":true}"#).unwrap(), "x-1.50-true");
    assert_eq!(render("{{{a}}}", r#"{"a":"x"}"#).unwrap(), "{x}");
    assert_eq!(render("no fields", "{}").unwrap(), "no fields");
    assert_eq!(render("", "{}").unwrap(), "");
    assert_eq!(render("ñ{a}ñ", r#"{"a":"é"}"#).unwrap(), "ñéñ");
}

#[test]
fn dates_are_parts_of_a_timestamp() {
    let record = r#"{"when":"2010-12-01T08:26:00Z","day":"2010-12-01","space":"2010-12-01 23:00"}"#;
    assert_eq!(render("{when:date}", record).unwrap(), "2010-12-01");
    assert_eq!(render("{day:date}", record).unwrap(), "2010-12-01");
    assert_eq!(render("{when:year}/{when:month}/{when:day}/{when:hour}", record).unwrap(), "2010/12/01/08");
    assert_eq!(render("{space:hour}", record).unwrap(), "23");
    for wrong in
        [r#"{"when":"yesterday"}"#, r#"{"when":"2010-13-01"}"#, r#"{"when":"2010-12-01X"}"#, r#"{"when":1291191960}"#]
    {
        let error = render("{when:date}", wrong).unwrap_err();
        assert!(error.contains("field \"when\" is") && error.contains("needs an ISO timestamp"), "{error}");
    }
    assert!(render("{day:hour}", record).is_err());
}

#[test]
fn the_same_instant_has_the_same_date_whatever_its_offset() {
    for at in ["2024-10-06T22:30:00Z", "2024-10-07T00:30:00+02:00", "2024-10-06T18:30:00-04:00", "2024-10-06 22:30"] {
        let record = format!(r#"{{"at":"{at}"}}"#);
        assert_eq!(
            render("{at:date}/{at:year}/{at:month}/{at:day}/{at:hour}", &record).unwrap(),
            "2024-10-06/2024/10/06/22"
        );
    }
    assert_eq!(render("{at:date}", r#"{"at":"2024-12-31T23:30:00-01:00"}"#).unwrap(), "2025-01-01");
    for wrong in ["2024-02-30T00:00:00Z", "2024-10-06T22:30:00+99:99", "2024-10-06T22:30.5Z"] {
        assert!(render("{at:date}", &format!(r#"{{"at":"{wrong}"}}"#)).is_err(), "{wrong}");
    }
}

#[test]
fn any_value_can_be_put_in_as_json() {
    let record = r#"{"t":"say \"ñ\"\n","n":1.50,"z":null,"a":[1,{"b":true}]}"#;
    let message = render(r#"{{"t":{t:json},"n":{n:json},"z":{z:json},"a":{a:json}}}"#, record).unwrap();
    assert_eq!(message, record);
    assert_eq!(render("{t:json}", record).unwrap(), r#""say \"ñ\"\n""#);
    assert!(render("{x:json}", record).unwrap_err().contains("is missing"));
}

#[test]
fn a_field_alone_is_borrowed() {
    let template = Template::parse("{a}").unwrap();
    let record = Record::parse(r#"{"a":"x"}"#).unwrap();
    assert!(matches!(template.render(&record), Ok(Cow::Borrowed("x"))));
}

#[test]
fn what_has_no_place_in_a_text_is_an_error_with_the_field() {
    for (record, problem) in [
        ("{}", "is missing"),
        (r#"{"a":null}"#, "is null"),
        (r#"{"a":[1]}"#, "is an array"),
        (r#"{"a":{}}"#, "is an object"),
    ] {
        let error = render("x{a}", record).unwrap_err();
        assert!(error.contains(problem) && error.contains("\"a\"") && error.contains("\"x{a}\""), "{error}");
    }
}

#[test]
fn wrong_templates_say_what_and_where() {
    for (template, error) in [
        ("a{b", "template \"a{b\", column 2: a `{` without its `}`; write `{{` for a brace"),
        ("ñ}", "template \"ñ}\", column 2: a `}` without its `{`; write `}}` for a brace"),
        ("{}", "template \"{}\", column 1: {} does not name a field"),
        ("{a..b}", "template \"{a..b}\", column 1: {a..b} does not name a field"),
        (
            "{a:week}",
            "template \"{a:week}\", column 1: unknown format \"week\"; there are date, year, month, day, hour and json",
        ),
        ("{a{b}", "template \"{a{b}\", column 1: a `{` within a field; write `{{` for a brace"),
    ] {
        assert_eq!(Template::parse(template).unwrap_err().to_string(), error);
    }
}

fn compile_key(key: &[(&str, &str)]) -> Result<KeyTemplates, String> {
    KeyTemplates::compile(key.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
}

#[test]
fn attributes_keep_their_order() {
    let key = compile_key(&[("sk", "{at}"), ("pk", "order#{id}")]).unwrap();
    assert_eq!(key.names().collect::<Vec<_>>(), ["sk", "pk"]);
    assert_eq!(key.attributes().iter().map(|(_, t)| t.source()).collect::<Vec<_>>(), ["{at}", "order#{id}"]);
}

#[test]
fn a_key_without_attributes_and_a_wrong_template_are_refused_with_their_place() {
    assert_eq!(compile_key(&[]).unwrap_err(), "config.key: name the key attributes of the table, each with a template");
    let wrong = compile_key(&[("pk", "{id")]).unwrap_err();
    assert!(wrong.starts_with("config.key.pk: template \"{id\", column 1"), "{wrong}");
}
