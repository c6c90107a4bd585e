//! The answer of `handle`, read from a guest's memory straight into the core's types.
//!
//! Most of the router's own time in a call goes into lifting effects. The generated code would build the generated
//! types first, which would then be converted; this reader leaves that step out. The type is still that of the
//! generated answer: wasmtime compares it with the component's. The answers of guests with other encodings than UTF-8
//! are read by the generated code.
//!
//! The reader knows the contract's types as the canonical ABI lays them out in a 32-bit memory,
//! <https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md>, 2026-11: a list or string is
//! its address and its length; the payload of a variant follows its tag at the payload's alignment, which is 4 for all
//! of ours. The offsets below are those of `wit/`. Nothing that a guest wrote is trusted.
#![expect(unsafe_code, reason = "wasmtime's traits for types that cross the boundary are unsafe to implement")]

use super::handler;
use esclusa_flow::call_output::{CallOutput, Disposition, EventOutcome, Reply};
use esclusa_flow::effect::{Action, AttributeChange, DeleteItem, Effect, PutItem, PutObject, SendMessage, UpdateItem};
use esclusa_flow::index::CallIndex;
use esclusa_flow::item::{Comparison, Condition, Guard, Item, Otherwise, Value};
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext};
use wasmtime::component::{ComponentType, Lift};
use wasmtime::{Result, bail};

/// A plugin's refusal of a whole batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BatchRefusal {
    /// Call again later, with the reason.
    Retry(String),
    /// Stop the route, with the reason.
    Halt(String),
}

/// The result of `handle`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HandleResult(pub std::result::Result<CallOutput, BatchRefusal>);

/// The generated type, which gives layout and type check.
type GeneratedResult = std::result::Result<handler::Output, handler::Failure>;

impl From<GeneratedResult> for HandleResult {
    fn from(generated: GeneratedResult) -> Self {
        HandleResult(generated.map(CallOutput::from).map_err(|failure| match failure {
            handler::Failure::Retry(reason) => BatchRefusal::Retry(reason),
            handler::Failure::Halt(reason) => BatchRefusal::Halt(reason),
        }))
    }
}

// SAFETY: layout and check are those of the generated type.
unsafe impl ComponentType for HandleResult {
    type Lower = <GeneratedResult as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <GeneratedResult as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        GeneratedResult::typecheck(ty, types)
    }
}

// SAFETY: reads nothing but the memory that the context gives, with every bound checked.
unsafe impl Lift for HandleResult {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &Self::Lower) -> Result<Self> {
        GeneratedResult::linear_lift_from_flat(cx, ty, src).map(HandleResult::from)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        if !matches!(cx.options().string_encoding, StringEncoding::Utf8) {
            return GeneratedResult::linear_lift_from_memory(cx, ty, bytes).map(HandleResult::from);
        }
        AbiReader::new(cx.memory(), |bytes| cx.consume_fuel(bytes)).answer(bytes).map(HandleResult)
    }
}

/// Alignment of the elements of every list but one of bytes.
const ALIGN: usize = 4;

/// Reads from a guest's memory. `spend` is called with the bytes that are about to be allocated for the guest, and may
/// refuse them.
pub(crate) struct AbiReader<'m, F> {
    memory: &'m [u8],
    spend: F,
}

/// The 4 bytes at `at` of a record.
fn word(record: &[u8], at: usize) -> Result<usize> {
    match record.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(bytes) => Ok(u32::from_le_bytes(*bytes) as usize),
        None => bail!("the record ends too early"),
    }
}

/// The byte at `at` of a record.
fn tag(record: &[u8], at: usize) -> Result<u8> {
    match record.get(at) {
        Some(tag) => Ok(*tag),
        None => bail!("the record ends too early"),
    }
}

/// The rest of a record from `at` on.
fn from(record: &[u8], at: usize) -> &[u8] {
    record.get(at..).unwrap_or_default()
}

fn unexpected<T>(tag: u8) -> Result<T> {
    bail!("unexpected discriminant: {tag}")
}

impl<'m, F: FnMut(usize) -> Result<()>> AbiReader<'m, F> {
    /// A reader of `memory`.
    pub(crate) fn new(memory: &'m [u8], spend: F) -> Self {
        AbiReader { memory, spend }
    }

