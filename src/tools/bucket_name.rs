//! The name of a bucket: one type, for the gate that judges it and for the tool that uses it.
//!
//! Owns [`BucketName`]. In comes what a caller wrote, as a name or as an `s3://` URI; out goes the one name that both
//! mean, so that no spelling can pass the gate as one bucket and reach AWS as another.

use std::fmt;

use serde::Deserialize;

/// A bucket's name: 3 to 255 of `[A-Za-z0-9._-]`, as S3's oldest buckets may have it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct BucketName(String);

/// A text that names no bucket. `Display` is for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a bucket's name. Give the name alone, such as my-bucket, and a path in the argument for it; bucket_list shows the names"
)]
pub struct NotABucket;

impl BucketName {
    /// A bucket's name, with or without `s3://` before it and `/` after that.
    pub fn parse(text: &str) -> Result<Self, NotABucket> {
        let name = match text.strip_prefix("s3://") {
            Some(name) => name.trim_end_matches('/'),
            None => text,
        };
        let named = (3..=255).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        named.then(|| Self(name.to_owned())).ok_or(NotABucket)
    }

    /// The bucket of an object's address: `s3://bucket/key`.
    pub fn of_uri(uri: &str) -> Result<Self, NotABucket> {
        let rest = uri.strip_prefix("s3://").ok_or(NotABucket)?;
        let name = rest.split_once('/').map_or(rest, |(name, _)| name);
        Self::parse(name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BucketName {
    type Error = NotABucket;
    fn try_from(text: String) -> Result<Self, NotABucket> {
        Self::parse(&text)
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bucket_has_one_name_however_it_is_written() {
        for text in ["my-bucket", "s3://my-bucket", "s3://my-bucket/"] {
            assert_eq!(BucketName::parse(text).unwrap().as_str(), "my-bucket");
        }
        for uri in [
            "s3://my-bucket",
            "s3://my-bucket/",
            "s3://my-bucket/a/b?versionId=1",
            "s3://my-bucket//other-bucket",
        ] {
            assert_eq!(BucketName::of_uri(uri).unwrap().as_str(), "my-bucket");
        }
    }

    #[test]
    fn what_names_no_bucket_is_refused() {
        let long = "b".repeat(256);
        for text in [
            "",
            "*",
            "ab",
            "a b c",
            "s3://",
            "S3://my-bucket",
            "s3://a/b/c",
            "my-bucket/",
            "my-bucket/path",
            "../my-bucket",
            "arn:aws:s3:::my-bucket",
            "my-bucket\0",
            "my-bucket\n",
            "évil-bucket",
            "my%2dbucket",
            "s3://s3://my-bucket",
            &long,
        ] {
            assert_eq!(BucketName::parse(text), Err(NotABucket), "{text:?}");
        }
        for uri in [
            "my-bucket/key",
            "https://my-bucket/key",
            "s3:///my-bucket/key",
            "s3://user@my-bucket/key",
            "s3://my-bucket:443/key",
            "s3://my-bucket?x=/key",
        ] {
            assert_eq!(BucketName::of_uri(uri), Err(NotABucket), "{uri:?}");
        }
    }
}
