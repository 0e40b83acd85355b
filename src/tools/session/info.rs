//! `get_user_info` and `get_user_permissions`: what the caller's token says of its holder. Asks nobody.

use std::{collections::BTreeSet, sync::Arc};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{Difference, Gate, ToolError},
    WhoAmI, describe,
};
use crate::{
    auth::{Level, Principal},
    config::arn::RoleArn,
    context::{Environment, RuntimeContext},
};

/// Who the caller is, as the token says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UserInfo {
    /// Who the server takes the caller for.
    caller: WhoAmI,
    /// The display name in the token; null without one.
    name: Option<String>,
    /// The e-mail address in the token; null without one.
    email: Option<String>,
    /// The groups in the token.
    groups: Vec<String>,
    /// The names of the catalog's roles in the token.
    role_names: Vec<String>,
    /// The ARNs of the AWS roles that the token lists.
    role_arns: Vec<String>,
    /// What this means.
    note: String,
}

pub(super) fn user_info() -> Result<UserInfo, ToolError> {
    let context = RuntimeContext::current()?;
    let principal = context.principal();
    let note = match context.environment() {
        Environment::WebJwt => "All of this comes from your verified token.",
        environment => without_token(environment),
    };
    Ok(UserInfo {
        caller: describe(&context),
        name: principal.and_then(|principal| principal.name().map(str::to_owned)),
        email: principal.and_then(|principal| principal.email().map(str::to_owned)),
        groups: principal.map_or_else(Vec::new, |principal| principal.grants().groups.clone()),
        role_names: principal
            .map_or_else(Vec::new, |principal| principal.grants().role_names.clone()),
        role_arns: principal.map_or_else(Vec::new, |principal| arns(principal)),
        note: note.to_owned(),
    })
}

/// What it means that a call came without a token.
pub(super) fn without_token(environment: Environment) -> &'static str {
    match environment {
        Environment::DesktopStdio => {
            "You call over stdio, without a token: calls work with this machine's own AWS credentials, and nothing but IAM limits them."
        }
        _ => {
            "This server runs without authentication: nobody proved who calls, and calls get no AWS credentials."
        }
    }
}

fn arns(principal: &Principal) -> Vec<String> {
    principal.roles().iter().map(RoleArn::to_string).collect()
}

/// What the caller's token permits.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UserPermissions {
    /// Whether the token narrows what tools may do. What IAM permits to the role is a further limit in any case.
    narrowed: bool,
    /// The actions that the token permits; null if it does not narrow them.
    permissions: Option<BTreeSet<String>>,
    /// The buckets that the token permits, `*` for all; null if it does not narrow them.
    buckets: Option<BTreeSet<String>>,
    /// The token's level: read, write or admin; null without one. It limits nothing.
    level: Option<String>,
    /// The OAuth scopes of the token.
    scopes: Vec<String>,
    /// The names of the catalog's roles in the token.
    role_names: Vec<String>,
    /// The ARN of the AWS role that calls act as; null without one.
    role: Option<String>,
    /// How the token differs from what its roles grant together; null if this server does not compare them.
    parity: Option<Difference>,
    /// Whether it agrees with its roles; null if this server does not compare them.
    parity_holds: Option<bool>,
    /// What this means.
    note: String,
}

pub(super) fn user_permissions(gate: &Arc<Gate>) -> Result<UserPermissions, ToolError> {
    let context = RuntimeContext::current()?;
    let role = context.role().map(|role| role.arn().to_string());
    let Some(principal) = context.principal() else {
        return Ok(UserPermissions {
            narrowed: false,
            permissions: None,
            buckets: None,
            level: None,
            scopes: Vec::new(),
            role_names: Vec::new(),
            role,
            parity: None,
            parity_holds: None,
            note: without_token(context.environment()).to_owned(),
        });
    };
    let grants = principal.grants();
    let note = if grants.narrow() {
        "Your token narrows what tools may do; within that, IAM decides what your AWS role may."
    } else {
        "Your token does not narrow what tools may do: IAM alone decides what your AWS role may."
    };
    let parity = gate.difference(principal);
    Ok(UserPermissions {
        narrowed: grants.narrow(),
        permissions: grants.permissions.clone(),
        buckets: grants.buckets.clone(),
        level: grants.level.map(Level::as_str).map(str::to_owned),
        scopes: grants.scope.split_whitespace().map(str::to_owned).collect(),
        role_names: grants.role_names.clone(),
        role,
        parity_holds: parity.as_ref().map(|difference| !difference.is_some()),
        parity,
        note: note.to_owned(),
    })
}
