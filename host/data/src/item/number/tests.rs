//! Numbers against a naive model, and the limits.

use super::*;
use proptest::prelude::*;

/// A naive model: digits as a long integer at a fixed point, far enough for every number that can be stored.
mod model {
    use std::cmp::Ordering;

    const POINT: i64 = 170;
    const WIDTH: usize = 340;

    /// Sign and magnitude, least significant digit first, in units of 10^-170.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(super) struct Big(pub bool, pub Vec<u8>);

    pub(super) fn new(negative: bool, digits: &[u8], last: i64) -> Big {
        let mut magnitude = vec![0; WIDTH];
        for (i, digit) in digits.iter().rev().enumerate() {
            magnitude[(last + POINT) as usize + i] = *digit;
        }
        fix(Big(negative, magnitude))
    }

    fn fix(big: Big) -> Big {
        let zero = big.1.iter().all(|d| *d == 0);
        Big(big.0 && !zero, big.1)
    }

    pub(super) fn add(a: &Big, b: &Big) -> Big {
        if a.0 == b.0 {
            let mut carry = 0;
            let sum = a.1.iter().zip(&b.1).map(|(x, y)| {
                let s = x + y + carry;
                carry = s / 10;
                s % 10
            });
            return fix(Big(a.0, sum.collect()));
        }
        let (big, small) = if magnitude(a, b).is_lt() { (b, a) } else { (a, b) };
        let mut borrow = 0i8;
        let difference = big.1.iter().zip(&small.1).map(|(x, y)| {
            let d = *x as i8 - *y as i8 - borrow;
            borrow = i8::from(d < 0);
            (d + 10 * borrow) as u8
        });
        fix(Big(big.0, difference.collect()))
    }

    fn magnitude(a: &Big, b: &Big) -> Ordering {
        a.1.iter().rev().cmp(b.1.iter().rev())
    }

