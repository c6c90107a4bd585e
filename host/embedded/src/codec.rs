//! Bytes on disk: lengths as variable-size numbers, then contents. Items, tokens and the parts of records.

use esclusa_flow::batch::Token;
use esclusa_flow::fault::Fault;
use esclusa_flow::item::{Item, Value};

/// Appends a number, seven bits a byte, the least significant first.
pub(crate) fn push_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes with their length before them.
pub(crate) fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    push_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Stored bytes that this crate cannot have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

impl From<Damaged> for Fault {
    fn from(_: Damaged) -> Self {
        Fault::Permanent("the store holds bytes that it cannot have written: it is damaged, restore a copy".to_owned())
    }
}

/// Reads bytes that the `push` functions wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByteReader<'a>(pub &'a [u8]);

impl<'a> ByteReader<'a> {
    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    /// The next bytes with a length before them.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let len = usize::try_from(self.number()?).map_err(|_| Damaged)?;
        self.fixed(len)
    }

    /// The next `len` bytes.
    pub(crate) fn fixed(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
        self.0 = rest;
        Ok(head)
    }

    /// The next text.
    pub(crate) fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Damaged)
    }

    /// The next number of eight bytes.
    pub(crate) fn fixed_number(&mut self) -> Result<u64, Damaged> {
        let bytes = self.fixed(8)?;
        Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| Damaged)?))
    }
}

/// The last eight bytes of a key as a number.
pub(crate) fn trailing_number(key: &[u8]) -> Result<u64, Damaged> {
    let bytes = key.last_chunk::<8>().ok_or(Damaged)?;
    Ok(u64::from_be_bytes(*bytes))
}

/// Appends an item.
pub(crate) fn push_item(item: &Item, out: &mut Vec<u8>) {
    push_number(item.0.len() as u64, out);
    for (name, value) in &item.0 {
        push_bytes(name.as_bytes(), out);
        push_value(value, out);
    }
}

fn push_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => push_tagged(0, text.as_bytes(), out),
        Value::Number(text) => push_tagged(1, text.as_bytes(), out),
        Value::Binary(bytes) => push_tagged(2, bytes, out),
        Value::Boolean(yes) => out.push(3 + u8::from(*yes)),
        Value::Null => out.push(5),
        Value::TextSet(texts) => push_set(6, texts, out),
        Value::NumberSet(texts) => push_set(7, texts, out),
        Value::Document(json) => push_tagged(8, json.as_bytes(), out),
    }
}

fn push_tagged(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    push_bytes(bytes, out);
}

fn push_set(tag: u8, texts: &[String], out: &mut Vec<u8>) {
    out.push(tag);
    push_number(texts.len() as u64, out);
    texts.iter().for_each(|text| push_bytes(text.as_bytes(), out));
}

/// The item that [`push_item`] wrote.
pub(crate) fn read_item(bytes: &[u8]) -> Result<Item, Damaged> {
    let mut reader = ByteReader(bytes);
    let count = reader.number()?;
    let mut attributes = Vec::with_capacity(count.min(1024) as usize);
    for _ in 0..count {
        attributes.push((reader.text()?.to_owned(), read_value(&mut reader)?));
    }
    Ok(Item(attributes))
}

fn read_value(reader: &mut ByteReader<'_>) -> Result<Value, Damaged> {
    Ok(match reader.byte()? {
        0 => Value::Text(reader.text()?.to_owned()),
        1 => Value::Number(reader.text()?.to_owned()),
        2 => Value::Binary(reader.bytes()?.to_vec()),
        3 => Value::Boolean(false),
        4 => Value::Boolean(true),
        5 => Value::Null,
        6 => Value::TextSet(read_set(reader)?),
        7 => Value::NumberSet(read_set(reader)?),
        8 => Value::Document(reader.text()?.to_owned()),
        _ => return Err(Damaged),
    })
}

fn read_set(reader: &mut ByteReader<'_>) -> Result<Vec<String>, Damaged> {
    (0..reader.number()?).map(|_| Ok(reader.text()?.to_owned())).collect()
}

/// A token as bytes.
pub(crate) fn token_bytes(token: &Token) -> Vec<u8> {
    match token {
        Token::Offset(offset) => [&[0][..], &offset.to_be_bytes()].concat(),
        Token::Text(text) => [&[1][..], text.as_bytes()].concat(),
    }
}

/// The token that [`token_bytes`] wrote.
pub(crate) fn read_token(bytes: &[u8]) -> Result<Token, Damaged> {
    match bytes.split_first() {
        Some((0, rest)) => Ok(Token::Offset(ByteReader(rest).fixed_number()?)),
        Some((1, rest)) => Ok(Token::Text(std::str::from_utf8(rest).map_err(|_| Damaged)?.into())),
        _ => Err(Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::Text),
            "-?[0-9]{1,9}".prop_map(Value::Number),
            any::<Vec<u8>>().prop_map(Value::Binary),
            any::<bool>().prop_map(Value::Boolean),
            Just(Value::Null),
            any::<Vec<String>>().prop_map(Value::TextSet),
            any::<Vec<String>>().prop_map(Value::NumberSet),
            any::<String>().prop_map(Value::Document),
        ]
    }

    proptest! {
        #[test]
        fn items_come_back_as_they_were(attributes in proptest::collection::vec((any::<String>(), values()), 0..8)) {
            let item = Item(attributes);
            let mut bytes = Vec::new();
            push_item(&item, &mut bytes);
            prop_assert_eq!(read_item(&bytes), Ok(item));
        }

        #[test]
        fn damaged_bytes_are_refused_without_panic(bytes in any::<Vec<u8>>()) {
            let _ = read_item(&bytes);
            let _ = read_token(&bytes);
        }

        #[test]
        fn numbers_come_back(number in any::<u64>()) {
            let mut bytes = Vec::new();
            push_number(number, &mut bytes);
            prop_assert_eq!(ByteReader(&bytes).number(), Ok(number));
        }
    }

    #[test]
    fn tokens_come_back() {
        for token in [Token::Offset(0), Token::Offset(u64::MAX), Token::Text("".into()), Token::Text("a-1".into())] {
            assert_eq!(read_token(&token_bytes(&token)), Ok(token));
        }
    }
}
