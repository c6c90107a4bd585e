//! Decodes bodies that were sent compressed. The result has a limit, and decoding stops at it: however much a body
//! would become, it takes no more memory. The share of the budget grows with the result, in steps, and then is what the
//! result takes, not what it might have become.

use crate::api_error::{ApiError, REFUSED_CODING};
use crate::bodies::{BodyBudget, BudgetedBody, COPIES};
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
/// The first buffer of a result, and the least room for one.
const FIRST: usize = 64 << 10;
/// The room for a result at first, as a multiple of the body as it was sent. Most JSON becomes no larger.
const RATIO: usize = 8;
/// Each further step has so many times the room of the last one: all steps together cost little more than the last one.
const STEP: usize = 4;

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

    /// Decodes a body into at most `most` bytes; `None`: it becomes larger.
    ///
    /// # Errors
    /// It is broken.
    fn decode(self, body: &[u8], most: usize) -> Result<Option<Vec<u8>>, ApiError> {
        let mut decoded = Vec::with_capacity(FIRST.min(most));
        match self {
            Coding::Identity => decoded.extend_from_slice(body.get(..most.saturating_add(1)).unwrap_or(body)),
            Coding::Gzip => read_all(MultiGzDecoder::new(body), &mut decoded, most)?,
            Coding::Zstd => {
                let mut rest = body;
                // A body may have several frames.
                while !rest.is_empty() && decoded.len() <= most {
                    let mut decoder =
                        StreamingDecoder::new_with_max_window_size(rest, WINDOW).map_err(|error| broken(&error))?;
                    read_all(&mut decoder, &mut decoded, most)?;
                    rest = decoder.into_inner();
                }
            }
        }
        Ok(Some(decoded).filter(|decoded| decoded.len() <= most))
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

/// Decodes a body that was received; it may become `most` bytes. Then its share is that of a body which was sent like this.
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
        let mut sent = std::mem::take(&mut held.data);
        let mut room = sent.len().saturating_mul(RATIO).max(FIRST).min(most);
        loop {
            // Taken before the body is decoded: afterwards it would be too late to refuse it. No more than it may need at
            // this step: how large it becomes is not known, and nearly all become far smaller than they may.
            bodies.resize(held, sent.len().saturating_add(room)).await?;
            let (decoded, again) = work.parsing.run(move || (coding.decode(&sent, room), sent)).await?;
            match decoded? {
                Some(decoded) => {
                    held.data = decoded;
                    break;
                }
                None if room == most => return Err(too_large(most)),
                // Begun anew: a decoder that waits for room would keep its window, which no budget counts.
                None => (sent, room) = (again, room.saturating_mul(STEP).min(most)),
            }
        }
        let bytes = held.data.len().saturating_mul(COPIES);
        bodies.resize(held, bytes).await
    });
    decoded.await
}

/// Reads to the end, or until more than `most` bytes are there.
fn read_all(decoder: impl Read, decoded: &mut Vec<u8>, most: usize) -> Result<(), ApiError> {
    let left = u64::try_from(most.saturating_sub(decoded.len())).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(left).read_to_end(decoded).map_err(|error| broken(&error))?;
    Ok(())
}

fn too_large(most: usize) -> ApiError {
    let why = format!("the decoded body is too large: it may have {most} bytes here (max_body)");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, why).code("limit.body")
}

fn broken(why: &dyn std::error::Error) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, format!("the body cannot be decoded: {why}")).code("http.coding")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::CONTENT_LENGTH;
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
            assert_eq!(coding.decode(&packed, text.len()).unwrap().unwrap(), text);
            assert_eq!(coding.decode(&packed, text.len() - 1).unwrap(), None);
            assert_eq!(coding.decode(&packed.repeat(2), 1 << 20).unwrap().unwrap(), text.repeat(2), "{coding:?}");
            assert_eq!(coding.decode(&packed.repeat(2), text.len()).unwrap(), None);
            assert_eq!(status(coding.decode(&packed[..packed.len() / 2], 1 << 20).unwrap_err()), 400);
            assert_eq!(status(coding.decode(b"no", 1 << 20).unwrap_err()), 400);
        }
    }

    /// Receives and decodes a body within a budget; gives what it holds then.
    async fn received(bodies: &BodyBudget, coding: &str, sent: Vec<u8>, most: usize) -> Result<BudgetedBody, u16> {
        let work = WorkLimits::new(tokio::runtime::Handle::current());
        let headers = [(CONTENT_ENCODING, coding.parse().unwrap()), (CONTENT_LENGTH, sent.len().into())];
        read((&work, bodies), &headers.into_iter().collect(), Body::from(sent), most).await.map_err(status)
    }

    #[tokio::test]
    async fn a_decoded_body_has_the_share_of_one_that_was_sent_like_this() {
        let (bodies, text) = (BodyBudget::default(), b"{\"id\": 1}\n".repeat(200_000));
        for (coding, packed) in [("gzip", gzip(&text)), ("zstd", zstd(&text))] {
            let held = received(&bodies, coding, packed, 256 << 20).await.ok().unwrap();
            assert_eq!((held.data == text, held.share()), (true, (COPIES * text.len()).next_multiple_of(1024)));
        }
    }

    #[tokio::test]
    async fn small_bodies_leave_room_for_others_whatever_they_might_have_become() {
        let bodies = BodyBudget::small(8 << 20);
        let mut held = Vec::new();
        for most in [1 << 20, 4 << 20, 256 << 20] {
            for (coding, packed) in [("gzip", gzip(b"{}")), ("zstd", zstd(b"{}"))] {
                held.push(received(&bodies, coding, packed, most).await.ok().unwrap());
            }
        }
        assert!(held.iter().all(|held| held.data == b"{}" && held.share() == 1024));
        let large = received(&bodies, "gzip", gzip(&vec![b' '; 2 << 20]), 2 << 20).await;
        assert_eq!(large.ok().unwrap().share(), COPIES * (2 << 20));
    }

    #[tokio::test]
    async fn a_body_that_becomes_larger_than_the_budget_with_its_copies_goes_alone() {
        let bodies = BodyBudget::small(4 << 20);
        let held = received(&bodies, "gzip", gzip(&vec![b' '; 3 << 20]), 8 << 20).await.ok().unwrap();
        assert_eq!((held.data.len(), held.share()), (3 << 20, 4 << 20));
        assert_eq!(received(&bodies, "gzip", gzip(b"{}"), 1 << 20).await.err(), Some(503), "all room is taken");
        drop(held);
        let bomb = gzip(&vec![b' '; 9 << 20]);
        assert_eq!(received(&bodies, "gzip", bomb, 8 << 20).await.err(), Some(413));
        assert!(received(&bodies, "gzip", gzip(b"{}"), 1 << 20).await.is_ok());
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let zeros = vec![0; 64 << 20];
        for (coding, bomb) in [(Coding::Gzip, gzip(&zeros)), (Coding::Zstd, zstd(&zeros))] {
            assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
            assert_eq!(coding.decode(&bomb, 1 << 20).unwrap(), None);
        }
        // A frame whose header asks for a window of 128 GiB.
        let greedy = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xd8, 0x01, 0x00, 0x00];
        assert_eq!(status(Coding::Zstd.decode(&greedy, 1 << 20).unwrap_err()), 400);
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
