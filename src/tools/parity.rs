//! Whether a token permits what its roles grant, neither less nor more.
//!
//! Owns [`Parity`]: what each role of the catalog grants, and how many buckets a token must name, from the
//! configuration. In come a token's grants and roles; out goes a [`Difference`]. A token without `permissions` and
//! `buckets` is not narrowed, and not compared.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    auth::Grants,
    config::{QuiltSection, RoleGrant, arn::RoleArn},
};

/// What tokens are compared with.
#[derive(Debug, Default)]
pub(super) struct Parity {
    roles: BTreeMap<String, RoleGrant>,
    expected_buckets: Option<usize>,
}

/// How what a token permits differs from what its roles grant together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Difference {
    /// Actions that the roles grant and the token lacks.
    pub missing_permissions: Vec<String>,
    /// Actions that the token lists and no role grants.
    pub excess_permissions: Vec<String>,
    /// Buckets that the roles grant and the token lacks.
    pub missing_buckets: Vec<String>,
    /// Buckets that the token names and no role grants.
    pub excess_buckets: Vec<String>,
    /// Roles of the token that this server's configuration does not describe; they count for nothing.
    pub unknown_roles: Vec<String>,
    /// How many buckets the token names, where the configuration expects another number; null where it does not.
    pub unexpected_bucket_count: Option<usize>,
}

impl Difference {
    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        let lists = [
            &self.missing_permissions,
            &self.excess_permissions,
            &self.missing_buckets,
            &self.excess_buckets,
        ];
        lists.iter().any(|list| !list.is_empty()) || self.unexpected_bucket_count.is_some()
    }
}

