//! Who is calling: from a request's headers to a principal and the role it may act as.
//!
//! Owns the chain `BearerToken -> UnverifiedClaims -> VerifiedClaims -> Principal -> AuthorizedRole`: each type can be
//! made only from the one before, so no step can be skipped. A request that a front door found signed has a chain of its
//! own: `SignedRequest -> SignedCaller -> Principal` (`iam.rs`). In come a request's headers; out goes a [`Caller`], or an
//! [`AuthError`] that knows nothing of HTTP. Which issuer judges a token follows from the configuration and the token's
//! unverified `iss`, never from another issuer's failure.

mod alb;
mod asked;
mod authenticator;
mod choice;
mod claim;
mod claims;
mod compressed;
mod discovery;
mod given;
mod grants;
mod iam;
mod introspection;
mod jwk;
mod jws;
mod keys;
mod principal;
mod registry;
mod role;
mod secret;
mod token;
mod verified;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use authenticator::Authenticator;
pub use choice::RoleChoices;
pub use claim::SessionTag;
pub use claims::{Rules, VerifiedClaims};
pub use compressed::{Compressed, Expanded, MAX_EXPANDED_BYTES, MAX_EXPANDED_ENTRIES};
pub use given::GivenCredentials;
pub use grants::{Grants, Level};
pub use iam::SignedRequest;
pub use jwk::{Algorithm, PublicKey, PublicKeys};
pub use jws::{Hs256Key, mint};
pub use keys::{KeyError, KeySet};
pub use principal::{Principal, Proof, SessionKey};
pub use role::{AuthorizedRole, RoleError, RolePolicy, RoleRequest, RoleSource};
pub use secret::KeptSecret;
pub use token::{BearerToken, MAX_TOKEN_BYTES, UnverifiedClaims};

use crate::config::{SecretError, SecretVersions, StoredSecret};

/// The key of a load balancer, as it reads it.
#[cfg(fuzzing)]
pub fn point_of_pem(pem: &[u8]) -> Option<Vec<u8>> {
    alb::p256_point(pem)
}

/// How a stored secret is read: given by the room above, which can reach AWS.
pub type LoadSecret = Arc<
    dyn Fn(StoredSecret) -> BoxFuture<'static, Result<SecretVersions, SecretError>> + Send + Sync,
>;

/// Why a request is not served. `Display` is for our log; what the caller is told is decided at the door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No bearer token came. RFC 6750, section 3: answered without an error code.
    #[error("no bearer token")]
    MissingToken,
    /// More than one `Authorization` header, or several values in one.
    #[error("more than one Authorization value")]
    RepeatedAuthorization,
    /// A token came and is not accepted. The caller gets one text for all reasons.
    #[error("{0}")]
    InvalidToken(#[from] Rejection),
    /// The token lacks a scope that every call needs: RFC 6750, section 3.1.
    #[error("insufficient_scope")]
    InsufficientScope,
    /// `X-Quilt-User-Role` is not one well-formed role ARN.
    #[error("X-Quilt-User-Role is not one role ARN")]
    MalformedRole,
    /// The role is not one this caller may act as.
    #[error("{0}")]
    RoleNotAllowed(RoleError),
    /// A signed request came through a front door that is not configured: it proves nothing.
    #[error("signed, but the event is not of a front door of roles.iam")]
    UnknownFrontDoor,
    /// AWS knows who signed the request, and the operator does not.
    #[error("caller_not_allowed: no entry of roles.iam.callers matches who signed")]
    UnknownCaller,
    /// The key to judge the token with cannot be had now.
    #[error("{0}")]
    Unavailable(#[from] KeyError),
}

impl AuthError {
    /// The kind of error in one word, as clients of Quilt's own server know it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingToken => "missing_token",
            Self::InvalidToken(rejection) => rejection.code(),
            Self::RoleNotAllowed(_) => "role_not_allowed",
            Self::UnknownCaller => "caller_not_allowed",
            Self::RepeatedAuthorization
            | Self::InsufficientScope
            | Self::MalformedRole
            | Self::UnknownFrontDoor
            | Self::Unavailable(_) => "invalid_token",
        }
    }
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Not three base64url parts of strict JSON, or too long.
    #[error("invalid_token: {0}")]
    Malformed(&'static str),
    /// The header asks for what we do not do.
    #[error("invalid_token: header: {0}")]
    Header(&'static str),
    /// `iss` is not configured.
    #[error("invalid_issuer")]
    Issuer,
    /// No key of the issuer made this signature.
    #[error("invalid_signature")]
    Signature,
    /// The issuer has no key of the name that the token gives.
    #[error("invalid_signature: the issuer has no such key")]
    UnknownKey,
    /// The issuer, which was asked, does not stand for it.
    #[error("invalid_token: its issuer refuses it")]
    Refused,
    /// `aud` does not hold this server.
    #[error("invalid_audience")]
    Audience,
    /// `exp` is past.
    #[error("token_expired")]
    Expired,
    /// A claim is missing, or of the wrong type or range.
    #[error("invalid_claims: {0}")]
    Claims(&'static str),
}

impl Rejection {
    /// The kind of reason in one word, as clients of Quilt's own server know it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Header(_) | Self::Refused => "invalid_token",
            Self::Issuer => "invalid_issuer",
            Self::Signature | Self::UnknownKey => "invalid_signature",
            Self::Audience => "invalid_audience",
            Self::Expired => "token_expired",
            Self::Claims(_) => "invalid_claims",
        }
    }
}

/// A token that was judged to be good.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Whose it is.
    pub principal: Arc<Principal>,
    /// The AWS credentials that came with the verdict, if any did.
    pub credentials: Option<Arc<GivenCredentials>>,
}

/// A caller that was proven.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// The role it acts as, if it has one.
    pub role: Option<AuthorizedRole>,
    /// The AWS credentials that it has instead of a role.
    pub credentials: Option<Arc<GivenCredentials>>,
}
