//! Answers to requests that come again: what is kept of a request and of its answer, and which of them are in work.

use super::http_answer::HttpAnswer;
use esclusa_flow::engine::KeptAnswer;
use esclusa_pipeline::meter::epoch_millis;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// A request whose answer is kept. While it exists, the same request is refused.
#[derive(Debug)]
pub(crate) struct KeptRequest {
    /// The request, as the store knows it.
    pub key: Vec<u8>,
    /// What the request asked for, so that another one with the same key is noticed; `None`: the key alone decides.
    pub fingerprint: Option<String>,
    /// How long its answer is kept.
    pub ttl: Duration,
    in_work: RequestsInWork,
}

/// The keys of requests that are in work. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestsInWork(Arc<Mutex<HashSet<Vec<u8>>>>);

impl RequestsInWork {
    /// Notes a request as in work; `None`: it is already.
    #[must_use]
    pub(crate) fn begin(&self, key: Vec<u8>, fingerprint: Option<String>, ttl: Duration) -> Option<KeptRequest> {
        self.0.lock().insert(key.clone()).then(|| KeptRequest { key, fingerprint, ttl, in_work: self.clone() })
    }
}

impl Drop for KeptRequest {
    fn drop(&mut self) {
        self.in_work.0.lock().remove(&self.key);
    }
}

/// The part of a kept answer that stands in front of its body, as JSON in a line.
#[derive(Debug, Serialize, Deserialize)]
struct KeptHead {
    fingerprint: Option<String>,
    status: u16,
    content_type: String,
    headers: Vec<(String, String)>,
}

impl KeptRequest {
    /// When the answer to this request may be forgotten, if it is given now; milliseconds since the Unix epoch.
    pub(crate) fn expires(&self) -> u64 {
        epoch_millis().saturating_add(u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX))
    }

    /// The answer to this request, as it is kept with a commit.
    pub(crate) fn kept(&self, answer: HttpAnswer) -> KeptAnswer {
        let value = encode(self.fingerprint.clone(), answer);
        KeptAnswer { key: self.key.clone(), value, expires: self.expires(), done: None }
    }
}

/// An answer as it is kept.
pub(crate) fn encode(fingerprint: Option<String>, answer: HttpAnswer) -> Vec<u8> {
    let HttpAnswer { status, content_type, headers, body } = answer;
    let head = KeptHead { fingerprint, status, content_type, headers };
    // A head of texts and numbers always has a form in JSON.
    let mut kept = serde_json::to_vec(&head).unwrap_or_default();
    kept.push(b'\n');
    kept.extend_from_slice(&body);
    kept
}

/// The fingerprint of the request that a kept answer belongs to, and the answer. `None`: it was not made here.
pub(crate) fn decode(kept: &[u8]) -> Option<(Option<String>, HttpAnswer)> {
    let end = kept.iter().position(|byte| *byte == b'\n')?;
    let (head, body) = (kept.get(..end)?, kept.get(end.checked_add(1)?..)?);
    let KeptHead { fingerprint, status, content_type, headers } = serde_json::from_slice(head).ok()?;
    Some((fingerprint, HttpAnswer { status, content_type, headers, body: body.to_vec() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_kept_with_any_bytes_in_its_body() {
        let headers = vec![("location".to_owned(), "/a\"b\n".to_owned())];
        let body = b"\n{}\n\xff".to_vec();
        let answer = HttpAnswer { status: 201, content_type: "text/plain".to_owned(), headers, body };
        let kept = encode(Some("f".to_owned()), answer.clone());
        assert_eq!(decode(&kept), Some((Some("f".to_owned()), answer)));
        assert_eq!(decode(b"{}"), None);
    }

    #[test]
    fn a_request_is_in_work_until_it_is_dropped() {
        let in_work = RequestsInWork::default();
        let begin = || in_work.begin(b"k".to_vec(), None, Duration::ZERO);
        let first = begin();
        assert!(first.is_some() && begin().is_none());
        drop(first);
        assert!(begin().is_some());
    }
}
