//! The sections of the document. Each field says its unit and its default.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    arn::RolePattern,
    read::{Mistakes, items, sections},
    secret::SecretSetting,
    types::{Bounded, Host, Origin, PublicUrl, Scope},
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
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            public_url: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body_bytes: Bounded::clamped(4_194_304),
            tool_timeout_seconds: Bounded::clamped(25),
        }
    }
}

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
}

/// One issuer of tokens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[schemars(extend("required" = ["issuer", "audience", "hs256"]))]
pub struct IssuerSection {
    /// The exact value of the `iss` claim.
    pub issuer: String,
    /// The value that the `aud` claim must hold.
    pub audience: String,
    /// The secret of an issuer that signs with HS256, at least 32 bytes. From Secrets Manager, the versions AWSCURRENT
    /// and AWSPREVIOUS are both accepted, so that a rotation refuses nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hs256: Option<SecretSetting>,
    /// The longest lifetime of a token (`exp` less `iat`), in seconds. Default: 86,400, a day.
    pub max_lifetime_seconds: Bounded<60, 31_536_000>,
    /// How far the issuer's clock and ours may differ, in seconds. Default: 30.
    pub leeway_seconds: Bounded<0, 30>,
}

impl Default for IssuerSection {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            hs256: None,
            max_lifetime_seconds: Bounded::clamped(86_400),
            leeway_seconds: Bounded::clamped(30),
        }
    }
}

/// The shortest HMAC secret accepted, in bytes: RFC 7518, section 3.2 asks for the size of the hash.
pub const MIN_HS256_BYTES: usize = 32;

impl AuthSection {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        for (index, issuer) in self.issuers.iter().enumerate() {
            let at = |field: &str| format!("auth.issuers[{index}].{field}");
            if issuer.issuer.is_empty() {
                mistakes.add(
                    at("issuer"),
                    "is required: the exact value of the `iss` claim",
                );
            }
            if issuer.audience.is_empty() {
                mistakes.add(
                    at("audience"),
                    "is required: the value that the `aud` claim must hold",
                );
            }
            match &issuer.hs256 {
                None => mistakes.add(
                    at("hs256"),
                    r#"is required: {"$secret":"<Secrets Manager ARN>"}"#,
                ),
                Some(SecretSetting::Plain(secret)) => {
                    use secrecy::ExposeSecret;
                    if secret.expose_secret().len() < MIN_HS256_BYTES {
                        mistakes.add(
                            at("hs256"),
                            format!("must be at least {MIN_HS256_BYTES} bytes long"),
                        );
                    }
                }
                Some(SecretSetting::Stored(_)) => {}
            }
            if !issuer.issuer.is_empty()
                && self.issuers[..index]
                    .iter()
                    .any(|other| other.issuer == issuer.issuer)
            {
                mistakes.add(
                    at("issuer"),
                    "is configured twice: one issuer has one entry",
                );
            }
        }
    }
}

/// How `X-Quilt-User-Role` is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeaderMode {
    /// The header selects among the roles that the caller's verified token lists.
    #[default]
    Select,
    /// A request with the header is refused.
    Off,
}

/// `roles`: which IAM roles callers may act as.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct RolesSection {
    /// The roles that may be assumed, each an ARN, or the beginning of one followed by `*`. Default: none.
    #[serde(deserialize_with = "items")]
    pub allow: Vec<RolePattern>,
    /// How the `X-Quilt-User-Role` header is read. Default: `select`.
    pub header: HeaderMode,
    /// The external id sent with each `AssumeRole`, which the roles' trust policies should require.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<SecretSetting>,
    /// How long assumed credentials last, in seconds, if the token lasts as long. Default: 3,600. AWS bounds a role
    /// that is assumed by a role, as on Lambda, to 3,600.
    pub duration_seconds: Bounded<900, 43_200>,
}

impl Default for RolesSection {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            header: HeaderMode::default(),
            external_id: None,
            duration_seconds: Bounded::clamped(3_600),
        }
    }
}

impl RolesSection {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        use secrecy::ExposeSecret;
        if let Some(SecretSetting::Plain(id)) = &self.external_id
            && !is_external_id(id.expose_secret())
        {
            mistakes.add("roles.externalId", EXTERNAL_ID_FORM);
        }
    }
}

/// What an external id must be: STS API reference, `AssumeRole`, "`ExternalId`".
pub const EXTERNAL_ID_FORM: &str = "must be 2 to 1,224 letters, digits or any of +=,.@:/_-";

/// Whether `text` is an external id as STS accepts it.
pub fn is_external_id(text: &str) -> bool {
    (2..=1_224).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@:/_-".contains(&byte))
}

/// `aws`: how AWS is reached. Credentials and endpoints come from the SDK's own sources.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct AwsSection {
    /// The region of STS and S3. Default: the SDK's, from `AWS_REGION` or the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
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
