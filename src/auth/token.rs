//! From a header to claims that nobody has vouched for yet.
//!
//! Owns [`BearerToken`] and the strict reading of a compact JWS (RFC 7515, section 7.1) into [`UnverifiedClaims`],
//! before any key is looked at. In come headers; out go the parts of the token, of which only the issuer may be used,
//! and only to choose who judges.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_URL_SAFE_NO_PAD,
};
use http::{HeaderMap, header::AUTHORIZATION};
use ring::digest;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{AuthError, Rejection};
use crate::json;

/// base64url with padding or without: what an Application Load Balancer writes.
const PADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16_384;

/// The credentials of an `Authorization: Bearer` header: RFC 6750, section 2.1. Nothing is known about them.
pub struct BearerToken(SecretString);

impl BearerToken {
    /// The token of a request. `None` if there is no `Authorization`, or one of another scheme.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, AuthError> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(AuthError::RepeatedAuthorization);
        }
        let value = value.as_bytes();
        let scheme = value
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(value.len());
        if !value[..scheme].eq_ignore_ascii_case(b"Bearer") {
            return Ok(None);
        }
        let token = value[scheme..].trim_ascii();
        // HTTP API and Function URLs join repeated headers with a comma, which no token holds.
        if token.contains(&b',') {
            return Err(AuthError::RepeatedAuthorization);
        }
        Ok(Some(Self::parse(token)?))
    }

    /// A token that came in another way, such as the argument of a tool.
    pub fn parse(token: &[u8]) -> Result<Self, Rejection> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::Malformed("longer than 16 KiB"));
        }
        let text = std::str::from_utf8(token)
            .ok()
            .filter(|text| is_token68(text));
        Ok(Self(
            text.ok_or(Rejection::Malformed("not of the token68 alphabet"))?
                .into(),
        ))
    }
}

impl BearerToken {
    /// The SHA-256 of the token: what it is known by where it must not be kept.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        fingerprint_of(self.0.expose_secret().as_bytes())
    }

    /// Whether it is a compact JWS, well-formed or not: three parts, of which the first begins like an object in
    /// base64url. What is none is opaque: it means something to whoever issued it, and to nobody else.
    pub(super) fn is_signed(&self) -> bool {
        let text = self.0.expose_secret();
        // `{` is `e` and the first two bits of the next character.
        let begins = matches!(
            text.as_bytes(),
            [b'e', b'w'..=b'z' | b'0'..=b'9' | b'-' | b'_', ..]
        );
        begins && text.split('.').count() == 3
    }

    /// The token, for whoever issued it.
    pub(super) fn secret(&self) -> &SecretString {
        &self.0
    }
}

/// The SHA-256 of a token.
pub(super) type Fingerprint = [u8; 32];

pub(super) fn fingerprint_of(token: &[u8]) -> Fingerprint {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
    fingerprint
}

/// RFC 9110, section 11.2.
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BearerToken(***)")
    }
}

/// The parts of a token, well-formed and unproven.
pub struct UnverifiedClaims {
    pub(super) algorithm: String,
    pub(super) key_id: Option<String>,
    /// The first two parts as they came, with the dot between them.
    signed: SecretString,
    pub(super) signature: Vec<u8>,
    /// The payload's JSON: strict, an object.
    pub(super) payload: Vec<u8>,
    issuer: Option<String>,
}

/// The members of a JOSE header that say something to us: RFC 7515, section 4.1. Others, among them every way to bring
/// a key along (`jku`, `jwk`, `x5u`, `x5c`), are not looked at.
#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
    #[serde(default, deserialize_with = "present")]
    b64: bool,
}

/// Whether a member is there, whatever it holds: `null` is there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[derive(Deserialize)]
struct IssuerOnly {
    iss: Option<String>,
}

impl UnverifiedClaims {
    /// Takes a token apart.
    pub fn parse(token: &BearerToken) -> Result<Self, Rejection> {
        // Without padding, without stray bits: one text for one value.
        let (token, _) = Self::take_apart(token.0.expose_secret(), &BASE64_URL_SAFE_NO_PAD)?;
        token.with_issuer()
    }

    /// Takes a load balancer's token apart, whose parts may be padded. Its header comes along: strict JSON.
    pub(super) fn parse_padded(token: &[u8]) -> Result<(Self, Vec<u8>), Rejection> {
        let text = std::str::from_utf8(token)
            .ok()
            .filter(|text| text.len() <= MAX_TOKEN_BYTES);
        let text = text.ok_or(Rejection::Malformed("longer than 16 KiB, or no text"))?;
        let (token, header) = Self::take_apart(text, &PADDED)?;
        Ok((token.with_issuer()?, header))
    }

    /// A compact JWS, whatever its payload is, and the JSON of its header: RFC 7515, section 5.2.
    pub(super) fn take_apart(
        text: &str,
        encoding: &GeneralPurpose,
    ) -> Result<(Self, Vec<u8>), Rejection> {
        let (signed, signature) = text
            .rsplit_once('.')
            .ok_or(Rejection::Malformed("not three parts"))?;
        let (header, payload) = signed
            .split_once('.')
            .ok_or(Rejection::Malformed("not three parts"))?;
        let decode = |part: &str| {
            let decoded = encoding.decode(part);
            decoded.map_err(|_| Rejection::Malformed("a part is not base64url"))
        };
        let header_json = decode(header)?;
        let header: Header =
            json::read(&header_json).map_err(|_| Rejection::Header("not a strict JOSE header"))?;
        if header.crit || header.b64 {
            return Err(Rejection::Header("`crit` and `b64` are not supported"));
        }
        let typed = header.typ.as_deref().is_none_or(|typ| {
            ["JWT", "at+jwt", "application/at+jwt"]
                .iter()
                .any(|known| typ.eq_ignore_ascii_case(known))
        });
        if !typed {
            return Err(Rejection::Header("`typ` is not JWT or at+jwt"));
        }
        let token = Self {
            algorithm: header.alg,
            key_id: header.kid,
            signed: signed.into(),
            signature: decode(signature)?,
            payload: decode(payload)?,
            issuer: None,
        };
        Ok((token, header_json))
    }

    /// The same, its payload read as far as the issuer: RFC 7519, section 7.2.
    fn with_issuer(self) -> Result<Self, Rejection> {
        let IssuerOnly { iss } = json::read(&self.payload)
            .map_err(|_| Rejection::Claims("not strict JSON, or an issuer that is no text"))?;
        Ok(Self {
            issuer: iss,
            ..self
        })
    }

    /// What the token says of its issuer, if anything: good for choosing who judges it, and for nothing else.
    pub fn unverified_issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// What the signature covers.
    pub(super) fn signed(&self) -> &[u8] {
        self.signed.expose_secret().as_bytes()
    }
}

impl fmt::Debug for UnverifiedClaims {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UnverifiedClaims(***)")
    }
}
