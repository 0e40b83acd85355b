//! The external id that is sent with each `AssumeRole`.
//!
//! Owns [`ExternalId`]: nothing, a text of the configuration, or a stored secret, which is read on first use and again
//! when it is old. It comes from the configuration only, never from a caller.
//! Source: IAM user guide, "Access to AWS accounts owned by third parties".

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use super::AwsError;
use crate::{
    auth::LoadSecret,
    clock::UnixSeconds,
    config::{EXTERNAL_ID_FORM, SecretError, SecretSetting, StoredSecret, is_external_id},
    refreshed::{Policy, Refreshed},
};

/// A stored external id is read again after five minutes.
const POLICY: Policy = Policy {
    fresh_for: Duration::from_mins(5),
    usable_for: Duration::from_hours(1),
    cool_down: Duration::from_secs(30),
};

/// Where the external id comes from.
pub(super) enum ExternalId {
    None,
    Plain(Arc<SecretString>),
    Stored(
        StoredSecret,
        LoadSecret,
        Refreshed<SecretString, SecretError>,
    ),
}

impl ExternalId {
    /// That of a checked configuration. Nothing is read before a role is assumed.
    pub(super) fn from_config(setting: Option<&SecretSetting>, load: &LoadSecret) -> Self {
        match setting {
            None => Self::None,
            Some(SecretSetting::Plain(id)) => Self::Plain(Arc::new(id.clone())),
            Some(SecretSetting::Stored(stored)) => {
                Self::Stored(stored.clone(), Arc::clone(load), Refreshed::new(POLICY))
            }
        }
    }

    /// The external id as it is now.
    pub(super) async fn current(
        &self,
        now: UnixSeconds,
    ) -> Result<Option<Arc<SecretString>>, AwsError> {
        let (stored, load, held) = match self {
            Self::None => return Ok(None),
            Self::Plain(id) => return Ok(Some(Arc::clone(id))),
            Self::Stored(stored, load, held) => (stored, load, held),
        };
        let loaded = held.current(now, || {
            let reading = load(stored.clone());
            async move {
                let id = reading.await?.current;
                if is_external_id(id.expose_secret()) {
                    Ok(id)
                } else {
                    Err(SecretError::Unusable(format!(
                        "the external id {EXTERNAL_ID_FORM}"
                    )))
                }
            }
        });
        loaded.await.map(Some).map_err(|error| {
            tracing::error!(%error, "the external id cannot be read");
            match error {
                SecretError::Unavailable(_) => AwsError::Busy,
                SecretError::Unusable(_) => AwsError::Misconfigured,
            }
        })
    }

    /// Why it cannot be had, if the last attempt showed a reason.
    pub(super) fn ailment(&self) -> Option<&'static str> {
        match self {
            Self::Stored(_, _, id) if id.is_missing() => Some("the external id cannot be read"),
            _ => None,
        }
    }
}
