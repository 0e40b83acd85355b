//! `auth`: who may call.
//!
//! Owns the issuers' settings. Which of the kinds an issuer is follows from the one member that says how its tokens are
//! judged; [`IssuerSection::judge`] gives it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::{
    ServerSection,
    fetch_url::FetchUrl,
    judge::{AlbSection, IntrospectionSection, JUDGES, Judge, JwksSetting},
    read::{Mistakes, items, sections},
    secret::SecretSetting,
    types::{Bounded, Scope},
};

/// The shortest HMAC secret accepted, in bytes: RFC 7518, section 3.2 asks for the size of the hash.
pub const MIN_HS256_BYTES: usize = 32;

/// `auth`: who may call.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct AuthSection {
    /// The issuers whose tokens are accepted. A token is judged by the one that its `iss` claim names, and by no other.
    #[serde(deserialize_with = "sections")]
    pub issuers: Vec<IssuerSection>,
    /// What the `scope` claim of every token must hold. Default: nothing.
    #[serde(deserialize_with = "items")]
    pub required_scopes: Vec<Scope>,
    /// What the `scope` claim must also hold for single tools: by a tool's name, or the beginning of names followed by
    /// `*`. All that match count. Default: nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tool_scopes: BTreeMap<String, Vec<Scope>>,
}

/// One issuer of tokens. Exactly one of `hs256`, `jwks`, `registry`, `introspection` and `alb` says how they are judged.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[schemars(extend("required" = ["issuer"]))]
pub struct IssuerSection {
    /// The exact value of the `iss` claim. For a registry, and for introspection of tokens that name no issuer: the name
    /// that callers are known under.
    pub issuer: String,
    /// The value that the `aud` claim must hold. Default for `jwks` and `introspection`: `server.publicUrl` followed by
    /// `/mcp`, this resource's own name (RFC 8707). For `alb`: the OIDC client id of the load balancer's listener. A
    /// registry has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The secret of an issuer that signs with HS256, at least 32 bytes. From Secrets Manager, the versions AWSCURRENT
    /// and AWSPREVIOUS are both accepted, so that a rotation refuses nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hs256: Option<SecretSetting>,
    /// The public keys of an issuer that signs with RS256, PS256, ES256, ES384 or EdDSA: the URL of its JSON Web Key Set,
    /// or `discover` to take it from the issuer's own metadata (OpenID Connect Discovery, or RFC 8414).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<JwksSetting>,
    /// The URL of a Quilt registry that judges its own tokens and gives the caller's AWS credentials. Nothing of such a
    /// token is believed but what the registry answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<FetchUrl>,
    /// An authorization server that says whether a token is good: RFC 7662.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection: Option<IntrospectionSection>,
    /// An Application Load Balancer that signs its users in and says who they are in the `x-amzn-oidc-data` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alb: Option<AlbSection>,
    /// Whether this issuer judges tokens that name no issuer: opaque ones, and those of a Quilt catalog. At most one
    /// does. Default: true for `registry` and `introspection`, which alone can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opaque: Option<bool>,
    /// The longest lifetime of a token (`exp` less `iat`), in seconds. Default: 86,400, a day. A registry's tokens may
    /// live longer: it is asked about them again every few minutes.
    pub max_lifetime_seconds: Bounded<60, 31_536_000>,
    /// How far the issuer's clock and ours may differ, in seconds. Default: 30.
    pub leeway_seconds: Bounded<0, 30>,
}

impl Default for IssuerSection {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: None,
            hs256: None,
            jwks: None,
            registry: None,
            introspection: None,
            alb: None,
            opaque: None,
            max_lifetime_seconds: Bounded::clamped(86_400),
            leeway_seconds: Bounded::clamped(30),
        }
    }
}

