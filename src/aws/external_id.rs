//! The external id that is sent with each `AssumeRole`.
//!
//! Owns [`ExternalId`]: nothing, a text of the configuration, or a stored secret, which is read on first use and again
//! when it is old. It comes from the configuration only, never from a caller.
//! Source: IAM user guide, "Access to AWS accounts owned by third parties".

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::AwsError;
use crate::{
    auth::{KeptSecret, LoadSecret},
    clock::UnixSeconds,
    config::{EXTERNAL_ID_FORM, ExternalIdSetting, SecretError, is_external_id},
};

/// The external id, if there is one.
pub(super) struct ExternalId(Option<KeptSecret>);

impl ExternalId {
    /// That of a checked configuration. Nothing is read before a role is assumed.
    pub(super) fn from_config(setting: Option<&ExternalIdSetting>, load: &LoadSecret) -> Self {
        Self(setting.map(|ExternalIdSetting(id)| KeptSecret::from_config(id, load)))
    }

    /// The external id as it is now.
    pub(super) async fn current(
        &self,
        now: UnixSeconds,
    ) -> Result<Option<Arc<SecretString>>, AwsError> {
        let Some(kept) = &self.0 else {
            return Ok(None);
        };
        let formed = |id: &SecretString| {
            let formed = is_external_id(id.expose_secret());
            formed.then_some(()).ok_or(EXTERNAL_ID_FORM)
        };
        kept.current(now, formed).await.map(Some).map_err(|error| {
            tracing::error!(%error, "the external id cannot be read");
            match error {
                SecretError::Unavailable(_) => AwsError::Busy,
                SecretError::Unusable(_) => AwsError::Misconfigured,
            }
        })
    }

    /// Why it cannot be had, if the last attempt showed a reason.
    pub(super) fn ailment(&self) -> Option<&'static str> {
        let missing = self.0.as_ref().is_some_and(KeptSecret::is_missing);
        missing.then_some("the external id cannot be read")
    }
}
