//! Who is calling: from an `Authorization` header to a principal and the role it may act as.
//!
//! Owns the chain `BearerToken -> UnverifiedClaims -> VerifiedClaims -> Principal -> AuthorizedRole`: each type can be
//! made only from the one before, so no step can be skipped. In come a request's headers; out goes a [`Caller`], or an
//! [`AuthError`] that knows nothing of HTTP. Which issuer judges a token follows from the configuration and the token's
//! unverified `iss`, never from another issuer's failure.

mod alb;
mod asked;
mod claims;
mod discovery;
mod given;
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
use http::HeaderMap;

pub use claims::{Rules, SessionTag, VerifiedClaims};
pub use given::GivenCredentials;
pub use jwk::{Algorithm, PublicKey, PublicKeys};
pub use jws::{Hs256Key, mint};
pub use keys::{KeyError, KeySet};
pub use principal::Principal;
pub use role::{AuthorizedRole, RoleError, RolePolicy, RoleRequest};
pub use secret::KeptSecret;
pub use token::{BearerToken, MAX_TOKEN_BYTES, UnverifiedClaims};

use crate::{
    clock::{Clock, UnixSeconds},
    config::{
        AuthSection, IssuerSection, Judge, RolesSection, Scope, SecretError, SecretVersions,
        ServerSection, StoredSecret,
    },
    egress::Egress,
};
use alb::{AlbKeys, AlbUser};
use introspection::Introspection;
use keys::Keys;
use registry::Registry;
use verified::VerifiedTokens;

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

/// How a caller's identity was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By the signature of a token.
    Jwt,
    /// By the word of the issuer, which was asked about the token.
    Bearer,
}

/// A token that was judged to be good.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Whose it is.
    pub principal: Arc<Principal>,
    /// The AWS credentials that came with the verdict, if any did.
    pub credentials: Option<Arc<GivenCredentials>>,
    /// How it was judged.
    pub proof: Proof,
}

/// A caller whose token was verified.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// The role it acts as, if its token carries one.
    pub role: Option<AuthorizedRole>,
    /// The AWS credentials that it has instead of a role.
    pub credentials: Option<Arc<GivenCredentials>>,
    /// How its identity was proven.
    pub proof: Proof,
}

/// Judges tokens by the configured issuers, and roles by the operator's rules.
pub struct Authenticator {
    issuers: Vec<Issuer>,
    verified: VerifiedTokens,
    scopes: Vec<Scope>,
    roles: RolePolicy,
    clock: Clock,
}

struct Issuer {
    rules: Rules,
    /// Whether it judges tokens that name no issuer.
    opaque: bool,
    by: By,
}

/// How an issuer's tokens are judged.
enum By {
    Keys(Keys),
    Registry(Registry),
    Introspection(Introspection),
    Alb(AlbKeys),
}

impl Issuer {
    /// `None` if the section lacks what a checked configuration has.
    fn from_config(
        section: &IssuerSection,
        server: &ServerSection,
        egress: &Arc<Egress>,
        load: &LoadSecret,
    ) -> Option<Self> {
        let rules = Rules::from_config(section, server);
        let by = match section.judge()? {
            Judge::Hs256(secret) => By::Keys(Keys::shared(secret, load)),
            Judge::Jwks(setting) => By::Keys(Keys::published(&rules.issuer, setting, egress)),
            Judge::Registry(url) => By::Registry(Registry::new(&rules.issuer, url, egress)),
            Judge::Introspection(section) => {
                By::Introspection(Introspection::from_config(section, egress, load)?)
            }
            Judge::Alb(section) => By::Alb(AlbKeys::from_config(section, egress)?),
        };
        Some(Self {
            rules,
            opaque: section.judges_opaque(),
            by,
        })
    }

    fn is_missing(&self) -> bool {
        match &self.by {
            By::Keys(keys) => keys.is_missing(),
            By::Introspection(introspection) => introspection.is_missing(),
            By::Registry(_) | By::Alb(_) => false,
        }
    }
}

impl Authenticator {
    /// An authenticator for a checked configuration. Nothing is loaded before a request needs it.
    pub fn new(
        auth: &AuthSection,
        server: &ServerSection,
        roles: &RolesSection,
        egress: &Arc<Egress>,
        clock: Clock,
        load: &LoadSecret,
    ) -> Self {
        let issuer = |section| Issuer::from_config(section, server, egress, load);
        Self {
            issuers: auth.issuers.iter().filter_map(issuer).collect(),
            verified: VerifiedTokens::new(),
            scopes: auth.required_scopes.clone(),
            roles: RolePolicy::from_config(roles),
            clock,
        }
    }

