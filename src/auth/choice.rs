//! Roles chosen for a session.
//!
//! Owns [`RoleChoices`]: what the operator allows, and which of the allowed roles a session asked to act as. A choice is
//! a request that was made earlier: it grants nothing, and is judged at every call as a header is. It lives in this
//! process's memory, as long as the token it was made with is accepted, and is found by the whole [`SessionKey`]: two
//! sessions of one subject share nothing. Where another process may answer the next call (AWS Lambda), nothing is kept.

use std::sync::Arc;

use super::{
    AuthorizedRole, Principal, RoleError, RolePolicy, RoleRequest, RoleSource, SessionKey,
};
use crate::{
    clock::{Clock, UnixSeconds},
    config::{RolesSection, arn::RoleArn},
};

/// Sessions whose choice is remembered. A session that was forgotten acts as its token's own role again.
const MAX_SESSIONS: u64 = 10_000;

/// The rules for roles, and what sessions chose by them.
pub struct RoleChoices {
    pub(super) policy: RolePolicy,
    /// `None` where the next call may reach another process.
    chosen: Option<moka::sync::Cache<SessionKey, Choice>>,
    clock: Clock,
}

/// How long after its end a token may still be accepted, in seconds: the most that `leewaySeconds` can be.
const MAX_LEEWAY: UnixSeconds = 30;

#[derive(Clone)]
struct Choice {
    role: RoleArn,
    /// `None` for a session of one token, which needs no other end than the token's: that may be asked for anew, as
    /// introspection is, and would leave its caller with another role unawares.
    ends_at: Option<UnixSeconds>,
}

impl RoleChoices {
    /// The rules of a checked configuration; choices are kept if `kept`.
    pub fn new(section: &RolesSection, kept: bool, clock: Clock) -> Self {
        Self {
            policy: RolePolicy::from_config(section),
            chosen: kept.then(|| moka::sync::Cache::new(MAX_SESSIONS)),
            clock,
        }
    }

    /// Judges a role that somebody would like to choose.
    pub fn authorize(
        &self,
        principal: &Arc<Principal>,
        role: RoleArn,
    ) -> Result<AuthorizedRole, RoleError> {
        let request = RoleRequest(role, RoleSource::Session);
        match principal.authorize_role(Some(request), &self.policy)? {
            Some(role) => Ok(role),
            None => Err(RoleError::NotListed),
        }
    }

    /// Keeps a choice for the session it was made in, until its token ends. `false` where it cannot be kept: then only
    /// a header can ask.
    pub fn keep(&self, role: &AuthorizedRole) -> bool {
        let (Some(chosen), Some(session)) = (&self.chosen, role.principal().session()) else {
            return false;
        };
        let choice = Choice {
            role: role.arn().clone(),
            ends_at: (!session.is_one_token())
                .then(|| role.principal().expires_at().saturating_add(MAX_LEEWAY)),
        };
        chosen.insert(session, choice);
        true
    }

    /// What the caller's session asked for.
    pub(super) fn chosen(&self, principal: &Principal) -> Option<RoleRequest> {
        let chosen = self.chosen.as_ref()?;
        let session = principal.session()?;
        let choice = chosen.get(&session)?;
        if choice.ends_at.is_some_and(|end| end <= self.clock.unix()) {
            chosen.invalidate(&session);
            return None;
        }
        Some(RoleRequest(choice.role, RoleSource::Session))
    }

    /// The roles of the caller's token that the operator allows too, the token's own first.
    pub fn open_to(&self, principal: &Principal) -> Vec<RoleArn> {
        let roles = principal.roles().iter();
        roles
            .filter(|role| self.policy.allows(role))
            .cloned()
            .collect()
    }
}
