//! What a token's claims must permit before a tool runs.
//!
//! Owns the [`Gate`] that judges each call by the map in `permission`. In come a caller's grants, a tool's name and its
//! arguments; out goes nothing, or a [`Denial`] in words. The claims `permissions` and `buckets` only narrow: a token
//! without them is not narrowed, and what passes here is still IAM's to decide. A tool that is not in the map is refused
//! to a narrowed token.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{
    BucketName, ToolError,
    bucket_name::NotABucket,
    parity::{Difference, Parity},
    permission::{Argument, Reach, rule},
};
use crate::{
    auth::{Grants, Principal},
    config::{ParityMode, QuiltSection},
    context::RuntimeContext,
};

/// Why a token does not permit a call. `Display` is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The map does not know the tool.
    #[error(
        "this server cannot tell which permissions {tool} needs, and your token is narrowed by its `permissions` or `buckets` claim. Ask whoever issues it for a token without them"
    )]
    UnknownTool {
        /// The tool.
        tool: String,
    },
    /// The claim `permissions` lacks some.
    #[error("{tool} needs {}, which your token's `permissions` claim does not list. {ASK}", missing.join(", "))]
    Permissions {
        /// The tool.
        tool: String,
        /// The actions that are missing.
        missing: Vec<&'static str>,
    },
    /// The claim `buckets` does not name the bucket.
    #[error("your token's `buckets` claim does not name the bucket {bucket}. {ASK}")]
    Bucket {
        /// The bucket.
        bucket: BucketName,
    },
    /// No bucket is named, and not every bucket is permitted.
    #[error(
        "your token permits certain buckets only: name one of them in `{argument}` (get_user_permissions lists them)"
    )]
    NoBucket {
        /// The argument that must name one.
        argument: &'static str,
    },
    /// What is named is no bucket.
    #[error("`{argument}`: {NotABucket}")]
    NotABucket {
        /// The argument.
        argument: &'static str,
    },
    /// The tool reaches buckets that nobody names, and not every bucket is permitted.
    #[error(
        "{tool} may reach any bucket, and your token's `buckets` claim permits certain ones only. {ASK}"
    )]
    AnyBucket {
        /// The tool.
        tool: String,
    },
    /// The token differs from its roles, and the operator refuses that.
    #[error(
        "what your token permits differs from what its roles grant: get_user_permissions shows how. Sign in again for a new token; if that does not help, ask whoever issues it"
    )]
    Parity,
}

const ASK: &str =
    "Ask whoever issues your token, or manages your role in the Quilt catalog, for it";

impl From<Denial> for ToolError {
    fn from(denial: Denial) -> Self {
        Self::new(format!(
            "Your token does not permit this, and nothing was asked of AWS: {denial}."
        ))
    }
}

/// Judges every call by its caller's claims, before the tool runs.
#[derive(Debug, Default)]
pub struct Gate {
    parity: Parity,
    enforces_parity: bool,
}

impl Gate {
    /// The gate of a checked configuration.
    pub fn from_config(section: &QuiltSection) -> Self {
        Self {
            parity: Parity::from_config(section),
            enforces_parity: section.parity == ParityMode::Enforce,
        }
    }

    /// Judges a call of `tool` with an object of arguments.
    pub fn admit(
        &self,
        context: &RuntimeContext,
        tool: &str,
        arguments: &RawValue,
    ) -> Result<(), Denial> {
        let Some(principal) = context.principal() else {
            return Ok(());
        };
        if let Some(difference) = self.difference(principal).filter(Difference::is_some) {
            tracing::warn!(
                request_id = %context.request_id(),
                tool,
                missing_permissions = difference.missing_permissions.len(),
                excess_permissions = difference.excess_permissions.len(),
                missing_buckets = difference.missing_buckets.len(),
                excess_buckets = difference.excess_buckets.len(),
                "a token's permissions differ from those of its roles"
            );
        }
        self.judge(principal, tool, |wanted| buckets_named(arguments, wanted))
    }

    /// Judges a use of `tool` on `bucket`, without a call. Without a bucket, on none that is known.
    pub(super) fn judge_bucket(
        &self,
        principal: &Principal,
        tool: &str,
        bucket: Option<&BucketName>,
    ) -> Result<(), Denial> {
        self.judge(principal, tool, |wanted| {
            let argument = wanted.first().map_or("bucket_name", Argument::name);
            let bucket = bucket.ok_or(Denial::NoBucket { argument })?;
            Ok(vec![bucket.clone()])
        })
    }

    /// How what a token permits differs from what its roles grant; `None` if they are not compared.
    pub(super) fn difference(&self, principal: &Principal) -> Option<Difference> {
        self.parity
            .difference(principal.grants(), principal.roles())
    }

    fn judge(
        &self,
        principal: &Principal,
        tool: &str,
        buckets: impl FnOnce(&'static [Argument]) -> Result<Vec<BucketName>, Denial>,
    ) -> Result<(), Denial> {
        let grants = principal.grants();
        if !grants.narrow() {
            return Ok(());
        }
        permit(grants, tool, buckets)?;
        let needs_permissions = rule(tool).is_none_or(|rule| !rule.needs.is_empty());
        let differs = || {
            let difference = self.difference(principal);
            difference.is_some_and(|difference| difference.is_some())
        };
        if self.enforces_parity && needs_permissions && differs() {
            return Err(Denial::Parity);
        }
        Ok(())
    }
}

/// Judges a use of `tool` by grants that narrow.
fn permit(
    grants: &Grants,
    tool: &str,
    buckets: impl FnOnce(&'static [Argument]) -> Result<Vec<BucketName>, Denial>,
) -> Result<(), Denial> {
    let Some(rule) = rule(tool) else {
        let tool = tool.to_owned();
        return Err(Denial::UnknownTool { tool });
    };
    let missing: Vec<_> = rule
        .needs
        .iter()
        .copied()
        .filter(|action| !grants.permit(action))
        .collect();
    if !missing.is_empty() {
        let tool = tool.to_owned();
        return Err(Denial::Permissions { tool, missing });
    }
    if grants.reach_all_buckets() {
        return Ok(());
    }
    match rule.reach {
        Reach::Nothing => Ok(()),
        Reach::Any => Err(Denial::AnyBucket {
            tool: tool.to_owned(),
        }),
        Reach::Arguments(arguments) => {
            let unnamed = buckets(arguments)?
                .into_iter()
                .find(|bucket| !grants.reach(bucket.as_str()));
            unnamed.map_or(Ok(()), |bucket| Err(Denial::Bucket { bucket }))
        }
    }
}

/// The buckets that arguments name. Each of `wanted` must be there: what is left out may stand for any bucket.
fn buckets_named(
    arguments: &RawValue,
    wanted: &'static [Argument],
) -> Result<Vec<BucketName>, Denial> {
    let given: HashMap<String, &RawValue> =
        serde_json::from_str(arguments.get()).unwrap_or_default();
    let mut buckets = Vec::new();
    for argument in wanted {
        let name = argument.name();
        let value = given.get(name).filter(|value| value.get() != "null");
        let value = value.ok_or(Denial::NoBucket { argument: name })?;
        let named = argument.buckets(value);
        buckets.extend(named.map_err(|_| Denial::NotABucket { argument: name })?);
    }
    Ok(buckets)
}

#[cfg(test)]
mod tests;
