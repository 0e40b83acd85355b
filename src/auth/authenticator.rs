//! The judge of a request: which issuer, which keys, which role.
//!
//! Owns [`Authenticator`]. In come headers, and what a front door found signed; out goes a [`Caller`]. The issuer that a
//! token names judges it, or the one that judges those that name none; no other is tried after it.

use std::sync::Arc;

use http::HeaderMap;

use super::{
    AuthError, AuthorizedRole, BearerToken, Caller, Judged, KeySet, LoadSecret, Principal, Proof,
    Rejection, RoleChoices, RoleRequest, Rules, SignedRequest, UnverifiedClaims, VerifiedClaims,
    alb::{AlbKeys, AlbUser},
    iam::IamRules,
    introspection::Introspection,
    keys::Keys,
    registry::Registry,
    verified::VerifiedTokens,
};
use crate::{
    clock::{Clock, UnixSeconds},
    config::{AuthSection, IssuerSection, Judge, RolesSection, Scope, ServerSection},
    egress::Egress,
};

/// Judges tokens by the configured issuers, and roles by the operator's rules.
pub struct Authenticator {
    issuers: Vec<Issuer>,
    verified: VerifiedTokens,
    scopes: Vec<Scope>,
    roles: Arc<RoleChoices>,
    iam: Option<IamRules>,
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

    /// Whether what it is judged by is a secret of this server's own.
    fn has_secret(&self) -> bool {
        match &self.by {
            By::Keys(keys) => keys.are_stored(),
            By::Introspection(_) => true,
            By::Registry(_) | By::Alb(_) => false,
        }
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
        choices: Arc<RoleChoices>,
        egress: &Arc<Egress>,
        clock: Clock,
        load: &LoadSecret,
    ) -> Self {
        let issuer = |section| Issuer::from_config(section, server, egress, load);
        Self {
            issuers: auth.issuers.iter().filter_map(issuer).collect(),
            verified: VerifiedTokens::new(),
            scopes: auth.required_scopes.clone(),
            roles: choices,
            iam: IamRules::from_config(roles),
            clock,
        }
    }

    /// Whether a caller could prove itself in another way than by signing its request with AWS credentials.
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
        if let Some(token) = BearerToken::from_headers(headers)? {
            return self.admit(self.judge(&token).await?, headers);
        }
        if let (Some(rules), Some(signed)) = (&self.iam, signed) {
            let caller = rules.judge(signed, self.clock.unix())?;
            let principal = Arc::new(Principal::of_signature(caller));
            let role = self.named_role(&principal, RoleRequest::from_headers(headers)?)?;
            return Ok(Caller {
                principal,
                role,
                credentials: None,
            });
        }
        match self.judge_alb(headers).await? {
            Some(judged) => self.admit(judged, headers),
            None => Err(AuthError::MissingToken),
        }
    }

    /// What a good token lets its holder be. Only now may a header say anything: a bad token with a good role header is a
    /// bad token.
    fn admit(&self, judged: Judged, headers: &HeaderMap) -> Result<Caller, AuthError> {
        let requested = RoleRequest::from_headers(headers)?;
        let Judged {
            principal,
            credentials,
        } = judged;
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
            (requested, _) => self.named_role(&principal, requested)?,
        };
        Ok(Caller {
            principal,
            role,
            credentials,
        })
    }

    fn named_role(
        &self,
        principal: &Arc<Principal>,
        requested: Option<RoleRequest>,
    ) -> Result<Option<AuthorizedRole>, AuthError> {
        principal
            .authorize_role(requested, &self.roles.policy)
            .map_err(AuthError::RoleNotAllowed)
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
                let principal = Arc::new(Principal::of_token(claims, fingerprint, Proof::Jwt));
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
        let principal = Principal::of_token(claims, user.fingerprint(), Proof::Jwt);
        Ok(Some(Judged::by_signature(Arc::new(principal))))
    }

    /// The reason why no token of some issuer can be judged, if the last attempt showed one.
    pub fn ailment(&self) -> Option<&'static str> {
        // Our own secrets are ours to have right. That one of several issuers is down is not this server's ailment: whoever
        // replaces it for that takes it from the others' callers.
        let missing = || self.issuers.iter().filter(|issuer| issuer.is_missing());
        let ailing = missing().any(Issuer::has_secret) || missing().count() == self.issuers.len();
        (ailing && !self.issuers.is_empty())
            .then_some("the keys or the secret of an issuer cannot be read")
    }
}

impl Judged {
    fn by_signature(principal: Arc<Principal>) -> Self {
        Self {
            principal,
            credentials: None,
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
