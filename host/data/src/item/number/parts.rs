//! A decimal number taken apart: sign, significant digits and power of ten, borrowed from its text.

use super::{MAX_DIGITS, MAX_POWER, MIN_POWER, NumberError};
use std::cmp::Ordering;

/// Most characters of a text that an error repeats.
const QUOTED: usize = 64;
/// Exponents beyond this are not read; it leaves room for adding the length of a text.
const MAX_EXPONENT: i64 = i64::MAX / 4;

/// The significant digits are `whole` followed by `fraction`, without zeros at either end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// Below zero; may be set for zero too.
    pub negative: bool,
    whole: &'a str,
    fraction: &'a str,
    /// The power of ten that the first digit stands for; 0 for zero.
    pub top: i64,
}

/// Any number, read once to be compared with many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    /// As it was written.
    text: String,
    negative: bool,
    /// The significant digits.
    digits: String,
    top: i64,
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Decimal {
    /// Reads any number; `None` if the text is none, or its exponent is out of all bounds.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let parts = Parts::read(text).ok()?;
        let digits = format!("{}{}", parts.whole, parts.fraction);
        Some(Decimal { text: text.to_owned(), negative: parts.negative, digits, top: parts.top })
    }

    /// The same number as [`Parts::read`] gives it.
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts { negative: self.negative, whole: &self.digits, fraction: "", top: self.top }
    }
}

impl<'a> Parts<'a> {
    /// Reads any number.
    pub(crate) fn read(text: &'a str) -> Result<Self, NumberError> {
        let syntax = || NumberError::Syntax(quote(text));
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = split(unsigned, |byte| matches!(byte, b'e' | b'E'));
        let (whole, fraction) = split(mantissa, |byte| byte == b'.');
        let fraction = fraction.unwrap_or_default();
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return Err(syntax());
        }
        let power = match exponent {
            None => Some(0),
            Some(e) => read_exponent(e).ok_or_else(syntax)?,
        };
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        if whole.is_empty() && fraction.is_empty() {
            return Ok(Parts { negative, whole, fraction, top: 0 });
        }
        // Only now, since zero has no magnitude: `0e999999999999999999999` is a number.
        let Some(power) = power else {
            let tiny = exponent.is_some_and(|exponent| exponent.starts_with('-'));
            return Err(if tiny { NumberError::TooSmall(quote(text)) } else { NumberError::TooLarge(quote(text)) });
        };
        let significant = if whole.is_empty() { fraction.trim_start_matches('0') } else { fraction };
        let top = match whole.len() {
            0 => significant.len() as i64 - fraction.len() as i64 - 1,
            n => n as i64 - 1,
        };
        let whole = if significant.is_empty() { whole.trim_end_matches('0') } else { whole };
        Ok(Parts { negative, whole, fraction: significant, top: top + power })
    }

    /// Reads a number that can be stored.
    pub(crate) fn storable(text: &'a str) -> Result<Self, NumberError> {
        let parts = Parts::read(text)?;
        if parts.is_zero() {
            Ok(parts)
        } else if parts.len() > MAX_DIGITS {
            Err(NumberError::TooPrecise(quote(text)))
        } else if parts.top > MAX_POWER {
            Err(NumberError::TooLarge(quote(text)))
        } else if parts.top < MIN_POWER {
            Err(NumberError::TooSmall(quote(text)))
        } else {
            Ok(parts)
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.len() == 0
    }

    /// The significant digits as ASCII.
    pub(crate) fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.whole.bytes().chain(self.fraction.bytes())
    }

    /// The power of ten that the last digit stands for.
    pub(crate) fn last(&self) -> i64 {
        self.top + 1 - self.len() as i64
    }

    /// The significant digits as a number. Only for numbers that can be stored: 38 digits fit in 128 bits.
    pub(crate) fn coefficient(&self) -> u128 {
        self.digits().fold(0, |sum, digit| sum * 10 + u128::from(digit - b'0'))
    }

    /// The order by value.
    pub(crate) fn compare(&self, other: &Parts<'_>) -> Ordering {
        match self.signum().cmp(&other.signum()) {
            // Of two negative numbers the one of greater magnitude is less.
            Ordering::Equal if self.negative => other.compare_magnitude(self),
            Ordering::Equal => self.compare_magnitude(other),
            unequal => unequal,
        }
    }

    /// The canonical text. Only for numbers that can be stored: the zeros written are as many as the power says.
    pub(crate) fn render(&self) -> String {
        if self.is_zero() {
            return "0".to_owned();
        }
        let mut text = String::with_capacity(3 + self.len() + self.top.unsigned_abs() as usize);
        if self.negative {
            text.push('-');
        }
        if self.top < 0 {
            text.push_str("0.");
            text.extend((self.top..-1).map(|_| '0'));
        }
        let mut power = self.top;
        for digit in self.digits() {
            if power == -1 && self.top >= 0 {
                text.push('.');
            }
            text.push(char::from(digit));
            power -= 1;
        }
        text.extend((0..=power).map(|_| '0'));
        text
    }

    fn len(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    fn signum(&self) -> i8 {
        match (self.is_zero(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn compare_magnitude(&self, other: &Parts<'_>) -> Ordering {
        self.top.cmp(&other.top).then_with(|| self.digits().cmp(other.digits()))
    }
}

/// `coefficient` times ten to the power of `by`; `None` if 128 bits do not hold it.
pub(super) fn scale(coefficient: u128, by: i64) -> Option<u128> {
    10u128.checked_pow(u32::try_from(by).ok()?)?.checked_mul(coefficient)
}

/// The parts of a text before and after the first byte that is `sought`, which is ASCII; `None` without one. Bytes are
/// compared, since code that looks for characters is a kilobyte more in every plugin.
fn split(text: &str, sought: impl Fn(u8) -> bool) -> (&str, Option<&str>) {
    let Some(at) = text.bytes().position(sought) else { return (text, None) };
    (text.get(..at).unwrap_or_default(), text.get(at + 1..))
}

/// The exponent. The outer `None`: the text is no exponent. The inner `None`: it is out of all bounds.
fn read_exponent(text: &str) -> Option<Option<i64>> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let in_bounds = |e: &i64| (-MAX_EXPONENT..=MAX_EXPONENT).contains(e);
    Some(text.parse::<i64>().ok().filter(in_bounds))
}

fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
