//! Tokens as issuers write them, and as attackers do.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

/// The time, as a token writes it.
pub fn now() -> u64 {
    now_millis() / 1_000
}

/// The time in milliseconds, as Lambda writes it.
#[expect(
    clippy::disallowed_methods,
    reason = "tests stamp their own tokens and events"
)]
pub fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A token in the making.
#[derive(Debug, Clone)]
pub struct Claims {
    pub header: Value,
    pub payload: Value,
}

/// What the issuer of the seeded world writes for `subject`: valid for an hour.
pub fn claims(subject: &str) -> Claims {
    let now = now();
    Claims {
        header: json!({ "alg": "HS256", "typ": "JWT" }),
        payload: json!({
            "iss": "quilt-frontend",
            "aud": "quilt-mcp-server",
            "sub": subject,
            "iat": now,
            "exp": now + 3_600,
        }),
    }
}

impl Claims {
    /// Sets a claim.
    pub fn with(mut self, claim: &str, value: impl Into<Value>) -> Self {
        self.payload[claim] = value.into();
        self
    }

    /// Takes a claim out.
    pub fn without(mut self, claim: &str) -> Self {
        self.payload.as_object_mut().unwrap().remove(claim);
        self
    }

    /// Sets a member of the header.
    pub fn header(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.header[member] = value.into();
        self
    }

    /// The roles that the token lists, the first its own.
    pub fn roles(self, roles: &[String]) -> Self {
        let token = self.with("roles", roles.to_vec());
        match roles.first() {
            Some(own) => token.with("role_arn", own.as_str()),
            None => token,
        }
    }

    /// The signed token.
    pub fn sign(&self, secret: &str) -> String {
        sign_parts(&self.header.to_string(), &self.payload.to_string(), secret)
    }
}

/// A token of any two texts.
pub fn sign_parts(header: &str, payload: &str, secret: &str) -> String {
    sign_bytes(header.as_bytes(), payload.as_bytes(), secret)
}

/// A token of any two parts.
pub fn sign_bytes(header: &[u8], payload: &[u8], secret: &str) -> String {
    let signed = format!(
        "{}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(header),
        BASE64_URL_SAFE_NO_PAD.encode(payload)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}