impl IssuerSection {
    /// The one way in which its tokens are judged; `None` where the section names none or several.
    pub fn judge(&self) -> Option<Judge<'_>> {
        let judges = [
            self.hs256.as_ref().map(Judge::Hs256),
            self.jwks.as_ref().map(Judge::Jwks),
            self.registry.as_ref().map(Judge::Registry),
            self.introspection.as_ref().map(Judge::Introspection),
            self.alb.as_ref().map(Judge::Alb),
        ];
        let mut judges = judges.into_iter().flatten();
        judges.next().filter(|_| judges.next().is_none())
    }

    /// Whether it judges tokens that name no issuer.
    pub fn judges_opaque(&self) -> bool {
        let can = matches!(
            self.judge(),
            Some(Judge::Registry(_) | Judge::Introspection(_))
        );
        can && self.opaque.unwrap_or(true)
    }

    /// The identifier of the authorization server that clients get this issuer's tokens from, if it is one: an `https`
    /// URL (`http` on a loopback address) without a query. RFC 8414, section 2.
    pub fn authorization_server(&self) -> Option<&str> {
        let judged = matches!(
            self.judge()?,
            Judge::Hs256(_) | Judge::Jwks(_) | Judge::Introspection(_)
        );
        let url = FetchUrl::parse(&self.issuer).ok()?;
        (judged && url.url().query().is_none()).then_some(self.issuer.as_str())
    }

    /// What `aud` must hold; empty for a registry, whose tokens have none.
    pub fn audience(&self, server: &ServerSection) -> String {
        self.audience
            .clone()
            .or_else(|| server.resource())
            .unwrap_or_default()
    }

    /// The URLs that this section names, which may be fetched.
    pub fn destinations(&self) -> impl Iterator<Item = FetchUrl> + '_ {
        let discovered = match &self.jwks {
            Some(JwksSetting::Discover) => FetchUrl::parse(&self.issuer).ok(),
            Some(JwksSetting::Url(url)) => Some(url.clone()),
            None => None,
        };
        let introspection = self
            .introspection
            .as_ref()
            .and_then(|section| section.url.clone());
        let alb = self.alb.as_ref().and_then(AlbSection::keys_url);
        discovered
            .into_iter()
            .chain(self.registry.clone())
            .chain(introspection)
            .chain(alb)
    }

    fn check(&self, at: &dyn Fn(&str) -> String, server: &ServerSection, mistakes: &mut Mistakes) {
        if self.issuer.is_empty() {
            mistakes.add(
                at("issuer"),
                "is required: the exact value of the `iss` claim",
            );
        }
        let named = [
            self.hs256.is_some(),
            self.jwks.is_some(),
            self.registry.is_some(),
            self.introspection.is_some(),
            self.alb.is_some(),
        ];
        let of_judges = ["hs256", "jwks", "registry", "introspection", "alb"];
        match named.into_iter().filter(|named| *named).count() {
            1 => {}
            // One is there that could not be read, which has been said: none is missing.
            0 if of_judges.iter().any(|field| mistakes.cover(&at(field))) => {}
            0 => mistakes.add(
                at("hs256"),
                format!("is missing: {JUDGES} says how tokens are judged"),
            ),
            _ => mistakes.add(
                at("issuer"),
                format!("is judged in several ways: {JUDGES} must stand beside it"),
            ),
        }
        let Some(judge) = self.judge() else {
            let of_registry = mistakes.cover(&at("registry"));
            if self.audience.is_none() && server.resource().is_none() && !of_registry {
                mistakes.add(
                    at("audience"),
                    "is required: the value that the `aud` claim must hold",
                );
            }
            return;
        };
        self.check_audience(judge, at, server, mistakes);
        if self.opaque == Some(true) && !self.judges_opaque() {
            mistakes.add(
                at("opaque"),
                "is for `registry` and `introspection` only: a signed token names its issuer",
            );
        }
        self.check_judge(judge, at, mistakes);
    }

    /// What `aud` must hold, as far as this kind of issuer has one.
    fn check_audience(
        &self,
        judge: Judge<'_>,
        at: &dyn Fn(&str) -> String,
        server: &ServerSection,
        mistakes: &mut Mistakes,
    ) {
        match (judge, &self.audience) {
            (Judge::Registry(_), Some(_)) => mistakes.add(at("audience"), "has no meaning beside `registry`: leave it out"),
            (_, Some(audience)) if audience.is_empty() => {
                mistakes.add(at("audience"), "must not be empty: the value that the `aud` claim must hold");
            }
            (_, Some(_)) | (Judge::Registry(_), None) => {}
            (Judge::Jwks(_) | Judge::Introspection(_), None) if server.resource().is_some() => {}
            (Judge::Jwks(_) | Judge::Introspection(_), None) => mistakes.add(
                at("audience"),
                "is required where server.publicUrl is not set: the value that the `aud` claim must hold",
            ),
            (Judge::Hs256(_) | Judge::Alb(_), None) => {
                mistakes.add(at("audience"), "is required: the value that the `aud` claim must hold");
            }
        }
    }

    /// What this way of judging needs.
    fn check_judge(&self, judge: Judge<'_>, at: &dyn Fn(&str) -> String, mistakes: &mut Mistakes) {
        let (base, field) = match judge {
            Judge::Registry(url) => (Some(url), at("registry")),
            Judge::Alb(section) => (section.keys.as_ref(), format!("{}.keys", at("alb"))),
            Judge::Hs256(_) | Judge::Jwks(_) | Judge::Introspection(_) => (None, String::new()),
        };
        if base.is_some_and(|url| url.url().query().is_some()) {
            mistakes.add(field, "must have no query: a path is added to it");
        }
        match judge {
            Judge::Hs256(SecretSetting::Plain(secret))
                if secret.expose_secret().len() < MIN_HS256_BYTES =>
            {
                mistakes.add(
                    at("hs256"),
                    format!("must be at least {MIN_HS256_BYTES} bytes long"),
                );
            }
            Judge::Jwks(JwksSetting::Discover)
                if FetchUrl::parse(&self.issuer).is_err() && !self.issuer.is_empty() =>
            {
                mistakes.add(
                    at("issuer"),
                    "must be an https URL for `jwks` to be discovered from",
                );
            }
            Judge::Introspection(section) => {
                for (missing, field) in [
                    (section.url.is_none(), "url"),
                    (section.client_id.is_empty(), "clientId"),
                    (section.client_secret.is_none(), "clientSecret"),
                ] {
                    if missing {
                        mistakes.add(format!("{}.{field}", at("introspection")), "is required");
                    }
                }
            }
            Judge::Alb(section) if section.region().is_none() => {
                mistakes.add(
                    format!("{}.signer", at("alb")),
                    "must be the ARN of an Application Load Balancer: arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/name/id",
                );
            }
            _ => {}
        }
    }
}

