//! How an issuer's tokens are judged: the five ways, and the settings of each.
//!
//! Owns [`Judge`] and the sections that it refers to. [`super::IssuerSection::judge`] says which way it is.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{fetch_url::FetchUrl, secret::SecretSetting, types::Bounded};

/// `introspection`: RFC 7662.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[schemars(extend("required" = ["url", "clientId", "clientSecret"]))]
pub struct IntrospectionSection {
    /// The introspection endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<FetchUrl>,
    /// This server's client id there: sent with HTTP Basic authentication.
    pub client_id: String,
    /// This server's client secret there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretSetting>,
    /// How long an answer serves, in seconds: a token that is revoked is refused no later. Default: 60.
    pub cache_seconds: Option<Bounded<0, 3_600>>,
}

/// `alb`: Elastic Load Balancing user guide, "Authenticate users using an Application Load Balancer".
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[schemars(extend("required" = ["signer"]))]
pub struct AlbSection {
    /// The ARN of the load balancer, which its headers must name as their signer. Its region says where its keys are.
    pub signer: String,
    /// Where its keys are, by key id. Default: `https://public-keys.auth.elb.<region>.amazonaws.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<FetchUrl>,
}

impl AlbSection {
    /// The region in the signer's ARN; `None` if it is not a load balancer's.
    pub fn region(&self) -> Option<&str> {
        let parts: Vec<&str> = self.signer.splitn(6, ':').collect();
        let [
            "arn",
            partition,
            "elasticloadbalancing",
            region,
            account,
            resource,
        ] = parts[..]
        else {
            return None;
        };
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let formed = partition.starts_with("aws")
            && !region.is_empty()
            && region.bytes().all(lower)
            && account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && resource.starts_with("loadbalancer/app/");
        formed.then_some(region)
    }
}

/// Where an issuer's public keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSetting {
    /// Where the issuer's metadata says.
    Discover,
    /// Here.
    Url(FetchUrl),
}

impl<'de> Deserialize<'de> for JwksSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "discover" => Ok(Self::Discover),
            url => FetchUrl::parse(url)
                .map(Self::Url)
                .map_err(D::Error::custom),
        }
    }
}

impl Serialize for JwksSetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Discover => serializer.serialize_str("discover"),
            Self::Url(url) => url.serialize(serializer),
        }
    }
}

impl JsonSchema for JwksSetting {
    fn schema_name() -> Cow<'static, str> {
        "Jwks".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "`discover`, or the URL of a JSON Web Key Set.",
            "pattern": "^(discover|https?://.+)$"
        })
    }
}

/// How an issuer's tokens are judged.
#[derive(Debug, Clone, Copy)]
pub enum Judge<'a> {
    /// By a shared secret.
    Hs256(&'a SecretSetting),
    /// By published keys.
    Jwks(&'a JwksSetting),
    /// By its Quilt registry.
    Registry(&'a FetchUrl),
    /// By asking the authorization server.
    Introspection(&'a IntrospectionSection),
    /// By the keys of a load balancer.
    Alb(&'a AlbSection),
}

pub(super) const JUDGES: &str =
    "exactly one of `hs256`, `jwks`, `registry`, `introspection` and `alb`";

impl AlbSection {
    /// Where the load balancer's keys are.
    pub fn keys_url(&self) -> Option<FetchUrl> {
        let region = self.region()?;
        let suffix = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        // ELB user guide: GovCloud keeps its keys in S3, so there `keys` must be set.
        let default =
            || FetchUrl::parse(&format!("https://public-keys.auth.elb.{region}.{suffix}")).ok();
        self.keys.clone().or_else(default)
    }
}
