//! Which role a caller may act as.
//!
//! Owns [`RoleRequest`] (what a header asks for), [`RolePolicy`] (what the operator allows) and [`AuthorizedRole`]
//! (what both, and the token, agree on). STS is only ever asked for an `AuthorizedRole`, so an unlisted role cannot
//! reach it: no value of the type exists.

use std::sync::Arc;

use http::HeaderMap;

use super::{AuthError, Principal};
use crate::config::{
    HeaderMode, RolesSection,
    arn::{RoleArn, RolePattern},
};

/// The header with which a client asks for one of its roles.
pub(super) const ROLE_HEADER: &str = "x-quilt-user-role";

/// Where it comes from that a caller acts as a role, in the order of what wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleSource {
    /// The request's `X-Quilt-User-Role`.
    Header,
    /// Chosen earlier, for the session.
    Session,
    /// The token's own.
    Token,
}

/// A role that a client asks for. It grants nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRequest(pub(super) RoleArn, pub(super) RoleSource);

impl RoleRequest {
    /// What the `X-Quilt-User-Role` header asks for: one value, one ARN.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, AuthError> {
        let mut values = headers.get_all(ROLE_HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let role = value.to_str().ok().and_then(|text| text.parse().ok());
        match (role, values.next()) {
            (Some(role), None) => Ok(Some(Self(role, RoleSource::Header))),
            _ => Err(AuthError::MalformedRole),
        }
    }
}

/// Why a caller may not act as a role. For the log: the caller is not told which, nor whether the role exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// A token's caller asks for a role, and the configuration lets none ask.
    #[error(
        "role_not_allowed: a role was asked for with a token, but roles.header is not `select`"
    )]
    HeaderOff,
    /// The token does not list the requested role, or the signer may not name it.
    #[error("role_not_allowed: the requested role is not one of the caller's")]
    NotListed,
    /// The registry knows the caller, and gives it no credentials.
    #[error("role_not_allowed: the registry gives this caller no credentials")]
    Registry,
    /// The operator does not allow the role.
    #[error("role_not_allowed: roles.allow does not match the role")]
    NotAllowed,
}

/// What the operator allows.
#[derive(Debug, Clone)]
pub struct RolePolicy {
    allow: Vec<RolePattern>,
    header: HeaderMode,
}

impl RolePolicy {
    /// The policy of a checked configuration.
    pub fn from_config(section: &RolesSection) -> Self {
        Self {
            allow: section.allow.clone(),
            header: section.header,
        }
    }

    pub(super) fn header_selects(&self) -> bool {
        self.header == HeaderMode::Select
    }

    pub(super) fn allows(&self, role: &RoleArn) -> bool {
        self.allow.iter().any(|pattern| pattern.matches(role))
    }
}

/// A role that this caller may act as: one of theirs, allowed by the operator.
#[derive(Debug, Clone)]
pub struct AuthorizedRole {
    arn: RoleArn,
    source: RoleSource,
    principal: Arc<Principal>,
}

impl AuthorizedRole {
    pub(super) fn new(arn: RoleArn, source: RoleSource, principal: Arc<Principal>) -> Self {
        Self {
            arn,
            source,
            principal,
        }
    }

    /// The role.
    pub fn arn(&self) -> &RoleArn {
        &self.arn
    }

    /// Why this role and no other.
    pub fn source(&self) -> RoleSource {
        self.source
    }

    /// Who may act as it.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }
}
