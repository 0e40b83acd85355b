//! Who is calling: from an `Authorization` header to a principal and the role it may act as.
//!
//! Owns the chain `BearerToken -> UnverifiedClaims -> VerifiedClaims -> Principal -> AuthorizedRole`: each type can be
//! made only from the one before, so no step can be skipped. A request that a front door found signed has a chain of its
//! own: `SignedRequest -> SignedCaller -> Principal` ([`iam`]). In come a request's headers; out goes a [`Caller`], or an
//! [`AuthError`] that knows nothing of HTTP. Which issuer judges a token follows from the configuration and the token's
//! unverified `iss`, never from another issuer's failure.

mod choice;
mod claims;
mod iam;
mod jws;
mod keys;
mod principal;
mod role;
mod token;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::HeaderMap;

pub use choice::RoleChoices;
pub use claims::{Rules, SessionTag, VerifiedClaims};
pub use iam::SignedRequest;
pub use jws::{Hs256Key, mint};
pub use keys::KeyError;
pub use principal::{Principal, Proof, SessionKey};
pub use role::{AuthorizedRole, RoleError, RolePolicy, RoleRequest, RoleSource};
pub use token::{BearerToken, MAX_TOKEN_BYTES, UnverifiedClaims};

use crate::{
    clock::Clock,
    config::{
        AuthSection, RolesSection, Scope, SecretError, SecretVersions, ServerSection, StoredSecret,
    },
};
use iam::IamRules;
use keys::Hs256Keys;

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

/// A caller that was proven.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// The role it acts as, if it has one.
    pub role: Option<AuthorizedRole>,
}

/// Judges tokens by the configured issuers, and roles by the operator's rules.
pub struct Authenticator {
    issuers: Vec<Issuer>,
    scopes: Vec<Scope>,
    roles: Arc<RoleChoices>,
    iam: Option<IamRules>,
    clock: Clock,
}

struct Issuer {
    rules: Rules,
    keys: Hs256Keys,
}

impl Authenticator {
    /// An authenticator for a checked configuration. Nothing is loaded before a request needs it.
    pub fn new(
        auth: &AuthSection,
        server: &ServerSection,
        roles: &RolesSection,
        choices: Arc<RoleChoices>,
        clock: Clock,
        load: &LoadSecret,
    ) -> Self {
        let issuer = |section: &crate::config::IssuerSection| {
            let keys = Hs256Keys::from_config(section.hs256.as_ref()?, load);
            Some(Issuer {
                rules: Rules::from_config(section, server),
                keys,
            })
        };
        Self {
            issuers: auth.issuers.iter().filter_map(issuer).collect(),
            scopes: auth.required_scopes.clone(),
            roles: choices,
            iam: IamRules::from_config(roles),
            clock,
        }
    }

    /// Whether a token of some issuer could be accepted: without one, only signed requests can.
    pub fn takes_tokens(&self) -> bool {
        !self.issuers.is_empty()
    }

    /// Proves who sent a request with these headers, which a front door may have found `signed`, and which role it may
    /// act as. A token comes first: whoever sends one is judged by it, and by nothing else.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        signed: Option<&SignedRequest>,
    ) -> Result<Caller, AuthError> {
        match (BearerToken::from_headers(headers)?, &self.iam, signed) {
            (Some(token), _, _) => self.of_token(&token, headers).await,
            (None, Some(rules), Some(signed)) => {
                let principal = rules.judge(signed, self.clock.unix())?;
                let principal = Arc::new(Principal::of_signature(principal));
                let requested = RoleRequest::from_headers(headers)?;
                let role = principal.authorize_role(requested, &self.roles.policy);
                Ok(Caller {
                    role: role.map_err(AuthError::RoleNotAllowed)?,
                    principal,
                })
            }
            (None, _, _) => Err(AuthError::MissingToken),
        }
    }

    async fn of_token(
        &self,
        token: &BearerToken,
        headers: &HeaderMap,
    ) -> Result<Caller, AuthError> {
        let claims = self.verify(token).await?;
        // Only now may a header say anything: a bad token with a good role header is a bad token.
        let requested = RoleRequest::from_headers(headers)?;
        let principal = Arc::new(Principal::of_token(claims, token.fingerprint()));
        if !self
            .scopes
            .iter()
            .all(|scope| principal.has_scope(scope.as_str()))
        {
            return Err(AuthError::InsufficientScope);
        }
        let role = match (requested, self.roles.chosen(&principal)) {
            // A choice that is no longer allowed leaves no role at all, so that nobody acts as another unawares, and
            // the tool that chooses anew can still be called.
            (None, Some(chosen)) => principal
                .authorize_role(Some(chosen), &self.roles.policy)
                .unwrap_or_default(),
            (requested, _) => principal
                .authorize_role(requested, &self.roles.policy)
                .map_err(AuthError::RoleNotAllowed)?,
        };
        Ok(Caller { principal, role })
    }

    /// Judges a token.
    pub async fn verify(&self, token: &BearerToken) -> Result<VerifiedClaims, AuthError> {
        let unverified = UnverifiedClaims::parse(token)?;
        let issuer = self
            .issuers
            .iter()
            .find(|issuer| *issuer.rules.issuer == *unverified.unverified_issuer())
            .ok_or(Rejection::Issuer)?;
        let now = self.clock.unix();
        let keys = issuer.keys.current(now).await?;
        match VerifiedClaims::verify(&unverified, &keys, &issuer.rules, now) {
            Err(Rejection::Signature) => match issuer.keys.newer(&keys, now).await {
                Some(keys) => Ok(VerifiedClaims::verify(
                    &unverified,
                    &keys,
                    &issuer.rules,
                    now,
                )?),
                None => Err(Rejection::Signature.into()),
            },
            verified => Ok(verified?),
        }
    }

    /// The reason why no token of some issuer can be judged, if the last attempt showed one.
    pub fn ailment(&self) -> Option<&'static str> {
        let ailing = self.issuers.iter().any(|issuer| issuer.keys.is_missing());
        ailing.then_some("the signing secret of an issuer cannot be read")
    }
}