impl Parity {
    pub(super) fn from_config(section: &QuiltSection) -> Self {
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            roles: section.roles.clone(),
            expected_buckets: section.expected_buckets.map(|number| count(number.get())),
        }
    }

    /// How a token differs from its roles; `None` if it is not compared.
    pub(super) fn difference(&self, grants: &Grants, roles: &[RoleArn]) -> Option<Difference> {
        let compares_roles = !self.roles.is_empty();
        if !grants.narrow() || !(compares_roles || self.expected_buckets.is_some()) {
            return None;
        }
        let mut difference = Difference::default();
        let none = BTreeSet::new();
        let buckets = grants.buckets.as_ref().unwrap_or(&none);
        // A token that permits every bucket names none in particular.
        difference.unexpected_bucket_count = self
            .expected_buckets
            .filter(|expected| *expected != buckets.len() && !buckets.contains("*"))
            .map(|_| buckets.len());
        if compares_roles {
            let names = grants.role_names.iter().map(String::as_str);
            let (mut permissions_granted, mut buckets_granted) = (BTreeSet::new(), BTreeSet::new());
            for name in names.chain(roles.iter().map(RoleArn::as_str)) {
                match self.roles.get(name) {
                    Some(grant) => {
                        permissions_granted.extend(grant.permissions.iter().cloned());
                        buckets_granted.extend(grant.buckets.iter().cloned());
                    }
                    None if name.starts_with("arn:") => {}
                    None => difference.unknown_roles.push(name.to_owned()),
                }
            }
            let less = |all: &BTreeSet<String>, taken: &BTreeSet<String>| {
                all.difference(taken).cloned().collect()
            };
            // A claim that is absent limits nothing, which is more than any role grants.
            let unlimited = || vec!["*".to_owned()];
            match &grants.permissions {
                Some(listed) => {
                    difference.missing_permissions = less(&permissions_granted, listed);
                    difference.excess_permissions = less(listed, &permissions_granted);
                }
                None => difference.excess_permissions = unlimited(),
            }
            match &grants.buckets {
                Some(listed) => {
                    difference.missing_buckets = less(&buckets_granted, listed);
                    difference.excess_buckets = less(listed, &buckets_granted);
                }
                None if buckets_granted.contains("*") => {}
                None => difference.excess_buckets = unlimited(),
            }
        }
        Some(difference)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parity(section: &Value) -> Parity {
        let document = json!({ "quilt": section }).to_string();
        let config = crate::config::Config::parse(&document, &|_| None).unwrap();
        Parity::from_config(&config.quilt)
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "stands where a claim may be absent"
    )]
    fn set(entries: &[&str]) -> Option<BTreeSet<String>> {
        Some(entries.iter().map(|&entry| entry.to_owned()).collect())
    }

    fn grants(roles: &[&str], permissions: &[&str], buckets: &[&str]) -> Grants {
        Grants {
            role_names: roles.iter().map(|&role| role.to_owned()).collect(),
            permissions: set(permissions),
            buckets: set(buckets),
            ..Grants::default()
        }
    }

    fn roles() -> Parity {
        parity(&json!({ "roles": {
            "Reader": { "permissions": ["s3:GetObject", "s3:ListBucket"], "buckets": ["shared"] },
            "Writer": { "permissions": ["s3:PutObject"], "buckets": ["shared", "own"] },
            "Admin": { "permissions": ["s3:GetObject"], "buckets": ["*"] },
            "arn:aws:iam::111111111111:role/Reader": { "buckets": ["by-arn"] },
        } }))
    }

    #[test]
    fn a_token_equals_the_union_of_its_roles_or_the_difference_is_named() {
        let all = ["s3:GetObject", "s3:ListBucket", "s3:PutObject"];
        let of = |grants: &Grants| roles().difference(grants, &[]).unwrap();
        let both = of(&grants(&["Reader", "Writer"], &all, &["own", "shared"]));
        assert_eq!(both, Difference::default());
        assert!(!both.is_some());
        let differs = of(&grants(
            &["Reader", "Stranger"],
            &["s3:GetObject", "s3:DeleteObject"],
            &["own"],
        ));
        assert!(differs.is_some());
        assert_eq!(
            differs,
            Difference {
                missing_permissions: vec!["s3:ListBucket".to_owned()],
                excess_permissions: vec!["s3:DeleteObject".to_owned()],
                missing_buckets: vec!["shared".to_owned()],
                excess_buckets: vec!["own".to_owned()],
                unknown_roles: vec!["Stranger".to_owned()],
                unexpected_bucket_count: None,
            }
        );
        // Without roles it may permit nothing.
        assert!(!of(&grants(&[], &[], &[])).is_some());
        assert!(of(&grants(&[], &["s3:GetObject"], &[])).is_some());
    }

    #[test]
    fn roles_are_known_by_what_the_token_lists_be_it_a_name_or_an_arn() {
        let arn: RoleArn = "arn:aws:iam::111111111111:role/Reader".parse().unwrap();
        let other: RoleArn = "arn:aws:iam::222222222222:role/Reader".parse().unwrap();
        let grants = grants(&[], &[], &["by-arn"]);
        assert_eq!(
            roles().difference(&grants, &[arn]),
            Some(Difference::default())
        );
        assert!(roles().difference(&grants, &[other]).unwrap().is_some());
    }

    #[test]
    fn a_claim_that_is_absent_is_more_than_a_role_grants() {
        let mut half = grants(&["Reader"], &["s3:GetObject", "s3:ListBucket"], &[]);
        half.buckets = None;
        let difference = roles().difference(&half, &[]).unwrap();
        assert_eq!(difference.excess_buckets, ["*"]);
        half.role_names = vec!["Admin".to_owned()];
        half.permissions = set(&["s3:GetObject"]);
        assert!(!roles().difference(&half, &[]).unwrap().is_some());
        half.permissions = None;
        assert_eq!(roles().difference(&half, &[]), None, "nothing narrows it");
    }

    #[test]
    fn buckets_are_counted_where_a_number_is_expected() {
        let counted = parity(&json!({ "expectedBuckets": 2 }));
        let of = |buckets: &[&str]| counted.difference(&grants(&[], &[], buckets), &[]).unwrap();
        assert!(!of(&["a-1", "a-2"]).is_some());
        assert!(!of(&["*"]).is_some());
        assert_eq!(of(&["a-1"]).unexpected_bucket_count, Some(1));
        assert_eq!(of(&["a-1", "a-2", "a-3"]).unexpected_bucket_count, Some(3));
        let nothing = parity(&json!({}));
        assert_eq!(nothing.difference(&grants(&[], &[], &[]), &[]), None);
    }
}
