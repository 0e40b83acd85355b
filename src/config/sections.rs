//! The sections of the document. Each field says its unit and its default.

use std::{collections::BTreeMap, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    fetch_url::FetchUrl,
    read::{Mistakes, items},
    types::{Bounded, Host, Origin, PublicUrl},
};

/// `server`: the HTTP server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct ServerSection {
    /// The URL under which clients reach this server. Its host is allowed, its path is taken off each request's path,
    /// and the documents that clients are pointed to are named by it. Unset: none are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<PublicUrl>,
    /// Hosts that requests may name beside `publicUrl`'s. A server that listens on a loopback address also answers to
    /// loopback names. Behind AWS Lambda with neither this nor `publicUrl`, the front door decides.
    #[serde(deserialize_with = "items")]
    pub allowed_hosts: Vec<Host>,
    /// Web origins that browsers may call from. A server that listens on a loopback address also accepts pages from
    /// loopback names. Default: none.
    #[serde(deserialize_with = "items")]
    pub allowed_origins: Vec<Origin>,
    /// The largest request body, in bytes. Default: 4 MiB.
    pub max_body_bytes: Bounded<1_024, 6_291_456>,
    /// How long one tool call may take, in seconds. Default: 25, below the 30 s of an HTTP API.
    pub tool_timeout_seconds: Bounded<1, 900>,
    /// Where this server itself may connect to, beside AWS and the URLs that this document names.
    pub egress: EgressSection,
}

/// `server.egress`: the destinations of what this server fetches. AWS's own are not among them.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct EgressSection {
    /// Hosts that a fetched document may point to, with the port where it is not 443: such as the host of an issuer's
    /// `jwks_uri`, where that is not the issuer's own. Default: none.
    #[serde(deserialize_with = "items")]
    pub allowed_hosts: Vec<Host>,
    /// Addresses that may be connected to although they are not global (private, loopback, link-local): each one exact.
    /// Default: none, but for those that URLs of this document name outright.
    #[serde(deserialize_with = "items")]
    pub allowed_addresses: Vec<IpAddr>,
}

impl ServerSection {
    /// The name of this resource: `publicUrl` followed by `/mcp`. RFC 8707, section 2; RFC 9728, section 1.2.
    pub fn resource(&self) -> Option<String> {
        self.public_url
            .as_ref()
            .map(|url| format!("{}/mcp", url.as_str()))
    }
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            public_url: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body_bytes: Bounded::clamped(4_194_304),
            tool_timeout_seconds: Bounded::clamped(25),
            egress: EgressSection::default(),
        }
    }
}

/// `aws`: how AWS is reached. Credentials and endpoints come from the SDK's own sources.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct AwsSection {
    /// The region of STS and S3. Default: the SDK's, from `AWS_REGION` or the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// `quilt`: the catalog, and what its roles grant.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct QuiltSection {
    /// The catalog's URL. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<FetchUrl>,
    /// What each role of the catalog grants, by the role's name as tokens have it: a token's permissions and buckets are
    /// compared with the union of its roles'. Default: nothing is compared.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, RoleGrant>,
    /// How many buckets a token must name. Default: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_buckets: Option<Bounded<1, 10_000>>,
    /// What follows when a token differs from its roles, or names another number of buckets. Default: `report`.
    pub parity: ParityMode,
}

/// What a role of the catalog grants.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct RoleGrant {
    /// Actions of S3, Athena and Glue, such as `s3:GetObject`.
    #[serde(deserialize_with = "items")]
    pub permissions: Vec<String>,
    /// Names of buckets; `*` for all.
    #[serde(deserialize_with = "items")]
    pub buckets: Vec<String>,
}

/// What follows when a token's permissions are not those of its roles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParityMode {
    /// `get_user_permissions` says so, and a line in the log.
    #[default]
    Report,
    /// Tools that need permissions are refused, too.
    Enforce,
}

impl QuiltSection {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        for (name, grant) in &self.roles {
            if grant.permissions.is_empty() && grant.buckets.is_empty() {
                mistakes.add(
                    format!("quilt.roles.{name}"),
                    "must list `permissions`, `buckets` or both",
                );
            }
        }
    }
}

/// `telemetry`: logs on standard error, or on standard output where AWS Lambda collects it; metrics.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct TelemetrySection {
    /// How log lines look. Default: `auto`.
    pub format: LogFormat,
    /// The least important lines that are written. Default: `info`.
    pub level: Level,
    /// Whether metrics are written, in CloudWatch's Embedded Metric Format. Default: `auto`.
    pub metrics: MetricsMode,
    /// The CloudWatch namespace of the metrics. Default: `Rolecall`.
    pub namespace: String,
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            level: Level::default(),
            metrics: MetricsMode::default(),
            namespace: "Rolecall".to_owned(),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// JSON on Lambda and wherever the output is not a terminal; text on a terminal.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text,
}

/// The least important lines that are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Only what failed on our side.
    Error,
    /// Also what was refused or looks wrong.
    Warn,
    /// Also one line for each request.
    #[default]
    Info,
    /// Also the steps of each request.
    Debug,
}

/// Whether metrics are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricsMode {
    /// On Lambda only.
    #[default]
    Auto,
    /// Always, on standard output.
    Emf,
    /// Never.
    Off,
}
