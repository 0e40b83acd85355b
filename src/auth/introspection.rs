//! An authorization server that is asked whether a token is good: RFC 7662.
//!
//! Owns [`Introspection`]. In comes a token; the server's answer has the claims, judged by the same rules as those of a
//! signed token. What it does not say of times holds no longer than an answer serves.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::form_urlencoded;

use super::{
    AuthError, BearerToken, Judged, KeyError, LoadSecret, Principal, Proof, Rejection, Rules,
    VerifiedClaims,
    asked::{Answer, Asked, is_of_the_token},
    secret::KeptSecret,
    token::Fingerprint,
};
use crate::{
    clock::UnixSeconds,
    config::{Bounded, FetchUrl, IntrospectionSection},
    egress::{Egress, Fetch},
    json,
    telemetry::{SecretUse, audit},
};

/// How long an answer serves, in seconds, where the configuration does not say.
const CACHE_SECONDS: u64 = 60;

/// One introspection endpoint.
pub(super) struct Introspection {
    url: FetchUrl,
    client_id: String,
    client_secret: Arc<KeptSecret>,
    serves: u64,
    egress: Arc<Egress>,
    asked: Asked,
}

impl Introspection {
    /// `None` if the section lacks what a checked configuration has.
    pub(super) fn from_config(
        section: &IntrospectionSection,
        egress: &Arc<Egress>,
        load: &LoadSecret,
    ) -> Option<Self> {
        Some(Self {
            url: section.url.clone()?,
            client_id: section.client_id.clone(),
            client_secret: Arc::new(KeptSecret::from_config(
                section.client_secret.as_ref()?,
                load,
            )),
            serves: section.cache_seconds.map_or(CACHE_SECONDS, Bounded::get),
            egress: Arc::clone(egress),
            asked: Asked::new(),
        })
    }

    /// Judges a token by the server's answer and the issuer's rules.
    pub(super) async fn judge(
        &self,
        token: &BearerToken,
        rules: &Rules,
        now: UnixSeconds,
        request_id: &Arc<str>,
    ) -> Result<Judged, AuthError> {
        let (client_id, client_secret) = (self.client_id.clone(), Arc::clone(&self.client_secret));
        let mut fetch = Fetch {
            form: Some(form(token.secret())),
            ..Fetch::get(self.url.clone())
        };
        let fingerprint = token.fingerprint();
        let (egress, rules, serves) = (Arc::clone(&self.egress), rules.clone(), self.serves);
        let request_id = Arc::clone(request_id);
        self.asked
            .verdict(fingerprint, now, || async move {
                // A part of the question: a verdict that is known needs no secret, and a caller waits for both together.
                let secret = client_secret.current(now, |_| Ok(())).await?;
                fetch.authorization = Some(basic(&client_id, &secret));
                let issuer = &rules.issuer;
                audit(&request_id, SecretUse::PresentToken { issuer });
                let answer = egress
                    .fetch(fetch)
                    .await
                    .map_err(|error| KeyError::of_egress(&error))?;
                if is_of_the_token(answer.status) && !is_of_the_client(&answer.body) {
                    return Ok(Answer::refused(Rejection::Refused, now));
                }
                match answer.status.as_u16() {
                    200 => verdict(&answer.body, fingerprint, &rules, serves, now),
                    // Section 2.3: of our own credentials.
                    status @ (400 | 401 | 403) => Err(KeyError::Unusable(format!(
                        "the introspection endpoint refuses this server: status {status}"
                    ))),
                    status => Err(KeyError::Unavailable(format!(
                        "the introspection endpoint answers with status {status}"
                    ))),
                }
            })
            .await
    }

    /// Whether this server's own secret for the endpoint cannot be read.
    pub(super) fn is_missing(&self) -> bool {
        self.client_secret.is_missing()
    }
}

/// Whether a server's error is about who asks, and not about the token. RFC 6749, section 5.2: it may say so with a 400.
fn is_of_the_client(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct ErrorResponse {
        error: String,
    }
    json::read::<ErrorResponse>(body)
        .is_ok_and(|body| matches!(&*body.error, "invalid_client" | "unauthorized_client"))
}

fn verdict(
    answer: &[u8],
    fingerprint: Fingerprint,
    rules: &Rules,
    serves: u64,
    now: UnixSeconds,
) -> Result<Answer, KeyError> {
    #[derive(Deserialize)]
    struct Status {
        active: bool,
    }
    let Ok(Status { active }) = json::read(answer) else {
        return Err(KeyError::Unavailable(
            "the introspection endpoint's answer is not what it should be".to_owned(),
        ));
    };
    if !active {
        return Ok(Answer::refused(Rejection::Refused, now));
    }
    let until = now + serves;
    Ok(match VerifiedClaims::vouched(answer, rules, until, now) {
        Ok(claims) => {
            let principal = Arc::new(Principal::of_token(claims, fingerprint, Proof::Bearer));
            let until = until.min(principal.expires_at());
            Answer::good(
                Judged {
                    principal,
                    credentials: None,
                },
                until,
            )
        }
        Err(rejection) => Answer::refused(rejection, now),
    })
}

/// RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
fn basic(client_id: &str, secret: &SecretString) -> SecretString {
    let encode = |part: &str| form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(client_id), encode(secret.expose_secret()));
    format!("Basic {}", BASE64_STANDARD.encode(pair)).into()
}

fn form(token: &SecretString) -> SecretString {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("token", token.expose_secret())
        .append_pair("token_type_hint", "access_token");
    form.finish().into()
}
