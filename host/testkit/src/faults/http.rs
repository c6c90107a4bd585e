//! As much of HTTP/1.1 as the proxy needs: one message per connection, of known length or in chunks.

use std::io::{Error, ErrorKind, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

/// First line and headers, without those that frame the message.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// Request or status line.
    pub first: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The head of an answer.
    pub(crate) fn answer(status: u16, content: &str) -> Self {
        Head {
            first: format!("HTTP/1.1 {status} Injected"),
            headers: vec![("content-type".to_owned(), content.to_owned())],
        }
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The whole message, after which the connection ends.
    pub(crate) fn with_body(&self, body: &[u8]) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()));
        [out.as_bytes(), body].concat()
    }
}

/// Reads one message.
pub(crate) async fn read(stream: &mut TcpStream, request: bool) -> Result<(Head, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let first = line(&mut reader).await?;
    let (mut headers, mut length, mut chunked) = (Vec::new(), None, false);
    loop {
        let line = line(&mut reader).await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(ErrorKind::InvalidData)?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        match name.as_str() {
            "content-length" => length = value.parse::<usize>().ok(),
            "transfer-encoding" => chunked = value.contains("chunked"),
            "connection" | "keep-alive" | "expect" => {}
            _ => headers.push((name, value)),
        }
    }
    let mut body = Vec::new();
    match length {
        _ if chunked => chunks(&mut reader, &mut body).await?,
        Some(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body).await?;
        }
        None if request => {}
        None => {
            reader.read_to_end(&mut body).await?;
        }
    }
    Ok((Head { first, headers }, body))
}

async fn chunks(reader: &mut BufReader<&mut TcpStream>, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let size = usize::from_str_radix(line(reader).await?.split(';').next().unwrap_or_default(), 16);
        let size = size.map_err(|_| ErrorKind::InvalidData)?;
        let mut chunk = vec![0; size];
        reader.read_exact(&mut chunk).await?;
        body.append(&mut chunk);
        line(reader).await?;
        if size == 0 {
            return Ok(());
        }
    }
}

async fn line(reader: &mut BufReader<&mut TcpStream>) -> Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).await?;
    if line.pop() != Some(b'\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    String::from_utf8(line).map(|line| line.trim_end().to_owned()).map_err(|_| Error::from(ErrorKind::InvalidData))
}
