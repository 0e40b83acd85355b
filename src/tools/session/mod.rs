//! The tools that say who is calling, what they may do, and as which role.

mod info;
mod role;
mod validate_access;
mod validate_token;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Effect, Gate, NoArguments, Progress, Tool, ToolError};
use crate::{
    auth::{Authenticator, RoleChoices},
    aws::Aws,
    clock::rfc3339,
    context::{Environment, RuntimeContext, Scheme},
};

/// The tools of this room.
pub fn tools(
    aws: &Arc<Aws>,
    authenticator: Option<&Arc<Authenticator>>,
    roles: &Arc<RoleChoices>,
    gate: &Arc<Gate>,
) -> Vec<Tool> {
    let (status, buckets) = (Arc::clone(aws), Arc::clone(aws));
    let (permissions, tools) = (Arc::clone(gate), Arc::clone(gate));
    let authenticator = authenticator.cloned();
    let mut all = vec![
        Tool::new(
            "whoami",
            "Who am I",
            "Shows who this server takes you for: subject, issuer, AWS role, and when your token expires. Asks nobody else.",
            Effect::ReadLocal,
            |NoArguments {}, _: Progress| async { whoami() },
        ),
        Tool::new(
            "auth_status",
            "Authentication status",
            "Proves that your AWS role works: assumes it and asks AWS STS who you are with it. Use it when an AWS tool fails.",
            Effect::Read,
            move |NoArguments {}, _: Progress| auth_status(Arc::clone(&status)),
        ),
        Tool::new(
            "get_user_info",
            "User information",
            "Shows what your token says of you: name, e-mail address, groups, roles. Asks nobody else.",
            Effect::ReadLocal,
            |NoArguments {}, _: Progress| async { info::user_info() },
        ),
        Tool::new(
            "get_user_permissions",
            "User permissions",
            "Shows what your token permits: actions, buckets, level, scopes; and whether that is what its roles grant. Asks nobody else.",
            Effect::ReadLocal,
            move |NoArguments {}, _: Progress| {
                let permissions = info::user_permissions(&permissions);
                async { permissions }
            },
        ),
        Tool::new(
            "validate_bearer_token",
            "Validate a bearer token",
            "Judges a token as this server would judge a caller's: valid, or the kind of reason why not. Does not use the token for anything else.",
            Effect::Read,
            move |query: validate_token::TokenQuery, _: Progress| {
                validate_token::validate_token(authenticator.clone(), query)
            },
        ),
        Tool::new(
            "validate_bucket_access",
            "Validate access to a bucket",
            "Says whether you may read, write or list an S3 bucket: first what your token's claims permit, then what AWS says when it is tried. Writes nothing.",
            Effect::Read,
            move |query: validate_access::BucketQuery, _: Progress| {
                validate_access::bucket_access(Arc::clone(&buckets), query)
            },
        ),
        Tool::new(
            "validate_tool_access",
            "Validate access to a tool",
            "Says whether your token's claims permit a tool, on a bucket where it takes one. Asks nobody else.",
            Effect::ReadLocal,
            move |query: validate_access::ToolQuery, _: Progress| {
                let verdict = validate_access::tool_access(&tools, query);
                async { verdict }
            },
        ),
    ];
    all.extend(role::tools(aws, roles));
    all
}

/// Who the server takes the caller for.
#[derive(Debug, Serialize, JsonSchema)]
struct WhoAmI {
    /// The subject of the verified token, or the ARN of who signed the request; null without either.
    subject: Option<String>,
    /// The issuer of the verified token, or `aws:iam:` and the account of who signed; null without either.
    issuer: Option<String>,
    /// Where the call comes from and how it was authenticated: web-jwt, web-bearer, web-role, web-unauthenticated,
    /// desktop-stdio.
    environment: String,
    /// How the caller proved its identity: jwt, bearer, assume-role (signed with AWS credentials); null if it did not.
    scheme: Option<String>,
    /// The ARN of the AWS role that calls act as; null without one.
    role: Option<String>,
    /// When the token, or what the signature stands for, expires (RFC 3339, UTC); null without either.
    expires_at: Option<String>,
}

fn whoami() -> Result<WhoAmI, ToolError> {
    let context = RuntimeContext::current()?;
    Ok(describe(&context))
}

fn describe(context: &RuntimeContext) -> WhoAmI {
    let principal = context.principal();
    WhoAmI {
        subject: principal.map(|principal| principal.subject().to_owned()),
        issuer: principal.map(|principal| principal.issuer().to_owned()),
        environment: match context.environment() {
            Environment::DesktopStdio => "desktop-stdio",
            Environment::WebUnauthenticated => "web-unauthenticated",
            Environment::WebJwt => "web-jwt",
            Environment::WebBearer => "web-bearer",
            Environment::WebRole => "web-role",
        }
        .to_owned(),
        scheme: context.scheme().map(|scheme| {
            match scheme {
                Scheme::Jwt => "jwt",
                Scheme::Bearer => "bearer",
                Scheme::AssumeRole => "assume-role",
            }
            .to_owned()
        }),
        role: context.role().map(|role| role.arn().to_string()),
        expires_at: principal.and_then(|principal| rfc3339(principal.expires_at())),
    }
}

/// The proof that the caller's AWS credentials work.
#[derive(Debug, Serialize, JsonSchema)]
struct AuthStatus {
    /// Who the server takes the caller for.
    caller: WhoAmI,
    /// Who AWS takes the caller for.
    aws: AwsIdentity,
}

/// What AWS STS answers to `GetCallerIdentity` with the caller's credentials.
#[derive(Debug, Serialize, JsonSchema)]
struct AwsIdentity {
    /// The ARN of the assumed role's session, or of the user.
    arn: String,
    /// The AWS account.
    account: String,
    /// The name of the role's session, as in CloudTrail; null if no role was assumed.
    role_session: Option<String>,
    /// When the credentials expire (RFC 3339, UTC); null if that is not known.
    expires_at: Option<String>,
}

async fn auth_status(aws: Arc<Aws>) -> Result<AuthStatus, ToolError> {
    let context = RuntimeContext::current()?;
    let status = aws.call(&context, |session| async move {
        let identity = session.identity().await?;
        Ok(AwsIdentity {
            arn: identity.arn,
            account: identity.account,
            role_session: session.role().map(|role| role.session_name().to_owned()),
            expires_at: session.role().and_then(|role| rfc3339(role.expires_at())),
        })
    });
    Ok(AuthStatus {
        aws: status.await?,
        caller: describe(&context),
    })
}
