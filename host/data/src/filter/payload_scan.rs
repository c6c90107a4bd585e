//! Reads a payload in place, once, and passes the fields that patterns name to their evaluation. The rest is skipped, but
//! read as well: whether it is JSON shows only at its end.
//!
//! A text is JSON if `serde_json` takes it for JSON; a test compares the two. `serde_json` cannot do the reading: it
//! loses digits of numbers and refuses halves of surrogate pairs, except through `RawValue`, which reads a value once more
//! for each level that it lies in.

use super::effort::Undecided;
use super::evaluation::Evaluation;
use super::program::ROOT;
use super::value_check::Leaf;
use std::borrow::Cow;

/// Deepest nesting of a payload; the limit of `serde_json`, which plugins parse it with.
const MAX_DEPTH: usize = 127;

/// Bytes that are read before steps are spent for them.
const PAYMENT: usize = 256;

/// Why a payload was not read to its end.
enum ScanEnd {
    /// It is no JSON, or no object if one was expected.
    Other,
    /// There is no answer.
    Undecided(Undecided),
}

impl From<Undecided> for ScanEnd {
    fn from(why: Undecided) -> Self {
        ScanEnd::Undecided(why)
    }
}

/// A payload that is being read.
struct Scan<'a, 'e, 'p, 'w> {
    text: &'a str,
    at: usize,
    /// Up to where steps were spent.
    paid: usize,
    depth: usize,
    evaluation: &'e mut Evaluation<'p, 'w>,
}

/// Reads a payload as the value of a node that was entered; false if it is no JSON.
pub(super) fn payload(evaluation: &mut Evaluation<'_, '_>, at: usize, data: &[u8]) -> Result<bool, Undecided> {
    scan(evaluation, data, |scan| scan.value(Some(at)))
}

/// Reads the fields of a payload as fields of the document; false if it is no object.
pub(super) fn record(evaluation: &mut Evaluation<'_, '_>, data: &[u8]) -> Result<bool, Undecided> {
    scan(evaluation, data, |scan| {
        scan.space();
        if scan.peek() == Some(b'{') { scan.members(Some(ROOT)) } else { Err(ScanEnd::Other) }
    })
}

fn scan<'p, 'w>(
    evaluation: &mut Evaluation<'p, 'w>,
    data: &[u8],
    read: impl FnOnce(&mut Scan<'_, '_, 'p, 'w>) -> Result<(), ScanEnd>,
) -> Result<bool, Undecided> {
    evaluation.effort.spend(data.len())?;
    let Ok(text) = std::str::from_utf8(data) else { return Ok(false) };
    let mut scan = Scan { text, at: 0, paid: 0, depth: 0, evaluation };
    match read(&mut scan).and_then(|()| scan.end()) {
        Ok(()) => Ok(true),
        Err(ScanEnd::Other) => Ok(false),
        Err(ScanEnd::Undecided(why)) => Err(why),
    }
}

