//! `bucket_list` and `bucket_objects_list`, with the caller's own credentials.

use std::sync::Arc;

use aws_sdk_s3::primitives::DateTimeFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{BucketName, Progress, ToolError};
use crate::{
    aws::{Aws, AwsError, Session},
    context::RuntimeContext,
};

/// S3 gives at most this many keys at once.
const PAGE: i32 = 1_000;
/// No further page is asked for once the keys take this much, in bytes: an answer holds them three times over.
const MAX_KEY_BYTES: usize = 2 * 1_024 * 1_024;
/// The most keys that one call collects, over several pages.
const MAX_KEYS: i32 = 10_000;

/// Buckets of a role.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BucketList {
    /// The buckets, by name.
    buckets: Vec<Bucket>,
}

/// A bucket.
#[derive(Debug, Serialize, JsonSchema)]
struct Bucket {
    /// Its name.
    name: String,
    /// When it was created (RFC 3339, UTC); null if S3 does not say.
    created: Option<String>,
    /// The AWS region it lives in; null if S3 does not say.
    region: Option<String>,
}

pub(super) async fn list(aws: Arc<Aws>, progress: Progress) -> Result<BucketList, ToolError> {
    let context = RuntimeContext::current()?;
    let progress = &progress;
    let buckets = aws.call(&context, |session| async move {
        let client = session.s3(None);
        let (mut buckets, mut next) = (Vec::new(), None);
        loop {
            let request = client
                .list_buckets()
                .max_buckets(PAGE)
                .set_continuation_token(next);
            let page = request
                .send()
                .await
                .map_err(|error| AwsError::of_s3(&error))?;
            buckets.extend(page.buckets.unwrap_or_default().into_iter().map(|bucket| {
                Bucket {
                    name: bucket.name.unwrap_or_default(),
                    created: bucket
                        .creation_date
                        .and_then(|date| date.fmt(DateTimeFormat::DateTime).ok()),
                    region: bucket.bucket_region,
                }
            }));
            next = page.continuation_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(buckets);
            }
            progress.report(
                count(buckets.len()),
                None,
                format!("{} buckets so far", buckets.len()),
            );
        }
    });
    let mut buckets = buckets.await?;
    // No argument names a bucket here, so that what the token's claims leave out is left out here.
    if let Some(principal) = context.principal() {
        buckets.retain(|bucket| principal.grants().reach(&bucket.name));
    }
    Ok(BucketList { buckets })
}

/// Which objects.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectsQuery {
    /// The bucket's name, with or without `s3://` before it.
    #[schemars(with = "String")]
    bucket: BucketName,
    /// Only keys that begin with this.
    #[serde(default)]
    prefix: String,
    /// How many keys at most: 1 to 10,000. Fewer come where the keys are long.
    #[serde(default = "default_max_keys")]
    #[schemars(range(min = 1, max = 10_000))]
    max_keys: i32,
    /// The `next_continuation_token` of the call before.
    continuation_token: Option<String>,
}

fn default_max_keys() -> i32 {
    100
}

/// Objects of a bucket.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ObjectList {
    /// The bucket.
    bucket: String,
    /// The prefix that was asked for.
    prefix: String,
    /// The objects, in the order of their keys.
    objects: Vec<Object>,
    /// How many objects were returned.
    count: usize,
    /// Whether there are more.
    is_truncated: bool,
    /// What to pass as `continuation_token` for more; null if there are none.
    next_continuation_token: Option<String>,
}

/// An object.
#[derive(Debug, Serialize, JsonSchema)]
struct Object {
    /// Its key.
    key: String,
    /// Its address: `s3://bucket/key`.
    s3_uri: String,
    /// Its size in bytes.
    size: i64,
    /// When it was last written (RFC 3339, UTC).
    last_modified: Option<String>,
    /// Its entity tag.
    etag: Option<String>,
    /// Its storage class.
    storage_class: Option<String>,
}

pub(super) async fn objects_list(
    aws: Arc<Aws>,
    query: ObjectsQuery,
    progress: Progress,
) -> Result<ObjectList, ToolError> {
    let context = RuntimeContext::current()?;
    let query = query.checked()?;
    let (query, progress) = (&query, &progress);
    let found = aws.call(&context, |session| async move {
        match collect(&session, None, query, progress).await {
            // The bucket lives elsewhere: S3 says where.
            Err(AwsError::OtherRegion(Some(region))) => {
                collect(&session, Some(&region), query, progress).await
            }
            found => found,
        }
    });
    Ok(found.await?)
}

impl ObjectsQuery {
    fn checked(self) -> Result<Self, ToolError> {
        if !(1..=MAX_KEYS).contains(&self.max_keys) {
            return Err(ToolError::new(
                "`max_keys` must be from 1 to 10,000. For more, call again with the next_continuation_token.",
            ));
        }
        if self.prefix.len() > 1_024 {
            return Err(ToolError::new(
                "`prefix` is longer than any key of S3 can be (1,024 bytes).",
            ));
        }
        Ok(self)
    }
}

async fn collect(
    session: &Session,
    region: Option<&str>,
    query: &ObjectsQuery,
    progress: &Progress,
) -> Result<ObjectList, AwsError> {
    let client = session.s3(region);
    let mut objects: Vec<Object> = Vec::new();
    let mut next = query.continuation_token.clone();
    loop {
        let left = query.max_keys - i32::try_from(objects.len()).unwrap_or(i32::MAX);
        let request = client
            .list_objects_v2()
            .bucket(query.bucket.as_str())
            .set_prefix((!query.prefix.is_empty()).then(|| query.prefix.clone()))
            .max_keys(left.min(PAGE))
            .set_continuation_token(next);
        let page = request
            .send()
            .await
            .map_err(|error| AwsError::of_s3(&error))?;
        objects.extend(page.contents.unwrap_or_default().into_iter().map(|object| {
            let key = object.key.unwrap_or_default();
            Object {
                s3_uri: format!("s3://{}/{key}", query.bucket),
                key,
                size: object.size.unwrap_or_default(),
                last_modified: object
                    .last_modified
                    .and_then(|date| date.fmt(DateTimeFormat::DateTime).ok()),
                etag: object.e_tag.map(|tag| tag.trim_matches('"').to_owned()),
                storage_class: object.storage_class.map(|class| class.as_str().to_owned()),
            }
        }));
        next = page
            .next_continuation_token
            .filter(|_| page.is_truncated.unwrap_or_default());
        let enough = objects.len() >= usize::try_from(query.max_keys).unwrap_or(usize::MAX)
            || objects.iter().map(|object| object.key.len()).sum::<usize>() >= MAX_KEY_BYTES;
        if enough || next.is_none() {
            return Ok(ObjectList {
                bucket: query.bucket.to_string(),
                prefix: query.prefix.clone(),
                count: objects.len(),
                objects,
                is_truncated: next.is_some(),
                next_continuation_token: next,
            });
        }
        progress.report(
            count(objects.len()),
            Some(f64::from(query.max_keys)),
            format!("{} objects so far", objects.len()),
        );
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of things listed stays far below 2^53"
)]
fn count(things: usize) -> f64 {
    things as f64
}
