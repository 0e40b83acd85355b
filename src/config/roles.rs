//! `roles`: which IAM roles callers may act as.

use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::{
    arn::{CallerPattern, RolePattern},
    read::{Mistakes, items, sections},
    secret::{ExternalIdSetting, SecretSetting},
    types::Bounded,
};

/// How `X-Quilt-User-Role` is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeaderMode {
    /// The header selects among the roles that the caller's verified token lists.
    #[default]
    Select,
    /// The header names the role of a caller whom a front door with IAM authentication vouches for: see `roles.iam`. With
    /// a bearer token it is refused.
    Iam,
    /// A request with the header is refused.
    Off,
}

/// Whether an assumed role is narrowed to what the tool at hand needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionPolicyMode {
    /// A tool that only reads gets credentials that only read.
    #[default]
    Tool,
    /// Every tool gets all that the role may do.
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
    /// Whom `header: "iam"` believes: the front doors, and which of their callers may name which roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iam: Option<IamSection>,
    /// Whether credentials are narrowed, by a session policy, to what a tool needs. Default: `tool`.
    pub session_policy: SessionPolicyMode,
    /// The external id sent with each `AssumeRole`, which the roles' trust policies should require.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<ExternalIdSetting>,
    /// How long assumed credentials last, in seconds, if the token lasts as long. Default: 3,600. AWS bounds a role
    /// that is assumed by a role, as on Lambda, to 3,600.
    pub duration_seconds: Bounded<900, 43_200>,
}

impl Default for RolesSection {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            header: HeaderMode::default(),
            iam: None,
            session_policy: SessionPolicyMode::default(),
            external_id: None,
            duration_seconds: Bounded::clamped(3_600),
        }
    }
}

/// `roles.iam`: callers that signed their request with AWS credentials (SigV4), as a front door found them to be.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[schemars(extend("required" = ["frontDoors", "callers"]))]
pub struct IamSection {
    /// The front doors whose word counts.
    #[serde(deserialize_with = "sections")]
    pub front_doors: Vec<IamFrontDoor>,
    /// Which callers may name which roles. `roles.allow` holds as well.
    #[serde(deserialize_with = "sections")]
    pub callers: Vec<IamCaller>,
}

/// The kinds of front door that check SigV4.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IamFrontDoorKind {
    /// A Lambda Function URL with `AuthType: AWS_IAM`.
    #[default]
    FunctionUrl,
    /// A REST API of API Gateway whose method has `AWS_IAM` authorization.
    RestApi,
}

/// One front door. An event must say exactly this of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[schemars(extend("required" = ["kind", "accountId", "apiId", "domainName"]))]
pub struct IamFrontDoor {
    /// `function-url` or `rest-api`.
    pub kind: IamFrontDoorKind,
    /// The 12 digits of its account, as events have them in `requestContext.accountId`. A Function URL's events have
    /// `anonymous` there or the caller's account: leave it out for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// `requestContext.apiId`: of a Function URL, its id.
    pub api_id: String,
    /// `requestContext.domainName`.
    pub domain_name: String,
}

/// Which roles some callers may name.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[schemars(extend("required" = ["caller", "roles"]))]
pub struct IamCaller {
    /// The caller's ARN: of an IAM user, or of an assumed role's session, whose name may be `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerPattern>,
    /// The roles it may name, each an ARN, or the beginning of one followed by `*`.
    #[serde(deserialize_with = "items")]
    pub roles: Vec<RolePattern>,
}

impl RolesSection {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        if let Some(ExternalIdSetting(SecretSetting::Plain(id))) = &self.external_id
            && !is_external_id(id.expose_secret())
        {
            mistakes.add("roles.externalId", EXTERNAL_ID_FORM);
        }
        match (&self.iam, self.header) {
            (None, HeaderMode::Iam) => {
                mistakes.add(
                    "roles.iam",
                    "is required where roles.header is `iam`: whom to believe",
                );
            }
            (Some(_), HeaderMode::Select | HeaderMode::Off) => {
                mistakes.add("roles.iam", "has no meaning unless roles.header is `iam`");
            }
            (Some(section), HeaderMode::Iam) => section.check(mistakes),
            (None, _) => {}
        }
    }
}

impl IamSection {
    fn check(&self, mistakes: &mut Mistakes) {
        if self.front_doors.is_empty() {
            mistakes.add("roles.iam.frontDoors", "must list at least one front door");
        }
        if self.callers.is_empty() {
            mistakes.add("roles.iam.callers", "must list at least one caller");
        }
        for (index, door) in self.front_doors.iter().enumerate() {
            let mut need = |missing: bool, field: &str, message: &str| {
                if missing {
                    mistakes.add(format!("roles.iam.frontDoors[{index}].{field}"), message);
                }
            };
            need(
                door.api_id.is_empty(),
                "apiId",
                "is required: `requestContext.apiId` of its events",
            );
            need(
                door.domain_name.is_empty(),
                "domainName",
                "is required: `requestContext.domainName` of its events",
            );
            let digits =
                |id: &String| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit());
            need(
                match door.kind {
                    IamFrontDoorKind::RestApi => !door.account_id.as_ref().is_some_and(digits),
                    IamFrontDoorKind::FunctionUrl => !door.account_id.as_ref().is_none_or(digits),
                },
                "accountId",
                "must be the 12 digits of an account",
            );
        }
        for (index, caller) in self.callers.iter().enumerate() {
            if caller.caller.is_none() {
                mistakes.add(
                    format!("roles.iam.callers[{index}].caller"),
                    "is required: the caller's ARN",
                );
            }
            if caller.roles.is_empty() {
                mistakes.add(
                    format!("roles.iam.callers[{index}].roles"),
                    "must list at least one role",
                );
            }
        }
    }
}

/// How the issuer of callers that signed their requests begins; the account follows. No token's issuer may be called so.
pub const IAM_ISSUER: &str = "aws:iam:";

/// What an external id must be: STS API reference, `AssumeRole`, "`ExternalId`".
pub const EXTERNAL_ID_FORM: &str = "must be 2 to 1,224 letters, digits or any of +=,.@:/_-";

/// Whether `text` is an external id as STS accepts it.
pub fn is_external_id(text: &str) -> bool {
    (2..=1_224).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@:/_-".contains(&byte))
}
