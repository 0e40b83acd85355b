//! The secrets of an HS256 issuer: when they are loaded, how long they serve, when they are loaded again.
//!
//! Owns [`Hs256Keys`]. In come a setting and the way to read a stored secret; out go the keys that are valid now. A
//! secret is read on the first request that needs it, kept for five minutes, and read again at most every 30 seconds
//! when a signature does not match, so that a rotation is seen at once and a storm of bad tokens costs one read.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{LoadSecret, jws::Hs256Key};
use crate::{
    clock::UnixSeconds,
    config::{MIN_HS256_BYTES, SecretError, SecretSetting, SecretVersions, StoredSecret},
    refreshed::{Policy, Refreshed},
};

/// A rotated-out secret is trusted no longer than this after its issuer dropped it; through an outage, for an hour.
const POLICY: Policy = Policy {
    fresh_for: Duration::from_mins(5),
    usable_for: Duration::from_hours(1),
    cool_down: Duration::from_secs(30),
};

/// Why an issuer's key cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Its source does not answer: the next call may succeed.
    #[error("the issuer's secret cannot be read now: {0}")]
    Unavailable(String),
    /// Its source answers with something that is no key. The configuration or the secret must be mended.
    #[error("the issuer's secret cannot be used: {0}")]
    Unusable(String),
}

impl From<SecretError> for KeyError {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Unavailable(reason) => Self::Unavailable(reason),
            SecretError::Unusable(reason) => Self::Unusable(reason),
        }
    }
}

/// Keys that verify at this moment: the current one, and the previous one of a rotation.
pub(super) type KeySet = Vec<Hs256Key>;

pub(super) struct Hs256Keys {
    source: Source,
    keys: Refreshed<KeySet, KeyError>,
}

enum Source {
    Plain(Arc<KeySet>),
    Stored(StoredSecret, LoadSecret),
}

impl Hs256Keys {
    pub(super) fn from_config(setting: &SecretSetting, load: &LoadSecret) -> Self {
        let source = match setting {
            // A short one is refused when the configuration is read; here it would verify nothing.
            SecretSetting::Plain(secret) => {
                Source::Plain(Arc::new(Hs256Key::new(secret).into_iter().collect()))
            }
            SecretSetting::Stored(stored) => Source::Stored(stored.clone(), Arc::clone(load)),
        };
        Self {
            source,
            keys: Refreshed::new(POLICY),
        }
    }

    pub(super) async fn current(&self, now: UnixSeconds) -> Result<Arc<KeySet>, KeyError> {
        match &self.source {
            Source::Plain(keys) => Ok(Arc::clone(keys)),
            Source::Stored(stored, load) => {
                self.keys.current(now, || read(stored.clone(), load)).await
            }
        }
    }

    /// Keys that came after `outdated`, for a token that those do not verify.
    pub(super) async fn newer(
        &self,
        outdated: &Arc<KeySet>,
        now: UnixSeconds,
    ) -> Option<Arc<KeySet>> {
        match &self.source {
            Source::Plain(_) => None,
            Source::Stored(stored, load) => {
                self.keys
                    .newer(outdated, now, || read(stored.clone(), load))
                    .await
            }
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        self.keys.is_missing()
    }
}

fn read(stored: StoredSecret, load: &LoadSecret) -> BoxFuture<'static, Result<KeySet, KeyError>> {
    let versions = load(stored);
    Box::pin(async move { key_set(&versions.await?) })
}

fn key_set(versions: &SecretVersions) -> Result<KeySet, KeyError> {
    let current = Hs256Key::new(&versions.current)
        .ok_or_else(|| KeyError::Unusable(format!("it is shorter than {MIN_HS256_BYTES} bytes")))?;
    // A previous version that is too short is one that was never accepted.
    let previous = versions.previous.as_ref().and_then(Hs256Key::new);
    Ok(std::iter::once(current).chain(previous).collect())
}
