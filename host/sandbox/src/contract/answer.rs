//! The answer of `handle`, read from a guest's memory straight into the core's types.
//!
//! The generated types would be built first and then taken apart again, and lifting effects is what most of the router's
//! share of a call goes into. The type is still that of the generated answer: wasmtime compares it with the component's.
//! Guests that do not speak UTF-8 take the generated way.
#![expect(unsafe_code, reason = "wasmtime's traits for types that cross the boundary are unsafe to implement")]

mod reader;

use super::handler;
use esclusa_flow::call_output::CallOutput;
use reader::Reader;
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext};
use wasmtime::component::{ComponentType, Lift};

/// What a plugin says that refuses a whole batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Again, with the reason.
    Retry(String),
    /// Stop the route, with the reason.
    Halt(String),
}

/// What `handle` gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer(pub Result<CallOutput, Refusal>);

/// The type that stands for it in all but the reading.
type Generated = Result<handler::Output, handler::Failure>;

impl From<Generated> for Answer {
    fn from(generated: Generated) -> Self {
        Answer(generated.map(CallOutput::from).map_err(|failure| match failure {
            handler::Failure::Retry(reason) => Refusal::Retry(reason),
            handler::Failure::Halt(reason) => Refusal::Halt(reason),
        }))
    }
}

// SAFETY: layout and check are those of the generated type.
unsafe impl ComponentType for Answer {
    type Lower = <Generated as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <Generated as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        Generated::typecheck(ty, types)
    }
}

// SAFETY: reads nothing but the memory that the context gives, with every bound checked.
unsafe impl Lift for Answer {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &Self::Lower) -> wasmtime::Result<Self> {
        Generated::linear_lift_from_flat(cx, ty, src).map(Answer::from)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> wasmtime::Result<Self> {
        if !matches!(cx.options().string_encoding, StringEncoding::Utf8) {
            return Generated::linear_lift_from_memory(cx, ty, bytes).map(Answer::from);
        }
        Reader::new(cx.memory(), |bytes| cx.consume_fuel(bytes)).answer(bytes).map(Answer)
    }
}
