//! From claims that somebody wrote to claims that an issuer vouches for.
//!
//! Owns [`VerifiedClaims`] and every check between: signature, issuer, audience, times, types. In come
//! [`UnverifiedClaims`], keys, the issuer's [`Rules`] and the time; out go the claims, or a [`Rejection`].
//! Source: RFC 7519, section 4.1; RFC 8725.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Grants, Level, Principal, Rejection, UnverifiedClaims,
    claim::{Audience, NumericDate, SessionTag, Tags, is_name, is_tag_character},
    compressed::Compressed,
    grants::Stated,
    keys::KeySet,
};
use crate::{
    clock::UnixSeconds,
    config::{IssuerSection, Judge, ServerSection, arn::RoleArn},
};

/// The most tags that a token may list. STS takes no more.
const MAX_TAGS: usize = 50;

/// What one issuer's tokens must satisfy.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The exact `iss`.
    pub issuer: Arc<str>,
    /// What `aud` must hold.
    pub audience: String,
    /// How far the clocks may differ, in seconds.
    pub leeway: u64,
    /// The longest lifetime, in seconds.
    pub max_lifetime: u64,
    /// Whether `user_id`, else `id`, names the subject of a token without `sub`: the Quilt frontend's own tokens only.
    /// What another issuer means by these claims is not known.
    pub subject_by_id: bool,
}

impl Rules {
    /// The rules of a configured issuer.
    pub fn from_config(section: &IssuerSection, server: &ServerSection) -> Self {
        Self {
            issuer: section.issuer.as_str().into(),
            audience: section.audience(server),
            leeway: section.leeway_seconds.get(),
            max_lifetime: section.max_lifetime_seconds.get(),
            subject_by_id: matches!(section.judge(), Some(Judge::Hs256(_))),
        }
    }

    /// Whether a principal's token has not ended.
    pub(super) fn is_current(&self, principal: &Principal, now: UnixSeconds) -> bool {
        now < principal.expires_at().saturating_add(self.leeway)
    }
}

/// Claims that an issuer vouches for, of a token that is valid now.
#[derive(Debug, Default)]
pub struct VerifiedClaims {
    pub(super) issuer: Arc<str>,
    pub(super) subject: String,
    pub(super) expires_at: UnixSeconds,
    pub(super) own_role: Option<RoleArn>,
    pub(super) roles: Vec<RoleArn>,
    pub(super) session_tags: Vec<SessionTag>,
    pub(super) transitive_tag_keys: Vec<String>,
    pub(super) grants: Grants,
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
    pub(super) session_id: Option<String>,
}

/// What a text takes beside its own length, in bytes: where it is, how it is held, the rest of its block.
const BYTES_OF_TEXT: usize = 64;

/// About how much memory texts take, in bytes.
pub(super) fn bytes_of<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.len() + BYTES_OF_TEXT).sum()
}

impl VerifiedClaims {
    /// About how much memory its texts take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let tags = self.session_tags.iter();
        let texts = [&self.email, &self.name, &self.session_id];
        let texts = texts
            .into_iter()
            .flatten()
            .chain([&self.subject])
            .chain(&self.transitive_tag_keys)
            .chain(tags.flat_map(|tag| [&tag.key, &tag.value]));
        self.grants.bytes()
            + bytes_of(texts.map(String::as_str))
            + bytes_of(self.roles.iter().map(RoleArn::as_str))
    }

    /// Judges a token by an issuer's keys and rules.
    pub(super) fn verify(
        unverified: &UnverifiedClaims,
        keys: &KeySet,
        rules: &Rules,
        now: UnixSeconds,
    ) -> Result<Self, Rejection> {
        keys.verify(unverified)?;
        Claims::read(&unverified.payload)?.judge(rules, now)
    }

    /// Judges the answer of an authorization server, which need not say who it is, nor when a token ends: it then ends
    /// at `end`. RFC 7662, section 2.2.
    pub(super) fn vouched(
        answer: &[u8],
        rules: &Rules,
        end: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<Self, Rejection> {
        let mut claims = Claims::read(answer)?;
        claims.iss.get_or_insert_with(|| rules.issuer.to_string());
        claims.exp.get_or_insert(NumericDate::of(end));
        claims.judge(rules, now)
    }

    /// Judges the claims of a load balancer's user: issuer and end are in its header, and so was the client, which the
    /// caller has compared with the audience.
    pub(super) fn of_alb(
        payload: &[u8],
        issuer: &str,
        end: f64,
        rules: &Rules,
        now: UnixSeconds,
    ) -> Result<Self, Rejection> {
        let end = NumericDate::new(end).ok_or(Rejection::Header("`exp` is out of range"))?;
        let mut claims = Claims::read(payload)?;
        if claims.iss.as_deref().is_some_and(|iss| iss != issuer) {
            return Err(Rejection::Issuer);
        }
        claims.iss = Some(issuer.to_owned());
        claims.aud = Some(Audience::One(rules.audience.clone()));
        claims.exp = Some(claims.exp.filter(|exp| exp.0 < end.0).unwrap_or(end));
        claims.judge(rules, now)
    }
}

