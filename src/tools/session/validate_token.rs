//! `validate_bearer_token`: judges a token as the door would, and does nothing else with it.
//!
//! The judge is the door's own. The token is never adopted as the caller's, never repeated, never logged; of a refused
//! one the answer tells the kind of reason, one word, and nothing that the door's own answers would not show in time.

use std::{fmt, sync::Arc};

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};

use super::{super::ToolError, info::without_token};
use crate::{
    auth::{AuthError, Authenticator, BearerToken, Judged},
    clock::rfc3339,
    context::RuntimeContext,
};

/// Which token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenQuery {
    /// The token, without "Bearer" before it.
    #[schemars(with = "String", length(max = 16_384))]
    access_token: AccessToken,
}

struct AccessToken(SecretString);

impl<'de> Deserialize<'de> for AccessToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|token| Self(token.into()))
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccessToken(***)")
    }
}

/// What became of a token.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TokenVerdict {
    /// Whether a configured issuer vouches for the token, for this server and at this time.
    valid: bool,
    /// The kind of reason, in one word such as `token_expired` or `invalid_signature`; null if it is valid.
    error: Option<String>,
    /// The issuer; null unless the token is valid.
    issuer: Option<String>,
    /// The subject; null unless the token is valid.
    subject: Option<String>,
    /// When it expires (RFC 3339, UTC); null unless the token is valid.
    expires_at: Option<String>,
    /// What this means.
    note: String,
}

pub(super) async fn validate_token(
    authenticator: Option<Arc<Authenticator>>,
    query: TokenQuery,
) -> Result<TokenVerdict, ToolError> {
    let context = RuntimeContext::current()?;
    let Some(authenticator) = authenticator else {
        return Err(ToolError::new(format!(
            "No token can be judged here: no issuer judges calls to this server. {}",
            without_token(context.environment())
        )));
    };
    let token = query.access_token.0.expose_secret().as_bytes();
    let judged = match BearerToken::parse(token) {
        Ok(token) => authenticator.judge(&token, context.request_id()).await,
        Err(rejection) => Err(rejection.into()),
    };
    match judged {
        Ok(Judged { principal, .. }) => Ok(TokenVerdict {
            valid: true,
            error: None,
            issuer: Some(principal.issuer().to_owned()),
            subject: Some(principal.subject().to_owned()),
            expires_at: rfc3339(principal.expires_at()),
            note: "The token is valid here. It was judged only: this call, and those to come, are still made as whoever sent them.".to_owned(),
        }),
        Err(AuthError::Unavailable(_)) => Err(ToolError::new(
            "The token cannot be judged now: its issuer's keys cannot be had. Try again in a moment.",
        )),
        Err(refused) => Ok(TokenVerdict {
            valid: false,
            error: Some(refused.code().to_owned()),
            issuer: None,
            subject: None,
            expires_at: None,
            note: "The token is not valid here. Get a new one from an issuer that this server is configured for.".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_an_argument_is_not_printed() {
        let query: TokenQuery = serde_json::from_str(r#"{"access_token":"hunter2"}"#).unwrap();
        let printed = format!("{query:?}");
        assert!(
            printed.contains("***") && !printed.contains("hunter2"),
            "{printed}"
        );
        let wrong = serde_json::from_str::<TokenQuery>(r#"{"access_token":["hunter2"]}"#);
        assert!(!wrong.unwrap_err().to_string().contains("hunter2"));
    }
}
