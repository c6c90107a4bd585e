//! Decimal numbers as text, with every digit: comparison, addition and order-preserving bytes.
//!
//! The rules are DynamoDB's: up to 38 significant digits, magnitudes from 1E-130 to just below 1E+126, and one
//! way to write a number, the canonical one: plain digits without exponent, without a `+`, without zeros that
//! carry nothing, and `0` for every zero. Accepted is every number of JSON, and also a leading `+`, leading zeros
//! and a bare point (`.5`, `5.`). There is no NaN and no infinity.

mod parts;
#[cfg(test)]
mod tests;

pub(crate) use parts::{Decimal, Parts};
use std::cmp::Ordering;

/// Most significant digits of a number. DynamoDB developer guide, "Supported data types", November 2026.
pub const MAX_DIGITS: usize = 38;
/// Greatest power of ten that a first digit may stand for. The same source.
pub const MAX_POWER: i64 = 125;
/// Least power of ten that a first digit may stand for. The same source.
pub const MIN_POWER: i64 = -130;

/// Longest text, in characters, that is an `i64` without a check for overflow.
const SMALL: usize = 18;

/// A text that is not a number, or a number that cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not a number.
    #[error("{0:?} is not a decimal number")]
    Syntax(String),
    /// Too many significant digits.
    #[error("{0} has more than 38 significant digits: round it before it is stored")]
    TooPrecise(String),
    /// Too far from zero.
    #[error("{0} is out of range: the magnitude of a number stays below 1E+126")]
    TooLarge(String),
    /// Too close to zero.
    #[error("{0} is out of range: the magnitude of a number is at least 1E-130, or it is 0")]
    TooSmall(String),
}

/// Checks that a number can be stored with all of its digits.
///
/// # Errors
/// [`NumberError`] if the text is no number, or none that DynamoDB stores.
pub fn check(text: &str) -> Result<(), NumberError> {
    // Most numbers are a few digits, maybe with a point: no limit is reached with so few characters.
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let simple = (1..=MAX_DIGITS).contains(&digits.len())
        && match digits.iter().position(|byte| !byte.is_ascii_digit()) {
            None => true,
            Some(at) => matches!(digits.get(at..), Some([b'.', fraction @ ..])
                if digits.len() > 1 && fraction.iter().all(u8::is_ascii_digit)),
        };
    if simple {
        return Ok(());
    }
    Parts::storable(text).map(|_| ())
}

/// The one way to write this number.
///
/// # Errors
/// [`NumberError`] if the text is no number, or none that DynamoDB stores.
pub fn canonical(text: &str) -> Result<String, NumberError> {
    if plain(text) {
        return Ok(text.to_owned());
    }
    Parts::storable(text).map(|parts| parts.render())
}

/// True if [`canonical`] would give back the same text, so that the caller can keep it.
#[must_use]
pub fn is_canonical(text: &str) -> bool {
    plain(text) || (text.len() > MAX_DIGITS && canonical(text).is_ok_and(|c| c == text))
}

/// The exact sum, in canonical form.
///
/// # Errors
/// [`NumberError`] if an operand or the sum cannot be stored; a sum that needs more than 38 digits is not rounded.
pub fn add(left: &str, right: &str) -> Result<String, NumberError> {
    if let (Some(l), Some(r)) = (small(left), small(right)) {
        return Ok((l + r).to_string()); // 18 digits each: no overflow
    }
    let (l, r) = (Parts::storable(left)?, Parts::storable(right)?);
    if l.is_zero() {
        return Ok(r.render());
    }
    if r.is_zero() {
        return Ok(l.render());
    }
    let too_precise = || NumberError::TooPrecise(format!("{left} + {right}"));
    let last = l.last().min(r.last());
    // A magnitude beyond 128 bits leaves more than 38 digits whatever is added to it: the other one is below
    // 10^38, and the last digit of the sum is not zero.
    let scaled = |p: &Parts<'_>| parts::scale(p.coefficient(), p.last() - last).ok_or_else(too_precise);
    let (a, b) = (scaled(&l)?, scaled(&r)?);
    let (negative, magnitude) = match (l.negative == r.negative, a >= b) {
        (true, _) => (l.negative, a.checked_add(b).ok_or_else(too_precise)?),
        (false, true) => (l.negative, a - b),
        (false, false) => (r.negative, b - a),
    };
    let sum = format!("{}{magnitude}e{last}", if negative { "-" } else { "" });
    Parts::storable(&sum).map(|parts| parts.render())
}

/// The same number with the other sign, in canonical form.
///
/// # Errors
/// [`NumberError`] if the text is no number, or none that DynamoDB stores.
pub fn negate(text: &str) -> Result<String, NumberError> {
    let mut parts = Parts::storable(text)?;
    parts.negative = !parts.negative;
    Ok(parts.render())
}

/// The order of two numbers by value. Any precision and any magnitude with an exponent of up to 18
/// digits; `None` if a text is no number.
#[must_use]
pub fn compare(left: &str, right: &str) -> Option<Ordering> {
    if let (Some(l), Some(r)) = (small(left), small(right)) {
        return Some(l.cmp(&r));
    }
    Some(Parts::read(left).ok()?.compare(&Parts::read(right).ok()?))
}

/// Bytes whose order is the order of the numbers; `None` if the text is no number that DynamoDB stores.
///
/// Equal numbers have equal bytes, and no number's bytes begin with another's, so they can be followed by
/// further parts of a key. At most 22 bytes.
#[must_use]
pub fn sortable(text: &str) -> Option<Vec<u8>> {
    // A byte for the sign, a byte for the power of ten, two digits per byte, a byte for the end. All but the
    // first are inverted for negative numbers.
    const NEGATIVE: u8 = 1;
    const ZERO: u8 = 2;
    const POSITIVE: u8 = 3;
    let parts = Parts::storable(text).ok()?;
    if parts.is_zero() {
        return Some(vec![ZERO]);
    }
    let mut bytes = Vec::with_capacity(3 + MAX_DIGITS / 2);
    bytes.push(POSITIVE);
    bytes.push(u8::try_from(parts.top - MIN_POWER).ok()?);
    let mut digits = parts.digits();
    while let Some(tens) = digits.next() {
        let ones = digits.next().unwrap_or(b'0');
        bytes.push(10 * (tens - b'0') + (ones - b'0') + 1);
    }
    bytes.push(0);
    if parts.negative {
        bytes.iter_mut().for_each(|b| *b = !*b);
        if let Some(sign) = bytes.first_mut() {
            *sign = NEGATIVE;
        }
    }
    Some(bytes)
}

/// True for a canonical number of at most 38 characters; longer ones are left to the general case. Within so few
/// characters neither precision nor range can be exceeded.
fn plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let negative = digits.len() < text.len();
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let all = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let minus_zero = negative && fraction.is_none();
    let whole_is_plain = !whole.starts_with('0') || (whole == "0" && !minus_zero);
    text.len() <= MAX_DIGITS && whole_is_plain && all(whole) && fraction.is_none_or(|f| all(f) && !f.ends_with('0'))
}

/// The value of a short integer.
fn small(text: &str) -> Option<i64> {
    if text.len() <= SMALL { text.parse().ok() } else { None }
}