impl<'a> Scan<'a, '_, '_, '_> {
    fn value(&mut self, node: Option<usize>) -> Result<(), ScanEnd> {
        self.space();
        match self.peek() {
            Some(b'{') => self.object(node)?,
            Some(b'[') => self.array(node)?,
            Some(b'"') => {
                let string = self.string()?;
                if let Some(node) = node {
                    self.evaluation.leaf(node, Leaf::Text(&string.text()))?;
                }
            }
            Some(b't') => self.literal("true", node, Leaf::Boolean(true))?,
            Some(b'f') => self.literal("false", node, Leaf::Boolean(false))?,
            Some(b'n') => self.literal("null", node, Leaf::Null)?,
            _ => {
                let number = self.number()?;
                if let Some(node) = node {
                    self.evaluation.leaf(node, Leaf::number(number))?;
                }
            }
        }
        // Not for every little value, which would cost more than to read it.
        if self.at.saturating_sub(self.paid) >= PAYMENT { self.pay() } else { Ok(()) }
    }

    fn object(&mut self, node: Option<usize>) -> Result<(), ScanEnd> {
        let began = self.evaluation.now();
        self.members(node)?;
        if let Some(node) = node {
            self.evaluation.finish(node, began)?;
        }
        Ok(())
    }

    /// The fields of an object. A name that nobody asks for costs no more than its bytes.
    fn members(&mut self, node: Option<usize>) -> Result<(), ScanEnd> {
        self.descend()?;
        let mut more = !self.closes(b'}');
        while more {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(ScanEnd::Other);
            }
            let name = self.string()?;
            self.space();
            self.take(b':')?;
            let field = match node {
                Some(node) => self.evaluation.field(node, &name.text()),
                None => None,
            };
            if let Some(field) = field {
                self.evaluation.enter(field);
            }
            self.value(field)?;
            more = self.goes_on(b'}')?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self, node: Option<usize>) -> Result<(), ScanEnd> {
        self.descend()?;
        if self.closes(b']') {
            node.into_iter().for_each(|node| self.evaluation.blank(node));
        } else {
            self.value(node)?;
            while self.goes_on(b']')? {
                self.value(node)?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads a string.
    fn string(&mut self) -> Result<Quoted<'a>, ScanEnd> {
        let (from, mut escaped) = (self.at, false);
        self.take(b'"')?;
        loop {
            self.at += plain(self.rest());
            if self.skips(b"\"") {
                return Ok(Quoted { string: self.since(from), escaped });
            }
            self.take(b'\\')?;
            escaped = true;
            let digits = match self.next() {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
                Some(b'u') => 4,
                _ => return Err(ScanEnd::Other),
            };
            for _ in 0..digits {
                self.next().filter(u8::is_ascii_hexdigit).ok_or(ScanEnd::Other)?;
            }
        }
    }

    /// Reads a number.
    fn number(&mut self) -> Result<&'a str, ScanEnd> {
        let from = self.at;
        self.skips(b"-");
        if !self.skips(b"0") {
            self.digits()?;
        }
        if self.skips(b".") {
            self.digits()?;
        }
        if self.skips(b"eE") {
            self.skips(b"+-");
            self.digits()?;
        }
        Ok(self.since(from))
    }

    /// Passes at least one digit.
    fn digits(&mut self) -> Result<(), ScanEnd> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits > 0 { Ok(()) } else { Err(ScanEnd::Other) }
    }

    fn literal(&mut self, word: &str, node: Option<usize>, leaf: Leaf<'_>) -> Result<(), ScanEnd> {
        word.bytes().try_for_each(|byte| self.take(byte))?;
        if let Some(node) = node {
            self.evaluation.leaf(node, leaf)?;
        }
        Ok(())
    }

    /// Passes the bracket that opens an object or an array.
    fn descend(&mut self) -> Result<(), ScanEnd> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(ScanEnd::Other) } else { Ok(()) }
    }

    /// True if an object or array closes at once; passes the bracket.
    fn closes(&mut self, bracket: u8) -> bool {
        self.space();
        self.skips(&[bracket])
    }

    /// True if something follows in an object or array; passes the comma or the bracket.
    fn goes_on(&mut self, bracket: u8) -> Result<bool, ScanEnd> {
        self.space();
        match self.next() {
            Some(b',') => Ok(true),
            Some(byte) if byte == bracket => Ok(false),
            _ => Err(ScanEnd::Other),
        }
    }

    /// Nothing may follow.
    fn end(&mut self) -> Result<(), ScanEnd> {
        self.space();
        self.pay()?;
        if self.rest().is_empty() { Ok(()) } else { Err(ScanEnd::Other) }
    }

    /// Spends a step for each byte that was read since the last time.
    fn pay(&mut self) -> Result<(), ScanEnd> {
        let steps = self.at.saturating_sub(self.paid);
        self.paid = self.at;
        Ok(self.evaluation.effort.spend(steps)?)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), ScanEnd> {
        if self.next() == Some(byte) { Ok(()) } else { Err(ScanEnd::Other) }
    }

    /// Passes one of these bytes, if it is next.
    fn skips(&mut self, bytes: &[u8]) -> bool {
        let skips = self.peek().is_some_and(|byte| bytes.contains(&byte));
        self.at += usize::from(skips);
        skips
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn since(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }
}

/// How many bytes of a string stand for themselves before a quote, a backslash, a control character or the end. Eight at a
/// time: most of a payload is strings.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of each byte that is below the bound. Of those above the first one it may be set wrongly.
        let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGH;
        let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let ends = below(word, b' ') | equal(b'"') | equal(b'\\');
        if ends != 0 {
            return 8 * at + ends.trailing_zeros() as usize / 8;
        }
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    8 * words.len() + rest.iter().position(ends).unwrap_or(rest.len())
}

/// A string of a payload.
struct Quoted<'a> {
    /// With its quotes.
    string: &'a str,
    /// There is a backslash in it.
    escaped: bool,
}

impl<'a> Quoted<'a> {
    /// What it says. One that stands for no text, because of half a surrogate pair, stays as it is written.
    fn text(&self) -> Cow<'a, str> {
        let said = if self.escaped { serde_json::from_str(self.string).ok() } else { None };
        let written = || self.string.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
        said.map_or_else(|| Cow::Borrowed(written()), Cow::Owned)
    }
}
