//! The types of the contract as the canonical ABI lays them out on a 32-bit machine. `repr(C)` gives the same offsets:
//! variants are a byte and then the payload at its alignment. The sizes are asserted.
#![expect(dead_code, reason = "read by the router, on the other side of the boundary")]

use crate::failure::Failure;

/// A list or text: address and number of elements. Never read by this side.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct List {
    at: *const u8,
    len: usize,
}

#[repr(C, u8)]
pub enum LoweredOption<T> {
    None,
    Some(T),
}

#[repr(C, u8)]
pub enum LoweredValue {
    Text(List),
    Number(List),
    Binary(List),
    Boolean(u8),
    Null,
    TextSet(List),
    NumberSet(List),
    Document(List),
}

#[repr(C)]
pub struct LoweredAttribute {
    pub name: List,
    pub value: LoweredValue,
}

#[repr(C, u8)]
pub enum LoweredComparison {
    Exists,
    Absent,
    Equal(LoweredValue),
    NotEqual(LoweredValue),
    Less(LoweredValue),
    LessOrEqual(LoweredValue),
    Greater(LoweredValue),
    GreaterOrEqual(LoweredValue),
    BeginsWith(List),
}

#[repr(C)]
pub struct LoweredTerm {
    pub name: List,
    pub comparison: LoweredComparison,
}

#[repr(C)]
pub struct LoweredGuard {
    pub condition: List,
    pub otherwise: u8,
}

#[repr(C)]
pub struct LoweredPut {
    pub table: List,
    pub item: List,
    pub guard: LoweredOption<LoweredGuard>,
}

#[repr(C, u8)]
pub enum LoweredChange {
    Set(LoweredValue),
    Add(List),
    Remove,
}

#[repr(C)]
pub struct LoweredNamedChange {
    pub name: List,
    pub change: LoweredChange,
}

#[repr(C)]
pub struct LoweredUpdate {
    pub table: List,
    pub key: List,
    pub changes: List,
    pub guard: LoweredOption<LoweredGuard>,
}

#[repr(C)]
pub struct LoweredDelete {
    pub table: List,
    pub key: List,
    pub guard: LoweredOption<LoweredGuard>,
}

#[repr(C)]
pub struct LoweredObject {
    pub store: List,
    pub path: List,
    pub content_type: List,
    pub bytes: List,
}

#[repr(C)]
pub struct LoweredSend {
    pub output: List,
    pub key: LoweredOption<List>,
    pub data: List,
    pub attributes: List,
}

#[repr(C, u8)]
pub enum LoweredAction {
    Put(LoweredPut),
    Update(LoweredUpdate),
    Delete(LoweredDelete),
    Object(LoweredObject),
    Send(LoweredSend),
}

#[repr(C)]
pub struct LoweredEffect {
    pub cause: LoweredOption<u32>,
    pub action: LoweredAction,
}

#[repr(C, u8)]
pub enum LoweredDisposition {
    Retry(LoweredOption<u32>),
    Reject(List),
    Skip(List),
}

#[repr(C)]
pub struct LoweredOutcome {
    pub event: u32,
    pub disposition: LoweredDisposition,
}

#[repr(C)]
pub struct LoweredReply {
    pub event: u32,
    pub status: u16,
    pub content_type: List,
    pub body: List,
}

#[repr(C)]
pub struct LoweredOutput {
    pub effects: List,
    pub outcomes: List,
    pub replies: List,
}

#[repr(C, u8)]
pub enum LoweredFailure {
    Retry(List),
    Halt(List),
}

#[repr(C, u8)]
pub enum LoweredResult {
    Ok(LoweredOutput),
    Err(LoweredFailure),
}

/// `lifecycle.info`.
#[repr(C)]
pub struct Info {
    name: List,
    version: List,
    description: List,
    schema: LoweredOption<List>,
}

/// The result of `lifecycle.init`.
#[repr(C, u8)]
pub enum Initialised {
    Ok,
    Err(List),
}

const _: () = {
    assert!(size_of::<List>() == 8 && size_of::<LoweredValue>() == 12 && size_of::<LoweredAttribute>() == 20);
    assert!(size_of::<LoweredComparison>() == 16 && size_of::<LoweredTerm>() == 24 && size_of::<LoweredGuard>() == 12);
    assert!(
        size_of::<LoweredNamedChange>() == 24 && size_of::<LoweredUpdate>() == 40 && size_of::<LoweredSend>() == 36
    );
    assert!(size_of::<LoweredEffect>() == 52 && size_of::<LoweredOutcome>() == 16 && size_of::<LoweredReply>() == 24);
    assert!(size_of::<LoweredResult>() == 28 && size_of::<Info>() == 36 && size_of::<Initialised>() == 12);
};

impl List {
    /// The list of these elements, which must stay where they are.
    pub fn of<T>(elements: &[T]) -> Self {
        List { at: elements.as_ptr().cast(), len: elements.len() }
    }

    /// A text, which must stay where it is.
    pub fn text(text: &str) -> Self {
        List::of(text.as_bytes())
    }
}

impl<T> From<Option<T>> for LoweredOption<T> {
    fn from(option: Option<T>) -> Self {
        option.map_or(LoweredOption::None, LoweredOption::Some)
    }
}

impl Info {
    /// Who the plugin is; an empty schema is none.
    pub fn new(name: &'static str, version: &'static str, description: &'static str, schema: &'static str) -> Self {
        let [name, version, description] = [name, version, description].map(List::text);
        Info { name, version, description, schema: (!schema.is_empty()).then(|| List::text(schema)).into() }
    }
}

impl Initialised {
    /// An error's text stays allocated.
    pub fn new(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Initialised::Ok,
            Err(reason) => Initialised::Err(List::text(reason.leak())),
        }
    }
}

impl LoweredFailure {
    /// Points to the text of `failure`.
    pub fn new(failure: &Failure) -> Self {
        match failure {
            Failure::Retry(reason) => LoweredFailure::Retry(List::text(reason)),
            Failure::Halt(reason) => LoweredFailure::Halt(List::text(reason)),
        }
    }
}
