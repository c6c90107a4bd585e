//! The values and operators in a pattern's list.

use super::{Mistake, SizeBudget};
use crate::filter::network;
use crate::filter::value_check::{NumberBounds, NumberRelation, ValueCheck, ValueChecks};
use crate::filter::wildcard::Wildcard;
use crate::filter::words::WordMatch;
use crate::item::number::Decimal;
use serde_json::Value;
use std::cmp::Ordering;

/// Every operator that stands in a list.
pub(in crate::filter) const NAMES: [&str; 8] =
    ["prefix", "suffix", "equals-ignore-case", "anything-but", "numeric", "exists", "wildcard", "cidr"];

/// All of a text.
const EXACTLY: WordMatch = WordMatch { whole: true, backwards: false, lower: false };
/// The beginning of a text.
const BEGINNING: WordMatch = WordMatch { whole: false, ..EXACTLY };
/// The end of a text.
const END: WordMatch = WordMatch { backwards: true, ..BEGINNING };

/// True if a field of this name with this list can only be meant as an operator.
pub(super) fn is_operand(name: &str, values: &[Value]) -> bool {
    let begins_with_comparison = values.first().is_some_and(|first| comparison(first).is_ok());
    name == "anything-but" || (name == "numeric" && begins_with_comparison)
}

/// An element of the list of a field.
pub(super) enum Element {
    /// There must be a value, or there must be none.
    Exists(bool),
    /// A check of a value.
    Check(ValueCheck),
}

/// Compiles a value or an operator in the list of a field.
pub(super) fn element(field: &str, value: &Value, budget: &mut SizeBudget) -> Result<Element, Mistake> {
    let Value::Object(_) = value else { return exactly(value).map(Element::Check) };
    let (name, operand) = single(value)?;
    let check = match name {
        "exists" => {
            let exists = operand.as_bool().ok_or_else(|| Mistake::new("exists is true or false").within(name))?;
            return Ok(Element::Exists(exists));
        }
        "numeric" => numeric(operand, field == "N").map(ValueCheck::Numeric),
        "anything-but" => anything_but(operand, budget).map(|checks| ValueCheck::AnythingBut(ValueChecks::new(checks))),
        _ => text_operator(name, operand),
    };
    check.map(Element::Check).map_err(|m| m.within(name))
}

/// The name and the operand of an operator.
fn single(value: &Value) -> Result<(&str, &Value), Mistake> {
    let mut entries = value.as_object().into_iter().flatten();
    let (Some((name, operand)), None) = (entries.next(), entries.next()) else {
        return Err(Mistake::new("an operator stands alone in its object, such as {\"prefix\": \"a\"}"));
    };
    if NAMES.contains(&name.as_str()) {
        return Ok((name, operand));
    }
    Err(Mistake::new(format!("there is no operator {name:?}: the operators are {}", NAMES.join(", "))).within(name))
}

fn exactly(value: &Value) -> Result<ValueCheck, Mistake> {
    match value {
        Value::String(text) => Ok(ValueCheck::Text(EXACTLY, text.clone())),
        Value::Number(number) => {
            let decimal = Decimal::read(&number.to_string());
            decimal
                .map(ValueCheck::Number)
                .ok_or_else(|| Mistake::new(format!("{number} is no number that can be compared")))
        }
        Value::Bool(boolean) => Ok(ValueCheck::Boolean(*boolean)),
        Value::Null => Ok(ValueCheck::Null),
        Value::Array(_) => Err(Mistake::new("a list in a list: write its values into the outer one")),
        Value::Object(_) => Err(Mistake::new("an operator does not stand here: write a text or a number")),
    }
}

/// The operators that look at texts.
fn text_operator(name: &str, operand: &Value) -> Result<ValueCheck, Mistake> {
    let any_case_of = |how: WordMatch| {
        any_case(operand).map(|text| ValueCheck::Text(WordMatch { lower: true, ..how }, text.to_owned()))
    };
    match (name, operand) {
        ("prefix", Value::String(text)) => Ok(ValueCheck::Text(BEGINNING, text.clone())),
        ("suffix", Value::String(text)) => Ok(ValueCheck::Text(END, text.clone())),
        ("prefix", Value::Object(_)) => any_case_of(BEGINNING),
        ("suffix", Value::Object(_)) => any_case_of(END),
        ("equals-ignore-case", Value::String(text)) => {
            Ok(ValueCheck::Text(WordMatch { lower: true, ..EXACTLY }, text.clone()))
        }
        ("wildcard", Value::String(text)) => Wildcard::compile(text).map(ValueCheck::Wildcard).map_err(Mistake::new),
        ("cidr", Value::String(text)) => network::compile(text).map(ValueCheck::Network).map_err(Mistake::new),
        _ => Err(Mistake::new(format!("{name} takes a text"))),
    }
}

