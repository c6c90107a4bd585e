//! The types of the contract as the canonical ABI lays them out on a 32-bit machine. `repr(C)` gives the same offsets:
//! variants are a byte and then the payload at its alignment. The sizes are asserted.
#![expect(dead_code, reason = "read by the router, on the other side of the boundary")]

use crate::failure::Failure;

/// A list or text: address and number of elements. Never read by this side.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LoweredList {
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
    Text(LoweredList),
    Number(LoweredList),
    Binary(LoweredList),
    Boolean(u8),
    Null,
    TextSet(LoweredList),
    NumberSet(LoweredList),
    Document(LoweredList),
}

#[repr(C)]
pub struct LoweredAttribute {
    pub name: LoweredList,
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
    BeginsWith(LoweredList),
}

#[repr(C)]
pub struct LoweredTerm {
    pub name: LoweredList,
    pub comparison: LoweredComparison,
}

#[repr(C)]
pub struct LoweredGuard {
    pub condition: LoweredList,
    pub otherwise: u8,
}

#[repr(C)]
pub struct LoweredPut {
    pub table: LoweredList,
    pub item: LoweredList,
    pub guard: LoweredOption<LoweredGuard>,
}

#[repr(C, u8)]
pub enum LoweredChange {
    Set(LoweredValue),
    Add(LoweredList),
    Remove,
}

#[repr(C)]
pub struct LoweredNamedChange {
    pub name: LoweredList,
    pub change: LoweredChange,
}

#[repr(C)]
pub struct LoweredUpdate {
    pub table: LoweredList,
    pub key: LoweredList,
    pub changes: LoweredList,
    pub guard: LoweredOption<LoweredGuard>,
}

#[repr(C)]
pub struct LoweredDelete {
    pub table: LoweredList,
    pub key: LoweredList,
    pub guard: LoweredOption<LoweredGuard>,
}

#[repr(C)]
pub struct LoweredObject {
    pub store: LoweredList,
    pub path: LoweredList,
    pub content_type: LoweredList,
    pub bytes: LoweredList,
}

#[repr(C)]
pub struct LoweredSend {
    pub output: LoweredList,
    pub key: LoweredOption<LoweredList>,
    pub data: LoweredList,
    pub attributes: LoweredList,
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
    Reject(LoweredList),
    Skip(LoweredList),
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
    pub content_type: LoweredList,
    pub body: LoweredList,
}

#[repr(C)]
pub struct LoweredOutput {
    pub effects: LoweredList,
    pub outcomes: LoweredList,
    pub replies: LoweredList,
}

#[repr(C, u8)]
pub enum LoweredFailure {
    Retry(LoweredList),
    Halt(LoweredList),
}

#[repr(C, u8)]
pub enum LoweredResult {
    Ok(LoweredOutput),
    Err(LoweredFailure),
}

/// `lifecycle.info`.
#[repr(C)]
pub struct LoweredInfo {
    name: LoweredList,
    version: LoweredList,
    description: LoweredList,
    schema: LoweredOption<LoweredList>,
}

/// The result of `lifecycle.init`.
#[repr(C, u8)]
pub enum Initialised {
    Ok,
    Err(LoweredList),
}

const _: () = {
    assert!(size_of::<LoweredList>() == 8 && size_of::<LoweredValue>() == 12 && size_of::<LoweredAttribute>() == 20);
    assert!(size_of::<LoweredComparison>() == 16 && size_of::<LoweredTerm>() == 24 && size_of::<LoweredGuard>() == 12);
    assert!(
        size_of::<LoweredNamedChange>() == 24 && size_of::<LoweredUpdate>() == 40 && size_of::<LoweredSend>() == 36
    );
    assert!(size_of::<LoweredEffect>() == 52 && size_of::<LoweredOutcome>() == 16 && size_of::<LoweredReply>() == 24);
    assert!(size_of::<LoweredResult>() == 28 && size_of::<LoweredInfo>() == 36 && size_of::<Initialised>() == 12);
};

impl LoweredList {
    /// The list of these elements, which must not move afterwards.
    pub fn of<T>(elements: &[T]) -> Self {
        LoweredList { at: elements.as_ptr().cast(), len: elements.len() }
    }

    /// A text, which must not move afterwards.
    pub fn text(text: &str) -> Self {
        LoweredList::of(text.as_bytes())
    }
}

impl<T> From<Option<T>> for LoweredOption<T> {
    fn from(option: Option<T>) -> Self {
        option.map_or(LoweredOption::None, LoweredOption::Some)
    }
}

impl LoweredInfo {
    /// Who the plugin is; an empty schema is none.
    pub fn new(name: &'static str, version: &'static str, description: &'static str, schema: &'static str) -> Self {
        let [name, version, description] = [name, version, description].map(LoweredList::text);
        LoweredInfo {
            name,
            version,
            description,
            schema: (!schema.is_empty()).then(|| LoweredList::text(schema)).into(),
        }
    }
}

impl Initialised {
    /// An error's text stays allocated.
    pub fn new(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Initialised::Ok,
            Err(reason) => Initialised::Err(LoweredList::text(reason.leak())),
        }
    }
}

impl LoweredFailure {
    /// Points to the text of `failure`.
    pub fn new(failure: &Failure) -> Self {
        match failure {
            Failure::Retry(reason) => LoweredFailure::Retry(LoweredList::text(reason)),
            Failure::Halt(reason) => LoweredFailure::Halt(LoweredList::text(reason)),
        }
    }
}
