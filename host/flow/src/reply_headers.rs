//! The headers that a plugin's reply may set. docs/listeners.md has the list with its reasons.

/// Headers of a reply.
pub const COUNT: usize = 64;
/// Bytes of their names and values.
pub const BYTES: usize = 16 << 10;

/// Headers that are the listener's: about one connection and the framing of its messages, about the site as a whole, or
/// about who may call.
const REFUSED: [&str; 17] = [
    "alt-svc",
    "clear-site-data",
    "connection",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
    "x-content-type-options",
];
/// Beginnings of further names: `cors` of the listener decides which pages may read.
const REFUSED_BEGINNINGS: [&str; 1] = ["access-control-"];

/// Checks the headers of a reply.
///
/// # Errors
/// The first header that cannot be set, and the reason.
pub fn check(headers: &[(String, String)]) -> Result<(), String> {
    if headers.len() > COUNT {
        return Err(format!("it has {} headers, at most {COUNT} are taken", headers.len()));
    }
    let bytes =
        headers.iter().map(|(name, value)| name.len().saturating_add(value.len())).fold(0, usize::saturating_add);
    if bytes > BYTES {
        return Err(format!("its headers have {bytes} bytes, at most {BYTES} are taken"));
    }
    headers.iter().try_for_each(|(name, value)| one(name, value))
}

fn one(name: &str, value: &str) -> Result<(), String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("{name:?} is not the name of a header"));
    }
    let lower = name.to_ascii_lowercase();
    if REFUSED.contains(&lower.as_str()) || REFUSED_BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning)) {
        return Err(format!("the header {name:?} is set by the listener"));
    }
    // A line break would begin another header, or another reply.
    if value.bytes().any(|byte| byte != b'\t' && (byte < b' ' || byte == 0x7f)) {
        return Err(format!("the value of the header {name:?} has control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, value: &str) -> Result<(), String> {
        check(&[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn headers_of_an_answer_are_taken() {
        for (name, value) in
            [("Location", "/a?b"), ("ETag", "\"x\""), ("Cache-Control", "max-age=60"), ("X-Mine", "ñ\t")]
        {
            assert_eq!(checked(name, value), Ok(()), "{name}");
        }
    }

    #[test]
    fn headers_of_the_connection_the_site_and_the_senders_are_not() {
        for name in REFUSED.iter().chain(&["Transfer-Encoding", "Access-Control-Allow-Origin", "CONTENT-LENGTH"]) {
            assert!(checked(name, "1").unwrap_err().contains("set by the listener"), "{name}");
        }
        for name in ["", "a b", "a:b", "a\r\nb", "ñ"] {
            assert!(checked(name, "1").unwrap_err().contains("not the name"), "{name:?}");
        }
        for value in ["a\r\nset-cookie: b", "\0", "\x7f"] {
            assert!(checked("x", value).unwrap_err().contains("control characters"), "{value:?}");
        }
        assert!(check(&vec![("x".to_owned(), String::new()); COUNT + 1]).is_err());
        assert!(checked("x", &"y".repeat(BYTES)).is_err());
    }
}
