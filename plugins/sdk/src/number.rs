//! Which decimal numbers a table can hold: 38 significant digits, magnitudes from 1E-130 to below 1E+126
//! (DynamoDB's limits, "Supported data types and naming rules", read in November 2026).

use std::fmt;

/// Significant digits that a table keeps.
pub const MAX_DIGITS: usize = 38;

/// A text that is no number that a table can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// No decimal number at all.
    NotANumber(String),
    /// More significant digits than are kept: storing it would lose some.
    TooManyDigits(String),
    /// Magnitude too large or too small.
    OutOfRange(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotANumber(text) => write!(f, "{text:?} is not a decimal number"),
            Error::TooManyDigits(text) => {
                write!(f, "{text} has more than {MAX_DIGITS} significant digits, which tables cannot hold")
            }
            Error::OutOfRange(text) => write!(f, "{text} is out of the range of tables, 1E-130 to 1E+126"),
        }
    }
}

impl std::error::Error for Error {}

/// Checks that a table can hold the number `text` without losing a digit.
///
/// # Errors
/// [`Error`], which shortens very long texts.
pub fn check(text: &str) -> Result<(), Error> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    if !digits.is_empty() && digits.len() <= MAX_DIGITS && digits.iter().all(u8::is_ascii_digit) {
        return Ok(());
    }
    check_general(text)
}

fn check_general(text: &str) -> Result<(), Error> {
    let not_a_number = || Error::NotANumber(shorten(text));
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent).ok_or_else(not_a_number)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(not_a_number());
    }
    let digits = || whole.bytes().chain(fraction.bytes());
    let Some(first) = digits().position(|d| d != b'0') else { return Ok(()) };
    let trailing = digits().rev().take_while(|d| *d == b'0').count();
    let significant = whole.len() + fraction.len() - first - trailing;
    if significant > MAX_DIGITS {
        return Err(Error::TooManyDigits(shorten(text)));
    }
    let power = (whole.len() as i64) - 1 - (first as i64) + exponent;
    if !(-130..=125).contains(&power) {
        return Err(Error::OutOfRange(shorten(text)));
    }
    Ok(())
}

/// Exponents beyond any range are cut: they are out of range all the same.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse::<i64>().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -value } else { value })
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_38_digits_are_kept_and_39_are_not() {
        for fine in
            ["0", "-0", "12", "-1.5", "1e3", "6.02E+23", "0.000", "12300000000000000000000000000000000000000000000"]
        {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        assert_eq!(check(&"9".repeat(38)), Ok(()));
        assert_eq!(check(&format!("-0.00{}00", "9".repeat(38))), Ok(()));
        assert!(matches!(check(&"9".repeat(39)), Err(Error::TooManyDigits(_))));
        assert!(matches!(check(&format!("1.{}1", "0".repeat(37))), Err(Error::TooManyDigits(_))));
    }

    #[test]
    fn the_range_ends_at_the_documented_powers() {
        for fine in ["1e125", "9.9e125", "1e-130", "0e999999999999999999999999"] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for out in ["1e126", "1e-131", "1e99999999999999999999999", "-1e-99999999999999999999999"] {
            assert!(matches!(check(out), Err(Error::OutOfRange(_))), "{out}");
        }
    }

    #[test]
    fn texts_that_are_no_numbers_are_named_and_shortened() {
        for wrong in ["", "-", "abc", "1.2.3", "0x10", "1e", "NaN", "1_000", "."] {
            assert!(matches!(check(wrong), Err(Error::NotANumber(_))), "{wrong}");
        }
        let Err(error) = check(&"x".repeat(1000)) else { panic!("not a number") };
        assert!(error.to_string().len() < 100, "{error}");
    }
}
