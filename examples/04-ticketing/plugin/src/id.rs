//! Ids of reservations: 27 letters and digits that sort by time, made like a KSUID. The random part is a hash of the request,
//! so that a request that is handled again gets the same id.

use esclusa_plugin::Event;

/// Where a KSUID's seconds begin: <https://github.com/segmentio/ksuid>, 2026-11.
const EPOCH: u64 = 1_400_000_000;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits in base 62 of 20 bytes.
const LENGTH: usize = 27;

/// The id of the reservation that a request makes.
pub(crate) fn of(event: Event<'_>) -> String {
    let seconds = u32::try_from((event.timestamp() / 1000).saturating_sub(EPOCH)).unwrap_or(u32::MAX);
    let mut number: Vec<u8> = seconds.to_be_bytes().into_iter().chain(hash(event).to_be_bytes()).collect();
    let mut id = vec![b'0'; LENGTH];
    for place in id.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *place = DIGITS.get(rest as usize).copied().unwrap_or(b'0');
    }
    String::from_utf8_lossy(&id).into_owned()
}

/// FNV-1a of 128 bits, of the event's id and content.
fn hash(event: Event<'_>) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    let bytes = event.id().bytes().chain([0]).chain(event.data().iter().copied());
    bytes.fold(0x6C62_272E_07BB_0142_62B8_2175_6295_C58D, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}
