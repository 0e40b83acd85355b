//! A proven caller.
//!
//! Owns [`Principal`], made only of [`VerifiedClaims`] or of a [`SignedCaller`]. It holds no token: what was proven is
//! enough, and a fingerprint where a token must be told from others.

use std::sync::Arc;

use super::{
    AuthorizedRole, Grants, RoleError, RolePolicy, RoleRequest, RoleSource, SessionTag,
    VerifiedClaims, iam::SignedCaller, token::Fingerprint,
};
use crate::{clock::UnixSeconds, config::arn::RoleArn};

/// Who is calling, as an issuer vouches for it.
#[derive(Debug)]
pub struct Principal(Evidence);

#[derive(Debug)]
enum Evidence {
    Token {
        claims: VerifiedClaims,
        fingerprint: Fingerprint,
        proof: Proof,
    },
    Signature(SignedCaller),
}

/// How a caller was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By the signature of a token.
    Jwt,
    /// By the word of the token's issuer, which was asked.
    Bearer,
    /// By a signed request.
    Signature,
}

/// A caller's login: not all that the subject does, but what was begun with one proof. Knowing one is no proof.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionKey {
    issuer: String,
    subject: String,
    login: Login,
}

/// What tells the logins of one subject apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Login {
    /// `sid`: the issuer's own name of it, in every token of the login.
    Named(String),
    /// The one token.
    Token(Fingerprint),
}

impl SessionKey {
    /// Whether it is the session of a single token, and ends with it.
    pub(super) fn is_one_token(&self) -> bool {
        matches!(self.login, Login::Token(_))
    }
}

impl Principal {
    /// The principal of a token that was judged to be good, which has this fingerprint.
    pub(super) fn of_token(claims: VerifiedClaims, fingerprint: Fingerprint, proof: Proof) -> Self {
        Self(Evidence::Token {
            claims,
            fingerprint,
            proof,
        })
    }

    /// The principal of a signed request.
    pub(super) fn of_signature(caller: SignedCaller) -> Self {
        Self(Evidence::Signature(caller))
    }

    fn claims(&self) -> Option<&VerifiedClaims> {
        match &self.0 {
            Evidence::Token { claims, .. } => Some(claims),
            Evidence::Signature(_) => None,
        }
    }

    /// About how much memory the texts of its claims take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.claims().map_or(0, VerifiedClaims::bytes)
    }

    /// How it was proven.
    pub fn proof(&self) -> Proof {
        match &self.0 {
            Evidence::Token { proof, .. } => *proof,
            Evidence::Signature(_) => Proof::Signature,
        }
    }

    /// The session that the call belongs to. `None` for a signed request: each stands for itself.
    pub fn session(&self) -> Option<SessionKey> {
        match &self.0 {
            Evidence::Token {
                claims,
                fingerprint,
                ..
            } => Some(SessionKey {
                issuer: claims.issuer.to_string(),
                subject: claims.subject.clone(),
                login: match &claims.session_id {
                    Some(name) => Login::Named(name.clone()),
                    None => Login::Token(*fingerprint),
                },
            }),
            Evidence::Signature(_) => None,
        }
    }

    /// `iss`; of a signed request, the IAM of the caller's account: `aws:iam:<account>`.
    pub fn issuer(&self) -> &str {
        match &self.0 {
            Evidence::Token { claims, .. } => &claims.issuer,
            Evidence::Signature(caller) => &caller.issuer,
        }
    }

    /// `sub`: unique within the issuer only; of a signed request, the caller's ARN.
    pub fn subject(&self) -> &str {
        match &self.0 {
            Evidence::Token { claims, .. } => &claims.subject,
            Evidence::Signature(caller) => &caller.arn,
        }
    }

    /// `exp`; of a signed request, when it would no longer be accepted.
    pub fn expires_at(&self) -> UnixSeconds {
        match &self.0 {
            Evidence::Token { claims, .. } => claims.expires_at,
            Evidence::Signature(caller) => caller.expires_at,
        }
    }

    /// The roles that the token lists, its own first.
    pub fn roles(&self) -> &[RoleArn] {
        self.claims().map_or(&[], |claims| &claims.roles)
    }

    /// Whether the token was given this scope: RFC 8693, section 4.2.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.grants().scope.split(' ').any(|given| given == scope)
    }

    /// What the token says its holder may do: it narrows, and grants nothing that IAM does not. A signed request is not
    /// narrowed.
    pub fn grants(&self) -> &Grants {
        match &self.0 {
            Evidence::Token { claims, .. } => &claims.grants,
            Evidence::Signature(caller) => &caller.grants,
        }
    }

    /// `email`, where it can be shown.
    pub fn email(&self) -> Option<&str> {
        self.claims()?.email.as_deref()
    }

    /// `preferred_username`, else `username`, where it can be shown.
    pub fn name(&self) -> Option<&str> {
        self.claims()?.name.as_deref()
    }

    /// `sid`: the login that the token belongs to, at its issuer.
    pub fn session_id(&self) -> Option<&str> {
        self.claims()?.session_id.as_deref()
    }

    /// The session tags that the token asks for, sorted.
    pub fn session_tags(&self) -> &[SessionTag] {
        self.claims().map_or(&[], |claims| &claims.session_tags)
    }

    /// Which of the tags pass on when the role assumes another, sorted.
    pub fn transitive_tag_keys(&self) -> &[String] {
        self.claims()
            .map_or(&[], |claims| &claims.transitive_tag_keys)
    }

    /// The role this caller acts as: the one requested, if it is one of theirs, else the token's own; allowed by the
    /// operator in either case. `None` if nothing is requested and the token carries no role.
    pub fn authorize_role(
        self: &Arc<Self>,
        requested: Option<RoleRequest>,
        policy: &RolePolicy,
    ) -> Result<Option<AuthorizedRole>, RoleError> {
        let (role, source) = match (&self.0, requested) {
            (Evidence::Token { .. }, Some(_)) if !policy.header_selects() => {
                return Err(RoleError::HeaderOff);
            }
            (Evidence::Token { claims, .. }, Some(RoleRequest(role, _)))
                if !claims.roles.contains(&role) =>
            {
                return Err(RoleError::NotListed);
            }
            (Evidence::Signature(caller), Some(RoleRequest(role, _)))
                if !caller.may_name(&role) =>
            {
                return Err(RoleError::NotListed);
            }
            (_, Some(RoleRequest(role, source))) => (role, source),
            (Evidence::Token { claims, .. }, None) => match &claims.own_role {
                Some(role) => (role.clone(), RoleSource::Token),
                None => return Ok(None),
            },
            (Evidence::Signature(_), None) => return Ok(None),
        };
        if !policy.allows(&role) {
            return Err(RoleError::NotAllowed);
        }
        Ok(Some(AuthorizedRole::new(role, source, Arc::clone(self))))
    }
}
