//! Random patterns against random values, compared with a naive reading of the rules.

use super::*;
use proptest::prelude::*;
use proptest::sample::select;

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => "[abA]{0,3}".prop_map(Value::from),
        2 => (-2i64..3).prop_map(Value::from),
        1 => select(vec![json!(0.5), json!(-1.5), json!(1.0), json!(null), json!(true), json!(false), json!("\"é\\")]),
    ]
}

fn name() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Value> {
    let inner = leaf().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(name(), inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map(name(), inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect()))
}

fn operator() -> impl Strategy<Value = Value> {
    let text = || "[abA]{0,2}";
    let texts = prop_oneof![
        (select(vec!["prefix", "suffix", "equals-ignore-case"]), text()).prop_map(|(o, t)| json!({ o: t })),
        r"[ab]{0,1}(\*[ab]{1,2}){0,2}\*?".prop_map(|w| json!({ "wildcard": w })),
    ];
    let excluded = prop_oneof![text().prop_map(Value::from), (-2i64..3).prop_map(Value::from)];
    let one = (select(vec!["=", "<", "<=", ">", ">="]), -2i64..3).prop_map(|(c, n)| json!({ "numeric": [c, n] }));
    let two = (select(vec![">", ">="]), -2i64..1, select(vec!["<", "<="]), 1i64..3)
        .prop_map(|(c, n, d, m)| json!({ "numeric": [c, n, d, m] }));
    prop_oneof![
        any::<bool>().prop_map(|exists| json!({ "exists": exists })),
        one,
        two,
        proptest::collection::vec(excluded, 1..3).prop_map(|list| json!({ "anything-but": list })),
        texts.clone().prop_map(|operator| json!({ "anything-but": operator })),
        texts,
    ]
}

fn given() -> impl Strategy<Value = Value> {
    let list = proptest::collection::vec(prop_oneof![leaf(), operator()], 1..4).prop_map(Value::from);
    let fields = |node: BoxedStrategy<Value>| {
        proptest::collection::btree_map(name(), node, 1..3).prop_map(|m| Value::Object(m.into_iter().collect()))
    };
    fields(list.boxed()).prop_recursive(3, 16, 3, move |inner| {
        let node = prop_oneof![inner.clone(), proptest::collection::vec(leaf(), 1..3).prop_map(Value::from)];
        (fields(node.boxed()), proptest::option::of(proptest::collection::vec(inner, 1..3))).prop_map(
            |(mut object, alternatives)| {
                if let Some(alternatives) = alternatives {
                    object["$or"] = Value::from(alternatives);
                }
                object
            },
        )
    })
}

/// A pattern that follows the fields of a value, so that it matches about as often as not. The choices decide.
fn following(value: &Value, choices: &mut impl Iterator<Item = u8>) -> Option<Value> {
    let mut choose = |n: usize| usize::from(choices.next().unwrap_or_default()) % n;
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let (skip, split, extra) = (choose(fields.len()), choose(3), choose(4));
            let mut object = json!({});
            for (name, field) in fields.iter().skip(skip).chain(fields.iter().take(skip)).take(2) {
                let field = following(field, choices).unwrap_or_else(|| json!([{ "exists": false }]));
                object[name] = field;
            }
            if split == 0 {
                let never = json!({ "never": [1] });
                let alternatives = if extra == 0 { json!([never]) } else { json!([never, object]) };
                object = json!({ "$or": alternatives });
            }
            Some(object)
        }
        Value::Array(elements) if !elements.is_empty() => {
            let element = elements.get(choose(elements.len()))?;
            following(element, choices)
        }
        Value::Object(_) | Value::Array(_) => None,
        leaf => Some(match choose(5) {
            0 => json!([{ "anything-but": 2 }]),
            1 => json!([{ "exists": true }]),
            2 => json!([{ "anything-but": { "prefix": "a" } }]),
            3 => json!(["other", leaf]),
            _ => json!([leaf]),
        }),
    }
}

/// The text of a value: with fields that are there several times, names and spaces written in several ways, and arrays in
/// arrays.
fn written() -> impl Strategy<Value = String> {
    let inner = leaf().prop_map(|leaf| leaf.to_string()).prop_recursive(6, 48, 4, |inner| {
        let array = proptest::collection::vec(inner.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(" ,")));
        prop_oneof![
            array,
            (inner.clone(), 1usize..8).prop_map(|(text, n)| format!("{}{text}{}", "[".repeat(n), "]".repeat(n))),
            written_object(inner),
        ]
    });
    written_object(inner)
}

