//! Signatures of webhooks: HMAC with SHA-256 over the body as it was sent, in the schemes of GitHub, Stripe and Standard
//! Webhooks.
//!
//! Stripe and Standard Webhooks sign the time, so that an old request cannot be sent again. GitHub does not: only an
//! `idempotency_key` notices a repeated delivery.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use esclusa_config::plan::{Secret, SignatureScheme};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Signatures of one request that are looked at. A sender that changes its secret sends two.
const SIGNATURES: usize = 16;

/// Why a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadSignature {
    /// A header is missing, or cannot be read.
    #[error("the request needs {0}")]
    Missing(&'static str),
    /// No signature fits.
    #[error("the signature does not fit the body and the secret")]
    Wrong,
    /// The signature is too old, or of the future.
    #[error("the signature was made too long ago, or the clocks differ")]
    Old,
}

/// Checks the signature of a request. `tolerance` and `now` in seconds, `now` since the Unix epoch.
///
/// # Errors
/// [`BadSignature`].
pub(super) fn check(
    scheme: SignatureScheme,
    secrets: &[Secret],
    tolerance: u64,
    (headers, body): (&HeaderMap, &[u8]),
    now: u64,
) -> Result<(), BadSignature> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (prefix, time, signatures) = match scheme {
        SignatureScheme::Github => {
            let header = "the header x-hub-signature-256: sha256=SIGNATURE";
            let given = text("x-hub-signature-256").and_then(|value| hex::decode(value.strip_prefix("sha256=")?).ok());
            (String::new(), None, vec![given.ok_or(BadSignature::Missing(header))?])
        }
        SignatureScheme::Stripe => {
            let header = "the header Stripe-Signature: t=TIME,v1=SIGNATURE";
            let value = text("stripe-signature").ok_or(BadSignature::Missing(header))?;
            let pairs = || value.split(',').filter_map(|pair| pair.trim().split_once('='));
            // Signed as it is written: a number that is written otherwise has another signature.
            let time = pairs().find(|(name, _)| *name == "t").ok_or(BadSignature::Missing(header))?.1;
            let signatures = pairs().filter(|(name, _)| *name == "v1").filter_map(|(_, value)| hex::decode(value).ok());
            (format!("{time}."), Some(time), signatures.take(SIGNATURES).collect())
        }
        SignatureScheme::StandardWebhooks => {
            let headers = "the headers webhook-id, webhook-timestamp and webhook-signature";
            let get = |name| text(name).ok_or(BadSignature::Missing(headers));
            let (id, time, value) = (get("webhook-id")?, get("webhook-timestamp")?, get("webhook-signature")?);
            let signatures = value.split(' ').filter_map(|each| BASE64_STANDARD.decode(each.strip_prefix("v1,")?).ok());
            (format!("{id}.{time}."), Some(time), signatures.take(SIGNATURES).collect())
        }
    };
    if !fits(secrets, &prefix, body, &signatures) {
        return Err(BadSignature::Wrong);
    }
    // The time counts only once it is known to be the sender's.
    match time.map(str::parse::<u64>) {
        None => Ok(()),
        Some(Ok(time)) if time.abs_diff(now) <= tolerance => Ok(()),
        Some(_) => Err(BadSignature::Old),
    }
}

/// True if one of the signatures is that of one of the secrets.
fn fits(secrets: &[Secret], prefix: &str, body: &[u8], signatures: &[Vec<u8>]) -> bool {
    secrets.iter().any(|secret| {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&secret.0) else { return false };
        mac.update(prefix.as_bytes());
        mac.update(body);
        // Compared in constant time.
        signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_614_265_330;

    fn checked(
        scheme: SignatureScheme,
        secrets: &[&[u8]],
        headers: &[(&'static str, &str)],
        body: &str,
        now: u64,
    ) -> Result<(), BadSignature> {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret(secret.to_vec())).collect();
        let headers: HeaderMap = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        check(scheme, &secrets, 300, (&headers, body.as_bytes()), now)
    }

    fn sign(secret: &[u8], text: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    /// GitHub's documentation, "Validating webhook deliveries", November 2026, has these values.
    #[test]
    fn github_the_documented_delivery_is_taken_and_others_are_not() {
        let secrets: &[&[u8]] = &[b"It's a Secret to Everybody"];
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let with = |value: &str, body: &str| {
            checked(SignatureScheme::Github, secrets, &[("x-hub-signature-256", value)], body, NOW)
        };
        assert_eq!(with(good, "Hello, World!"), Ok(()));
        assert_eq!(with(good, "Hello, World?"), Err(BadSignature::Wrong));
        assert_eq!(with(&good.replace('7', "8"), "Hello, World!"), Err(BadSignature::Wrong));
        assert_eq!(with("sha256=", "Hello, World!"), Err(BadSignature::Wrong));
        assert_eq!(with(&good[..69], "Hello, World!"), Err(BadSignature::Wrong), "a part of it is none");
        assert!(matches!(with("sha1=00", "Hello, World!"), Err(BadSignature::Missing(_))));
        assert!(matches!(with("sha256=zz", "x"), Err(BadSignature::Missing(_))));
        assert!(matches!(checked(SignatureScheme::Github, secrets, &[], "x", NOW), Err(BadSignature::Missing(_))));
    }

    #[test]
    fn stripe_one_of_several_signatures_fits_and_an_old_one_is_refused() {
        let (secret, body) = (b"whsec_test".as_slice(), r#"{"id": "evt_1"}"#);
        let signature = |time: u64| hex::encode(sign(secret, &format!("{time}.{body}")));
        let with = |value: &str, now| {
            checked(SignatureScheme::Stripe, &[b"new", secret], &[("stripe-signature", value)], body, now)
        };
        let good = format!("t={NOW},v1={},v1={},v0=00", "00".repeat(32), signature(NOW));
        assert_eq!(with(&good, NOW + 299), Ok(()));
        assert_eq!(with(&good, NOW + 301), Err(BadSignature::Old));
        assert_eq!(with(&good, NOW - 301), Err(BadSignature::Old), "a time of the future could be used for long");
        let moved = format!("t={},v1={}", NOW + 400, signature(NOW));
        assert_eq!(with(&moved, NOW + 400), Err(BadSignature::Wrong), "the time is signed");
        assert_eq!(with(&format!("t={NOW},v0={}", signature(NOW)), NOW), Err(BadSignature::Wrong));
        assert!(matches!(with("v1=00", NOW), Err(BadSignature::Missing(_))));
    }

    /// The example of the specification of Standard Webhooks, November 2026.
    #[test]
    fn standard_webhooks_the_specified_message_is_taken_and_others_are_not() {
        let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", r#"{"test": 2432232314}"#);
        let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let with = |id: &str, signatures: &str, now: u64| {
            let headers = [("webhook-id", id), ("webhook-timestamp", "1614265330"), ("webhook-signature", signatures)];
            checked(SignatureScheme::StandardWebhooks, &[&secret], &headers, body, now)
        };
        assert_eq!(with(id, good, NOW), Ok(()));
        assert_eq!(with(id, &format!("v1a,zzz v1,AAAA {good}"), NOW), Ok(()));
        assert_eq!(with("msg_other", good, NOW), Err(BadSignature::Wrong), "the id is signed");
        assert_eq!(with(id, good, NOW + 301), Err(BadSignature::Old));
        assert_eq!(with(id, "v2,AAAA", NOW), Err(BadSignature::Wrong));
    }
}
