//! Decodes bodies that were sent compressed. The result has a limit, and decoding stops at it: however much a body
//! would become, it takes no more memory.

use crate::api_error::{ApiError, REFUSED_CODING};
use crate::bodies::{BodyBudget, BudgetedBody};
use crate::work_limits::WorkLimits;
use axum::body::Body;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use esclusa_flow::BoxFuture;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use std::io::Read;

/// Bytes that a decoder of zstd may look back. RFC 9659 asks senders to stay within it.
const WINDOW: u64 = 8 << 20;
/// The first buffer of a result.
const FIRST: usize = 64 << 10;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Coding {
    /// The coding that a request declares.
    ///
    /// # Errors
    /// The coding is unknown, or there are several.
    pub fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut declared = headers.get_all(CONTENT_ENCODING).iter();
        let (first, second) = (declared.next(), declared.next());
        let word = first.map_or("identity", |value| value.to_str().unwrap_or("?"));
        match (word.trim().to_ascii_lowercase().as_str(), second) {
            ("" | "identity", None) => Ok(Coding::Identity),
            ("gzip" | "x-gzip", None) => Ok(Coding::Gzip),
            ("zstd", None) => Ok(Coding::Zstd),
            _ => {
                let why = "the body may be sent as it is, or with one coding: gzip or zstd";
                Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why).code(REFUSED_CODING))
            }
        }
    }

    /// Decodes a body into at most `most` bytes.
    ///
    /// # Errors
    /// It becomes larger, or it is broken.
    fn decode(self, body: Vec<u8>, most: usize) -> Result<Vec<u8>, ApiError> {
        match self {
            Coding::Identity => Ok(body),
            Coding::Gzip => read_all(MultiGzDecoder::new(body.as_slice()), most),
            Coding::Zstd => {
                let mut rest = body.as_slice();
                let mut decoded = Vec::new();
                // A body may have several frames.
                while !rest.is_empty() {
                    let left = most.saturating_sub(decoded.len());
                    let mut decoder =
                        StreamingDecoder::new_with_max_window_size(rest, WINDOW).map_err(|error| broken(&error))?;
                    decoded.extend(read_all(&mut decoder, left)?);
                    rest = decoder.into_inner();
                }
                Ok(decoded)
            }
        }
    }
}

/// Receives the whole body of a request with these headers, and decodes it; it may have `most` bytes, before and after.
///
/// # Errors
/// The body is larger, broken, encoded in another way, breaks off, or gets no share of the budget.
pub fn read<'a>(
    limits: (&'a WorkLimits, &'a BodyBudget),
    headers: &'a HeaderMap,
    body: Body,
    most: usize,
) -> BoxFuture<'a, Result<BudgetedBody, ApiError>> {
    Box::pin(async move {
        let coding = Coding::of(headers)?;
        let mut held = limits.1.read(headers, body, most).await?;
        decode(limits, coding, &mut held, most).await?;
        Ok(held)
    })
}

/// Decodes a body that was received; it may become `most` bytes.
///
/// # Errors
/// It becomes larger, it is broken, or there is no room for it.
pub async fn decode(
    (work, bodies): (&WorkLimits, &BodyBudget),
    coding: Coding,
    held: &mut BudgetedBody,
    most: usize,
) -> Result<(), ApiError> {
    if coding == Coding::Identity {
        return Ok(());
    }
    let decoded: BoxFuture<'_, _> = Box::pin(async move {
        // Taken before the body is decoded: afterwards it would be too late to refuse it.
        bodies.grow(held, held.share().saturating_add(most)).await?;
        let sent = std::mem::take(&mut held.data);
        held.data = work.parsing.run(move || coding.decode(sent, most)).await??;
        Ok(())
    });
    decoded.await
}

fn read_all(decoder: impl Read, most: usize) -> Result<Vec<u8>, ApiError> {
    let mut decoded = Vec::with_capacity(FIRST.min(most));
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut decoded).map_err(|error| broken(&error))?;
    if decoded.len() > most {
        let why = format!("the decoded body is too large: it may have {most} bytes here (max_body)");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, why).code("limit.body"));
    }
    Ok(decoded)
}

fn broken(why: &dyn std::error::Error) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, format!("the body cannot be decoded: {why}")).code("http.coding")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use flate2::Compression;
    use flate2::read::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        GzEncoder::new(data, Compression::fast()).read_to_end(&mut packed).unwrap();
        packed
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        compress_to_vec(data, CompressionLevel::Fastest)
    }

    fn status(refused: ApiError) -> u16 {
        refused.into_response().status().as_u16()
    }

    #[test]
    fn a_body_becomes_what_was_sent_in_one_piece_or_several() {
        let text = b"{\"id\": 1}\n".repeat(1000);
        for (coding, packed) in [(Coding::Gzip, gzip(&text)), (Coding::Zstd, zstd(&text))] {
            assert!(packed.len() < text.len());
            assert_eq!(coding.decode(packed.clone(), 1 << 20).unwrap(), text);
            assert_eq!(coding.decode(packed.repeat(2), 1 << 20).unwrap(), text.repeat(2), "{coding:?}");
            assert_eq!(status(coding.decode(packed.repeat(2), text.len()).unwrap_err()), 413);
            assert_eq!(status(coding.decode(packed[..packed.len() / 2].to_vec(), 1 << 20).unwrap_err()), 400);
            assert_eq!(status(coding.decode(b"no".to_vec(), 1 << 20).unwrap_err()), 400);
        }
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let zeros = vec![0; 64 << 20];
        for (coding, bomb) in [(Coding::Gzip, gzip(&zeros)), (Coding::Zstd, zstd(&zeros))] {
            assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
            assert_eq!(status(coding.decode(bomb, 1 << 20).unwrap_err()), 413);
        }
        // A frame whose header asks for a window of 128 GiB.
        let greedy = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xd8, 0x01, 0x00, 0x00];
        assert_eq!(status(Coding::Zstd.decode(greedy.to_vec(), 1 << 20).unwrap_err()), 400);
    }

    #[test]
    fn one_known_coding_or_none_is_taken() {
        let of = |values: &[&str]| {
            let headers = values.iter().map(|value| (CONTENT_ENCODING, value.parse().unwrap()));
            Coding::of(&headers.collect()).map_err(status)
        };
        assert_eq!(of(&[]), Ok(Coding::Identity));
        assert_eq!(of(&["GZip"]), Ok(Coding::Gzip));
        assert_eq!(of(&["zstd"]), Ok(Coding::Zstd));
        for refused in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["deflate"]] {
            assert_eq!(of(refused), Err(415), "{refused:?}");
        }
    }
}
