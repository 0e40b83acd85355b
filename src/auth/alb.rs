//! Users whom an Application Load Balancer signed in: the `x-amzn-oidc-data` header.
//!
//! Owns [`AlbKeys`] and the reading of that header. It looks like a JWT, with differences: its parts are padded, the
//! issuer, the client and the end are in the header, and the load balancer that signed names itself there. Anybody can
//! have a load balancer, so the signer must be the configured one. Keys are fetched one by one, by their id.
//! Source: Elastic Load Balancing user guide, "Authenticate users using an Application Load Balancer", "User claims
//! encoding and signature verification".

use std::sync::{Arc, Mutex, PoisonError};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderMap;
use serde::Deserialize;

use super::{
    AuthError, KeyError, Rejection, Rules, UnverifiedClaims, VerifiedClaims,
    jwk::{PublicKey, PublicKeys},
    token::{Fingerprint, fingerprint_of},
};
use crate::{
    clock::UnixSeconds,
    config::{AlbSection, FetchUrl},
    egress::{Egress, Fetch},
    refreshed::{Policy, Refreshed},
};

/// Where a load balancer says who its user is.
const HEADER: &str = "x-amzn-oidc-data";
/// Keys that are kept: a load balancer has few at a time.
const MAX_KEYS: u64 = 64;
/// How long a key serves, in seconds: one id is one key for ever.
const KEY_FOR: u64 = 86_400;
/// How long an id without a key is remembered, in seconds, and the span in which ids are counted.
const UNKNOWN_FOR: u64 = 30;
/// How many ids that are not known may be asked for in that span: whoever makes some up must not make us ask for ever.
const MAX_UNKNOWN: u32 = 20;

/// What the load balancer's own header says, beside `alg` and `kid`.
#[derive(Deserialize)]
struct AlbHeader {
    signer: String,
    client: String,
    iss: String,
    exp: f64,
}

/// A signed user of some load balancer, unproven.
pub(super) struct AlbUser {
    unverified: UnverifiedClaims,
    header: AlbHeader,
    fingerprint: Fingerprint,
}

impl AlbUser {
    /// The user of a request, if a load balancer added one.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, AuthError> {
        let mut values = headers.get_all(HEADER).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Ok(Some(Self::parse(value.as_bytes())?)),
            (Some(_), Some(_)) => Err(AuthError::RepeatedAuthorization),
        }
    }

    fn parse(value: &[u8]) -> Result<Self, Rejection> {
        let (unverified, header) = UnverifiedClaims::parse_padded(value)?;
        let header = serde_json::from_slice(&header)
            .map_err(|_| Rejection::Header("not that of a load balancer"))?;
        Ok(Self {
            unverified,
            header,
            fingerprint: fingerprint_of(value),
        })
    }

    /// The SHA-256 of the header.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The issuer that the load balancer signed the user in with: good for choosing who judges, and for nothing else.
    pub(super) fn unverified_issuer(&self) -> &str {
        &self.header.iss
    }
}

/// A load balancer and its keys.
pub(super) struct AlbKeys {
    signer: String,
    keys: FetchUrl,
    egress: Arc<Egress>,
    held: moka::sync::Cache<String, Arc<Refreshed<Known, KeyError>>>,
    /// When the present span began, and how many unknown ids it saw.
    unknown: Mutex<(UnixSeconds, u32)>,
}

struct Known {
    keys: Option<PublicKeys>,
    until: UnixSeconds,
}

impl AlbKeys {
    /// `None` if the section lacks what a checked configuration has.
    pub(super) fn from_config(section: &AlbSection, egress: &Arc<Egress>) -> Option<Self> {
        Some(Self {
            signer: section.signer.clone(),
            keys: section.keys_url()?,
            egress: Arc::clone(egress),
            held: moka::sync::Cache::new(MAX_KEYS),
            unknown: Mutex::new((0, 0)),
        })
    }

    /// Judges a user.
    pub(super) async fn judge(
        &self,
        user: &AlbUser,
        rules: &Rules,
        now: UnixSeconds,
    ) -> Result<VerifiedClaims, AuthError> {
        let AlbHeader {
            signer,
            client,
            iss,
            exp,
        } = &user.header;
        if *signer != self.signer {
            return Err(Rejection::Header("`signer` is not the configured load balancer").into());
        }
        if *client != rules.audience {
            return Err(Rejection::Audience.into());
        }
        let id = user.unverified.key_id.as_deref().filter(|id| {
            // It becomes part of a URL.
            (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
        let id = id.ok_or(Rejection::Header("`kid` is not that of a load balancer"))?;
        let known = self.known(id, now).await?;
        let keys = known.keys.as_ref().ok_or(Rejection::UnknownKey)?;
        keys.verify(&user.unverified)?;
        Ok(VerifiedClaims::of_alb(
            &user.unverified.payload,
            iss,
            *exp,
            rules,
            now,
        )?)
    }

    async fn known(&self, id: &str, now: UnixSeconds) -> Result<Arc<Known>, AuthError> {
        if !self.held.contains_key(id) && !self.may_ask(now) {
            return Err(Rejection::UnknownKey.into());
        }
        let slot = self
            .held
            .get_with(id.to_owned(), || Arc::new(Refreshed::new(Policy::BY_VALUE)));
        let known = slot.good(
            now,
            |known| now < known.until,
            || {
                let (egress, id) = (Arc::clone(&self.egress), id.to_owned());
                let url = FetchUrl::parse(&format!(
                    "{}/{id}",
                    self.keys.as_str().trim_end_matches('/')
                ));
                async move {
                    let url = url.map_err(|error| KeyError::Unusable(error.to_string()))?;
                    let answer = egress
                        .fetch(Fetch::get(url))
                        .await
                        .map_err(|error| KeyError::of_egress(&error))?;
                    match answer.status.as_u16() {
                        200 => {
                            let point = p256_point(&answer.body).ok_or_else(|| {
                                KeyError::Unusable(
                                    "the load balancer's key is no P-256 key".to_owned(),
                                )
                            })?;
                            let keys = PublicKeys::of_one(PublicKey::es256(id, point));
                            Ok(Known {
                                keys: Some(keys),
                                until: now + KEY_FOR,
                            })
                        }
                        // S3, where some regions keep the keys, answers 403 for what is not there.
                        400 | 403 | 404 => Ok(Known {
                            keys: None,
                            until: now + UNKNOWN_FOR,
                        }),
                        status => Err(KeyError::Unavailable(format!(
                            "the load balancer's key: status {status}"
                        ))),
                    }
                }
            },
        );
        Ok(known.await?)
    }

    fn may_ask(&self, now: UnixSeconds) -> bool {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if now.abs_diff(unknown.0) >= UNKNOWN_FOR {
            *unknown = (now, 0);
        }
        unknown.1 += 1;
        unknown.1 <= MAX_UNKNOWN
    }
}

/// The uncompressed point of a P-256 key in PEM: RFC 5480, section 2; RFC 7468, section 13.
pub(super) fn p256_point(pem: &[u8]) -> Option<Vec<u8>> {
    /// SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING of 65 bytes }
    const PREFIX: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let text = std::str::from_utf8(pem).ok()?.trim();
    let body = text
        .strip_prefix("-----BEGIN PUBLIC KEY-----")?
        .strip_suffix("-----END PUBLIC KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = BASE64_STANDARD.decode(body).ok()?;
    let point = der.strip_prefix(PREFIX)?;
    (point.len() == 65 && point[0] == 4).then(|| point.to_vec())
}
