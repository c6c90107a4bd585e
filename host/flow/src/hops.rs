//! Hops: how many routes an event has come by, each time as an effect of the event before. An event from outside has none.
//!
//! The count travels beside the event, as an attribute that no plugin sees: sources take it off, and commits put it onto
//! messages. Ids and keys do not depend on it.

/// The attribute, the header of Kafka and the header of HTTP that carry the count.
pub const ATTRIBUTE: &str = "esclusa-hops";

/// The largest count. A sender may claim any count, and so can only have its own event given up.
pub const MOST: u32 = 99_999;

/// The count of an effect of an event with this count.
#[must_use]
pub fn next(hops: u32) -> u32 {
    hops.saturating_add(1).min(MOST)
}

/// The count as an attribute.
#[must_use]
pub fn attribute(hops: u32) -> (String, String) {
    (ATTRIBUTE.to_owned(), hops.min(MOST).to_string())
}

/// Takes the count off attributes called `name` (a header has a prefix): the largest, if there are several. A value that is not one
/// to five digits counts as none.
pub fn take<N: AsRef<str>, V: AsRef<str>>(attributes: &mut Vec<(N, V)>, name: &str) -> u32 {
    let mut hops = 0;
    attributes.retain(|(attribute, value)| {
        let other = attribute.as_ref() != name;
        if !other {
            hops = hops.max(parse(value.as_ref()));
        }
        other
    });
    hops
}

fn parse(value: &str) -> u32 {
    let digits = value.len() <= 5 && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_one_to_five_digits_and_the_largest_wins() {
        let of = |values: &[&str]| {
            let mut attributes: Vec<_> = values.iter().map(|value| (ATTRIBUTE, *value)).collect();
            attributes.push(("other", "7"));
            let hops = take(&mut attributes, ATTRIBUTE);
            assert_eq!(attributes, [("other", "7")], "{values:?}");
            hops
        };
        for (values, hops) in [
            (&["3"][..], 3),
            (&["3", "12", "4"], 12),
            (&["00016"], 16),
            (&["99999"], MOST),
            (&["100000"], 0),
            (&["-1"], 0),
            (&["+1"], 0),
            (&[" 1"], 0),
            (&["1.0"], 0),
            (&["\u{662}"], 0),
            (&[""], 0),
            (&[], 0),
        ] {
            assert_eq!(of(values), hops, "{values:?}");
        }
        assert_eq!((next(0), next(MOST), next(u32::MAX)), (1, MOST, MOST));
        assert_eq!(attribute(u32::MAX).1, "99999");
    }
}
