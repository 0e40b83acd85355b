//! Compressed claims: the one-letter twins `s p r b l` of `scope`, `permissions`, `roles`, `buckets` and `level`.
//!
//! Owns [`Compressed`] and its expansion. In come the twins as the token wrote them; out goes [`Expanded`]. Whatever is
//! malformed, or grows past a bound, expands to nothing at all: an empty set, which permits nothing, and never to less
//! than was meant to be a limit. A short text can stand for a long one (a group's prefix is repeated for each of its
//! buckets), hence the bounds on what comes out.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Level;

/// The most entries of all expanded lists of a token together.
pub const MAX_EXPANDED_ENTRIES: usize = 10_000;
/// The most bytes of all expanded entries of a token together.
pub const MAX_EXPANDED_BYTES: usize = 262_144;

/// The abbreviations of S3's actions. One-to-one; what is not here stands for itself.
const ACTIONS: [(&str, &str); 38] = [
    ("g", "s3:GetObject"),
    ("p", "s3:PutObject"),
    ("d", "s3:DeleteObject"),
    ("l", "s3:ListBucket"),
    ("la", "s3:ListAllMyBuckets"),
    ("gv", "s3:GetObjectVersion"),
    ("pa", "s3:PutObjectAcl"),
    ("amu", "s3:AbortMultipartUpload"),
    ("gm", "s3:GetObjectMetadata"),
    ("pm", "s3:PutObjectMetadata"),
    ("dm", "s3:DeleteObjectMetadata"),
    ("gl", "s3:GetObjectLockConfiguration"),
    ("pl", "s3:PutObjectLockConfiguration"),
    ("dl", "s3:DeleteObjectLockConfiguration"),
    ("gt", "s3:GetObjectTagging"),
    ("pt", "s3:PutObjectTagging"),
    ("dt", "s3:DeleteObjectTagging"),
    ("gr", "s3:GetObjectRetention"),
    ("pr", "s3:PutObjectRetention"),
    ("dr", "s3:DeleteObjectRetention"),
    ("gc", "s3:GetObjectLegalHold"),
    ("pc", "s3:PutObjectLegalHold"),
    ("dc", "s3:DeleteObjectLegalHold"),
    ("gb", "s3:GetBucketLocation"),
    ("pb", "s3:PutBucketLocation"),
    ("db", "s3:DeleteBucketLocation"),
    ("gbl", "s3:GetBucketLifecycle"),
    ("pbl", "s3:PutBucketLifecycle"),
    ("dbl", "s3:DeleteBucketLifecycle"),
    ("gbt", "s3:GetBucketTagging"),
    ("pbt", "s3:PutBucketTagging"),
    ("dbt", "s3:DeleteBucketTagging"),
    ("gba", "s3:GetBucketAcl"),
    ("pba", "s3:PutBucketAcl"),
    ("dba", "s3:DeleteBucketAcl"),
    ("gbp", "s3:GetBucketPolicy"),
    ("pbp", "s3:PutBucketPolicy"),
    ("dbp", "s3:DeleteBucketPolicy"),
];

/// The twins of a token, unread: JSON of any kind. `None` where the token has none, or `null`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Compressed<'a> {
    /// `scope`.
    #[serde(borrow)]
    pub s: Option<&'a RawValue>,
    /// `permissions`.
    #[serde(borrow)]
    pub p: Option<&'a RawValue>,
    /// `roles`.
    #[serde(borrow)]
    pub r: Option<&'a RawValue>,
    /// `buckets`.
    #[serde(borrow)]
    pub b: Option<&'a RawValue>,
    /// `level`.
    #[serde(borrow)]
    pub l: Option<&'a RawValue>,
}

/// What the twins stand for. `None` where there was no twin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// Separated by spaces; empty if the twin was no string.
    pub scope: Option<String>,
    /// Actions.
    pub permissions: Option<BTreeSet<String>>,
    /// Names of roles, in the token's order.
    pub roles: Option<Vec<String>>,
    /// Names of buckets.
    pub buckets: Option<BTreeSet<String>>,
    /// Unlike the lists, a level limits nothing, so that none is what a malformed one comes to.
    pub level: Option<Level>,
}

