//! The types of the contract as the canonical ABI lays them out on a 32-bit machine. `repr(C)` gives the same offsets:
//! variants are a byte and then the payload at its alignment. The sizes are asserted.
#![expect(dead_code, reason = "read by the router, on the other side of the boundary")]

use crate::failure::Failure;

/// A list or text: address and number of elements. Never read by this side.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct LoweredList {
    at: *const u8,
    len: usize,
}

#[repr(C, u8)]
pub(crate) enum LoweredOption<T> {
    None,
    Some(T),
}

#[repr(C, u8)]
pub(crate) enum LoweredValue {
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
pub(crate) struct LoweredAttribute {
    pub(crate) name: LoweredList,
    pub(crate) value: LoweredValue,
}

#[repr(C, u8)]
pub(crate) enum LoweredComparison {
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
pub(crate) struct LoweredTerm {
    pub(crate) name: LoweredList,
    pub(crate) comparison: LoweredComparison,
}

#[repr(C)]
pub(crate) struct LoweredGuard {
    pub(crate) condition: LoweredList,
    pub(crate) otherwise: u8,
}

#[repr(C)]
pub(crate) struct LoweredPut {
    pub(crate) table: LoweredList,
    pub(crate) item: LoweredList,
    pub(crate) guard: LoweredOption<LoweredGuard>,
}

#[repr(C, u8)]
pub(crate) enum LoweredChange {
    Set(LoweredValue),
    Add(LoweredList),
    Remove,
}

#[repr(C)]
pub(crate) struct LoweredNamedChange {
    pub(crate) name: LoweredList,
    pub(crate) change: LoweredChange,
}

#[repr(C)]
pub(crate) struct LoweredUpdate {
    pub(crate) table: LoweredList,
    pub(crate) key: LoweredList,
    pub(crate) changes: LoweredList,
    pub(crate) guard: LoweredOption<LoweredGuard>,
}

#[repr(C)]
pub(crate) struct LoweredDelete {
    pub(crate) table: LoweredList,
    pub(crate) key: LoweredList,
    pub(crate) guard: LoweredOption<LoweredGuard>,
}

#[repr(C)]
pub(crate) struct LoweredObject {
    pub(crate) store: LoweredList,
    pub(crate) path: LoweredList,
    pub(crate) content_type: LoweredList,
    pub(crate) bytes: LoweredList,
}

#[repr(C)]
pub(crate) struct LoweredSend {
    pub(crate) output: LoweredList,
    pub(crate) key: LoweredOption<LoweredList>,
    pub(crate) data: LoweredList,
    pub(crate) attributes: LoweredList,
}

#[repr(C, u8)]
pub(crate) enum LoweredAction {
    Put(LoweredPut),
    Update(LoweredUpdate),
    Delete(LoweredDelete),
    Object(LoweredObject),
    Send(LoweredSend),
}

#[repr(C)]
pub(crate) struct LoweredEffect {
    pub(crate) cause: LoweredOption<u32>,
    pub(crate) action: LoweredAction,
}

#[repr(C, u8)]
pub(crate) enum LoweredDisposition {
    Retry(LoweredOption<u32>),
    Reject(LoweredList),
    Skip(LoweredList),
}

#[repr(C)]
pub(crate) struct LoweredOutcome {
    pub(crate) event: u32,
    pub(crate) disposition: LoweredDisposition,
}

#[repr(C)]
pub(crate) struct LoweredReply {
    pub(crate) event: u32,
    pub(crate) status: u16,
    pub(crate) content_type: LoweredList,
    pub(crate) headers: LoweredList,
    pub(crate) body: LoweredList,
}

#[repr(C)]
pub(crate) struct LoweredOutput {
    pub(crate) effects: LoweredList,
    pub(crate) outcomes: LoweredList,
    pub(crate) replies: LoweredList,
}

#[repr(C, u8)]
pub(crate) enum LoweredFailure {
    Retry(LoweredList),
    Halt(LoweredList),
}

#[repr(C, u8)]
pub(crate) enum LoweredResult {
    Ok(LoweredOutput),
    Err(LoweredFailure),
}

/// `lifecycle.info`.
#[repr(C)]
pub(crate) struct LoweredInfo {
    name: LoweredList,
    version: LoweredList,
    description: LoweredList,
    schema: LoweredOption<LoweredList>,
}

/// The result of `lifecycle.init`.
#[repr(C, u8)]
pub(crate) enum Initialised {
    Ok,
    Err(LoweredList),
}

const _: () = {
    assert!(size_of::<LoweredList>() == 8 && size_of::<LoweredValue>() == 12 && size_of::<LoweredAttribute>() == 20);
    assert!(size_of::<LoweredComparison>() == 16 && size_of::<LoweredTerm>() == 24 && size_of::<LoweredGuard>() == 12);
    assert!(
        size_of::<LoweredNamedChange>() == 24 && size_of::<LoweredUpdate>() == 40 && size_of::<LoweredSend>() == 36
    );
    assert!(size_of::<LoweredEffect>() == 52 && size_of::<LoweredOutcome>() == 16 && size_of::<LoweredReply>() == 32);
    assert!(size_of::<LoweredResult>() == 28 && size_of::<LoweredInfo>() == 36 && size_of::<Initialised>() == 12);
};

impl LoweredList {
    /// The list of these elements, which must not move afterwards.
    pub(crate) fn of<T>(elements: &[T]) -> Self {
        LoweredList { at: elements.as_ptr().cast(), len: elements.len() }
    }

    /// A text, which must not move afterwards.
    pub(crate) fn text(text: &str) -> Self {
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
    pub(crate) fn new(
        name: &'static str,
        version: &'static str,
        description: &'static str,
        schema: &'static str,
    ) -> Self {
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
    pub(crate) fn new(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Initialised::Ok,
            Err(reason) => Initialised::Err(LoweredList::text(reason.leak())),
        }
    }
}

impl LoweredFailure {
    /// Points to the text of `failure`.
    pub(crate) fn new(failure: &Failure) -> Self {
        match failure {
            Failure::Retry(reason) => LoweredFailure::Retry(LoweredList::text(reason)),
            Failure::Halt(reason) => LoweredFailure::Halt(LoweredList::text(reason)),
        }
    }
}