impl AuthSection {
    /// The authorization servers among the issuers: what the resource's metadata names.
    pub fn authorization_servers(&self) -> Vec<String> {
        let servers = self.issuers.iter();
        servers
            .filter_map(IssuerSection::authorization_server)
            .map(str::to_owned)
            .collect()
    }

    /// The secrets of the issuers, each with its path.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (String, &SecretSetting)> {
        self.issuers.iter().enumerate().flat_map(|(index, issuer)| {
            let introspection = issuer.introspection.as_ref();
            let secrets = [
                ("hs256", issuer.hs256.as_ref()),
                (
                    "introspection.clientSecret",
                    introspection.and_then(|section| section.client_secret.as_ref()),
                ),
            ];
            secrets.into_iter().filter_map(move |(field, secret)| {
                Some((format!("auth.issuers[{index}].{field}"), secret?))
            })
        })
    }

    pub(super) fn check(&self, server: &ServerSection, mistakes: &mut Mistakes) {
        let mut opaque = None;
        for (index, issuer) in self.issuers.iter().enumerate() {
            let at = |field: &str| format!("auth.issuers[{index}].{field}");
            issuer.check(&at, server, mistakes);
            let earlier = &self.issuers[..index];
            if !issuer.issuer.is_empty()
                && earlier.iter().any(|other| other.issuer == issuer.issuer)
            {
                mistakes.add(
                    at("issuer"),
                    "is configured twice: one issuer has one entry",
                );
            }
            if issuer.judges_opaque() {
                match opaque {
                    None => opaque = Some(index),
                    Some(first) => mistakes.add(
                        at("opaque"),
                        format!("must be false here or at auth.issuers[{first}]: one issuer judges tokens that name none"),
                    ),
                }
            }
        }
        for (name, scopes) in &self.tool_scopes {
            let pattern = name.strip_suffix('*').unwrap_or(name);
            let formed = pattern.len() <= 64
                && (!pattern.is_empty() || name == "*")
                && pattern
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
            if !formed {
                // The name is the setting's own, and no secret.
                mistakes.add(
                    format!("auth.toolScopes.{name}"),
                    "is no tool's name, nor the beginning of names followed by `*`",
                );
            } else if scopes.is_empty() {
                mistakes.add(
                    format!("auth.toolScopes.{name}"),
                    "must list at least one scope",
                );
            }
        }
    }
}
