//! A Quilt registry as the judge of its own tokens.
//!
//! Owns [`Registry`]. In comes a token that names no issuer; the registry is asked for the caller's AWS credentials with
//! it, and whoever gets some is who the token says. Nothing of the token is believed without that answer; no role is
//! assumed. The token goes to this registry and nowhere else.
//! Source: the registry's `GET /api/auth/get_credentials`.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    AuthError, BearerToken, GivenCredentials, Judged, KeyError, Principal, Proof, Rejection,
    RoleError, UnverifiedClaims, VerifiedClaims,
    asked::{Answer, Asked, is_of_the_token},
    token::Fingerprint,
};
use crate::{
    clock::UnixSeconds,
    config::FetchUrl,
    egress::{Egress, Fetch},
    json,
    telemetry::{SecretUse, audit},
};

/// How long the registry's word holds, in seconds: who loses access there loses it here no later.
const TRUSTED_FOR: u64 = 300;
/// Credentials are replaced when less than this is left of them, in seconds.
const MARGIN: u64 = 60;

/// One registry.
pub(super) struct Registry {
    issuer: Arc<str>,
    credentials: Option<FetchUrl>,
    egress: Arc<Egress>,
    asked: Asked,
}

impl Registry {
    pub(super) fn new(issuer: &Arc<str>, registry: &FetchUrl, egress: &Arc<Egress>) -> Self {
        let base = registry.as_str().trim_end_matches('/');
        Self {
            issuer: Arc::clone(issuer),
            credentials: FetchUrl::parse(&format!("{base}/api/auth/get_credentials")).ok(),
            egress: Arc::clone(egress),
            asked: Asked::new(),
        }
    }

    /// Judges a token: `unverified` is what is in it, where it is a JWT.
    pub(super) async fn judge(
        &self,
        token: &BearerToken,
        unverified: Option<&UnverifiedClaims>,
        now: UnixSeconds,
        request_id: &Arc<str>,
    ) -> Result<Judged, AuthError> {
        let said = unverified
            .map(|unverified| Said::of(&unverified.payload))
            .transpose()?
            .unwrap_or_default();
        if said.expires_at.is_some_and(|end| end <= now) {
            return Err(Rejection::Expired.into());
        }
        let url = self
            .credentials
            .clone()
            .ok_or_else(|| KeyError::Unusable("the registry's URL".to_owned()))?;
        let fingerprint = token.fingerprint();
        let (issuer, egress) = (Arc::clone(&self.issuer), Arc::clone(&self.egress));
        let request_id = Arc::clone(request_id);
        let bearer = SecretString::from(format!("Bearer {}", token.secret().expose_secret()));
        self.asked
            .verdict(fingerprint, now, || async move {
                let fetch = Fetch {
                    authorization: Some(bearer),
                    ..Fetch::get(url)
                };
                audit(&request_id, SecretUse::PresentToken { issuer: &issuer });
                let answer = egress
                    .fetch(fetch)
                    .await
                    .map_err(|error| KeyError::of_egress(&error))?;
                if is_of_the_token(answer.status) {
                    return Ok(Answer::refused(Rejection::Refused, now));
                }
                match answer.status.as_u16() {
                    200 => said.judged(&issuer, &fingerprint, &answer.body, now),
                    401 => Ok(Answer::refused(Rejection::Refused, now)),
                    403 => Ok(Answer::refused(
                        AuthError::RoleNotAllowed(RoleError::Registry),
                        now,
                    )),
                    status => Err(KeyError::Unavailable(format!(
                        "the registry answers with status {status}"
                    ))),
                }
            })
            .await
    }
}

/// What a catalog's token says of itself.
#[derive(Default)]
struct Said {
    subject: Option<String>,
    expires_at: Option<UnixSeconds>,
}

impl Said {
    fn of(payload: &[u8]) -> Result<Self, Rejection> {
        #[derive(Deserialize)]
        struct Payload {
            id: Option<String>,
            exp: Option<f64>,
        }
        let payload: Payload = json::read(payload)
            .map_err(|_| Rejection::Claims("`id` or `exp` has the wrong type"))?;
        let expires_at = payload.exp.map(super::claim::unix_seconds);
        let expires_at = match expires_at {
            Some(None) => return Err(Rejection::Claims("`exp` is out of range")),
            Some(end) => end,
            None => None,
        };
        let subject = match payload.id {
            Some(id) if !super::claim::is_name(&id) => {
                return Err(Rejection::Claims(
                    "`id` is not 1 to 256 printable characters",
                ));
            }
            id => id,
        };
        Ok(Self {
            subject,
            expires_at,
        })
    }

    /// The verdict of a registry that gave credentials.
    fn judged(
        self,
        issuer: &Arc<str>,
        fingerprint: &Fingerprint,
        answer: &[u8],
        now: UnixSeconds,
    ) -> Result<Answer, KeyError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Credentials {
            access_key_id: String,
            secret_access_key: SecretString,
            session_token: SecretString,
            expiration: String,
        }
        let unusable =
            || KeyError::Unavailable("the registry's answer is not what it should be".to_owned());
        let given: Credentials = json::read(answer).map_err(|_| unusable())?;
        let expires_at = OffsetDateTime::parse(&given.expiration, &Rfc3339)
            .ok()
            .and_then(|end| UnixSeconds::try_from(end.unix_timestamp()).ok())
            .filter(|end| *end > now + MARGIN)
            .ok_or_else(unusable)?;
        let ends = self
            .expires_at
            .map_or(expires_at, |token| token.min(expires_at));
        // An opaque token has no name in it: what it is known by is as good as one.
        let subject = self.subject.unwrap_or_else(|| {
            format!(
                "token-{}",
                BASE64_URL_SAFE_NO_PAD.encode(&fingerprint[..12])
            )
        });
        let claims = VerifiedClaims {
            issuer: Arc::clone(issuer),
            subject,
            expires_at: ends,
            ..VerifiedClaims::default()
        };
        let principal = Arc::new(Principal::of_token(claims, *fingerprint, Proof::Bearer));
        let credentials = GivenCredentials::new(
            given.access_key_id,
            given.secret_access_key,
            given.session_token,
            expires_at,
        );
        let judged = Judged {
            principal,
            credentials: Some(Arc::new(credentials)),
        };
        let until = ends.min(expires_at - MARGIN).min(now + TRUSTED_FOR);
        Ok(Answer::good(judged, until))
    }
}