/// A claim that is there and not of the type it has to be: nobody can say what it was to limit.
pub(super) const WRONG_TYPE: Rejection = Rejection::Claims("a claim has the wrong type");

/// The payload's members that mean something to us; each of the one type that it may have. Those kept as they are
/// written are read only where they count.
#[derive(Deserialize)]
struct Claims<'a> {
    iss: Option<String>,
    sub: Option<String>,
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    aud: Option<Audience>,
    exp: Option<NumericDate>,
    iat: Option<NumericDate>,
    nbf: Option<NumericDate>,
    role_arn: Option<String>,
    aws_role_arn: Option<String>,
    #[serde(rename = "awsRoleArn")]
    aws_role_arn_camel: Option<String>,
    #[serde(rename = "roleArn")]
    role_arn_camel: Option<String>,
    session_tags: Option<Tags>,
    transitive_tag_keys: Option<Vec<String>>,
    scope: Option<String>,
    roles: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    permissions: Option<Vec<String>>,
    buckets: Option<Vec<String>>,
    level: Option<Level>,
    #[serde(borrow)]
    quilt: Option<&'a RawValue>,
    #[serde(borrow)]
    s: Option<&'a RawValue>,
    #[serde(borrow)]
    p: Option<&'a RawValue>,
    #[serde(borrow)]
    r: Option<&'a RawValue>,
    #[serde(borrow)]
    b: Option<&'a RawValue>,
    #[serde(borrow)]
    l: Option<&'a RawValue>,
    email: Option<String>,
    preferred_username: Option<String>,
    username: Option<String>,
    sid: Option<String>,
}

impl<'a> Claims<'a> {
    /// Reads strict JSON, an object.
    fn read(payload: &'a [u8]) -> Result<Self, Rejection> {
        serde_json::from_slice(payload).map_err(|_| WRONG_TYPE)
    }

