//! What went wrong with AWS, in the few kinds that a caller can do something about.
//!
//! Owns [`AwsError`]. In comes an error of any SDK client; out goes a kind, whose `Display` is a sentence for the
//! caller without names, addresses or request ids. The details go to the log, where the error is made.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

/// The kinds of failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwsError {
    /// Throttled, unreachable, too slow, or answering with nonsense: after the retries.
    #[error("AWS is busy or cannot be reached. Try again in a moment.")]
    Busy,
    /// The credentials are valid and do not permit it.
    #[error("AWS denied this to your role. Ask whoever manages the role for the permission.")]
    Denied,
    /// STS does not let us act as the role. Says nothing of whether the role exists.
    #[error(
        "AWS does not let this server act as your role. Ask whoever manages the role to trust it."
    )]
    RoleDenied,
    /// The credentials are past their time.
    #[error("The AWS credentials of this call have expired. Try again.")]
    Expired,
    /// The request's time is not AWS's: a clock is wrong, or the request lay in a frozen instance.
    #[error(
        "AWS refused the request for its time. Try again; if it stays so, whoever runs this server must set its clock."
    )]
    Skewed,
    /// The process has no credentials of its own.
    #[error("This server has no AWS credentials. Whoever runs it must configure them.")]
    NoCredentials,
    /// Nothing says which region to ask in.
    #[error(
        "No AWS region is set. Whoever runs this server must set AWS_REGION, or aws.region in its configuration."
    )]
    NoRegion,
    /// The bucket does not exist.
    #[error("AWS does not know the bucket. Check its name.")]
    NoBucket,
    /// Any other refusal, by its error code.
    #[error(
        "AWS refused the request ({0}). Check the arguments; if they are right, ask whoever runs this server."
    )]
    Refused(String),
    /// The bucket lives in another region.
    #[error(
        "The bucket lives in a region that S3 does not name. Ask whoever runs this server to set aws.region to it."
    )]
    OtherRegion(Option<String>),
    /// The server's configuration keeps it from asking.
    #[error(
        "This server's configuration does not allow it to reach AWS. Whoever runs it finds the reason in its log."
    )]
    Misconfigured,
}

/// Codes that mean "later". Source: the SDK's own retry lists, and each API's "Common Errors".
const BUSY: [&str; 17] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "SlowDown",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
    "ServiceUnavailable",
    "InternalError",
    "InternalFailure",
    "InternalServiceError",
    "RequestTimeout",
];
const DENIED: [&str; 6] = [
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "UnauthorizedOperation",
    "UnauthorizedAccess",
    "AuthorizationError",
];
const EXPIRED: [&str; 4] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
];
/// Codes that say that a signature's time is off: a bad signature only by its message, for a wrong key makes one too.
/// Source: IAM user guide, "Troubleshoot Signature Version 4 requests for AWS APIs", "Signature expired".
const SKEWED: [&str; 3] = [
    "RequestTimeTooSkewed",
    "RequestInTheFuture",
    "RequestExpired",
];
const BAD_SIGNATURE: [&str; 2] = ["SignatureDoesNotMatch", "InvalidSignatureException"];
const OFF_TIME: [&str; 2] = ["Signature expired", "Signature not yet current"];
const OTHER_REGION: [&str; 3] = [
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
];

impl AwsError {
    /// The kind of a failed request to S3.
    pub fn of_s3<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        Self::of("s3", error)
    }

    /// The kind of a failed request to `service`, which is logged here with its details.
    pub(super) fn of<E>(service: &'static str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let status = error
            .raw_response()
            .map(|response| response.status().as_u16());
        let region = error
            .raw_response()
            .and_then(|response| response.headers().get("x-amz-bucket-region"))
            .map(str::to_owned);
        let code = error.code().map(str::to_owned);
        let kind = match (error, code.as_deref()) {
            (SdkError::ServiceError(_), Some(code)) if BUSY.contains(&code) => Self::Busy,
            (SdkError::ServiceError(_), Some(code)) if DENIED.contains(&code) => Self::Denied,
            (SdkError::ServiceError(_), Some(code)) if EXPIRED.contains(&code) => Self::Expired,
            (SdkError::ServiceError(_), Some(code)) if is_skewed(code, error.message()) => {
                Self::Skewed
            }
            (SdkError::ServiceError(_), Some(code)) if OTHER_REGION.contains(&code) => {
                Self::OtherRegion(region)
            }
            (SdkError::ServiceError(_), _)
                if status.is_some_and(|status| status >= 500 || status == 429) =>
            {
                Self::Busy
            }
            (SdkError::ServiceError(_), _) if status == Some(301) => Self::OtherRegion(region),
            (SdkError::ServiceError(_), Some("NoSuchBucket")) => Self::NoBucket,
            (SdkError::ServiceError(_), Some(code)) => {
                Self::Refused(code.chars().take(64).collect())
            }
            // A refusal without a code is an answer that was not understood: something stands between AWS and us.
            (SdkError::ServiceError(_), None) => Self::Busy,
            (SdkError::ConstructionFailure(_), _) => Self::Misconfigured,
            _ if lacks_credentials(error) => Self::NoCredentials,
            _ => Self::Busy,
        };
        let detail = aws_sdk_sts::error::DisplayErrorContext(error).to_string();
        tracing::warn!(service, status, code, kind = ?kind, detail = first_line(&detail), "AWS request failed");
        kind
    }
}

/// Whether a refusal is one of the request's time.
fn is_skewed(code: &str, message: Option<&str>) -> bool {
    let of_time = |message: &str| OFF_TIME.iter().any(|text| message.starts_with(text));
    SKEWED.contains(&code) || (BAD_SIGNATURE.contains(&code) && message.is_some_and(of_time))
}

/// Whether a request was never signed, because the process has nothing to sign it with.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if matches!(
            error.downcast_ref(),
            Some(CredentialsError::CredentialsNotLoaded(_))
        ) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The SDK's error text without the raw response that it appends.
fn first_line(detail: &str) -> &str {
    let end = detail
        .find("raw: Response")
        .or_else(|| detail.find('\n'))
        .unwrap_or(detail.len());
    let end = detail
        .char_indices()
        .map(|(at, _)| at)
        .take_while(|at| *at <= end.min(400))
        .last()
        .unwrap_or(0);
    &detail[..end]
}
