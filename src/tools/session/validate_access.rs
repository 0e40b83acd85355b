//! `validate_bucket_access` and `validate_tool_access`: whether something would be permitted, before it is tried.
//!
//! The claims are judged first, by the gate that judges calls. Only then, and only for a bucket, is AWS asked, with
//! the caller's own credentials and without writing anything.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{BucketName, Gate, ToolError, permission::rule},
    info::without_token,
};
use crate::{
    auth::Principal,
    aws::{Aws, AwsError, Session, SessionError},
    context::RuntimeContext,
};

/// Which bucket, and what for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BucketQuery {
    /// The bucket's name, with or without `s3://` before it.
    #[schemars(with = "String")]
    bucket_name: BucketName,
    /// What is to be done there. Default: read.
    #[serde(default)]
    operation: Operation,
}

/// What may be done with a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Operation {
    /// Read objects.
    #[default]
    Read,
    /// Write objects.
    Write,
    /// List objects.
    List,
}

impl Operation {
    fn action(self) -> &'static str {
        match self {
            Self::Read => "s3:GetObject",
            Self::Write => "s3:PutObject",
            Self::List => "s3:ListBucket",
        }
    }
}

/// Whether an operation is permitted.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BucketVerdict {
    /// The bucket.
    bucket_name: String,
    /// The operation.
    operation: Operation,
    /// Whether the token's claims permit it.
    claims_permit: bool,
    /// Whether AWS permitted it when it was tried; null if it was not tried.
    aws_permits: Option<bool>,
    /// What this means, and what to do.
    note: String,
}

