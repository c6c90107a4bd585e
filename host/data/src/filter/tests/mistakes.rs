//! Patterns that make no sense, and the messages about them.

use super::*;

fn mistake(given: &Value) -> (String, String) {
    let error = Pattern::compile(given).expect_err(&format!("{given} compiles"));
    (error.pointer, error.message)
}

#[test]
fn a_mistake_is_named_with_its_place_and_a_way_out() {
    for (given, pointer, words) in [
        (json!(5), "", "a pattern is an object"),
        (json!(["a"]), "", "a pattern is an object"),
        (json!("x"), "", "the text is no JSON"),
        (json!("[1]"), "", "holds no JSON object"),
        (json!({}), "", "an empty object"),
        (json!({ "data": {} }), "/data", "an empty object"),
        (json!({ "data": [] }), "/data", "an empty list"),
        (json!({ "data": { "a": "GET" } }), "/data/a", "write [\"GET\"]"),
        (json!({ "data": { "a": 5 } }), "/data/a", "write [5]"),
        (json!({ "data": { "a": [["x"]] } }), "/data/a/0", "a list in a list"),
        (json!({ "data": { "a": ["x", { "prefx": "y" }] } }), "/data/a/1/prefx", "no operator \"prefx\""),
        (json!({ "data": { "a": [{}] } }), "/data/a/0", "stands alone"),
        (json!({ "data": { "a": [{ "prefix": "x", "suffix": "y" }] } }), "/data/a/0", "stands alone"),
        (json!({ "data": { "a": [{ "prefix": 5 }] } }), "/data/a/0/prefix", "takes a text"),
        (json!({ "data": { "a": [{ "prefix": ["x"] }] } }), "/data/a/0/prefix", "takes a text"),
        (
            json!({ "data": { "a": [{ "prefix": { "suffix": "x" } }] } }),
            "/data/a/0/prefix/suffix",
            "only equals-ignore",
        ),
        (json!({ "data": { "a": { "prefix": "x" } } }), "/data/a/prefix", "stands in a list"),
        (json!({ "data": { "a": { "exists": true } } }), "/data/a/exists", "stands in a list"),
        (json!({ "data": { "a": { "numeric": ["<", 5] } } }), "/data/a/numeric", "stands in a list"),
        (json!({ "data": { "a": { "anything-but": ["x"] } } }), "/data/a/anything-but", "stands in a list"),
        (json!({ "data": { "a": [{ "exists": "yes" }] } }), "/data/a/0/exists", "true or false"),
        (json!({ "data": { "a": [{ "numeric": ["<"] }] } }), "/data/a/0/numeric", "one or two comparisons"),
        (json!({ "data": { "a": [{ "numeric": 5 }] } }), "/data/a/0/numeric", "one or two comparisons"),
        (json!({ "data": { "a": [{ "numeric": ["!=", 5] }] } }), "/data/a/0/numeric/0", "anything-but"),
        (json!({ "data": { "a": [{ "numeric": ["<>", 5] }] } }), "/data/a/0/numeric/0", "is one of"),
        (json!({ "data": { "a": [{ "numeric": ["<", "NaN"] }] } }), "/data/a/0/numeric/1", "a number"),
        (json!({ "data": { "a": [{ "numeric": [">", 5, "<", 5] }] } }), "/data/a/0/numeric", "no number lies"),
        (json!({ "data": { "a": [{ "numeric": [">", 5, ">", 6] }] } }), "/data/a/0/numeric", "make a range"),
        (json!({ "data": { "a": [{ "anything-but": null }] } }), "/data/a/0/anything-but", "takes texts, numbers"),
        (json!({ "data": { "a": [{ "anything-but": [] }] } }), "/data/a/0/anything-but", "an empty list"),
        (json!({ "data": { "a": [{ "anything-but": ["x", true] }] } }), "/data/a/0/anything-but/1", "takes texts"),
        (
            json!({ "data": { "a": [{ "anything-but": { "numeric": ["<", 5] } }] } }),
            "/data/a/0/anything-but/numeric",
            "within anything-but",
        ),
        (
            json!({ "data": { "a": [{ "anything-but": { "prefix": ["x", 5] } }] } }),
            "/data/a/0/anything-but/prefix/1",
            "takes a text",
        ),
        (json!({ "data": { "a": [{ "wildcard": "a**b" }] } }), "/data/a/0/wildcard", "write one"),
        (json!({ "data": { "a": [{ "wildcard": "a\\b" }] } }), "/data/a/0/wildcard", "backslash"),
        (json!({ "data": { "a": [{ "cidr": "10.0.0.1" }] } }), "/data/a/0/cidr", "range of addresses"),
        (json!({ "$or": { "a": [1] } }), "/$or", "a list of objects"),
        (json!({ "$or": [] }), "/$or", "a list of objects"),
        (json!({ "data": { "$or": [{ "a": [1] }, 5] } }), "/data/$or/1", "a list of objects"),
        (json!({ "$or": [{ "a": [1] }, {}] }), "/$or/1", "an empty object"),
        (json!({ "a/b~c": 1 }), "/a~1b~0c", "stands in a list"),
    ] {
        let (place, message) = mistake(&given);
        assert!(place == pointer && message.contains(words), "{given} gives {place}: {message}");
    }
}

#[test]
fn the_filter_names_the_pattern() {
    let error = Filter::compile(&[json!({ "a": [1] }), json!({ "b": 1 })]).unwrap_err();
    assert_eq!((error.pattern, error.pointer.as_str()), (1, "/b"));
    assert_eq!(error.to_string(), "pattern 1 at /b: a value stands in a list: write [1]");
    assert!(Filter::compile(&[]).is_err());
}

#[test]
fn patterns_are_limited_in_depth_and_size() {
    let nested = |depth: usize| (1..depth).fold(json!({ "a": [1] }), |inner, _| json!({ "a": inner }));
    assert!(Pattern::compile(&nested(MAX_DEPTH)).is_ok());
    assert!(mistake(&nested(MAX_DEPTH + 1)).1.contains("nested deeper"));
    let ors = (0..MAX_DEPTH).fold(json!({ "a": [1] }), |inner, _| json!({ "$or": [inner] }));
    assert!(mistake(&ors).1.contains("nested deeper"));
    let wide = |values: usize| json!({ "a": (0..values).collect::<Vec<_>>() });
    assert!(Pattern::compile(&wide(MAX_SIZE - 1)).is_ok());
    assert!(mistake(&wide(MAX_SIZE)).1.contains("more than 4096"));
    let excluded = json!({ "a": [{ "anything-but": (0..MAX_SIZE).collect::<Vec<_>>() }] });
    assert!(mistake(&excluded).1.contains("more than 4096"));
}
