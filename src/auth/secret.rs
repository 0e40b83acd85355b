//! One secret of the configuration that is read when it is needed, kept, and read again when it ages.
//!
//! Owns [`KeptSecret`]. In come a setting and the way to read a stored secret; out goes its current value.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;

use super::LoadSecret;
use crate::{
    clock::UnixSeconds,
    config::{SecretError, SecretSetting, StoredSecret},
    refreshed::{Policy, Refreshed},
};

/// A stored secret is read again after five minutes, and serves through an outage for an hour.
pub(super) const POLICY: Policy = Policy {
    fresh_for: Duration::from_mins(5),
    usable_for: Duration::from_hours(1),
    cool_down: Duration::from_secs(30),
};

/// A secret that this server sends to others: an external id, a client secret.
pub struct KeptSecret(Kept);

enum Kept {
    Plain(Arc<SecretString>),
    Stored(
        StoredSecret,
        LoadSecret,
        Refreshed<SecretString, SecretError>,
    ),
}

impl KeptSecret {
    /// The secret of a setting. Nothing is read yet.
    pub fn from_config(setting: &SecretSetting, load: &LoadSecret) -> Self {
        Self(match setting {
            SecretSetting::Plain(value) => Kept::Plain(Arc::new(value.clone())),
            SecretSetting::Stored(stored) => {
                Kept::Stored(stored.clone(), Arc::clone(load), Refreshed::new(POLICY))
            }
        })
    }

    /// Its value. What is stored must pass `check`, whose text says what it must be.
    pub async fn current(
        &self,
        now: UnixSeconds,
        check: fn(&SecretString) -> Result<(), &'static str>,
    ) -> Result<Arc<SecretString>, SecretError> {
        match &self.0 {
            Kept::Plain(value) => Ok(Arc::clone(value)),
            Kept::Stored(stored, load, held) => {
                held.current(now, || {
                    let reading = load(stored.clone());
                    async move {
                        let value = reading.await?.current;
                        check(&value).map_err(|form| SecretError::Unusable(form.to_owned()))?;
                        Ok(value)
                    }
                })
                .await
            }
        }
    }

    /// Whether the last reading failed and there is no value to fall back on.
    pub fn is_missing(&self) -> bool {
        matches!(&self.0, Kept::Stored(_, _, held) if held.is_missing())
    }
}
