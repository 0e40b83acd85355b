//! The tools that say and choose as which role a session acts: `get_current_quilt_role`, `assume_quilt_user_role`.
//!
//! A choice is kept by [`RoleChoices`] and judged again at every call. In comes a role's ARN; it is judged as a header
//! would be and assumed once before it is kept, so that what is kept has worked. Where it cannot be kept, the answer says
//! what to send instead.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Effect, NoArguments, Progress, Tool, ToolError};
use crate::{
    auth::{RoleChoices, RoleSource},
    aws::Aws,
    config::arn::RoleArn,
    context::{Environment, NoIdentity, RuntimeContext},
};

pub(super) fn tools(aws: &Arc<Aws>, roles: &Arc<RoleChoices>) -> Vec<Tool> {
    let (aws, choosing, current) = (Arc::clone(aws), Arc::clone(roles), Arc::clone(roles));
    vec![
        Tool::new(
            "get_current_quilt_role",
            "Current AWS role",
            "Shows which AWS role your calls act as, why that one, and which others you may choose with assume_quilt_user_role. Asks nobody else.",
            Effect::ReadLocal,
            move |NoArguments {}, _: Progress| {
                let roles = Arc::clone(&current);
                async move { current_role(&roles) }
            },
        ),
        Tool::new(
            "assume_quilt_user_role",
            "Choose an AWS role",
            "Chooses which of your AWS roles the calls of this session act as, and proves that it works by assuming it. The answer says whether the choice is kept, or what to send with each request instead.",
            Effect::Session,
            move |input: ChooseRole, _: Progress| {
                choose(Arc::clone(&aws), Arc::clone(&choosing), input)
            },
        ),
    ]
}

/// As which role calls act.
#[derive(Debug, Serialize, JsonSchema)]
struct CurrentRole {
    /// The ARN of the role; null if calls act as none.
    role: Option<String>,
    /// Why this one: header (X-Quilt-User-Role of this request), session (chosen with `assume_quilt_user_role`), token
    /// (the token's own); null without a role.
    source: Option<String>,
    /// The ARNs of the roles that your token lists and this server allows.
    roles: Vec<String>,
    /// What else there is to know; null if nothing.
    note: Option<String>,
}

fn current_role(roles: &RoleChoices) -> Result<CurrentRole, ToolError> {
    let context = RuntimeContext::current()?;
    let role = context.role();
    let open = context
        .principal()
        .map(|principal| roles.open_to(principal))
        .unwrap_or_default();
    Ok(CurrentRole {
        role: role.map(|role| role.arn().to_string()),
        source: role.map(|role| {
            match role.source() {
                RoleSource::Header => "header",
                RoleSource::Session => "session",
                RoleSource::Token => "token",
            }
            .to_owned()
        }),
        roles: open.iter().map(ToString::to_string).collect(),
        note: match context.environment() {
            Environment::DesktopStdio => Some(OWN_PROFILE.to_owned()),
            _ => context
                .authority()
                .err()
                .map(|nobody: NoIdentity| nobody.to_string()),
        },
    })
}

const OWN_PROFILE: &str = "Over stdio, calls work with this machine's own AWS profile and assume no role. To act as another role, start the server with a profile of that role (AWS_PROFILE).";

/// Which role to act as.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChooseRole {
    /// The role's ARN: `arn:aws:iam::123456789012:role/Name`. `get_current_quilt_role` lists those you may choose.
    role_arn: String,
}

/// What became of a choice.
#[derive(Debug, Serialize, JsonSchema)]
struct Chosen {
    /// The ARN of the role, which was assumed and works.
    role: String,
    /// Whether the further calls of this session act as it.
    kept: bool,
    /// What to do, where the choice is not kept; null where it is.
    instead: Option<String>,
}

async fn choose(
    aws: Arc<Aws>,
    roles: Arc<RoleChoices>,
    input: ChooseRole,
) -> Result<Chosen, ToolError> {
    let context = RuntimeContext::current()?;
    let Some(principal) = context.principal() else {
        return Err(match context.environment() {
            Environment::DesktopStdio => ToolError::new(OWN_PROFILE),
            _ => NoIdentity::Unauthenticated.into(),
        });
    };
    let role: RoleArn = input.role_arn.parse().map_err(|_| {
        ToolError::new("`role_arn` must be one role's ARN: arn:aws:iam::123456789012:role/Name.")
    })?;
    // One text for all reasons: whether a role exists, or who else may have it, is nobody's to learn here.
    let role = roles.authorize(principal, role).map_err(|reason| {
        context.trail().note_reason(&reason.to_string());
        ToolError::new(
            "role_not_allowed: you may not act as this role here. Choose one that get_current_quilt_role lists.",
        )
    })?;
    aws.prove(&role, &context).await?;
    let kept = roles.keep(&role);
    Ok(Chosen {
        role: role.arn().to_string(),
        kept,
        instead: (!kept).then(|| {
            format!(
                "This server remembers nothing between calls. Send this header with each request: X-Quilt-User-Role: {}",
                role.arn()
            )
        }),
    })
}