/// The text of `{"equals-ignore-case": text}`, as prefix and suffix take it.
fn any_case(operand: &Value) -> Result<&str, Mistake> {
    match single(operand)? {
        ("equals-ignore-case", Value::String(text)) => Ok(text),
        ("equals-ignore-case", _) => Err(Mistake::new("equals-ignore-case takes a text").within("equals-ignore-case")),
        (name, _) => Err(Mistake::new("only equals-ignore-case stands here").within(name)),
    }
}

/// The values that must not be there: texts and numbers, or an operator with one text or a list of them.
fn anything_but(operand: &Value, budget: &mut SizeBudget) -> Result<Vec<ValueCheck>, Mistake> {
    let Value::Object(_) = operand else {
        return each(operand, budget, |value| match value {
            Value::String(_) | Value::Number(_) => exactly(value),
            _ => Err(Mistake::new("anything-but takes texts, numbers, or one operator on texts")),
        });
    };
    let (name, operand) = single(operand)?;
    if ["anything-but", "numeric", "exists", "cidr"].contains(&name) {
        let message = "within anything-but stands prefix, suffix, equals-ignore-case or wildcard";
        return Err(Mistake::new(message).within(name));
    }
    each(operand, budget, |value| text_operator(name, value)).map_err(|m| m.within(name))
}

/// One value, or a list of at least one.
fn each(
    operand: &Value,
    budget: &mut SizeBudget,
    compile: impl Fn(&Value) -> Result<ValueCheck, Mistake>,
) -> Result<Vec<ValueCheck>, Mistake> {
    match operand {
        Value::Array(values) if values.is_empty() => Err(Mistake::new("an empty list excludes nothing: name a value")),
        Value::Array(values) => {
            let compiled = values
                .iter()
                .enumerate()
                .map(|(i, value)| budget.spend().and_then(|()| compile(value)).map_err(|m| m.within(i)));
            compiled.collect()
        }
        value => compile(value).map(|check| vec![check]),
    }
}

/// One or two comparisons: `["<", 10]`, `[">", 0, "<=", 5]`.
fn numeric(operand: &Value, texts: bool) -> Result<NumberBounds, Mistake> {
    let wrong = || Mistake::new("numeric takes one or two comparisons: [\"<\", 10] or [\">\", 0, \"<=\", 5]");
    let terms = operand.as_array().filter(|t| t.len() == 2 || t.len() == 4).ok_or_else(wrong)?;
    let (pairs, _) = terms.as_chunks::<2>();
    let mut bounds = vec![];
    for (i, [comparison, bound]) in pairs.iter().enumerate() {
        let comparison = self::comparison(comparison).map_err(|m| m.within(2 * i))?;
        let bound = match bound {
            Value::Number(number) => Decimal::read(&number.to_string()),
            Value::String(text) => Decimal::read(text),
            _ => None,
        };
        let bound = bound.ok_or_else(|| Mistake::new("a comparison takes a number").within(2 * i + 1))?;
        bounds.push((comparison, bound));
    }
    if let [lower, upper] = bounds.as_slice() {
        range(lower, upper)?;
    }
    Ok(NumberBounds { bounds, texts })
}

fn comparison(value: &Value) -> Result<NumberRelation, Mistake> {
    match value.as_str() {
        Some("=") => Ok(NumberRelation::Equal),
        Some("<") => Ok(NumberRelation::Less),
        Some("<=") => Ok(NumberRelation::LessOrEqual),
        Some(">") => Ok(NumberRelation::Greater),
        Some(">=") => Ok(NumberRelation::GreaterOrEqual),
        Some("!=") => Err(Mistake::new("there is no \"!=\": write {\"anything-but\": …}")),
        _ => Err(Mistake::new("a comparison is one of \"=\", \"<\", \"<=\", \">\", \">=\"")),
    }
}

/// Two comparisons make a range, with room in it.
fn range(one: &(NumberRelation, Decimal), other: &(NumberRelation, Decimal)) -> Result<(), Mistake> {
    use NumberRelation::{Greater, GreaterOrEqual, Less, LessOrEqual};
    let (lower, upper) = match (one.0, other.0) {
        (Greater | GreaterOrEqual, Less | LessOrEqual) => (one, other),
        (Less | LessOrEqual, Greater | GreaterOrEqual) => (other, one),
        _ => {
            let message = "two comparisons make a range: one with \">\" or \">=\", one with \"<\" or \"<=\"";
            return Err(Mistake::new(message));
        }
    };
    let touching = lower.0 == GreaterOrEqual && upper.0 == LessOrEqual;
    match lower.1.parts().compare(&upper.1.parts()) {
        Ordering::Less => Ok(()),
        Ordering::Equal if touching => Ok(()),
        _ => Err(Mistake::new(format!("no number lies between {} and {}", lower.1, upper.1))),
    }
}
