//! Effects to their lowered form. Texts are pointed to, lists are built in [`Storage`].

use super::layout::{
    LoweredAction, LoweredAttribute, LoweredChange, LoweredComparison, LoweredDelete, LoweredDisposition,
    LoweredEffect, LoweredGuard, LoweredList, LoweredNamedChange, LoweredObject, LoweredOption, LoweredOutcome,
    LoweredPut, LoweredReply, LoweredSend, LoweredTerm, LoweredUpdate, LoweredValue,
};
use crate::condition::{Comparison, Guard, Otherwise};
use crate::effect::{Action, AttributeChange, Effect, Send, Update};
use crate::effects::{Disposition, Effects, Outcome, Reply};
use crate::item::{Item, Value};

/// The lists that the lowered effects point to.
#[derive(Default)]
pub(crate) struct Storage {
    /// Attributes of all items. Never grows beyond its first capacity, since it is pointed into.
    attributes: Vec<LoweredAttribute>,
    effects: Vec<LoweredEffect>,
    outcomes: Vec<LoweredOutcome>,
    replies: Vec<LoweredReply>,
    terms: Vec<Box<[LoweredTerm]>>,
    changes: Vec<Box<[LoweredNamedChange]>>,
    texts: Vec<Box<[LoweredList]>>,
    pairs: Vec<Box<[[LoweredList; 2]]>>,
}

/// Keeps a list and gives its address, which does not change with the growth of `kept`.
fn keep<T>(kept: &mut Vec<Box<[T]>>, list: Box<[T]>) -> LoweredList {
    let address = LoweredList::of(&list);
    kept.push(list);
    address
}

impl Storage {
    /// With room for the attributes of all items of `effects`.
    pub(crate) fn for_effects(effects: &Effects<'_>) -> Self {
        let attributes = effects.effects().iter().map(|effect| match &effect.action {
            Action::Put(put) => put.item.0.len(),
            Action::Update(update) => update.key.0.len(),
            Action::Delete(delete) => delete.key.0.len(),
            Action::Object(_) | Action::Send(_) => 0,
        });
        Storage { attributes: Vec::with_capacity(attributes.sum()), ..Storage::default() }
    }

