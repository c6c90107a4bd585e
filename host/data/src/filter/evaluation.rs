//! Evaluates a program on one document, in the order in which the document is read.
//!
//! It keeps a few numbers per node and condition of the program, however large the document is. Nothing is ever reset: a
//! clock counts the values that were entered, and a note about a node is valid if it is not older than the last value that
//! was entered there. So the last of several fields of one name counts, and no element of an array sees the fields of another.

use super::effort::{FilterEffort, Undecided};
use super::program::{AllOf, ConditionKind, FieldCondition, PatternNode, PatternProgram, ROOT, is_event_field};
use super::value_check::Leaf;

/// An evaluation on its way. Times are those of its clock; 0 is before everything.
pub(super) struct Evaluation<'p, 'w> {
    program: &'p PatternProgram,
    pub effort: FilterEffort<'w>,
    clock: u64,
    /// By node.
    marks: Vec<NodeMark>,
    /// By number of a list or object: the time of the value that passed it.
    passed: Vec<u64>,
    /// Whether a condition on a value that is not read yet counts as true.
    unread_holds: bool,
}

/// Notes about the value at a node.
#[derive(Debug, Clone, Copy, Default)]
struct NodeMark {
    /// When the value was entered.
    entered: u64,
    /// `entered`, if a single value is in it.
    leaf: u64,
    /// `entered`, if something without fields is in it: a single value or an empty array.
    blank: u64,
    /// It is there, and not read yet.
    unread: bool,
}

impl<'p, 'w> Evaluation<'p, 'w> {
    /// Before anything was read.
    pub(super) fn new(program: &'p PatternProgram, effort: FilterEffort<'w>) -> Self {
        let (marks, passed) = (vec![NodeMark::default(); program.nodes()], vec![0; program.conditions()]);
        Evaluation { program, effort, clock: 0, marks, passed, unread_holds: false }
    }

    /// The time.
    pub(super) fn now(&self) -> u64 {
        self.clock
    }

    /// A node by its number.
    pub(super) fn node(&self, at: usize) -> Option<&'p PatternNode> {
        self.program.node(at)
    }

    /// The node of a field of a payload's object. At the root are those that the event itself does not have.
    pub(super) fn field(&self, at: usize, name: &str) -> Option<usize> {
        let field = self.node(at)?.fields.get(name).copied();
        field.filter(|_| at != ROOT || !is_event_field(name))
    }

    /// Begins with a value at a node; notes about an earlier value there become void.
    pub(super) fn enter(&mut self, at: usize) {
        self.clock += 1;
        if let Some(mark) = self.marks.get_mut(at) {
            *mark = NodeMark { entered: self.clock, ..NodeMark::default() };
        }
    }

    /// Says of a node that it may have a value, which is not read yet; or that it is read.
    pub(super) fn set_unread(&mut self, at: usize, unread: bool) {
        if let Some(mark) = self.marks.get_mut(at) {
            mark.unread = unread;
        }
    }

    /// Reads a single value at a node.
    pub(super) fn leaf(&mut self, at: usize, leaf: Leaf<'_>) -> Result<(), Undecided> {
        self.blank(at);
        self.leaf_of_lists(at, leaf)
    }

    /// Reads a single value that is none for objects.
    pub(super) fn leaf_of_lists(&mut self, at: usize, leaf: Leaf<'_>) -> Result<(), Undecided> {
        let (Some(node), Some(mark)) = (self.program.node(at), self.marks.get_mut(at)) else { return Ok(()) };
        mark.leaf = mark.entered;
        for list in &node.lists {
            self.effort.spend(1)?;
            if let Some(passed) = self.passed.get_mut(list.number)
                && *passed != mark.entered
                && list.checks.hold(leaf, &mut self.effort)?
            {
                *passed = mark.entered;
            }
        }
        Ok(())
    }

    /// Notes something without fields at a node.
    pub(super) fn blank(&mut self, at: usize) {
        if let Some(mark) = self.marks.get_mut(at) {
            mark.blank = mark.entered;
        }
    }

    /// Ends an object at a node that began at a time.
    pub(super) fn finish(&mut self, at: usize, began: u64) -> Result<(), Undecided> {
        // Nothing was entered since, so the object has none of the fields that a pattern names.
        if self.clock == began {
            self.blank(at);
            return Ok(());
        }
        let (Some(node), Some(mark)) = (self.program.node(at), self.marks.get(at).copied()) else { return Ok(()) };
        for object in &node.objects {
            self.effort.spend(1)?;
            // Of an array one element is enough: an object that passed already is not evaluated again.
            let passed = self.passed.get(object.number) == Some(&mark.entered);
            if !passed && self.hold(&object.all, began)? {
                self.passed.get_mut(object.number).into_iter().for_each(|passed| *passed = mark.entered);
            }
        }
        Ok(())
    }

    /// True if any pattern that `taken` lets through holds of the document as far as it was read. Conditions on unread values
    /// count as `unread_holds`.
    pub(super) fn any_pattern(&mut self, unread_holds: bool, taken: impl Fn(usize) -> bool) -> Result<bool, Undecided> {
        self.unread_holds = unread_holds;
        for (at, pattern) in self.program.patterns().iter().enumerate() {
            self.effort.spend(1)?;
            if taken(at) && self.hold(&pattern.all, 0)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if the conditions hold of the fields that were read since.
    fn hold(&mut self, all: &AllOf, since: u64) -> Result<bool, Undecided> {
        for condition in &all.fields {
            self.effort.spend(1)?;
            if !self.holds(*condition, since) {
                return Ok(false);
            }
        }
        for alternatives in &all.any {
            let mut holds = false;
            for all in alternatives {
                self.effort.spend(1)?;
                holds = holds || self.hold(all, since)?;
            }
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds(&self, condition: FieldCondition, since: u64) -> bool {
        let Some(mark) = self.marks.get(condition.node) else { return false };
        if mark.unread {
            return self.unread_holds;
        }
        // A value from before this object belongs to another element of the array.
        if mark.entered <= since {
            return condition.holds_of_nothing();
        }
        self.passed.get(condition.number) == Some(&mark.entered)
            || match condition.of {
                ConditionKind::List { present, absent } => {
                    if mark.leaf == mark.entered {
                        present
                    } else {
                        absent
                    }
                }
                ConditionKind::Object { blank } => blank && mark.blank == mark.entered,
            }
    }

    /// True if the pattern at this place in the list has passed the value that was read at the root.
    pub(super) fn passes(&self, pattern: usize) -> bool {
        let object = self.program.patterns().get(pattern);
        object.is_some_and(|object| {
            let of = ConditionKind::Object { blank: object.blank };
            self.holds(FieldCondition { node: ROOT, number: object.number, of }, 0)
        })
    }
}
