//! Templates of generated events: `{seq}`, `{now}`, `{random:N}`, `{pick:a|b|c}`; `{{` and `}}` are braces.
//!
//! Here they are only taken apart; the engine that generates the events fills them in.

use std::num::NonZeroU64;

/// A part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventTemplatePart<'t> {
    /// Stands as it is.
    Text(&'t str),
    /// The number of the event.
    Sequence,
    /// Its time.
    Now,
    /// A number from 0 to below this one.
    Random(NonZeroU64),
    /// One of these, separated by `|`.
    Pick(&'t str),
    /// No placeholder that there is, or one without its `}`: its whole text.
    Unknown(&'t str),
}

/// The parts of a template, in order.
pub fn parts(template: &str) -> impl Iterator<Item = EventTemplatePart<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        let (part, after) = first(rest)?;
        rest = after;
        Some(part)
    })
}

/// The first part of a text, and the rest of it; `None` if the text is empty.
fn first(text: &str) -> Option<(EventTemplatePart<'_>, &str)> {
    let brace = text.find(['{', '}']).unwrap_or(text.len());
    if brace > 0 {
        return text.split_at_checked(brace).map(|(plain, after)| (EventTemplatePart::Text(plain), after));
    }
    if let Some(after) = text.strip_prefix("{{") {
        return Some((EventTemplatePart::Text("{"), after));
    }
    if let Some(after) = text.strip_prefix('}') {
        return Some((EventTemplatePart::Text("}"), after.strip_prefix('}').unwrap_or(after)));
    }
    let inside = text.strip_prefix('{')?;
    let Some((inside, after)) = inside.split_once('}') else { return Some((EventTemplatePart::Unknown(text), "")) };
    let whole = text.strip_suffix(after).unwrap_or(text);
    Some((placeholder(inside).unwrap_or(EventTemplatePart::Unknown(whole)), after))
}

fn placeholder(inside: &str) -> Option<EventTemplatePart<'_>> {
    Some(match inside.split_once(':') {
        None if inside == "seq" => EventTemplatePart::Sequence,
        None if inside == "now" => EventTemplatePart::Now,
        Some(("random", below)) => EventTemplatePart::Random(below.trim().parse().ok()?),
        Some(("pick", choices)) if !choices.is_empty() => EventTemplatePart::Pick(choices),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{EventTemplatePart, NonZeroU64, parts};

    fn all(template: &str) -> Vec<EventTemplatePart<'_>> {
        parts(template).collect()
    }

    #[test]
    fn placeholders_and_text_come_in_order() {
        let expected = [
            EventTemplatePart::Text("o-"),
            EventTemplatePart::Sequence,
            EventTemplatePart::Text(" at "),
            EventTemplatePart::Now,
            EventTemplatePart::Random(NonZeroU64::new(6).unwrap()),
            EventTemplatePart::Pick("a|b"),
            EventTemplatePart::Text("!"),
        ];
        assert_eq!(all("o-{seq} at {now}{random: 6}{pick:a|b}!"), expected);
        assert_eq!(all(""), []);
    }

    #[test]
    fn doubled_braces_and_a_lone_closing_one_are_text() {
        assert_eq!(
            all("{{seq}}"),
            [EventTemplatePart::Text("{"), EventTemplatePart::Text("seq"), EventTemplatePart::Text("}")]
        );
        assert_eq!(
            all("a}b"),
            [EventTemplatePart::Text("a"), EventTemplatePart::Text("}"), EventTemplatePart::Text("b")]
        );
    }

    #[test]
    fn what_is_no_placeholder_is_given_whole() {
        for wrong in ["{what}", "{seq:1}", "{random:0}", "{random:x}", "{pick:}", "{}", "{seq"] {
            assert_eq!(all(wrong), [EventTemplatePart::Unknown(wrong)], "{wrong}");
        }
        assert_eq!(all("{ä}ö"), [EventTemplatePart::Unknown("{ä}"), EventTemplatePart::Text("ö")]);
    }
}
