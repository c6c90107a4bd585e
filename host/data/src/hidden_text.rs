//! Characters that are not shown as they are: control characters, which move the cursor of a terminal, and format characters, which
//! reorder or hide their neighbours. Text of others is written with escapes in their place, wherever a person or a log reads it.

use std::borrow::Cow;
use std::fmt::Write;

/// True for control characters (the two halves C0 and C1), line and paragraph separators, and characters that are invisible or
/// reorder text: Unicode's format characters, its fillers and its tags. False for spaces, combining characters, and the selectors
/// of emoji.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A text with the hidden characters beyond ASCII as JSON escapes them (`\u009b`). JSON stays the same JSON. The control characters
/// of ASCII stay: a text has line breaks, and JSON has no others outside of its own escapes.
#[must_use]
pub fn escape_hidden(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c.is_ascii() || !is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().saturating_add(16));
    for c in text.chars() {
        if c.is_ascii() || !is_hidden(c) { shown.push(c) } else { push_escaped(c, &mut shown) }
    }
    Cow::Owned(shown)
}

/// Appends a character as JSON escapes it.
pub fn push_escaped(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_fool_a_reader_is_escaped_and_text_stays() {
        for text in ["", "naïve Ünïcode ✓ 👍🏽 ❤\u{fe0f} हिन्दी\n\t{\"a\": 1}", "\u{1b}[31m of the log itself"]
        {
            assert_eq!(escape_hidden(text), text);
        }
        let hidden = "\u{9b}31m \u{202e} \u{200b} \u{2066} \u{feff} \u{ad} \u{e0041} \u{85} \u{2028}";
        let shown = "\\u009b31m \\u202e \\u200b \\u2066 \\ufeff \\u00ad \\udb40\\udc41 \\u0085 \\u2028";
        assert_eq!(escape_hidden(hidden), shown);
    }

    proptest! {
        #[test]
        fn json_stays_the_same_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let shown = escape_hidden(&json);
            prop_assert!(!shown.chars().any(|c| is_hidden(c) && c != '\x7f'));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