    pub(super) fn compare(a: &Big, b: &Big) -> Ordering {
        match (a.0, b.0) {
            (false, false) => magnitude(a, b),
            (true, true) => magnitude(b, a),
            (negative, _) => {
                if negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }

    /// The canonical text, or nothing if it cannot be stored.
    pub(super) fn text(big: &Big) -> Option<String> {
        let Some(top) = big.1.iter().rposition(|d| *d != 0) else { return Some("0".to_owned()) };
        let last = big.1.iter().position(|d| *d != 0).unwrap();
        let power = top as i64 - POINT;
        if top - last + 1 > 38 || !(-130..=125).contains(&power) {
            return None;
        }
        let digit = |i: usize| char::from(b'0' + big.1[i]);
        let point = POINT as usize;
        let mut out = if big.0 { "-".to_owned() } else { String::new() };
        out.extend((point..=top.max(point)).rev().map(digit));
        if last < point {
            out.push('.');
            out.extend((last..point).rev().map(digit));
        }
        Some(out)
    }
}

/// A number as its digits and the power of its last digit, and one of many ways to write it.
fn written() -> impl Strategy<Value = (model::Big, String)> {
    let short = proptest::collection::vec(0u8..10, 1..6);
    let long = proptest::collection::vec(0u8..10, 30..39);
    let exponent = prop_oneof![-6i64..6, -168i64..88];
    (any::<bool>(), prop_oneof![short, long], exponent, 0usize..4, 0usize..45, any::<bool>()).prop_map(
        |(negative, digits, last, zeros, point, plus)| {
            let big = model::new(negative, &digits, last);
            let mut all = "0".repeat(zeros);
            all.extend(digits.iter().map(|d| char::from(b'0' + d)));
            let split = all.len() - point.min(all.len());
            let exponent = last + (all.len() - split) as i64;
            let sign = if negative {
                "-"
            } else if plus {
                "+"
            } else {
                ""
            };
            (big, format!("{sign}{}.{}e{exponent}", &all[..split], &all[split..]))
        },
    )
}

proptest! {
    #[test]
    fn canonical_agrees_with_the_model((big, text) in written()) {
        prop_assert_eq!(canonical(&text).ok(), model::text(&big), "{}", text);
        prop_assert_eq!(check(&text), canonical(&text).map(|_| ()), "{}", text);
    }

    #[test]
    fn canonical_is_canonical((_, text) in written()) {
        if let Ok(once) = canonical(&text) {
            prop_assert!(is_canonical(&once), "{}", once);
            prop_assert_eq!(canonical(&once), Ok(once.clone()));
        }
        prop_assert_eq!(is_canonical(&text), canonical(&text).is_ok_and(|c| c == text));
    }

    #[test]
    fn is_canonical_means_that_canonical_changes_nothing(text in "-?0?[0-9]{0,3}(\\.[0-9]{0,3})?(e[0-9])?") {
        prop_assert_eq!(is_canonical(&text), canonical(&text).is_ok_and(|c| c == text), "{}", text);
    }

    #[test]
    fn sums_agree_with_the_model((a, left) in written(), (b, right) in written()) {
        let storable = canonical(&left).is_ok() && canonical(&right).is_ok();
        let expected = storable.then(|| model::text(&model::add(&a, &b))).flatten();
        prop_assert_eq!(add(&left, &right).ok(), expected, "{} + {}", left, right);
    }

    #[test]
    fn sums_of_numbers_of_like_size_agree_with_the_model(
        digits in proptest::collection::vec(0u8..10, 38), others in proptest::collection::vec(0u8..10, 38),
        shift in 0i64..3, negative in any::<bool>(),
    ) {
        let (a, b) = (model::new(false, &digits, shift), model::new(negative, &others, 0));
        if let (Some(left), Some(right)) = (model::text(&a), model::text(&b)) {
            prop_assert_eq!(add(&left, &right).ok(), model::text(&model::add(&a, &b)));
        }
    }

    #[test]
    fn order_agrees_with_the_model((a, left) in written(), (b, right) in written()) {
        prop_assert_eq!(compare(&left, &right), Some(model::compare(&a, &b)));
        prop_assert_eq!(compare(&left, &left), Some(Ordering::Equal));
    }

    #[test]
    fn bytes_order_as_the_numbers_do((a, left) in written(), (b, right) in written()) {
        if let (Some(l), Some(r)) = (sortable(&left), sortable(&right)) {
            prop_assert_eq!(l.cmp(&r), model::compare(&a, &b));
            prop_assert!(l == r || !r.starts_with(&l));
            prop_assert!(l.len() <= 22);
        }
        prop_assert_eq!(sortable(&left).is_some(), canonical(&left).is_ok());
    }

    #[test]
    fn a_number_and_its_negation_cancel_out((_, text) in written()) {
        if let Ok(other) = negate(&text) {
            prop_assert!(is_canonical(&other));
            prop_assert_eq!(add(&text, &other), Ok("0".to_owned()));
        }
    }

    #[test]
    fn check_passes_what_has_a_canonical_form(text in "[-+]?[0-9.]{0,60}|[-+0-9.eE]{0,12}|-?0{0,40}[0-9]{36,40}") {
        prop_assert_eq!(check(&text), canonical(&text).map(|_| ()), "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(left in ".{0,12}|[-+0-9.eE]{0,12}", right in "[-+0-9.eE]{0,12}") {
        let _ = (canonical(&left), is_canonical(&left), add(&left, &right), compare(&left, &right));
        let _ = (sortable(&left), negate(&left));
    }
}

#[test]
fn numbers_are_written_in_one_way() {
    for (text, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("0.000", "0"),
        ("-0e999999999999999999999", "0"),
        ("+5", "5"),
        ("007", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-12.50", "-12.5"),
        ("1e3", "1000"),
        ("1.5E+2", "150"),
        ("120", "120"),
        ("25e-4", "0.0025"),
        ("0.1e1", "1"),
        ("100.00e-2", "1"),
    ] {
        assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for text in [
        "", "-", "+", ".", "e5", "1e", "1e+", "1e1.5", "--1", "+-1", "1_000", "0x10", "NaN", "Infinity", "-inf", " 1",
        "1 ", "1,5", "1.2.3", "１", "1e5e5", "null",
    ] {
        assert!(matches!(canonical(text), Err(NumberError::Syntax(_))), "{text}");
        assert!(!is_canonical(text), "{text}");
        assert_eq!(compare(text, "1"), None, "{text}");
        assert_eq!(sortable(text), None, "{text}");
    }
}

#[test]
fn the_limits_are_those_of_dynamodb() {
    let nines = "9".repeat(38);
    let greatest = format!("9.{}E+125", "9".repeat(37));
    assert_eq!(canonical(&nines).as_ref(), Ok(&nines));
    assert_eq!(canonical(&greatest), Ok(format!("{nines}{}", "0".repeat(88))));
    assert_eq!(canonical("1E-130"), Ok(format!("0.{}1", "0".repeat(129))));
    assert!(canonical("1.2345E-130").is_ok());
    assert!(canonical(&format!("{nines}.0")).is_ok());
    assert!(matches!(canonical(&format!("{nines}.5")), Err(NumberError::TooPrecise(_))));
    assert!(matches!(canonical(&format!("{nines}9")), Err(NumberError::TooPrecise(_))));
    assert!(matches!(canonical("1e126"), Err(NumberError::TooLarge(_))));
    assert!(matches!(canonical("-1e99999999999999999999"), Err(NumberError::TooLarge(_))));
    assert!(matches!(canonical("9.9E-131"), Err(NumberError::TooSmall(_))));
    assert!(matches!(canonical("1e-99999999999999999999"), Err(NumberError::TooSmall(_))));
}

#[test]
fn sums_are_exact_or_refused() {
    assert_eq!(add("0.1", "0.2").as_deref(), Ok("0.3"));
    assert_eq!(add("1e38", "-1"), Ok("9".repeat(38)));
    assert_eq!(add("999999999999999999", "1").as_deref(), Ok("1000000000000000000"));
    assert_eq!(add("5", "-5").as_deref(), Ok("0"));
    assert_eq!(add(&"9".repeat(38), "1"), Ok(format!("1{}", "0".repeat(38))));
    assert!(matches!(add("1e38", "0.1"), Err(NumberError::TooPrecise(_))));
    assert!(matches!(add("1e125", "1e-130"), Err(NumberError::TooPrecise(_))));
    assert!(matches!(add("9e125", "9e125"), Err(NumberError::TooLarge(_))));
    assert!(matches!(add("1e-130", "-1.1e-130"), Err(NumberError::TooSmall(_))));
    assert!(matches!(add("x", "1"), Err(NumberError::Syntax(_))));
    assert!(matches!(add("0", "1e200"), Err(NumberError::TooLarge(_))));
}

#[test]
fn comparison_reaches_beyond_what_can_be_stored() {
    let long = format!("1{}1", "0".repeat(60));
    let longer = format!("1{}2", "0".repeat(60));
    assert_eq!(compare(&long, &longer), Some(Ordering::Less));
    assert_eq!(compare("1e400", "9e399"), Some(Ordering::Greater));
    assert_eq!(compare("-1e400", "1e-400"), Some(Ordering::Less));
    assert_eq!(compare("1.0", "1"), Some(Ordering::Equal));
    assert_eq!(compare("-0", "0.0"), Some(Ordering::Equal));
    assert_eq!(compare("1e99999999999999999999", "1"), None);
}

#[test]
fn errors_quote_no_more_than_the_beginning_of_a_long_text() {
    let message = canonical(&"x".repeat(100_000)).unwrap_err().to_string();
    assert!(message.len() < 200, "{message}");
}