    /// `result<output, failure>`: 28 bytes.
    pub(crate) fn answer(&mut self, record: &[u8]) -> Result<std::result::Result<CallOutput, BatchRefusal>> {
        let payload = from(record, 4);
        Ok(match tag(record, 0)? {
            0 => Ok(self.output(payload)?),
            1 => Err(match tag(payload, 0)? {
                0 => BatchRefusal::Retry(self.text(payload, 4)?),
                1 => BatchRefusal::Halt(self.text(payload, 4)?),
                other => return unexpected(other),
            }),
            other => return unexpected(other),
        })
    }

    /// `output`: 24 bytes.
    fn output(&mut self, record: &[u8]) -> Result<CallOutput> {
        Ok(CallOutput {
            effects: self.list(record, 0, 52, Self::effect)?,
            outcomes: self.list(record, 8, 16, Self::outcome)?,
            replies: self.list(record, 16, 32, Self::reply)?,
        })
    }

    fn effect(&mut self, record: &[u8]) -> Result<Effect> {
        Ok(Effect {
            cause: self.option(record, 0, |_, record| Ok(CallIndex(word(record, 0)? as u32)))?,
            action: self.action(from(record, 8))?,
        })
    }

    /// `action`: 44 bytes.
    fn action(&mut self, record: &[u8]) -> Result<Action> {
        let payload = from(record, 4);
        Ok(match tag(record, 0)? {
            0 => Action::Put(PutItem {
                table: self.text(payload, 0)?,
                item: self.item(payload, 8)?,
                guard: self.option(payload, 16, Self::guard)?,
            }),
            1 => Action::Update(UpdateItem {
                table: self.text(payload, 0)?,
                key: self.item(payload, 8)?,
                changes: self
                    .list(payload, 16, 24, |this, record| Ok((this.text(record, 0)?, this.change(from(record, 8))?)))?,
                guard: self.option(payload, 24, Self::guard)?,
            }),
            2 => Action::Delete(DeleteItem {
                table: self.text(payload, 0)?,
                key: self.item(payload, 8)?,
                guard: self.option(payload, 16, Self::guard)?,
            }),
            3 => Action::PutObject(PutObject {
                store: self.text(payload, 0)?,
                path: self.text(payload, 8)?,
                content_type: self.text(payload, 16)?,
                bytes: self.bytes(payload, 24)?,
            }),
            4 => Action::Send(SendMessage {
                output: self.text(payload, 0)?,
                key: self.option(payload, 8, |this, record| this.text(record, 0))?,
                data: self.bytes(payload, 20)?,
                attributes: self.pairs(payload, 28)?,
            }),
            other => return unexpected(other),
        })
    }

    fn item(&mut self, record: &[u8], at: usize) -> Result<Item> {
        Ok(Item(self.list(record, at, 20, |this, record| Ok((this.text(record, 0)?, this.value(from(record, 8))?)))?))
    }

    /// `value`: 12 bytes.
    fn value(&mut self, record: &[u8]) -> Result<Value> {
        Ok(match tag(record, 0)? {
            0 => Value::Text(self.text(record, 4)?),
            1 => Value::Number(self.text(record, 4)?),
            2 => Value::Binary(self.bytes(record, 4)?),
            3 => Value::Boolean(tag(record, 4)? != 0),
            4 => Value::Null,
            5 => Value::TextSet(self.texts(record, 4)?),
            6 => Value::NumberSet(self.texts(record, 4)?),
            7 => Value::Document(self.text(record, 4)?),
            other => return unexpected(other),
        })
    }

    /// `change`: 16 bytes.
    fn change(&mut self, record: &[u8]) -> Result<AttributeChange> {
        Ok(match tag(record, 0)? {
            0 => AttributeChange::Set(self.value(from(record, 4))?),
            1 => AttributeChange::Add(self.text(record, 4)?),
            2 => AttributeChange::Remove,
            other => return unexpected(other),
        })
    }

    /// `guard`: 12 bytes.
    fn guard(&mut self, record: &[u8]) -> Result<Guard> {
        let term = |this: &mut Self, record: &[u8]| Ok((this.text(record, 0)?, this.comparison(from(record, 8))?));
        Ok(Guard {
            condition: Condition(self.list(record, 0, 24, term)?),
            otherwise: match tag(record, 8)? {
                0 => Otherwise::Rerun,
                1 => Otherwise::Skip,
                other => return unexpected(other),
            },
        })
    }

