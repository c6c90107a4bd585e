//! Who sent a request: bearer tokens, users with passwords, signatures. Everything is compared in constant time, and no
//! secret appears in an answer.

use super::endpoints::ServedSource;
use super::signature::{self, BadSignature};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use esclusa_config::plan::{Auth, Secret};
use esclusa_http::api_error::ApiError;
use esclusa_http::work_limits::WorkLimits;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The sender of a request, as far as it has proved who it is: a digest, which says nothing of the secret.
pub(super) type Sender = Option<[u8; 32]>;

/// Checks the headers of a request. Signatures are checked by [`signed`], once the body is there.
///
/// # Errors
/// The answer to a request that does not prove who sent it.
pub(super) fn admit(auth: Option<&Auth>, headers: &HeaderMap) -> Result<Sender, Box<Response>> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match auth {
        None | Some(Auth::Hmac { .. }) => Ok(None),
        Some(Auth::Bearer(tokens)) => {
            let given = given.and_then(|value| credentials(value, "bearer"));
            let sender = given.filter(|given| one_of(given.as_bytes(), tokens));
            let sender = sender.map(|given| Some(digest(given.as_bytes())));
            sender.ok_or_else(|| refused("Bearer", "send the header Authorization: Bearer TOKEN, with a valid token"))
        }
        Some(Auth::Basic { user, password }) => {
            let given = given.and_then(|value| BASE64_STANDARD.decode(credentials(value, "basic")?).ok());
            let expected = Secret([user.as_bytes(), b":", &password.0].concat());
            let sender = given.filter(|given| one_of(given, &[expected]));
            let sender = sender.map(|given| Some(digest(&given)));
            sender
                .ok_or_else(|| refused("Basic realm=\"esclusa\", charset=\"UTF-8\"", "send a valid user and password"))
        }
    }
}

/// Checks the signature of a body as it was sent, and gives the body back; a large one on a thread that may block. `now`:
/// seconds since the Unix epoch.
///
/// # Errors
/// The answer to a request whose signature is missing, wrong or too old, or to one of too many whose signatures are being checked.
pub(super) async fn signed(
    source: &Arc<ServedSource>,
    headers: &HeaderMap,
    body: Vec<u8>,
    now: u64,
    work: &WorkLimits,
) -> Result<Vec<u8>, Box<Response>> {
    if !matches!(source.on.auth, Some(Auth::Hmac { .. })) {
        return Ok(body);
    }
    let (source, headers, size) = (source.clone(), headers.clone(), body.len());
    let check = move || (check_signature(source.on.auth.as_ref(), &headers, &body, now), body);
    let (checked, body) = work.compute(size, check).await.map_err(|why| Box::new(why.into_response()))?;
    checked.map(|()| body).map_err(|why| {
        let refused = ApiError::new(StatusCode::UNAUTHORIZED, why.to_string()).code("auth.signature");
        Box::new(refused.into_response())
    })
}

fn check_signature(auth: Option<&Auth>, headers: &HeaderMap, body: &[u8], now: u64) -> Result<(), BadSignature> {
    let Some(Auth::Hmac { secrets, scheme, tolerance }) = auth else { return Ok(()) };
    signature::check(*scheme, secrets, tolerance.as_secs(), (headers, body), now)
}

/// The credentials of a scheme; the scheme's name is in any case.
fn credentials<'v>(value: &'v str, scheme: &str) -> Option<&'v str> {
    let (word, rest) = value.split_once(' ')?;
    word.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// True if these bytes are one of the secrets. Digests are compared: they do not tell how long a secret is, and all of
/// them are compared, whichever fits.
fn one_of(given: &[u8], secrets: &[Secret]) -> bool {
    let given = digest(given);
    secrets.iter().fold(false, |fits, secret| bool::from(given.ct_eq(&digest(&secret.0))) | fits)
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn refused(challenge: &'static str, why: &str) -> Box<Response> {
    let mut refused = ApiError::new(StatusCode::UNAUTHORIZED, why).code("auth.refused").into_response();
    refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    Box::new(refused)
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::EndpointTable;
    use super::*;
    use axum::http::Method;
    use std::path::Path;
    use tokio::runtime::Handle;

    fn asked(auth: &Auth, value: Option<&str>) -> Result<Sender, u16> {
        let headers = value.map(|value| (AUTHORIZATION, value.parse().unwrap()));
        admit(Some(auth), &headers.into_iter().collect()).map_err(|refused| {
            assert!(refused.headers().contains_key(WWW_AUTHENTICATE));
            refused.status().as_u16()
        })
    }

    fn secret(text: &str) -> Secret {
        Secret(text.as_bytes().to_vec())
    }

    #[test]
    fn each_of_the_tokens_is_good_and_names_another_sender() {
        let auth = Auth::Bearer(vec![secret("new"), secret("old")]);
        let (new, old) = (asked(&auth, Some("Bearer new")).unwrap(), asked(&auth, Some("bearer  old")).unwrap());
        assert!(new.is_some() && old.is_some() && new != old);
        for wrong in [
            None,
            Some("Bearer"),
            Some("Bearer ne"),
            Some("Bearer newer"),
            Some("Basic new"),
            Some("new"),
            Some("Bearer "),
        ] {
            assert_eq!(asked(&auth, wrong), Err(401), "{wrong:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_signature_of_a_large_body_is_checked_in_its_turn_and_that_of_a_small_one_at_once() {
        let text = "version = 1\n[listener.api]\nlisten = \"127.0.0.1:0\"\n[source.a]\nkind = \"http\"\nlistener = \"api\"\nendpoints = [\"POST /a\"]\nauth = { hmac = { secret = \"s\", scheme = \"github\" } }\n[[route]]\nname = \"a\"\nsource = \"a\"\nplugin = \"a.wasm\"\n";
        let plan = esclusa_config::parse(text, "routes.toml", Path::new("/"), &|_| None).unwrap().plan;
        let endpoints = EndpointTable::of("api", &plan);
        let source = endpoints.find(&Method::POST, "/a").unwrap().source;
        let headers = [("x-hub-signature-256".parse().unwrap(), "sha256=00".parse().unwrap())].into_iter().collect();
        let work = WorkLimits::new(Handle::current());
        let status = async |bytes| {
            let checked = signed(source, &headers, vec![0; bytes], 0, &work).await;
            checked.err().map(|refused| refused.status().as_u16())
        };
        assert_eq!((status(10).await, status(1 << 20).await), (Some(401), Some(401)));
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(work.parsing.place().await.unwrap());
        }
        assert_eq!((status(10).await, status(1 << 20).await), (Some(401), Some(503)));
    }

    #[test]
    fn user_and_password_both_have_to_fit() {
        let auth = Auth::Basic { user: "ana".to_owned(), password: secret("a:b") };
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        assert!(asked(&auth, Some(&basic("ana:a:b"))).unwrap().is_some());
        for wrong in [basic("ana:a"), basic("eva:a:b"), basic("ana"), "Basic !".to_owned(), "Bearer a:b".to_owned()] {
            assert_eq!(asked(&auth, Some(&wrong)), Err(401), "{wrong}");
        }
    }
}
