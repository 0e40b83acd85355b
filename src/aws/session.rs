//! One caller's way into AWS.
//!
//! Owns [`Session`]: SDK clients that carry one caller's credentials. It lives as long as a call; what is shared between
//! calls of one caller is the assumed role it is made from.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_sts::config::IdentityCache;

use super::{AssumedRole, AwsError};

/// The credentials of one caller, and where to use them.
#[derive(Clone)]
pub struct Session {
    credentials: Credentials,
    shared: Arc<SdkConfig>,
}

#[derive(Clone)]
enum Credentials {
    Role(Arc<AssumedRole>),
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
            Credentials::Process => None,
        }
    }

    /// S3, in `region` or in the configured one.
    pub fn s3(&self, region: Option<&str>) -> aws_sdk_s3::Client {
        let mut builder = aws_sdk_s3::config::Builder::from(&*self.shared);
        if let Credentials::Role(role) = &self.credentials {
            // No cache of identities: these credentials are fixed, and a cache is one more place to mix callers up.
            builder = builder
                .credentials_provider(role.credentials().clone())
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
        if let Credentials::Role(role) = &self.credentials {
            builder = builder
                .credentials_provider(role.credentials().clone())
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
