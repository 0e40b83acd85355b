//! A proven caller.
//!
//! Owns [`Principal`], made only of [`VerifiedClaims`]. It holds no token: what was proven is enough.

use std::sync::Arc;

use super::{
    AuthorizedRole, Grants, RoleError, RolePolicy, RoleRequest, SessionTag, VerifiedClaims,
};
use crate::{clock::UnixSeconds, config::arn::RoleArn};

/// Who is calling, as an issuer vouches for it.
#[derive(Debug)]
pub struct Principal(VerifiedClaims);

impl Principal {
    /// The principal of a verified token.
    pub fn new(claims: VerifiedClaims) -> Self {
        Self(claims)
    }

    /// `iss`.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// `sub`: unique within the issuer only.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// `exp`.
    pub fn expires_at(&self) -> UnixSeconds {
        self.0.expires_at
    }

    /// The roles that the token lists, its own first.
    pub fn roles(&self) -> &[RoleArn] {
        &self.0.roles
    }

    /// Whether the token was given this scope: RFC 8693, section 4.2.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.grants.scope.split(' ').any(|given| given == scope)
    }

    /// What the token says its holder may do: it narrows, and grants nothing that IAM does not.
    pub fn grants(&self) -> &Grants {
        &self.0.grants
    }

    /// `email`, where it can be shown.
    pub fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// `preferred_username`, else `username`, where it can be shown.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// `sid`: the login that the token belongs to, at its issuer.
    pub fn session_id(&self) -> Option<&str> {
        self.0.session_id.as_deref()
    }

    /// `jti`.
    pub fn token_id(&self) -> Option<&str> {
        self.0.token_id.as_deref()
    }

    /// The session tags that the token asks for, sorted.
    pub fn session_tags(&self) -> &[SessionTag] {
        &self.0.session_tags
    }

    /// Which of the tags pass on when the role assumes another, sorted.
    pub fn transitive_tag_keys(&self) -> &[String] {
        &self.0.transitive_tag_keys
    }

    /// The role this caller acts as: the one requested, if the token lists it, else the token's own; allowed by the
    /// operator in either case. `None` if nothing is requested and the token carries no role.
    pub fn authorize_role(
        self: &Arc<Self>,
        requested: Option<RoleRequest>,
        policy: &RolePolicy,
    ) -> Result<Option<AuthorizedRole>, RoleError> {
        let role = match requested {
            Some(_) if !policy.header_selects() => return Err(RoleError::HeaderOff),
            Some(RoleRequest(role)) if !self.0.roles.contains(&role) => {
                return Err(RoleError::NotListed);
            }
            Some(RoleRequest(role)) => role,
            None => match &self.0.own_role {
                Some(role) => role.clone(),
                None => return Ok(None),
            },
        };
        if !policy.allows(&role) {
            return Err(RoleError::NotAllowed);
        }
        Ok(Some(AuthorizedRole::new(role, Arc::clone(self))))
    }
}
