//! Compiles patterns from JSON. An error names the place of the mistake and how to write it instead.

pub(super) mod operator;

use super::program::{AllOf, FieldCondition, PatternProgram, ROOT};
use super::value_check::ValueChecks;
use super::{MAX_DEPTH, MAX_SIZE};
use operator::Element;
use serde_json::{Map, Value};

/// A part of a pattern that makes no sense.
#[derive(Debug)]
pub(super) struct Mistake {
    /// JSON pointer.
    pub pointer: String,
    /// The mistake, and how to write it instead.
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

/// Fields and values that the pattern may still have.
struct SizeBudget {
    size: usize,
}

impl SizeBudget {
    fn spend(&mut self) -> Result<(), Mistake> {
        self.size = self.size.checked_sub(1).ok_or_else(|| {
            let message = format!("the pattern has more than {MAX_SIZE} fields and values: decide in the plugin");
            Mistake::new(message)
        })?;
        Ok(())
    }
}

/// Adds a pattern to a program; a text holds it as JSON.
pub(super) fn pattern(value: &Value, program: &mut PatternProgram) -> Result<(), Mistake> {
    let mut place = PatternCursor { node: ROOT, depth: 1, budget: &mut SizeBudget { size: MAX_SIZE }, program };
    match value {
        Value::Object(fields) => place.object(fields)?,
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => place.object(&fields)?,
            Ok(_) => {
                let message = "the text holds no JSON object, such as {\"data\": {\"type\": [\"order\"]}}";
                return Err(Mistake::new(message));
            }
            Err(why) => return Err(Mistake::new(format!("the text is no JSON: {why}"))),
        },
        _ => return Err(Mistake::new("a pattern is an object, such as {\"data\": {\"type\": [\"order\"]}}")),
    };
    Ok(())
}

/// The compiler at one place of a pattern, with the node that this part of the pattern is about.
struct PatternCursor<'p> {
    node: usize,
    depth: usize,
    budget: &'p mut SizeBudget,
    program: &'p mut PatternProgram,
}

impl PatternCursor<'_> {
    fn object(&mut self, fields: &Map<String, Value>) -> Result<FieldCondition, Mistake> {
        let all = self.all(fields)?;
        Ok(self.program.object(self.node, all))
    }

    /// Compiles the fields of an object, or of an alternative of its `$or`.
    fn all(&mut self, fields: &Map<String, Value>) -> Result<AllOf, Mistake> {
        if self.depth > MAX_DEPTH {
            return Err(Mistake::new(format!("the pattern is nested deeper than {MAX_DEPTH} levels")));
        }
        if fields.is_empty() {
            return Err(Mistake::new("an empty object says nothing: name a field, or leave it out"));
        }
        let mut all = AllOf::default();
        for (name, value) in fields {
            self.budget.spend().map_err(|m| m.within(name))?;
            if name == "$or" {
                all.any.push(self.alternatives(value).map_err(|m| m.within(name))?);
            } else {
                all.fields.push(self.field(name, value).map_err(|m| m.within(name))?);
            }
        }
        Ok(all)
    }

    fn alternatives(&mut self, value: &Value) -> Result<Vec<AllOf>, Mistake> {
        let wrong = || Mistake::new("$or is a list of objects: [{\"a\": [1]}, {\"b\": [2]}]");
        let alternatives = value.as_array().filter(|list| !list.is_empty()).ok_or_else(wrong)?;
        // Alternatives are conditions on the same node as the fields beside `$or`.
        let mut place = self.below(self.node);
        let compiled = alternatives.iter().enumerate().map(|(i, alternative)| {
            let fields = alternative.as_object().ok_or_else(|| wrong().within(i))?;
            place.all(fields).map_err(|m| m.within(i))
        });
        compiled.collect()
    }

    fn field(&mut self, name: &str, value: &Value) -> Result<FieldCondition, Mistake> {
        let node = self.program.field(self.node, name);
        match value {
            // `{"prefix": ["a"]}` is more likely a forgotten list around the operator than a field of that name.
            Value::Array(values) if operator::is_operand(name, values) => Err(outside_a_list(name)),
            Value::Object(fields) => self.below(node).object(fields).map_err(|m| misplaced(fields, m)),
            Value::Array(values) => self.below(node).list(name, values),
            value => Err(Mistake::new(format!("a value stands in a list: write [{value}]"))),
        }
    }

    fn list(&mut self, name: &str, values: &[Value]) -> Result<FieldCondition, Mistake> {
        if values.is_empty() {
            return Err(Mistake::new("an empty list matches nothing: name a value, or [{\"exists\": true}] for any"));
        }
        let (mut checks, mut present, mut absent) = (vec![], false, false);
        for (i, value) in values.iter().enumerate() {
            let budget = &mut *self.budget;
            match budget.spend().and_then(|()| operator::element(name, value, budget)).map_err(|m| m.within(i))? {
                Element::Exists(true) => present = true,
                Element::Exists(false) => absent = true,
                Element::Check(check) => checks.push(check),
            }
        }
        Ok(self.program.list(self.node, ValueChecks::new(checks), present, absent))
    }

    fn below(&mut self, node: usize) -> PatternCursor<'_> {
        PatternCursor { node, depth: self.depth + 1, budget: self.budget, program: self.program }
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
