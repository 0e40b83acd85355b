//! One caller's way into AWS.
//!
//! Owns [`Session`]: SDK clients that carry one caller's credentials. It lives as long as a call; what is shared between
//! calls of one caller is the assumed role it is made from.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use aws_config::SdkConfig;
use aws_sdk_sts::config::IdentityCache;
use secrecy::ExposeSecret;

use super::{AssumedRole, AwsError};
use crate::auth::GivenCredentials;

/// The credentials of one caller, and where to use them.
#[derive(Clone)]
pub struct Session {
    credentials: Credentials,
    shared: Arc<SdkConfig>,
}

#[derive(Clone)]
enum Credentials {
    Role(Arc<AssumedRole>),
    Given(Arc<GivenCredentials>),
    Process,
}

/// What `sts:GetCallerIdentity` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The ARN of the user or of the assumed role's session.
    pub arn: String,
    /// The 12 digits of the account.
    pub account: String,
}

impl Session {
    pub(super) fn of_role(role: Arc<AssumedRole>, shared: Arc<SdkConfig>) -> Self {
        Self {
            credentials: Credentials::Role(role),
            shared,
        }
    }

    pub(super) fn of_given(given: Arc<GivenCredentials>, shared: Arc<SdkConfig>) -> Self {
        Self {
            credentials: Credentials::Given(given),
            shared,
        }
    }

    pub(super) fn of_process(shared: Arc<SdkConfig>) -> Self {
        Self {
            credentials: Credentials::Process,
            shared,
        }
    }

    /// The assumed role, unless the process's own credentials are used.
    pub fn role(&self) -> Option<&AssumedRole> {
        match &self.credentials {
            Credentials::Role(role) => Some(role),
            Credentials::Given(_) | Credentials::Process => None,
        }
    }

    /// Notes that AWS called the credentials expired, where nobody but their giver can replace them.
    pub(super) fn note_refused(&self) {
        if let Credentials::Given(given) = &self.credentials {
            given.note_refused();
        }
    }

    /// The caller's fixed credentials; `None` where the process's own are used.
    fn fixed(&self) -> Option<aws_sdk_sts::config::Credentials> {
        match &self.credentials {
            Credentials::Role(role) => Some(role.credentials().clone()),
            Credentials::Given(given) => Some(aws_sdk_sts::config::Credentials::new(
                given.access_key_id.clone(),
                given.secret_access_key.expose_secret(),
                Some(given.session_token.expose_secret().to_owned()),
                Some(UNIX_EPOCH + Duration::from_secs(given.expires_at)),
                "registry",
            )),
            Credentials::Process => None,
        }
    }

    /// S3, in `region` or in the configured one.
    pub fn s3(&self, region: Option<&str>) -> aws_sdk_s3::Client {
        let mut builder = aws_sdk_s3::config::Builder::from(&*self.shared);
        if let Some(credentials) = self.fixed() {
            // No cache of identities: these credentials are fixed, and a cache is one more place to mix callers up.
            builder = builder
                .credentials_provider(credentials)
                .identity_cache(IdentityCache::no_cache());
        }
        if let Some(region) = region {
            builder = builder.region(aws_sdk_s3::config::Region::new(region.to_owned()));
        }
        aws_sdk_s3::Client::from_conf(builder.build())
    }

    /// Asks STS who these credentials are: the proof.
    pub async fn identity(&self) -> Result<Identity, AwsError> {
        let mut builder = aws_sdk_sts::config::Builder::from(&*self.shared);
        if let Some(credentials) = self.fixed() {
            builder = builder
                .credentials_provider(credentials)
                .identity_cache(IdentityCache::no_cache());
        }
        identity(&aws_sdk_sts::Client::from_conf(builder.build())).await
    }
}

/// Who the credentials of `client` are.
pub(super) async fn identity(client: &aws_sdk_sts::Client) -> Result<Identity, AwsError> {
    let answer = client
        .get_caller_identity()
        .send()
        .await
        .map_err(|error| AwsError::of("sts", &error))?;
    match (answer.arn, answer.account) {
        (Some(arn), Some(account)) => Ok(Identity { arn, account }),
        _ => Err(AwsError::Busy),
    }
}
