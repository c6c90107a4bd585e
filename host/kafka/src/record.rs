//! A record of a topic as an event, and back: key, headers, timestamp, and the absence of a value.
//!
//! Headers are attributes `header.NAME`; the second of a name is `header.NAME.2`. A value that is no text is in base64, and its
//! attribute ends in `;base64`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use esclusa_flow::batch::{Claim, Token};
use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::hops;
use esclusa_flow::verdict::Reason;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Prefix of the attributes that are headers.
const HEADER: &str = "header.";
/// End of the name of an attribute whose value is in base64.
const BINARY: &str = ";base64";
/// The attribute of a record without value, which in a compacted topic deletes its key.
const TOMBSTONE: &str = "tombstone";
/// The attribute of a record whose key is no text, and is given in base64.
const BINARY_KEY: &str = "key;base64";

/// A record as it was read.
pub(crate) struct Record<'m> {
    /// Its offset.
    pub offset: i64,
    /// When it was made or stored, as the topic has it, milliseconds since the Unix epoch.
    pub timestamp: u64,
    key: Cow<'m, str>,
    data: Cow<'m, [u8]>,
    attributes: Vec<(String, Cow<'m, str>)>,
    /// How many routes it has come by.
    hops: u32,
    /// Why no plugin gets it.
    refused: Option<&'static str>,
}

impl<'m> Record<'m> {
    /// Reads a message.
    pub(crate) fn of(message: &'m BorrowedMessage<'_>) -> Self {
        let mut attributes = Vec::new();
        let key = message.key().map_or(Ok(""), text);
        let key = match key {
            Ok(key) => Cow::Borrowed(key),
            Err(bytes) => {
                attributes.push((BINARY_KEY.to_owned(), Cow::Borrowed("true")));
                Cow::Owned(BASE64.encode(bytes))
            }
        };
        if message.payload().is_none() {
            attributes.push((TOMBSTONE.to_owned(), Cow::Borrowed("true")));
        }
        // The client library panics if the name of a header is not UTF-8, and anyone who may write to the topic may write that.
        let headers = catch_unwind(AssertUnwindSafe(|| message.headers().map(read_headers).unwrap_or_default()));
        let refused = headers.is_err().then_some("the name of a header is not UTF-8 text");
        attributes.extend(headers.unwrap_or_default());
        let hops = take_hops(&mut attributes);
        Record {
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().and_then(|at| u64::try_from(at).ok()).unwrap_or_default(),
            key,
            data: Cow::Borrowed(message.payload().unwrap_or_default()),
            attributes,
            hops,
            refused,
        }
    }

    /// The record on its own, without the message that it was read from.
    pub(crate) fn into_owned(self) -> Record<'static> {
        let owned = |(name, value): (String, Cow<'m, str>)| (name, Cow::Owned(value.into_owned()));
        Record {
            offset: self.offset,
            timestamp: self.timestamp,
            key: Cow::Owned(self.key.into_owned()),
            data: Cow::Owned(self.data.into_owned()),
            attributes: self.attributes.into_iter().map(owned).collect(),
            hops: self.hops,
            refused: self.refused,
        }
    }

    /// Bytes that it takes in columns, with an id of `id` bytes.
    pub(crate) fn size(&self, id: usize) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
        id + self.key.len() + self.data.len() + attributes + 44
    }

    /// Appends it to a batch under `id`, with its claim.
    ///
    /// # Errors
    /// A [`Fault`] if the batch would be larger than an event can say.
    pub(crate) fn push(&self, id: &str, columns: &mut Columns, claims: &mut Vec<Claim>) -> Result<(), Fault> {
        let attributes: Vec<(&str, &str)> = self.attributes.iter().map(|(n, v)| (n.as_str(), v.as_ref())).collect();
        let event = NewEvent {
            id,
            key: &self.key,
            data: &self.data,
            attributes: &attributes,
            timestamp: self.timestamp,
            attempt: 1,
        };
        columns.push(&event).map_err(|e| Fault::Permanent(e.to_string()))?;
        let token = Token::Offset(u64::try_from(self.offset).unwrap_or_default());
        let claim = match self.refused {
            Some(why) => Claim::refused(token, Reason::new("kafka.header", why)),
            None => Claim::new(token),
        };
        claims.push(claim.with_hops(self.hops));
        Ok(())
    }
}

/// Bytes as text, or the bytes if they are none.
fn text(bytes: &[u8]) -> Result<&str, &[u8]> {
    std::str::from_utf8(bytes).map_err(|_| bytes)
}

fn read_headers<'m, H: Headers>(headers: &'m H) -> Vec<(String, Cow<'m, str>)> {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut attributes = Vec::with_capacity(headers.count());
    for header in headers.iter() {
        let times = seen.entry(header.key).or_default();
        *times = times.saturating_add(1);
        let number = if *times > 1 { format!(".{times}") } else { String::new() };
        let name = format!("{HEADER}{}{number}", header.key);
        attributes.push(match text(header.value.unwrap_or_default()) {
            Ok(value) => (name, Cow::Borrowed(value)),
            Err(bytes) => (name + BINARY, Cow::Owned(BASE64.encode(bytes))),
        });
    }
    attributes
}

