//! The scanner: one pass over a text, which gives values as slices of it.
//!
//! The `inline` attributes follow measurements: names, texts and numbers are most of a payload, so their code is in the loop
//! of the caller; all other code is kept out of it.

use super::{Json, JsonError};
use std::borrow::Cow;

/// Arrays and objects within each other, at most; serde_json's limit.
const MAX_DEPTH: u32 = 128;

/// A reader at one place of a JSON text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// True if the last thing consumed is the opening bracket of an array or object.
    fresh: bool,
}

impl<'a> Scanner<'a> {
    /// At the beginning of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Scanner { text, at: 0, depth: 0, fresh: false }
    }

    fn error<T>(&self, what: &'static str) -> Result<T, JsonError> {
        Err(JsonError { at: self.at, what })
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space, not consumed.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        match self.byte() {
            Some(byte) if byte > b' ' => Some(byte),
            _ => {
                self.at = white_space(self.text, self.at);
                self.byte()
            }
        }
    }

    #[inline]
    fn slice(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.error("expected the end of the text"),
        }
    }

    /// Goes into the object that comes next.
    pub(super) fn object(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => self.enter(),
            None => self.error("expected an object, found nothing"),
            Some(_) => self.error("expected an object"),
        }
    }

    /// Goes into the array or object whose bracket comes next.
    #[inline(always)]
    pub(super) fn enter(&mut self) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return self.error("more than 128 arrays and objects within each other");
        }
        self.depth += 1;
        self.at += 1;
        self.fresh = true;
        Ok(())
    }

    /// True before each element of the array that was gone into, which must be consumed; false once it is left.
    pub(super) fn element(&mut self) -> Result<bool, JsonError> {
        self.more(b']', "expected `,` or `]`")
    }

    /// True if something follows in the array or object that was gone into, and the comma before it is consumed; false
    /// if it ends with `close`, which is consumed then.
    #[inline(always)]
    fn more(&mut self, close: u8, expected: &'static str) -> Result<bool, JsonError> {
        let first = std::mem::replace(&mut self.fresh, false);
        match self.peek() {
            Some(byte) if byte == close => {
                self.depth -= 1;
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            _ if first => Ok(true),
            _ => self.error(expected),
        }
    }

    /// The name of each member of the object that was gone into, whose value must be consumed; `None` once it is left.
    #[inline(always)]
    pub(super) fn member(&mut self) -> Result<Option<Cow<'a, str>>, JsonError> {
        if !self.more(b'}', "expected `,` or `}`")? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return self.error("expected the name of a field");
        }
        let name = self.string()?;
        if self.peek() != Some(b':') {
            return self.error("expected `:`");
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// Any value.
    #[inline(always)]
    pub(super) fn value(&mut self) -> Result<Json<'a>, JsonError> {
        self.value_to(|value| value)
    }

    /// Any value, given to `take`, which is compiled in for each kind of value: so the value is built in its final place.
    #[inline(always)]
    pub(super) fn value_to<T>(&mut self, take: impl FnOnce(Json<'a>) -> T) -> Result<T, JsonError> {
        let start = self.peek();
        if start == Some(b'"') {
            self.string().map(|text| take(Json::Text(text)))
        } else if start.is_some_and(|byte| byte.is_ascii_digit() || byte == b'-') {
            self.number().map(|number| take(Json::Number(Cow::Borrowed(number))))
        } else {
            self.other(start).map(take)
        }
    }

    /// A value that begins with `start` and is no text and no number.
    #[inline(never)]
    fn other(&mut self, start: Option<u8>) -> Result<Json<'a>, JsonError> {
        let from = self.at;
        match start {
            Some(b'{') => {
                self.skip()?;
                Ok(Json::Object(Cow::Borrowed(self.slice(from))))
            }
            Some(b'[') => {
                self.skip()?;
                Ok(Json::Array(Cow::Borrowed(self.slice(from))))
            }
            Some(b't') => self.word("true").map(|()| Json::Boolean(true)),
            Some(b'f') => self.word("false").map(|()| Json::Boolean(false)),
            Some(b'n') => self.word("null").map(|()| Json::Null),
            _ => self.error("expected a value"),
        }
    }

    /// The first byte of the value that follows.
    pub(super) fn start(&mut self) -> Option<u8> {
        self.peek()
    }

    /// Any value, checked and left out.
    fn skip(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'[') => {
                self.enter()?;
                while self.element()? {
                    self.skip()?;
                }
                Ok(())
            }
            Some(b'{') => {
                self.enter()?;
                while self.member()?.is_some() {
                    self.skip()?;
                }
                Ok(())
            }
            _ => self.value().map(|_| ()),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        if !self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return self.error("expected a value");
        }
        self.at += word.len();
        Ok(())
    }

    #[inline(always)]
    fn number(&mut self) -> Result<&'a str, JsonError> {
        let from = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return self.error("expected a digit"),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.slice(from))
    }

    #[inline(always)]
    fn digits(&mut self) -> Result<(), JsonError> {
        let from = self.at;
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == from { self.error("expected a digit") } else { Ok(()) }
    }

    /// A string; the quote has been seen.
    #[inline(always)]
    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let from = self.at;
        self.plain();
        match self.byte() {
            Some(b'"') => {
                let text = self.slice(from);
                self.at += 1;
                Ok(Cow::Borrowed(text))
            }
            Some(b'\\') => self.escaped(from).map(Cow::Owned),
            Some(_) => self.error("control character in a string: it must be escaped"),
            None => self.error("unfinished string"),
        }
    }

    /// Moves to the next quote, backslash or control character.
    #[inline(always)]
    fn plain(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let (words, tail) = rest.as_chunks::<8>();
        for word in words {
            let special = specials(u64::from_le_bytes(*word));
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        self.at += tail.iter().position(is_special).unwrap_or(tail.len());
    }

    /// The rest of a string that began at `from` and has an escape at the present place.
    #[cold]
    fn escaped(&mut self, from: usize) -> Result<String, JsonError> {
        let mut text = self.slice(from).to_owned();
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                Some(0..0x20) => return self.error("control character in a string: it must be escaped"),
                Some(_) => {
                    let from = self.at;
                    self.plain();
                    text.push_str(self.slice(from));
                }
                None => return self.error("unfinished string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let c = match self.byte() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return self.error("unknown escape"),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hex()?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        // The first half of a pair; the second must follow at once.
        if first < 0xDC00 && self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(b"\\u")) {
            self.at += 2;
            let second = self.hex()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return char::from_u32(code).map_or_else(|| self.error("no such character"), Ok);
            }
        }
        self.error("half of a surrogate pair")
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|d| u32::from_str_radix(d, 16).ok()) else {
            return self.error("expected four hexadecimal digits");
        };
        self.at += 4;
        Ok(code)
    }
}

/// The first place from `at` on without white space.
#[inline(never)]
fn white_space(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count()
}

/// Marks the bytes of a word that are quotes, backslashes or control characters, each by its highest bit. A byte after
/// the first one marked may be marked by mistake, since a subtraction borrows from it; the first one never is.
#[inline]
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\')) & (ONES * 0x80)
}