fn written_object(inner: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    let name = select(vec!["a", "b", "c", "\\u0061", "\\u0062", "d", "\\ud800"]);
    proptest::collection::vec((name, inner), 0..6).prop_map(|fields| {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
        format!("{{{}}}", fields.join(",\n"))
    })
}

/// A value as a pattern sees it: half a surrogate pair, which no value of `serde_json` holds, is a name that no pattern has.
fn parsed(text: &str) -> Value {
    serde_json::from_str(&text.replace("\\ud800", "other")).unwrap()
}

fn filter_takes(kind: &str, patterns: &[Value], data: &str) -> bool {
    let mut columns = Columns::default();
    columns.push(&NewEvent { data: data.as_bytes(), ..NewEvent::default() }).unwrap();
    taken(&Filter::compile(patterns).unwrap(), kind, columns.get(0).unwrap())
}

proptest! {
    #[test]
    fn one_pass_for_all_patterns_agrees_with_the_model_of_each(
        patterns in proptest::collection::vec(given(), 1..4), text in written(), cut in 0usize..40,
    ) {
        let value = parsed(&text);
        let expected = patterns.iter().any(|pattern| naive::object(pattern, Some(&value)));
        let of_data: Vec<Value> = patterns.iter().map(|pattern| json!({ "data": pattern })).collect();
        prop_assert_eq!(filter_takes("stream", &of_data, &text), expected, "{:?} on {}", &of_data, &text);
        // The record of a change lies at the top, and in the data as well.
        for both in [patterns.clone(), [patterns.clone(), of_data.clone()].concat()] {
            prop_assert_eq!(filter_takes("table-changes", &both, &text), expected, "{:?} on {}", &both, &text);
        }
        // What is cut short is no JSON, whatever was read of it.
        let cut = &text[..text.floor_char_boundary(text.len() - 1 - cut % text.len())];
        prop_assert!(!filter_takes("stream", &of_data, cut), "{:?} on {}", &of_data, cut);
        prop_assert!(!filter_takes("table-changes", &patterns, cut), "{:?} on {}", &patterns, cut);
    }

    #[test]
    fn json_is_what_the_parser_takes_for_it(
        text in prop_oneof![
            r#"[{}\[\]:,"a0-9.eE+\\un \n\t-]{0,12}"#,
            (written(), any::<proptest::sample::Index>(), r#"[{}\[\]:,"a01.eE+\\u \r-]"#).prop_map(|(text, at, with)| {
                let at = at.index(text.len());
                text.char_indices().map(|(i, c)| if i == at { with.clone() } else { c.to_string() }).collect()
            }),
        ],
    ) {
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(matches_data(json!({ "none": [{ "exists": false }] }), &text), valid, "{}", &text);
    }

    #[test]
    fn patterns_that_follow_a_value_agree_with_the_model(
        first in value(), second in value(), choices in proptest::collection::vec(any::<u8>(), 24),
    ) {
        let Some(given) = following(&first, &mut choices.into_iter()) else { return Ok(()) };
        let compiled = pattern(given.clone());
        for value in [&first, &second, &json!({ "a": [&first, &second] })] {
            let expected = naive::object(&given, Some(value));
            prop_assert_eq!(matches_fields(&compiled, value).unwrap_or(expected), expected, "{} on {}", given, value);
            prop_assert_eq!(matches_data(given.clone(), value.to_string()), expected, "{} on {}", given, value);
        }
    }

    #[test]
    fn patterns_agree_with_the_model(given in given(), values in proptest::collection::vec(value(), 1..4)) {
        let compiled = pattern(given.clone());
        for value in values {
            let expected = naive::object(&given, Some(&value));
            prop_assert_eq!(matches_fields(&compiled, &value).unwrap_or(expected), expected, "{} on {}", given, value);
            prop_assert_eq!(matches_data(given.clone(), value.to_string()), expected, "{} on {}", given, value);
        }
    }

    #[test]
    fn no_data_makes_it_panic(
        given in given(), data in proptest::collection::vec(any::<u8>(), 0..40), cut in 0usize..60, value in value(),
    ) {
        let text = value.to_string();
        matches_data(given.clone(), &data);
        matches_data(given, text.as_bytes().get(..cut).unwrap_or(text.as_bytes()));
    }

    #[test]
    fn no_pattern_makes_it_panic(given in value(), text in "[{}\\[\\]\":,a*1]{0,20}") {
        let _ = Pattern::compile(&given);
        let _ = Pattern::compile(&Value::from(text));
    }
}