impl Compressed<'_> {
    /// What the twins stand for.
    pub fn expand(&self) -> Expanded {
        let mut room = Room {
            entries: MAX_EXPANDED_ENTRIES,
            bytes: MAX_EXPANDED_BYTES,
        };
        let text = |raw: &RawValue| serde_json::from_str::<String>(raw.get()).unwrap_or_default();
        Expanded {
            scope: self.s.map(text),
            permissions: self
                .p
                .map(|raw| permissions(raw, &mut room).unwrap_or_default()),
            roles: self
                .r
                .map(|raw| list(raw.get().as_bytes(), &mut room).unwrap_or_default()),
            buckets: self
                .b
                .map(|raw| buckets(raw, &mut room).unwrap_or_default()),
            level: self.l.and_then(|raw| serde_json::from_str(raw.get()).ok()),
        }
    }
}

/// How much may still come out.
struct Room {
    entries: usize,
    bytes: usize,
}

impl Room {
    /// Makes place for an entry, before it is made; `None` if there is none.
    fn take(&mut self, bytes: usize) -> Option<()> {
        self.entries = self.entries.checked_sub(1)?;
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(())
    }
}

/// A JSON array of strings.
fn list(json: &[u8], room: &mut Room) -> Option<Vec<String>> {
    let entries: Vec<String> = serde_json::from_slice(json).ok()?;
    for entry in &entries {
        room.take(entry.len())?;
    }
    Some(entries)
}

fn permissions(raw: &RawValue, room: &mut Room) -> Option<BTreeSet<String>> {
    let entries: Vec<String> = serde_json::from_str(raw.get()).ok()?;
    let mut actions = BTreeSet::new();
    for entry in entries {
        let action = action(&entry);
        room.take(action.len())?;
        actions.insert(action.to_owned());
    }
    Some(actions)
}

/// The action that an abbreviation stands for; any other text stands for itself.
fn action(abbreviation: &str) -> &str {
    ACTIONS
        .iter()
        .find_map(|(short, long)| (*short == abbreviation).then_some(*long))
        .unwrap_or(abbreviation)
}

#[derive(Deserialize)]
struct Packed<'a> {
    /// The word alone: an enum may also be written `{"groups": null}`.
    #[serde(rename = "_type")]
    kind: String,
    #[serde(borrow, rename = "_data")]
    data: &'a RawValue,
}

fn buckets(raw: &RawValue, room: &mut Room) -> Option<BTreeSet<String>> {
    if !crate::json::is_object(raw.get().as_bytes()) {
        return Some(list(raw.get().as_bytes(), room)?.into_iter().collect());
    }
    let Packed { kind, data } = serde_json::from_str(raw.get()).ok()?;
    let prefixed = |prefix: &str| kind == "groups" || prefix == "quilt";
    match kind.as_str() {
        "groups" | "patterns" => {
            let groups: BTreeMap<String, Vec<String>> = serde_json::from_str(data.get()).ok()?;
            let mut names = BTreeSet::new();
            for (prefix, suffixes) in groups {
                for suffix in suffixes {
                    if prefixed(&prefix) {
                        room.take(prefix.len() + 1 + suffix.len())?;
                        names.insert(format!("{prefix}-{suffix}"));
                    } else {
                        room.take(suffix.len())?;
                        names.insert(suffix);
                    }
                }
            }
            Some(names)
        }
        "compressed" => {
            let data: String = serde_json::from_str(data.get()).ok()?;
            // Four characters of base64 are three bytes: what is too long to keep is not decoded.
            if data.len() / 4 * 3 > MAX_EXPANDED_BYTES * 2 {
                return None;
            }
            let json = BASE64_STANDARD.decode(data).ok()?;
            Some(list(&json, room)?.into_iter().collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
