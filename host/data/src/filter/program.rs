//! Compiled patterns: one tree of names for all of them, so that one pass over a document answers all of them.
//!
//! A node is a place in a document: the path of names that leads to it. It holds every condition that any pattern has on
//! the value there. A value is read once for all of them.

use super::value_check::ValueChecks;
use std::collections::BTreeMap;

/// The node of the whole document.
pub(super) const ROOT: usize = 0;

/// Fields of every event, at the root of its document.
const EVENT_FIELDS: [&str; 6] = ["data", "key", "partitionKey", "id", "attributes", "timestamp"];

/// True if every event has a field of this name.
pub(super) fn is_event_field(name: &str) -> bool {
    EVENT_FIELDS.contains(&name)
}

/// The patterns of a filter. Its objects at [`ROOT`] are the patterns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PatternProgram {
    nodes: Vec<PatternNode>,
    /// Lists and objects, which each have a number below this one.
    conditions: usize,
}

/// A place in a document.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct PatternNode {
    /// The name that leads here.
    pub name: String,
    /// The nodes of the fields that a pattern names here.
    pub fields: BTreeMap<String, usize>,
    /// Lists for the value here.
    pub lists: Vec<CheckList>,
    /// Objects that the value here must match.
    pub objects: Vec<ObjectMatch>,
}

/// A list, of which any check must hold of any single value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CheckList {
    /// Its number.
    pub number: usize,
    /// Its checks, besides `exists`.
    pub checks: ValueChecks,
}

/// An object of a pattern. Of an array, one element must match all of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ObjectMatch {
    /// Its number.
    pub number: usize,
    /// The conditions on its fields.
    pub all: AllOf,
    /// It matches a value without fields.
    pub blank: bool,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct AllOf {
    /// Conditions on single fields.
    pub fields: Vec<FieldCondition>,
    /// One of each of these must hold: the `$or`s.
    pub any: Vec<Vec<AllOf>>,
}

/// A list or an object that a field must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldCondition {
    /// The field.
    pub node: usize,
    /// The number of the list or object.
    pub number: usize,
    /// The answer if no value passes.
    pub of: ConditionKind,
}

/// The answer of a condition if no value passes a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConditionKind {
    /// A list.
    List {
        /// Any single value is enough.
        present: bool,
        /// It matches if there is no single value.
        absent: bool,
    },
    /// An object.
    Object {
        /// It matches a value without fields.
        blank: bool,
    },
}

impl Default for PatternProgram {
    fn default() -> Self {
        PatternProgram { nodes: vec![PatternNode::default()], conditions: 0 }
    }
}

impl PatternProgram {
    /// A node by its number.
    pub(super) fn node(&self, at: usize) -> Option<&PatternNode> {
        self.nodes.get(at)
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// How many lists and objects there are.
    pub(super) fn conditions(&self) -> usize {
        self.conditions
    }

    /// The node of a field, a new one for a new name.
    pub(super) fn field(&mut self, at: usize, name: &str) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return next };
        // Patterns share nodes, so that one pass over the document serves all of them.
        let field = *node.fields.entry(name.to_owned()).or_insert(next);
        if field == next {
            self.nodes.push(PatternNode { name: name.to_owned(), ..PatternNode::default() });
        }
        field
    }

    /// Adds a list for the value at a node.
    pub(super) fn list(&mut self, node: usize, checks: ValueChecks, present: bool, absent: bool) -> FieldCondition {
        let number = self.number();
        if let Some(node) = self.nodes.get_mut(node) {
            node.lists.push(CheckList { number, checks });
        }
        FieldCondition { node, number, of: ConditionKind::List { present, absent } }
    }

    /// Adds an object for the value at a node.
    pub(super) fn object(&mut self, node: usize, all: AllOf) -> FieldCondition {
        let (number, blank) = (self.number(), all.hold_of_nothing());
        if let Some(node) = self.nodes.get_mut(node) {
            node.objects.push(ObjectMatch { number, all, blank });
        }
        FieldCondition { node, number, of: ConditionKind::Object { blank } }
    }

    fn number(&mut self) -> usize {
        self.conditions += 1;
        self.conditions - 1
    }

    /// The patterns.
    pub(super) fn patterns(&self) -> &[ObjectMatch] {
        self.nodes.first().map_or(&[], |root| &root.objects)
    }

    /// The names that conditions have.
    pub(super) fn names<'p>(&'p self, all: &'p AllOf) -> Box<dyn Iterator<Item = &'p str> + 'p> {
        let alternatives = all.any.iter().flatten().flat_map(|all| self.names(all));
        let own = all.fields.iter().filter_map(|condition| self.node(condition.node)).map(|node| node.name.as_str());
        Box::new(alternatives.chain(own))
    }
}

impl AllOf {
    /// True if they hold of an object without any of the fields.
    fn hold_of_nothing(&self) -> bool {
        self.fields.iter().all(FieldCondition::holds_of_nothing)
            && self.any.iter().all(|alternatives| alternatives.iter().any(AllOf::hold_of_nothing))
    }
}

impl FieldCondition {
    /// True if it holds of an absent field.
    pub(super) fn holds_of_nothing(&self) -> bool {
        match self.of {
            ConditionKind::List { absent, .. } => absent,
            ConditionKind::Object { blank } => blank,
        }
    }
}