/// Takes the count of hops off the attributes of a record; it may have been given several times.
fn take_hops(attributes: &mut Vec<(String, Cow<'_, str>)>) -> u32 {
    let header = format!("{HEADER}{}", hops::ATTRIBUTE);
    let again = format!("{header}.");
    for (name, _) in attributes.iter_mut() {
        if name.strip_prefix(&again).is_some_and(|number| number.parse::<u32>().is_ok()) {
            name.clone_from(&header);
        }
    }
    hops::take(attributes, &header)
}

/// What a message of a plugin is as a record.
pub(crate) struct Outgoing<'a> {
    /// Its key.
    pub key: Option<Cow<'a, [u8]>>,
    /// Its value; `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: OwnedHeaders,
}

impl<'a> Outgoing<'a> {
    /// The record of a message with these parts. Attributes become headers: `header.NAME` is NAME, any other keeps its name.
    pub(crate) fn of(key: Option<&'a str>, data: &'a [u8], attributes: &'a [(String, String)]) -> Self {
        let says = |name: &str| attributes.iter().any(|(n, v)| n == name && v == "true");
        let key = key.filter(|key| !key.is_empty()).map(|key| match BASE64.decode(key) {
            Ok(bytes) if says(BINARY_KEY) => Cow::Owned(bytes),
            _ => Cow::Borrowed(key.as_bytes()),
        });
        let mut headers = OwnedHeaders::new_with_capacity(attributes.len());
        for (name, value) in attributes {
            if name == TOMBSTONE || name == BINARY_KEY {
                continue;
            }
            let header = name.strip_prefix(HEADER).unwrap_or(name);
            let decoded = header.strip_suffix(BINARY).and_then(|plain| Some((plain, BASE64.decode(value).ok()?)));
            let (header, value) = match &decoded {
                Some((plain, bytes)) => (*plain, bytes.as_slice()),
                None => (header, value.as_bytes()),
            };
            // A name with a zero byte cannot be a header.
            if !header.contains('\0') {
                headers = headers.insert(Header { key: repeated(name, header, attributes), value: Some(value) });
            }
        }
        let tombstone = data.is_empty() && says(TOMBSTONE);
        Outgoing { key, value: (!tombstone).then_some(data), headers }
    }
}

/// The name of a header whose attribute has a number, because another one with the same name came before.
fn repeated<'a>(attribute: &str, header: &'a str, attributes: &[(String, String)]) -> &'a str {
    let Some((name, number)) = header.rsplit_once('.') else { return header };
    let numbered = attribute.starts_with(HEADER) && number.parse::<u32>().is_ok_and(|number| number > 1);
    let first = |(other, _): &(String, String)| {
        other.strip_prefix(HEADER).is_some_and(|other| other.strip_suffix(BINARY).unwrap_or(other) == name)
    };
    if numbered && attributes.iter().any(first) { name } else { header }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(attributes: &[(&str, &str)]) -> Vec<(String, String)> {
        attributes.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn headers_of_a_record_are_written_as_they_were_read() {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "trace", value: Some("one") })
            .insert(Header { key: "trace", value: Some("two") })
            .insert(Header { key: "raw", value: Some(&[0xff_u8, 0][..]) })
            .insert(Header { key: "none", value: None::<&str> });
        let read: Vec<_> = read_headers(&headers).into_iter().map(|(n, v)| (n, v.into_owned())).collect();
        assert_eq!(
            read,
            owned(&[
                ("header.trace", "one"),
                ("header.trace.2", "two"),
                ("header.raw;base64", "/wA="),
                ("header.none", "")
            ])
        );
        let written = Outgoing::of(Some("k"), b"v", &read).headers;
        let written: Vec<_> = written.iter().map(|h| (h.key, h.value.unwrap_or_default().to_vec())).collect();
        assert_eq!(
            written,
            [("trace", b"one".to_vec()), ("trace", b"two".to_vec()), ("raw", vec![0xff, 0]), ("none", Vec::new())]
        );
    }

    #[test]
    fn the_count_of_hops_is_a_header_that_is_no_attribute_of_the_event() {
        let headers =
            Outgoing::of(None, b"", &owned(&[("trace", "1"), (hops::ATTRIBUTE, "3"), ("header.esclusa-hops", "5")]))
                .headers;
        let mut read = read_headers(&headers);
        assert_eq!(take_hops(&mut read), 5);
        assert_eq!(read, [("header.trace".to_owned(), Cow::Borrowed("1"))]);
    }

    #[test]
    fn a_tombstone_is_no_empty_value() {
        let attributes = owned(&[("tombstone", "true")]);
        assert!(Outgoing::of(Some("k"), b"", &attributes).value.is_none());
        assert_eq!(Outgoing::of(Some("k"), b"", &[]).value, Some(&b""[..]));
        assert_eq!(Outgoing::of(Some("k"), b"x", &attributes).value, Some(&b"x"[..]), "a value is never dropped");
    }

    #[test]
    fn a_key_that_is_no_text_is_written_as_it_was_read() {
        let attributes = owned(&[("key;base64", "true")]);
        assert_eq!(Outgoing::of(Some("/wA="), b"", &attributes).key.as_deref(), Some(&[0xff_u8, 0][..]));
        assert_eq!(Outgoing::of(Some("abcd"), b"", &[]).key.as_deref(), Some(&b"abcd"[..]));
        assert!(Outgoing::of(Some(""), b"", &[]).key.is_none());
    }
}
