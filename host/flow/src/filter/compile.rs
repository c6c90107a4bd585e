//! Patterns from JSON. Mistakes are named with the place where they are and what to write instead.

mod operator;

use super::tree::{All, List, Node, Object};
use super::{MAX_DEPTH, MAX_SIZE};
use serde_json::{Map, Value};

/// A part of a pattern that makes no sense.
#[derive(Debug)]
pub(super) struct Mistake {
    /// JSON pointer.
    pub pointer: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl Mistake {
    fn new(message: impl Into<String>) -> Mistake {
        Mistake { pointer: String::new(), message: message.into() }
    }

    /// The same, seen from one level up.
    fn within(mut self, step: impl ToString) -> Mistake {
        let step = step.to_string().replace('~', "~0").replace('/', "~1");
        self.pointer.insert_str(0, &format!("/{step}"));
        self
    }
}

/// What is left of the limits on the way down.
struct Budget {
    size: usize,
}

impl Budget {
    fn spend(&mut self) -> Result<(), Mistake> {
        self.size = self.size.checked_sub(1).ok_or_else(|| {
            let message = format!("the pattern has more than {MAX_SIZE} fields and values: decide in the plugin");
            Mistake::new(message)
        })?;
        Ok(())
    }
}

/// Compiles a pattern; a text holds it as JSON.
pub(super) fn pattern(value: &Value) -> Result<Node, Mistake> {
    let mut budget = Budget { size: MAX_SIZE };
    match value {
        Value::Object(fields) => object(fields, 1, &mut budget),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => object(&fields, 1, &mut budget),
            Ok(_) => Err(Mistake::new("the text holds no JSON object, such as {\"data\": {\"type\": [\"order\"]}}")),
            Err(why) => Err(Mistake::new(format!("the text is no JSON: {why}"))),
        },
        _ => Err(Mistake::new("a pattern is an object, such as {\"data\": {\"type\": [\"order\"]}}")),
    }
}

fn object(fields: &Map<String, Value>, depth: usize, budget: &mut Budget) -> Result<Node, Mistake> {
    let mut names = vec![];
    let all = all(fields, &mut names, depth, budget)?;
    Ok(Node::Object(Object { names, all }))
}

/// Compiles the fields of an object, or of an alternative of its `$or`; all share the names of the object.
fn all(
    fields: &Map<String, Value>,
    names: &mut Vec<String>,
    depth: usize,
    budget: &mut Budget,
) -> Result<All, Mistake> {
    if depth > MAX_DEPTH {
        return Err(Mistake::new(format!("the pattern is nested deeper than {MAX_DEPTH} levels")));
    }
    if fields.is_empty() {
        return Err(Mistake::new("an empty object says nothing: name a field, or leave it out"));
    }
    let mut all = All::default();
    for (name, value) in fields {
        budget.spend().map_err(|m| m.within(name))?;
        if name == "$or" {
            all.any.push(alternatives(value, names, depth, budget).map_err(|m| m.within(name))?);
        } else {
            let node = field(name, value, depth, budget).map_err(|m| m.within(name))?;
            all.fields.push((index(names, name), node));
        }
    }
    Ok(all)
}

fn index(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|n| n == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

fn alternatives(
    value: &Value,
    names: &mut Vec<String>,
    depth: usize,
    budget: &mut Budget,
) -> Result<Vec<All>, Mistake> {
    let wrong = || Mistake::new("$or is a list of objects: [{\"a\": [1]}, {\"b\": [2]}]");
    let alternatives = value.as_array().filter(|list| !list.is_empty()).ok_or_else(wrong)?;
    let compiled = alternatives.iter().enumerate().map(|(i, alternative)| {
        let fields = alternative.as_object().ok_or_else(|| wrong().within(i))?;
        all(fields, names, depth + 1, budget).map_err(|m| m.within(i))
    });
    compiled.collect()
}

fn field(name: &str, value: &Value, depth: usize, budget: &mut Budget) -> Result<Node, Mistake> {
    match value {
        Value::Array(values) if operator::is_operand(name, values) => Err(outside_a_list(name)),
        Value::Object(fields) => object(fields, depth + 1, budget).map_err(|m| misplaced(fields, m)),
        Value::Array(values) => list(name, values, budget).map(Node::List),
        value => Err(Mistake::new(format!("a value stands in a list: write [{value}]"))),
    }
}

/// An operator that is not in a list looks like a field; that mistake is more likely than the one found.
fn misplaced(fields: &Map<String, Value>, found: Mistake) -> Mistake {
    match fields.keys().find(|name| operator::NAMES.contains(&name.as_str())) {
        Some(name) if found.pointer == format!("/{name}") => outside_a_list(name).within(name),
        _ => found,
    }
}

fn outside_a_list(name: &str) -> Mistake {
    Mistake::new(format!("the operator {name:?} stands in a list: write [{{\"{name}\": …}}]"))
}

fn list(name: &str, values: &[Value], budget: &mut Budget) -> Result<List, Mistake> {
    if values.is_empty() {
        return Err(Mistake::new("an empty list matches nothing: name a value, or [{\"exists\": true}] for any"));
    }
    let mut list = List::default();
    for (i, value) in values.iter().enumerate() {
        budget.spend().and_then(|()| operator::add(&mut list, name, value, budget)).map_err(|m| m.within(i))?;
    }
    Ok(list)
}