    /// Proves who sent a request with these headers, and which role it may act as.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, AuthError> {
        let judged = match BearerToken::from_headers(headers)? {
            Some(token) => self.judge(&token).await?,
            None => self
                .judge_alb(headers)
                .await?
                .ok_or(AuthError::MissingToken)?,
        };
        // Only now may a header say anything: a bad token with a good role header is a bad token.
        let requested = RoleRequest::from_headers(headers)?;
        let Judged {
            principal,
            credentials,
            proof,
        } = judged;
        if !self
            .scopes
            .iter()
            .all(|scope| principal.has_scope(scope.as_str()))
        {
            return Err(AuthError::InsufficientScope);
        }
        let role = principal
            .authorize_role(requested, &self.roles)
            .map_err(AuthError::RoleNotAllowed)?;
        Ok(Caller {
            principal,
            role,
            credentials,
            proof,
        })
    }

    /// Judges a token, by the issuer that it names, or by the one that judges those that name none.
    pub async fn judge(&self, token: &BearerToken) -> Result<Judged, AuthError> {
        let now = self.clock.unix();
        let fingerprint = token.fingerprint();
        if let Some(known) = self.verified.recall(&fingerprint)
            && let Some(Issuer {
                rules,
                by: By::Keys(keys),
                ..
            }) = self.issuers.get(known.issuer)
        {
            let keys = keys.current(now).await?;
            if known.holds(&keys, now) && rules.is_current(&known.principal, now) {
                return Ok(Judged::by_signature(Arc::clone(&known.principal)));
            }
        }
        let unverified = token
            .is_signed()
            .then(|| UnverifiedClaims::parse(token))
            .transpose()?;
        let named = unverified
            .as_ref()
            .and_then(UnverifiedClaims::unverified_issuer);
        let judges = |issuer: &Issuer| match named {
            Some(name) => *issuer.rules.issuer == *name,
            None => issuer.opaque,
        };
        let (index, issuer) = match self
            .issuers
            .iter()
            .enumerate()
            .find(|(_, issuer)| judges(issuer))
        {
            Some(found) => found,
            // Without somebody to ask, a token must be one that we can read.
            None if named.is_none() && unverified.is_none() => {
                return Err(UnverifiedClaims::parse(token)
                    .err()
                    .unwrap_or(Rejection::Issuer)
                    .into());
            }
            None => return Err(Rejection::Issuer.into()),
        };
        match (&issuer.by, &unverified) {
            (By::Keys(keys), Some(unverified)) => {
                let (claims, keys) = verify(unverified, keys, &issuer.rules, now).await?;
                let principal = Arc::new(Principal::new(claims));
                self.verified
                    .remember(fingerprint, index, keys, &principal, now);
                Ok(Judged::by_signature(principal))
            }
            (By::Registry(registry), unverified) => {
                registry.judge(token, unverified.as_ref(), now).await
            }
            (By::Introspection(endpoint), _) => endpoint.judge(token, &issuer.rules, now).await,
            // A load balancer's users come in a header of their own.
            (By::Keys(_), None) | (By::Alb(_), _) => Err(Rejection::Issuer.into()),
        }
    }

    /// Judges the user whom a load balancer signed in, if one is configured and there is one.
    async fn judge_alb(&self, headers: &HeaderMap) -> Result<Option<Judged>, AuthError> {
        let mut balancers = self.issuers.iter().filter_map(|issuer| match &issuer.by {
            By::Alb(keys) => Some((&issuer.rules, keys)),
            _ => None,
        });
        let Some(first) = balancers.next() else {
            return Ok(None);
        };
        let Some(user) = AlbUser::from_headers(headers)? else {
            return Ok(None);
        };
        let named = |(rules, _): &(&Rules, &AlbKeys)| *rules.issuer == *user.unverified_issuer();
        let (rules, keys) = std::iter::once(first)
            .chain(balancers)
            .find(named)
            .ok_or(Rejection::Issuer)?;
        let claims = keys.judge(&user, rules, self.clock.unix()).await?;
        Ok(Some(Judged::by_signature(Arc::new(Principal::new(claims)))))
    }

    /// The reason why no token of some issuer can be judged, if the last attempt showed one.
    pub fn ailment(&self) -> Option<&'static str> {
        let ailing = self.issuers.iter().any(Issuer::is_missing);
        ailing.then_some("the keys or the secret of an issuer cannot be read")
    }
}

impl Judged {
    fn by_signature(principal: Arc<Principal>) -> Self {
        Self {
            principal,
            credentials: None,
            proof: Proof::Jwt,
        }
    }
}

/// Judges a signed token, with newer keys if those at hand may be outdated. The keys that verified it come along.
async fn verify(
    unverified: &UnverifiedClaims,
    keys: &Keys,
    rules: &Rules,
    now: UnixSeconds,
) -> Result<(VerifiedClaims, Arc<KeySet>), AuthError> {
    let current = keys.current(now).await?;
    match VerifiedClaims::verify(unverified, &current, rules, now) {
        Err(rejection) if current.may_be_outdated(rejection) => {
            let newer = keys.newer(&current, now).await.ok_or(rejection)?;
            Ok((
                VerifiedClaims::verify(unverified, &newer, rules, now)?,
                newer,
            ))
        }
        verified => Ok((verified?, current)),
    }
}
