//! HS256: HMAC with SHA-256 (RFC 7518, section 3.2), on ring.
//!
//! Owns [`Hs256Key`], and [`mint`] for development tokens. In come bytes and a secret; out goes a verdict, in constant
//! time, or a signed token.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

use crate::config::MIN_HS256_BYTES;

/// A secret of at least 32 bytes, ready to verify with.
pub struct Hs256Key(hmac::Key);

impl Hs256Key {
    /// The key for a secret; `None` if it is shorter than 32 bytes.
    pub fn new(secret: &SecretString) -> Option<Self> {
        Self::of_bytes(secret.expose_secret().as_bytes())
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= MIN_HS256_BYTES).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// Whether `signature` is this key's over `signed`. Constant-time in the signature.
    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.0, signed, signature).is_ok()
    }
}

impl fmt::Debug for Hs256Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hs256Key(***)")
    }
}

impl Hs256Key {
    /// The compact JWS of any header and payload, well-formed or not.
    pub(super) fn sign(&self, header: &[u8], payload: &[u8]) -> String {
        let parts = [header, payload].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        let signed = parts.join(".");
        let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// A signed token with these claims, for development and tests: `rolecall token`.
pub fn mint(claims: &serde_json::Value, key: &Hs256Key) -> String {
    key.sign(
        br#"{"alg":"HS256","typ":"JWT"}"#,
        claims.to_string().as_bytes(),
    )
}
