//! A compiled pattern as a tree, and how it is held against a document.
//!
//! A pattern's object descends into an object; into an array it descends element by element, and all of it must
//! hold of the same element. A pattern's list asks for any of its checks of any value there is.

use super::check::Check;
use super::view::{Opened, View};

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Fields, all of which must match.
    Object(Object),
    /// A list, of which anything must match.
    List(List),
}

/// The fields of an object that a pattern names, and what must hold of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Object {
    /// Every field named here or in a `$or` at this place, once.
    pub names: Vec<String>,
    /// What must hold.
    pub all: All,
}

/// Conditions that must all hold. Fields are indexes of [`Object::names`].
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct All {
    /// Conditions on single fields.
    pub fields: Vec<(usize, Node)>,
    /// One of each of these must hold: the `$or`s.
    pub any: Vec<Vec<All>>,
}

/// What a value may be, or whether there is one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct List {
    /// Checks of a single value; one is enough.
    pub checks: Vec<Check>,
    /// `exists: true` is among them.
    pub present: bool,
    /// `exists: false` is among them.
    pub absent: bool,
}

impl Node {
    /// The names of the fields at this place.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Node::Object(object) => object.names.as_slice(),
            Node::List(_) => &[],
        };
        names.iter().map(String::as_str)
    }
}

/// True where the pattern matches; `None` stands for an absent field.
pub(super) fn matches(node: &Node, view: Option<View<'_>>) -> bool {
    match node {
        Node::Object(object) => object.matches(view),
        Node::List(list) => list.matches(view),
    }
}

impl Object {
    /// Asks for a field that passes a check as well.
    pub fn require(&mut self, name: &str, check: Check) {
        let index = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        self.all.fields.push((index, Node::List(List { checks: vec![check], ..List::default() })));
    }

    fn matches(&self, view: Option<View<'_>>) -> bool {
        match view.map(|v| v.open(&self.names)) {
            Some(Opened::Object(fields)) => self.all.holds(&fields),
            Some(Opened::Array(elements)) if !elements.is_empty() => {
                elements.into_iter().any(|element| self.matches(Some(element)))
            }
            Some(Opened::NotJson) => false,
            Some(Opened::Array(_) | Opened::Scalar) | None => self.all.holds(&[]),
        }
    }
}

impl All {
    fn holds(&self, fields: &[Option<View<'_>>]) -> bool {
        self.fields.iter().all(|(index, node)| matches(node, fields.get(*index).copied().flatten()))
            && self.any.iter().all(|alternatives| alternatives.iter().any(|all| all.holds(fields)))
    }
}

impl List {
    fn matches(&self, view: Option<View<'_>>) -> bool {
        let mut found = false;
        let matched = view.is_some_and(|v| {
            v.any_leaf(&mut |leaf| {
                found = true;
                self.present || self.checks.iter().any(|check| check.holds(leaf))
            })
        });
        matched || (self.absent && !found)
    }
}
