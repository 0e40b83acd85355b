//! The keys of an issuer that signs: when they are loaded, how long they serve, when they are loaded again.
//!
//! Owns [`Keys`], [`KeySet`] and [`KeyError`]. In come a setting and the ways to read a stored secret or a published key
//! set; out go the keys that are valid now. They are loaded on the first request that needs them, kept for five minutes,
//! and loaded again at most every 30 seconds for tokens that they do not verify, so that a rotation is seen at once and
//! a storm of bad tokens costs one load.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{
    LoadSecret, Rejection, UnverifiedClaims, discovery, jwk::PublicKeys, jws::Hs256Key,
    secret::POLICY,
};
use crate::{
    clock::UnixSeconds,
    config::{
        JwksSetting, MIN_HS256_BYTES, SecretError, SecretSetting, SecretVersions, StoredSecret,
    },
    egress::{Egress, EgressError},
    refreshed::Refreshed,
};

/// Why an issuer's key cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Its source does not answer: the next call may succeed.
    #[error("the issuer's keys cannot be read now: {0}")]
    Unavailable(String),
    /// Its source was not asked, or not in time: others ask too much of it, with tokens that anybody can make up.
    #[error("the issuer cannot be asked now: too many questions are waiting")]
    Busy,
    /// Its source answers with something that is no key. The configuration or the source must be mended.
    #[error("the issuer's keys cannot be used: {0}")]
    Unusable(String),
}

impl KeyError {
    /// Why a fetch brought nothing.
    pub(super) fn of_egress(error: &EgressError) -> Self {
        if error.is_passing() {
            Self::Unavailable(error.to_string())
        } else {
            Self::Unusable(error.to_string())
        }
    }
}

impl From<SecretError> for KeyError {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Unavailable(reason) => Self::Unavailable(reason),
            SecretError::Unusable(reason) => Self::Unusable(reason),
        }
    }
}

/// Keys that verify at this moment: of a shared secret, the current one and the previous one of a rotation.
#[derive(Debug)]
pub enum KeySet {
    /// For HS256 alone.
    Shared(Vec<Hs256Key>),
    /// For the algorithms of published keys, and never for HS256.
    Public(PublicKeys),
}

impl KeySet {
    /// Whether one of these keys made the token's signature. The keys fix the algorithm; the token may only agree.
    pub(super) fn verify(&self, token: &UnverifiedClaims) -> Result<(), Rejection> {
        match self {
            Self::Public(keys) => keys.verify(token),
            Self::Shared(_) if token.algorithm != "HS256" => {
                Err(Rejection::Header("`alg` is not the issuer's"))
            }
            Self::Shared(keys) => {
                let verified = keys
                    .iter()
                    .any(|key| key.verifies(token.signed(), &token.signature));
                if verified {
                    Ok(())
                } else {
                    Err(Rejection::Signature)
                }
            }
        }
    }

    /// Whether other keys could verify what these do not: a secret has no name, a published key has one.
    pub(super) fn may_be_outdated(&self, rejection: Rejection) -> bool {
        match self {
            Self::Shared(_) => rejection == Rejection::Signature,
            Self::Public(_) => rejection == Rejection::UnknownKey,
        }
    }
}

/// The keys of one issuer.
pub(super) enum Keys {
    /// Of a secret that the configuration holds.
    Plain(Arc<KeySet>),
    /// Of a source that is asked when they are needed.
    Loaded(Box<Loaded>),
}

pub(super) struct Loaded {
    source: Source,
    held: Refreshed<KeySet, KeyError>,
}

enum Source {
    Stored(StoredSecret, LoadSecret),
    Published {
        issuer: Arc<str>,
        setting: JwksSetting,
        egress: Arc<Egress>,
    },
}

impl Keys {
    /// The keys of an issuer that signs with HS256.
    pub(super) fn shared(setting: &SecretSetting, load: &LoadSecret) -> Self {
        match setting {
            // A short one is refused when the configuration is read; here it would verify nothing.
            SecretSetting::Plain(secret) => Self::Plain(Arc::new(KeySet::Shared(
                Hs256Key::new(secret).into_iter().collect(),
            ))),
            SecretSetting::Stored(stored) => {
                let source = Source::Stored(stored.clone(), Arc::clone(load));
                Self::loaded(source)
            }
        }
    }

    /// The keys that an issuer publishes.
    pub(super) fn published(
        issuer: &Arc<str>,
        setting: &JwksSetting,
        egress: &Arc<Egress>,
    ) -> Self {
        let source = Source::Published {
            issuer: Arc::clone(issuer),
            setting: setting.clone(),
            egress: Arc::clone(egress),
        };
        Self::loaded(source)
    }

    fn loaded(source: Source) -> Self {
        let held = Refreshed::new(POLICY);
        Self::Loaded(Box::new(Loaded { source, held }))
    }

    pub(super) async fn current(&self, now: UnixSeconds) -> Result<Arc<KeySet>, KeyError> {
        match self {
            Self::Plain(keys) => Ok(Arc::clone(keys)),
            Self::Loaded(loaded) => loaded.held.current(now, || loaded.source.load()).await,
        }
    }

    /// Keys that came after `outdated`, for a token that those do not verify.
    pub(super) async fn newer(
        &self,
        outdated: &Arc<KeySet>,
        now: UnixSeconds,
    ) -> Option<Arc<KeySet>> {
        match self {
            Self::Plain(_) => None,
            Self::Loaded(loaded) => {
                loaded
                    .held
                    .newer(outdated, now, || loaded.source.load())
                    .await
            }
        }
    }

    /// Whether the last load failed and there are no keys to fall back on.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Loaded(loaded) if loaded.held.is_missing())
    }
}

impl Source {
    fn load(&self) -> BoxFuture<'static, Result<KeySet, KeyError>> {
        match self {
            Self::Stored(stored, load) => {
                let versions = load(stored.clone());
                Box::pin(async move { shared_keys(&versions.await?) })
            }
            Self::Published {
                issuer,
                setting,
                egress,
            } => Box::pin(discovery::load(
                Arc::clone(issuer),
                setting.clone(),
                Arc::clone(egress),
            )),
        }
    }
}

fn shared_keys(versions: &SecretVersions) -> Result<KeySet, KeyError> {
    let current = Hs256Key::new(&versions.current).ok_or_else(|| {
        KeyError::Unusable(format!(
            "the secret is shorter than {MIN_HS256_BYTES} bytes"
        ))
    })?;
    // A previous version that is too short is one that was never accepted.
    let previous = versions.previous.as_ref().and_then(Hs256Key::new);
    Ok(KeySet::Shared(
        std::iter::once(current).chain(previous).collect(),
    ))
}