pub(super) async fn bucket_access(
    aws: Arc<Aws>,
    query: BucketQuery,
) -> Result<BucketVerdict, ToolError> {
    let context = RuntimeContext::current()?;
    let BucketQuery {
        bucket_name,
        operation,
    } = query;
    let verdict = |claims_permit, aws_permits, note: String| BucketVerdict {
        bucket_name: bucket_name.to_string(),
        operation,
        claims_permit,
        aws_permits,
        note,
    };
    if let Some(grants) = context.principal().map(|principal| principal.grants()) {
        let action = operation.action();
        let refused = if !grants.permit(action) {
            Some(format!("`permissions` claim does not list {action}"))
        } else if !grants.reach(bucket_name.as_str()) {
            Some(format!("`buckets` claim does not name {bucket_name}"))
        } else {
            None
        };
        if let Some(refused) = refused {
            let note = format!(
                "Your token's {refused}, so AWS was not asked. Ask whoever issues your token for it."
            );
            return Ok(verdict(false, None, note));
        }
    }
    // Whoever has no credentials is told so, whatever the operation.
    context.authority()?;
    let claims = match context.principal() {
        Some(_) => "Your token's claims permit it.",
        None => without_token(context.environment()),
    };
    if operation == Operation::Write {
        let note = format!(
            "{claims} Nothing was written to try it: only IAM decides whether the role may write."
        );
        return Ok(verdict(true, None, note));
    }
    // What to read is found by listing.
    let lists = |principal: &Arc<Principal>| principal.grants().permit(Operation::List.action());
    if operation == Operation::Read && !context.principal().is_none_or(lists) {
        let note = format!(
            "{claims} It was not tried: to find an object to read, the bucket would have to be listed, which they do not permit."
        );
        return Ok(verdict(true, None, note));
    }
    let bucket = &bucket_name;
    let tried = aws.call(&context, |session| async move {
        match attempt(&session, None, bucket, operation).await {
            Err(AwsError::OtherRegion(Some(region))) => {
                attempt(&session, Some(&region), bucket, operation).await
            }
            tried => tried,
        }
    });
    match tried.await {
        Ok(Some(found)) => Ok(verdict(true, Some(true), format!("{claims} {found}"))),
        Ok(None) => {
            let note = format!(
                "{claims} The bucket can be listed and is empty: there is no object to try reading with."
            );
            Ok(verdict(true, None, note))
        }
        Err(SessionError::Aws(error @ (AwsError::Denied | AwsError::NoBucket))) => {
            Ok(verdict(true, Some(false), format!("{claims} {error}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Tries it with the first object. `None` if there is none to try with.
async fn attempt(
    session: &Session,
    region: Option<&str>,
    bucket: &BucketName,
    operation: Operation,
) -> Result<Option<&'static str>, AwsError> {
    let client = session.s3(region);
    let request = client.list_objects_v2().bucket(bucket.as_str()).max_keys(1);
    let page = request
        .send()
        .await
        .map_err(|error| AwsError::of_s3(&error))?;
    if operation == Operation::List {
        return Ok(Some("AWS listed the bucket for your role."));
    }
    let first = page.contents.unwrap_or_default().into_iter().next();
    let Some(key) = first.and_then(|object| object.key) else {
        return Ok(None);
    };
    // A GET, because S3 says nothing of why it refuses a HEAD. Of the body, one byte is asked for and none is read.
    let request = client
        .get_object()
        .bucket(bucket.as_str())
        .key(key)
        .range("bytes=0-0");
    match request.send().await {
        Ok(_) => Ok(Some("AWS let your role read an object of the bucket.")),
        Err(error) => match AwsError::of_s3(&error) {
            // An empty object has no first byte; S3 looks at permissions before it looks at ranges.
            AwsError::Refused(code) if code == "InvalidRange" => {
                Ok(Some("AWS let your role read an object of the bucket."))
            }
            error => Err(error),
        },
    }
}

/// Which tool, on which bucket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolQuery {
    /// The tool's name.
    #[schemars(length(min = 1, max = 64))]
    tool_name: String,
    /// The bucket it would work on, with or without `s3://` before it. Tools that name none need none.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    bucket_name: Option<BucketName>,
}

/// Whether the token's claims permit a tool.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ToolVerdict {
    /// The tool.
    tool_name: String,
    /// The bucket; null if none was named.
    bucket_name: Option<String>,
    /// Whether the token's claims permit the call. What IAM permits to the role is a further limit.
    claims_permit: bool,
    /// The actions that the tool needs; null if this server does not know the tool.
    needs: Option<Vec<String>>,
    /// What this means, and what to do.
    note: String,
}

pub(super) fn tool_access(gate: &Arc<Gate>, query: ToolQuery) -> Result<ToolVerdict, ToolError> {
    let context = RuntimeContext::current()?;
    let ToolQuery {
        tool_name,
        bucket_name,
    } = query;
    if tool_name.is_empty() || tool_name.chars().count() > 64 {
        return Err(ToolError::new(
            "`tool_name` is not a tool's name: tools/list names them all.",
        ));
    }
    let judged = context
        .principal()
        .map(|principal| gate.judge_bucket(principal, &tool_name, bucket_name.as_ref()));
    let (claims_permit, note) = match judged {
        None => (true, without_token(context.environment()).to_owned()),
        // Only a token that is not narrowed comes so far with a tool that is not in the map.
        Some(Ok(())) if rule(&tool_name).is_none() => {
            let note = "Your token's claims narrow nothing. This server does not know what a tool of this name needs, if there is one: tools/list names them all.";
            (true, note.to_owned())
        }
        Some(Ok(())) => {
            let note = "Your token's claims permit it. Whether your AWS role may is IAM's to decide, and was not asked.";
            (true, note.to_owned())
        }
        Some(Err(denial)) => (false, ToolError::from(denial).to_string()),
    };
    let needs = rule(&tool_name).map(|rule| rule.needs);
    Ok(ToolVerdict {
        bucket_name: bucket_name.map(|bucket| bucket.to_string()),
        claims_permit,
        needs: needs.map(|needs| needs.iter().map(|&action| action.to_owned()).collect()),
        tool_name,
        note,
    })
}
