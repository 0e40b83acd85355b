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

/// A role that a client asks for. It grants nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRequest(pub(super) RoleArn);

impl RoleRequest {
    /// What the `X-Quilt-User-Role` header asks for: one value, one ARN.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, AuthError> {
        let mut values = headers.get_all(ROLE_HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let role = value.to_str().ok().and_then(|text| text.parse().ok());
        match (role, values.next()) {
            (Some(role), None) => Ok(Some(Self(role))),
            _ => Err(AuthError::MalformedRole),
        }
    }
}

/// Why a caller may not act as a role. For the log: the caller is not told which, nor whether the role exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The header is switched off in the configuration.
    #[error("role_not_allowed: X-Quilt-User-Role came, but roles.header is off")]
    HeaderOff,
    /// The token does not list the requested role.
    #[error("role_not_allowed: the token does not list the requested role")]
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

/// A role that this caller may act as: listed by the token, allowed by the operator.
#[derive(Debug, Clone)]
pub struct AuthorizedRole {
    arn: RoleArn,
    principal: Arc<Principal>,
}

impl AuthorizedRole {
    pub(super) fn new(arn: RoleArn, principal: Arc<Principal>) -> Self {
        Self { arn, principal }
    }

    /// The role.
    pub fn arn(&self) -> &RoleArn {
        &self.arn
    }

    /// Who may act as it.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }
}
