//! What a token says its holder may do: roles by name, permissions, buckets, level, scope.
//!
//! Owns [`Grants`] and the precedence of the places where a token may say it, field by field: a claim of its own, else
//! the member of the nested `quilt`, else the compressed twin. In comes what a token states; out go the grants, and the
//! ARNs among its roles. These claims only narrow: what the role itself may do is IAM's to decide.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Rejection,
    claim::is_name,
    claims::{WRONG_TYPE, bytes_of},
    compressed::Compressed,
};
use crate::{config::arn::RoleArn, json};

/// The most roles that a token may list.
const MAX_ROLES: usize = 50;

/// What a token says its holder may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// The entries of `roles` that are no ARNs: names that mean something to the catalog only.
    pub role_names: Vec<String>,
    /// `groups`.
    pub groups: Vec<String>,
    /// Actions, such as `s3:GetObject`. `None`: the token does not narrow them.
    pub permissions: Option<BTreeSet<String>>,
    /// Names of buckets; `*` is all. `None`: the token does not narrow them.
    pub buckets: Option<BTreeSet<String>>,
    /// `level`. It limits nothing, and is shown.
    pub level: Option<Level>,
    /// Separated by spaces.
    pub scope: String,
}

/// How much a token is good for, in the catalog's one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Level {
    /// To read.
    Read,
    /// To read and write.
    Write,
    /// For everything.
    Admin,
}

impl Level {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Of a text alone: an enum that serde reads by itself may also be written `{"admin": null}`.
impl TryFrom<String> for Level {
    type Error = &'static str;
    fn try_from(word: String) -> Result<Self, Self::Error> {
        [Self::Read, Self::Write, Self::Admin]
            .into_iter()
            .find(|level| level.as_str() == word)
            .ok_or("expected read, write or admin")
    }
}

impl Grants {
    /// About how much memory its texts take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let names = self.role_names.iter().chain(&self.groups);
        let sets = [&self.permissions, &self.buckets];
        let texts = names.chain(sets.into_iter().flatten().flatten());
        bytes_of(texts.map(String::as_str)) + self.scope.len()
    }

    /// Whether the token narrows what tools may do.
    pub fn narrow(&self) -> bool {
        self.permissions.is_some() || self.buckets.is_some()
    }

    /// Whether the token permits an action of AWS.
    pub fn permit(&self, action: &str) -> bool {
        let permissions = self.permissions.as_ref();
        permissions.is_none_or(|permissions| permissions.contains(action))
    }

    /// Whether the token permits every bucket.
    pub fn reach_all_buckets(&self) -> bool {
        let buckets = self.buckets.as_ref();
        buckets.is_none_or(|buckets| buckets.contains("*"))
    }

    /// Whether the token permits this bucket.
    pub fn reach(&self, bucket: &str) -> bool {
        let named = |buckets: &BTreeSet<String>| buckets.contains(bucket);
        self.reach_all_buckets() || self.buckets.as_ref().is_some_and(named)
    }
}

/// What a token states, each in its place.
pub(super) struct Stated<'a> {
    pub(super) scope: Option<String>,
    pub(super) roles: Option<Vec<String>>,
    pub(super) groups: Option<Vec<String>>,
    pub(super) permissions: Option<Vec<String>>,
    pub(super) buckets: Option<Vec<String>>,
    pub(super) level: Option<Level>,
    /// `quilt`.
    pub(super) nested: Option<&'a RawValue>,
    pub(super) compressed: Compressed<'a>,
}

#[derive(Deserialize, Default)]
struct Nested {
    roles: Option<Vec<String>>,
    permissions: Option<Vec<String>>,
    buckets: Option<Vec<String>>,
}

impl Stated<'_> {
    /// The grants, and the ARNs among the roles in their order.
    pub(super) fn judge(self) -> Result<(Grants, Vec<RoleArn>), Rejection> {
        let nested = match self.nested {
            None => Nested::default(),
            Some(raw) if json::is_object(raw.get().as_bytes()) => {
                serde_json::from_str(raw.get()).map_err(|_| WRONG_TYPE)?
            }
            Some(_) => return Err(WRONG_TYPE),
        };
        let roles = self.roles.or(nested.roles);
        let permissions = self.permissions.or(nested.permissions);
        let buckets = self.buckets.or(nested.buckets);
        // A twin that counts for nothing is not expanded.
        let twin = Compressed {
            s: self.compressed.s.filter(|_| self.scope.is_none()),
            p: self.compressed.p.filter(|_| permissions.is_none()),
            r: self.compressed.r.filter(|_| roles.is_none()),
            b: self.compressed.b.filter(|_| buckets.is_none()),
            l: self.compressed.l.filter(|_| self.level.is_none()),
        };
        let twin = twin.expand();
        let roles = roles.or(twin.roles).unwrap_or_default();
        if roles.len() > MAX_ROLES {
            return Err(Rejection::Claims("`roles` lists more than 50"));
        }
        let (mut arns, mut role_names) = (Vec::new(), Vec::new());
        for role in roles {
            match role.parse::<RoleArn>() {
                Ok(arn) => arns.push(arn),
                Err(_) => role_names.push(role),
            }
        }
        // All of these are shown. To leave out what cannot be shown takes a grant away, and gives none.
        let names = |names: Vec<String>| names.into_iter().filter(|name| is_name(name)).collect();
        let set = |stated: Option<Vec<String>>, twin: Option<BTreeSet<String>>| {
            let stated = stated.map(|stated| stated.into_iter().collect()).or(twin);
            stated.map(|mut set: BTreeSet<String>| {
                set.retain(|entry| is_name(entry));
                set
            })
        };
        let grants = Grants {
            role_names: names(role_names),
            groups: names(self.groups.unwrap_or_default()),
            permissions: set(permissions, twin.permissions),
            buckets: set(buckets, twin.buckets),
            level: self.level.or(twin.level),
            scope: self.scope.or(twin.scope).unwrap_or_default(),
        };
        Ok((grants, arns))
    }
}