    fn judge(mut self, rules: &Rules, now: UnixSeconds) -> Result<VerifiedClaims, Rejection> {
        if self.iss.as_deref() != Some(&*rules.issuer) {
            return Err(Rejection::Issuer);
        }
        if !self
            .aud
            .as_ref()
            .is_some_and(|aud| aud.holds(&rules.audience))
        {
            return Err(Rejection::Audience);
        }
        let subject = self.subject(rules)?;
        if !is_name(&subject) {
            return Err(Rejection::Claims(
                "`sub` is not 1 to 256 printable characters",
            ));
        }
        let expires_at = self
            .exp
            .ok_or(Rejection::Claims("there is no `exp`"))?
            .floor();
        if now >= expires_at.saturating_add(rules.leeway) {
            return Err(Rejection::Expired);
        }
        if self
            .nbf
            .is_some_and(|nbf| nbf.ceil() > now.saturating_add(rules.leeway))
        {
            return Err(Rejection::Claims("`nbf` is in the future"));
        }
        if self
            .iat
            .is_some_and(|iat| iat.ceil() > now.saturating_add(rules.leeway))
        {
            return Err(Rejection::Claims("`iat` is in the future"));
        }
        let issued_at = self.iat.map_or(now, NumericDate::floor);
        if expires_at.saturating_sub(issued_at) > rules.max_lifetime {
            return Err(Rejection::Claims("the lifetime is longer than allowed"));
        }
        let (session_tags, transitive_tag_keys) = self.tags()?;
        let stated = Stated {
            scope: self.scope.take(),
            roles: self.roles.take(),
            groups: self.groups.take(),
            permissions: self.permissions.take(),
            buckets: self.buckets.take(),
            level: self.level.take(),
            nested: self.quilt,
            compressed: Compressed {
                s: self.s,
                p: self.p,
                r: self.r,
                b: self.b,
                l: self.l,
            },
        };
        let (grants, listed) = stated.judge()?;
        let (own_role, listed) = self.roles(listed)?;
        // None of these is proof of anything: one that cannot be shown is none. An empty `sid` names no login, which two
        // of one subject would share.
        let shown = |text: Option<String>| text.filter(|text| is_name(text));
        Ok(VerifiedClaims {
            issuer: Arc::clone(&rules.issuer),
            subject,
            expires_at,
            own_role,
            roles: listed,
            session_tags,
            transitive_tag_keys,
            grants,
            email: shown(self.email),
            name: shown(self.preferred_username.or(self.username)),
            session_id: shown(self.sid),
        })
    }

    fn subject(&mut self, rules: &Rules) -> Result<String, Rejection> {
        const NONE: Rejection = Rejection::Claims("there is no `sub`");
        match self.sub.take() {
            Some(subject) => Ok(subject),
            None if rules.subject_by_id => {
                let id = self.user_id.or(self.id).ok_or(NONE)?;
                serde_json::from_str(id.get()).map_err(|_| WRONG_TYPE)
            }
            None => Err(NONE),
        }
    }

    /// The token's own role, and all that it lists, its own first.
    fn roles(&self, listed: Vec<RoleArn>) -> Result<(Option<RoleArn>, Vec<RoleArn>), Rejection> {
        let aliases = [
            &self.role_arn,
            &self.aws_role_arn,
            &self.aws_role_arn_camel,
            &self.role_arn_camel,
        ];
        let own = match aliases.into_iter().flatten().next() {
            Some(role) => Some(
                role.parse()
                    .map_err(|_| Rejection::Claims("`role_arn` is not a role's ARN"))?,
            ),
            None => None,
        };
        let mut roles: Vec<RoleArn> = own.into_iter().collect();
        for role in listed {
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        Ok((roles.first().cloned(), roles))
    }

    fn tags(&mut self) -> Result<(Vec<SessionTag>, Vec<String>), Rejection> {
        const WRONG: Rejection = Rejection::Claims("`session_tags` is not what STS accepts");
        let mut tags = self
            .session_tags
            .take()
            .map(|tags| tags.0)
            .unwrap_or_default();
        tags.sort();
        let formed = |tag: &SessionTag| {
            (1..=128).contains(&tag.key.chars().count())
                && tag.value.chars().count() <= 256
                && tag
                    .key
                    .chars()
                    .chain(tag.value.chars())
                    .all(is_tag_character)
                && !tag.key.to_ascii_lowercase().starts_with("aws:")
        };
        // STS compares keys without case.
        let repeated =
            |pair: &[SessionTag]| pair[0].key.to_lowercase() == pair[1].key.to_lowercase();
        let mut by_key = tags.clone();
        by_key.sort_by_key(|tag| tag.key.to_lowercase());
        if tags.len() > MAX_TAGS || !tags.iter().all(formed) || by_key.windows(2).any(repeated) {
            return Err(WRONG);
        }
        let mut transitive = self.transitive_tag_keys.take().unwrap_or_default();
        transitive.sort();
        transitive.dedup();
        if !transitive
            .iter()
            .all(|key| tags.iter().any(|tag| tag.key == *key))
        {
            return Err(Rejection::Claims(
                "`transitive_tag_keys` names a tag that is not there",
            ));
        }
        Ok((tags, transitive))
    }
}