    /// Lowers the effects; once.
    pub(crate) fn effects(&mut self, effects: &[Effect<'_>]) -> LoweredList {
        let lowered = effects.iter().map(|e| LoweredEffect { cause: e.cause.into(), action: self.action(&e.action) });
        self.effects = lowered.collect();
        LoweredList::of(&self.effects)
    }

    /// Lowers the outcomes; once.
    pub(crate) fn outcomes(&mut self, outcomes: &[Outcome]) -> LoweredList {
        let lowered = outcomes.iter().map(|outcome| LoweredOutcome {
            event: outcome.event,
            disposition: match &outcome.disposition {
                Disposition::Retry(after) => LoweredDisposition::Retry((*after).into()),
                Disposition::Reject(reason) => LoweredDisposition::Reject(LoweredList::text(reason)),
                Disposition::Skip(reason) => LoweredDisposition::Skip(LoweredList::text(reason)),
            },
        });
        self.outcomes = lowered.collect();
        LoweredList::of(&self.outcomes)
    }

    /// Lowers the replies; once.
    pub(crate) fn replies(&mut self, replies: &[Reply]) -> LoweredList {
        let lowered = replies.iter().map(|reply| LoweredReply {
            event: reply.event,
            status: reply.status,
            content_type: LoweredList::text(&reply.content_type),
            headers: self.pairs(&reply.headers),
            body: LoweredList::of(&reply.body),
        });
        self.replies = lowered.collect();
        LoweredList::of(&self.replies)
    }

    fn action(&mut self, action: &Action<'_>) -> LoweredAction {
        match action {
            Action::Put(put) => LoweredAction::Put(LoweredPut {
                table: LoweredList::text(&put.table),
                item: self.item(&put.item),
                guard: self.guard(put.guard.as_ref()),
            }),
            Action::Update(update) => LoweredAction::Update(self.update(update)),
            Action::Delete(delete) => LoweredAction::Delete(LoweredDelete {
                table: LoweredList::text(&delete.table),
                key: self.item(&delete.key),
                guard: self.guard(delete.guard.as_ref()),
            }),
            Action::Object(object) => LoweredAction::Object(LoweredObject {
                store: LoweredList::text(&object.store),
                path: LoweredList::text(&object.path),
                content_type: LoweredList::text(&object.content_type),
                bytes: LoweredList::of(&object.bytes),
            }),
            Action::Send(send) => LoweredAction::Send(self.send(send)),
        }
    }

    fn update(&mut self, update: &Update<'_>) -> LoweredUpdate {
        let changes = update.changes.iter().map(|(name, change)| LoweredNamedChange {
            name: LoweredList::text(name),
            change: match change {
                AttributeChange::Set(value) => LoweredChange::Set(self.value(value)),
                AttributeChange::Add(number) => LoweredChange::Add(LoweredList::text(number)),
                AttributeChange::Remove => LoweredChange::Remove,
            },
        });
        let changes = changes.collect();
        LoweredUpdate {
            table: LoweredList::text(&update.table),
            key: self.item(&update.key),
            changes: keep(&mut self.changes, changes),
            guard: self.guard(update.guard.as_ref()),
        }
    }

    fn send(&mut self, send: &Send<'_>) -> LoweredSend {
        LoweredSend {
            output: LoweredList::text(&send.output),
            key: send.key.as_deref().map(LoweredList::text).into(),
            data: LoweredList::of(&send.data),
            attributes: self.pairs(&send.attributes),
        }
    }

    fn pairs<T: AsRef<str>>(&mut self, pairs: &[(T, T)]) -> LoweredList {
        let lowered = pairs.iter().map(|(a, b)| [LoweredList::text(a.as_ref()), LoweredList::text(b.as_ref())]);
        let lowered = lowered.collect();
        keep(&mut self.pairs, lowered)
    }

    fn item(&mut self, item: &Item<'_>) -> LoweredList {
        let from = self.attributes.len();
        for (name, value) in &item.0 {
            let value = self.value(value);
            self.attributes.push(LoweredAttribute { name: LoweredList::text(name), value });
        }
        LoweredList::of(self.attributes.get(from..).unwrap_or_default())
    }

    #[inline(always)]
    fn value(&mut self, value: &Value<'_>) -> LoweredValue {
        match value {
            Value::Text(text) => LoweredValue::Text(LoweredList::text(text)),
            Value::Number(text) => LoweredValue::Number(LoweredList::text(text)),
            Value::Binary(bytes) => LoweredValue::Binary(LoweredList::of(bytes)),
            Value::Boolean(value) => LoweredValue::Boolean(u8::from(*value)),
            Value::Null => LoweredValue::Null,
            Value::TextSet(texts) => LoweredValue::TextSet(self.texts(texts)),
            Value::NumberSet(texts) => LoweredValue::NumberSet(self.texts(texts)),
            Value::Document(text) => LoweredValue::Document(LoweredList::text(text)),
        }
    }

    fn texts(&mut self, texts: &[String]) -> LoweredList {
        keep(&mut self.texts, texts.iter().map(|text| LoweredList::text(text)).collect())
    }

    fn guard(&mut self, guard: Option<&Guard<'_>>) -> LoweredOption<LoweredGuard> {
        let Some(guard) = guard else { return LoweredOption::None };
        let terms = guard.condition.0.iter().map(|(name, comparison)| LoweredTerm {
            name: LoweredList::text(name),
            comparison: self.comparison(comparison),
        });
        let terms = terms.collect();
        let otherwise = match guard.otherwise {
            Otherwise::Rerun => 0,
            Otherwise::Skip => 1,
        };
        LoweredOption::Some(LoweredGuard { condition: keep(&mut self.terms, terms), otherwise })
    }

    fn comparison(&mut self, comparison: &Comparison<'_>) -> LoweredComparison {
        match comparison {
            Comparison::Exists => LoweredComparison::Exists,
            Comparison::Absent => LoweredComparison::Absent,
            Comparison::Equal(value) => LoweredComparison::Equal(self.value(value)),
            Comparison::NotEqual(value) => LoweredComparison::NotEqual(self.value(value)),
            Comparison::Less(value) => LoweredComparison::Less(self.value(value)),
            Comparison::LessOrEqual(value) => LoweredComparison::LessOrEqual(self.value(value)),
            Comparison::Greater(value) => LoweredComparison::Greater(self.value(value)),
            Comparison::GreaterOrEqual(value) => LoweredComparison::GreaterOrEqual(self.value(value)),
            Comparison::BeginsWith(text) => LoweredComparison::BeginsWith(LoweredList::text(text)),
        }
    }
}
