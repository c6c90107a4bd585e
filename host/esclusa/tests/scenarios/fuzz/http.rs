//! The fuzz target of requests: bytes of a client against a listener. A request that is plain and right has to be taken, with as many
//! events as a naive reading finds; whatever else there is, the answer is one of HTTP and no fault of the router.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

pub(crate) const ROUTES: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[listener.api]
listen = "127.0.0.1:0"
[source.hooks]
kind = "http"
listener = "api"
max_body = "4KiB"
endpoints = ["POST /hooks/{Kind}"]
"#;

/// Bytes of [`ROUTES`]' `max_body`.
const MOST: usize = 4 << 10;
/// Statuses that say that the client is at fault, or that there is too much to do. 500 would be the router's fault.
const STATUSES: [u16; 16] = [200, 202, 204, 400, 404, 405, 408, 411, 413, 414, 415, 417, 429, 431, 503, 505];

/// Sends the input as it is, and reads what comes: an answer if there has to be one, else all until the end.
pub(crate) fn target(address: &str, data: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // The listener may close the connection before it has read everything.
    let _ = stream.write_all(data);
    if let Some(expected) = Expected::of(data) {
        return expected
            .compare(&read(&mut stream, |answer| answers(answer).is_some_and(|answers| !answers.is_empty())));
    }
    // A client that has ended its side may get no answer any more.
    let _ = stream.shutdown(Shutdown::Write);
    let answer = read(&mut stream, |_| false);
    // HTTP/2 answers in frames.
    if !data.starts_with(b"PRI *") {
        answers(&answer);
    }
}

/// Reads until the end, or until it is enough.
fn read(stream: &mut TcpStream, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !enough(&answer) {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "the connection stays open, after {answer:?}");
                break;
            }
        }
    }
    answer
}

/// The answers on a connection, status and body; `None`: the last one is not complete.
fn answers(mut rest: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&rest[..end]).expect("a head is a text").to_ascii_lowercase();
        let status: u16 = head.strip_prefix("http/1.").and_then(|head| head.get(2..5)?.parse().ok()).expect("a status");
        if status == 100 {
            rest = &rest[end + 4..];
            continue;
        }
        assert!(STATUSES.contains(&status), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let behind = &rest[end + 4..];
        let body = behind.get(..length)?;
        answers.push((status, body.to_vec()));
        rest = &behind[length..];
    }
    Some(answers)
}

/// The answer that a request must have.
enum Expected {
    /// It is taken, with so many events.
    Events(usize),
    /// It is refused.
    Status(u16),
}

impl Expected {
    fn compare(self, answer: &[u8]) {
        let answers = answers(answer).unwrap_or_default();
        let [(status, body)] = &answers[..] else { panic!("one request has {} answers", answers.len()) };
        let told = String::from_utf8_lossy(body);
        match self {
            Expected::Events(count) => {
                assert_eq!(*status, 202, "{told}");
                let told: serde_json::Value = serde_json::from_slice(body).unwrap();
                assert_eq!(told["ids"].as_array().unwrap().len(), count, "{told}");
            }
            Expected::Status(expected) => assert_eq!(*status, expected, "{told}"),
        }
    }

    /// `None`: the input is not exactly one plain request, and only the router knows.
    fn of(data: &[u8]) -> Option<Self> {
        let end = data.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, sent) = (std::str::from_utf8(&data[..end]).ok()?, &data[end + 4..]);
        if !head.bytes().all(|byte| byte == b'\r' || byte == b'\n' || (b' '..=b'~').contains(&byte)) {
            return None;
        }
        let mut lines = head.split("\r\n");
        let path = lines.next()?.strip_prefix("POST /hooks/")?.strip_suffix(" HTTP/1.1")?;
        if path.is_empty() || path.len() > 50 || !path.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (mut length, mut host, mut kind, mut coding) = (None, None, "", "");
        for line in lines {
            let (name, value) = line.split_once(": ")?;
            match name {
                "host" if host.is_none() && value == "a" => host = Some(value),
                "content-length" if length.is_none() && value.len() < 5 => length = Some(value.parse::<usize>().ok()?),
                "content-type" if kind.is_empty() => kind = value,
                "content-encoding" if coding.is_empty() => coding = value,
                _ => return None,
            }
        }
        if length? != sent.len() || host.is_none() || sent.len() > MOST {
            return None;
        }
        let events = |body: &[u8]| match kind {
            "application/x-ndjson" => Some(Expected::Events(lines_of(body))),
            "" | "text/plain" | "application/json" => Some(Expected::Events(1)),
            _ => None,
        };
        match coding {
            "" => events(sent),
            "gzip" => Some(match gunzip(sent) {
                Some(body) if body.len() > MOST => Expected::Status(413),
                Some(body) => return events(&body),
                None => return None,
            }),
            _ => None,
        }
    }
}

/// The lines that are not empty, without white space, byte order marks and zeros around them.
fn lines_of(body: &[u8]) -> usize {
    let mark = b"\xef\xbb\xbf";
    let rest = |mut line: &[u8]| {
        loop {
            let before = line.len();
            line = line.strip_prefix(mark).unwrap_or(line);
            line = line.strip_prefix(b"\0").unwrap_or(line);
            line = line.trim_ascii();
            if line.len() == before {
                return before;
            }
        }
    };
    body.split(|byte| *byte == b'\n').filter(|line| rest(line) > 0).count()
}

/// All of a gzip, by another way than the router's: to the end and without a limit. `None`: it is broken.
fn gunzip(packed: &[u8]) -> Option<Vec<u8>> {
    let (mut rest, mut body) = (packed, Vec::new());
    while !rest.is_empty() {
        flate2::bufread::GzDecoder::new(&mut rest).read_to_end(&mut body).ok()?;
    }
    (!packed.is_empty()).then_some(body)
}