    /// `comparison`: 16 bytes.
    fn comparison(&mut self, record: &[u8]) -> Result<Comparison> {
        let payload = from(record, 4);
        Ok(match tag(record, 0)? {
            0 => Comparison::Exists,
            1 => Comparison::Absent,
            2 => Comparison::Equal(self.value(payload)?),
            3 => Comparison::NotEqual(self.value(payload)?),
            4 => Comparison::Less(self.value(payload)?),
            5 => Comparison::LessOrEqual(self.value(payload)?),
            6 => Comparison::Greater(self.value(payload)?),
            7 => Comparison::GreaterOrEqual(self.value(payload)?),
            8 => Comparison::BeginsWith(self.text(payload, 0)?),
            other => return unexpected(other),
        })
    }

    fn outcome(&mut self, record: &[u8]) -> Result<EventOutcome> {
        let disposition = from(record, 4);
        Ok(EventOutcome {
            event: CallIndex(word(record, 0)? as u32),
            disposition: match tag(disposition, 0)? {
                0 => Disposition::Retry(self.option(disposition, 4, |_, record| Ok(word(record, 0)? as u32))?),
                1 => Disposition::Reject(self.text(disposition, 4)?),
                2 => Disposition::Skip(self.text(disposition, 4)?),
                other => return unexpected(other),
            },
        })
    }

    /// `reply`: 32 bytes.
    fn reply(&mut self, record: &[u8]) -> Result<Reply> {
        Ok(Reply {
            event: CallIndex(word(record, 0)? as u32),
            status: u16::from_le_bytes([tag(record, 4)?, tag(record, 5)?]),
            content_type: self.text(record, 8)?,
            headers: self.pairs(record, 16)?,
            body: self.bytes(record, 24)?,
        })
    }

    fn option<T>(
        &mut self,
        record: &[u8],
        at: usize,
        some: impl FnOnce(&mut Self, &[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        match tag(record, at)? {
            0 => Ok(None),
            1 => some(self, from(record, at + 4)).map(Some),
            other => unexpected(other),
        }
    }

    /// A list of elements of `size` bytes each.
    fn list<T>(
        &mut self,
        record: &[u8],
        at: usize,
        size: usize,
        mut element: impl FnMut(&mut Self, &[u8]) -> Result<T>,
    ) -> Result<Vec<T>> {
        let (address, count) = (word(record, at)?, word(record, at + 4)?);
        if address % ALIGN != 0 {
            bail!("list pointer is not aligned");
        }
        let end = count.checked_mul(size).and_then(|bytes| bytes.checked_add(address));
        let Some(elements) = end.and_then(|end| self.memory.get(address..end)) else {
            bail!("list pointer/length out of bounds of memory");
        };
        // Before the allocation: the same bytes of a guest may be the elements of many lists, and each list allocates here.
        (self.spend)(count.saturating_mul(size_of::<T>()))?;
        let mut list = Vec::with_capacity(count);
        for record in elements.chunks_exact(size) {
            list.push(element(self, record)?);
        }
        Ok(list)
    }

    /// A list of pairs of texts.
    fn pairs(&mut self, record: &[u8], at: usize) -> Result<Vec<(String, String)>> {
        self.list(record, at, 16, |this, record| Ok((this.text(record, 0)?, this.text(record, 8)?)))
    }

    fn texts(&mut self, record: &[u8], at: usize) -> Result<Vec<String>> {
        self.list(record, at, 8, |this, record| this.text(record, 0))
    }

    fn text(&mut self, record: &[u8], at: usize) -> Result<String> {
        let Some(bytes) = self.slice(record, at)? else { bail!("string pointer/length out of bounds of memory") };
        Ok(str::from_utf8(bytes)?.to_owned())
    }

    fn bytes(&mut self, record: &[u8], at: usize) -> Result<Vec<u8>> {
        match self.slice(record, at)? {
            Some(bytes) => Ok(bytes.to_vec()),
            None => bail!("list pointer/length out of bounds of memory"),
        }
    }

    fn slice(&mut self, record: &[u8], at: usize) -> Result<Option<&'m [u8]>> {
        let (address, length) = (word(record, at)?, word(record, at + 4)?);
        let bytes = address.checked_add(length).and_then(|end| self.memory.get(address..end));
        if bytes.is_some() {
            (self.spend)(length)?;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
