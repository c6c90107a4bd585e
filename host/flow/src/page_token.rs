//! Tokens of pages: the place at which the next page begins, in a form that is checked when it comes back. Both engines give such
//! tokens for scans and for lists of objects.
//!
//! A plugin may keep a token, cut it or make one up. The sum in it finds that out. It is no protection against someone who computes
//! sums: an engine still looks at nothing but the table or store that the route may read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Bytes of the sum that stands before the place.
const SUM: usize = 8;

/// A token that this page's `scope` did not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token of the page is not one that an earlier page of it gave: begin again without a token")]
pub struct UnknownToken;

/// The token of a place. `scope` says what is read in pages, such as a table with its number.
#[must_use]
pub fn seal(scope: &str, place: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode([&sum(scope, place)[..], place].concat())
}

/// The place of a token.
///
/// # Errors
/// [`UnknownToken`] if it is not one that [`seal`] made for this scope.
pub fn open(scope: &str, token: &str) -> Result<Vec<u8>, UnknownToken> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| UnknownToken)?;
    let (given, place) = bytes.split_first_chunk::<SUM>().ok_or(UnknownToken)?;
    if *given == sum(scope, place) { Ok(place.to_vec()) } else { Err(UnknownToken) }
}

fn sum(scope: &str, place: &[u8]) -> [u8; SUM] {
    let digest = Sha256::new().chain_update((scope.len() as u64).to_be_bytes()).chain_update(scope).chain_update(place);
    digest.finalize().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_place_comes_back_within_its_scope_only(scope in ".{0,8}", other in ".{0,8}", place in any::<Vec<u8>>()) {
            let token = seal(&scope, &place);
            prop_assert_eq!(open(&scope, &token), Ok(place.clone()));
            prop_assert_eq!(open(&other, &token).is_ok(), scope == other);
        }

        #[test]
        fn a_token_that_was_cut_or_changed_is_unknown(place in any::<Vec<u8>>(), at in any::<prop::sample::Index>()) {
            let token = seal("t", &place);
            let at = at.index(token.len());
            prop_assert_eq!(open("t", &token[..at]), Err(UnknownToken));
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            prop_assert_eq!(open("t", std::str::from_utf8(&changed).unwrap()), Err(UnknownToken));
        }

        #[test]
        fn a_token_that_was_made_up_is_unknown(token in ".{0,64}", bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(open("t", &token), Err(UnknownToken));
            prop_assert_eq!(open("t", &URL_SAFE_NO_PAD.encode(bytes)), Err(UnknownToken));
        }
    }
}
