//! Conditions and changes as DynamoDB's expressions. Names and values are always placeholders: an attribute may be
//! called
//! like a reserved word.

use super::attribute::{AttributeMap, decimal, to_attribute};
use aws_sdk_dynamodb::types::AttributeValue;
use esclusa_flow::effect::AttributeChange;
use esclusa_flow::item::{Comparison, Condition, Value};
use std::collections::HashMap;

/// The attribute that an update without changes removes: no item has it, and an update that changes nothing still
/// creates the item if it is missing.
const NO_ATTRIBUTE: &str = "esclusa:none";

/// Placeholders of the expressions of one request.
#[derive(Debug, Default)]
pub(crate) struct Placeholders {
    names: Vec<String>,
    values: Vec<AttributeValue>,
}

impl Placeholders {
    /// A condition; `None` if it always holds.
    ///
    /// # Errors
    /// Why DynamoDB would refuse an operand.
    pub(crate) fn condition(&mut self, condition: &Condition) -> Result<Option<String>, String> {
        let terms: Vec<_> = condition.0.iter().map(|(name, c)| self.term(name, c)).collect::<Result<_, _>>()?;
        Ok(if terms.is_empty() { None } else { Some(terms.join(" AND ")) })
    }

    fn term(&mut self, name: &str, comparison: &Comparison) -> Result<String, String> {
        let at = self.name(name);
        let (operator, operand) = match comparison {
            Comparison::Exists => return Ok(format!("attribute_exists({at})")),
            Comparison::Absent => return Ok(format!("attribute_not_exists({at})")),
            Comparison::BeginsWith(prefix) => {
                let prefix = self.value(AttributeValue::S(prefix.clone()));
                return Ok(format!("begins_with({at}, {prefix})"));
            }
            Comparison::Equal(operand) => ("=", operand),
            Comparison::NotEqual(operand) => ("<>", operand),
            Comparison::Less(operand) => ("<", operand),
            Comparison::LessOrEqual(operand) => ("<=", operand),
            Comparison::Greater(operand) => (">", operand),
            Comparison::GreaterOrEqual(operand) => (">=", operand),
        };
        let ordered = matches!(operand, Value::Text(_) | Value::Number(_) | Value::Binary(_));
        if !ordered && !matches!(operator, "=" | "<>") {
            // DynamoDB refuses to compare such types by order; that comparison never holds.
            return Ok(format!("(attribute_exists({at}) AND attribute_not_exists({at}))"));
        }
        let operand =
            self.value(to_attribute(operand).map_err(|e| format!("compared with the attribute {name:?}: {e}"))?);
        Ok(format!("{at} {operator} {operand}"))
    }

    /// The changes of an update, each of another attribute.
    ///
    /// # Errors
    /// Which change DynamoDB would refuse, and why.
    pub(crate) fn changes(&mut self, changes: &[(String, AttributeChange)]) -> Result<String, String> {
        let (mut set, mut add, mut remove) = (Vec::new(), Vec::new(), Vec::new());
        for (name, change) in changes {
            let wrong = |e: String| format!("the attribute {name:?}: {e}");
            let at = self.name(name);
            match change {
                AttributeChange::Set(value) => {
                    set.push(format!("{at} = {}", self.value(to_attribute(value).map_err(wrong)?)))
                }
                AttributeChange::Add(text) => {
                    add.push(format!("{at} {}", self.value(AttributeValue::N(decimal(text).map_err(wrong)?))))
                }
                AttributeChange::Remove => remove.push(at),
            }
        }
        if changes.is_empty() {
            remove.push(self.name(NO_ATTRIBUTE));
        }
        let clause = |word: &str, terms: &[String]| (!terms.is_empty()).then(|| format!("{word} {}", terms.join(", ")));
        let clauses = [clause("SET", &set), clause("ADD", &add), clause("REMOVE", &remove)];
        Ok(clauses.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }

    /// The names of the placeholders; `None` if there are none, since DynamoDB takes no empty map.
    #[must_use]
    pub(crate) fn names(&self) -> Option<HashMap<String, String>> {
        let names: HashMap<_, _> =
            self.names.iter().enumerate().map(|(i, name)| (format!("#n{i}"), name.clone())).collect();
        if names.is_empty() { None } else { Some(names) }
    }

    /// The values of the placeholders, likewise.
    #[must_use]
    pub(crate) fn values(self) -> Option<AttributeMap> {
        let values: HashMap<_, _> =
            self.values.into_iter().enumerate().map(|(i, value)| (format!(":v{i}"), value)).collect();
        if values.is_empty() { None } else { Some(values) }
    }

    fn name(&mut self, name: &str) -> String {
        let at = self.names.iter().position(|n| n == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len().saturating_sub(1)
        });
        format!("#n{at}")
    }

    fn value(&mut self, value: AttributeValue) -> String {
        self.values.push(value);
        format!(":v{}", self.values.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_placeholders() {
        let mut placeholders = Placeholders::default();
        let n = || Value::Number("1.0".to_owned());
        let comparisons = [
            ("size", Comparison::Exists),
            ("size", Comparison::LessOrEqual(n())),
            ("name", Comparison::NotEqual(Value::Null)),
            ("name", Comparison::BeginsWith("a".to_owned())),
            ("gone", Comparison::Absent),
        ];
        let condition = Condition(comparisons.map(|(name, c)| (name.to_owned(), c)).into());
        let text = placeholders.condition(&condition).unwrap().unwrap();
        assert_eq!(
            text,
            "attribute_exists(#n0) AND #n0 <= :v0 AND #n1 <> :v1 AND begins_with(#n1, :v2) AND attribute_not_exists(#n2)"
        );
        assert_eq!(placeholders.names().unwrap()["#n1"], "name");
        assert_eq!(placeholders.values().unwrap()[":v0"], AttributeValue::N("1".to_owned()));
    }

    #[test]
    fn an_order_of_what_has_none_never_holds() {
        let condition = Condition(vec![("a".to_owned(), Comparison::Less(Value::Boolean(true)))]);
        let text = Placeholders::default().condition(&condition).unwrap().unwrap();
        assert_eq!(text, "(attribute_exists(#n0) AND attribute_not_exists(#n0))");
        assert_eq!(Placeholders::default().condition(&Condition::default()), Ok(None));
    }

    #[test]
    fn changes_are_grouped_by_what_they_do() {
        let mut placeholders = Placeholders::default();
        let changes = [
            ("a", AttributeChange::Set(Value::Null)),
            ("b", AttributeChange::Remove),
            ("c", AttributeChange::Add("2".to_owned())),
            ("d", AttributeChange::Remove),
        ];
        let text = placeholders.changes(&changes.map(|(name, c)| (name.to_owned(), c))).unwrap();
        assert_eq!(text, "SET #n0 = :v0 ADD #n2 :v1 REMOVE #n1, #n3");
        assert_eq!(Placeholders::default().changes(&[]).unwrap(), "REMOVE #n0");
    }
}
