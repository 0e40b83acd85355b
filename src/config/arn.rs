//! Amazon Resource Names: the grammar of the kinds that we accept.
//!
//! Owns [`RoleArn`] and [`RolePattern`] (IAM roles), [`CallerPattern`] (who signed a request) and [`SecretArn`]
//! (Secrets Manager). A value of these types is
//! well-formed by construction; the rest of the program never looks at an ARN as a string.
//! Source: IAM user guide, "IAM ARNs"; Secrets Manager, "ARN format".

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The partitions that have IAM roles for us.
const PARTITIONS: [&str; 3] = ["aws", "aws-cn", "aws-us-gov"];

/// AWS's bound on a role's path and name together: 512 + 64.
const MAX_RESOURCE: usize = 576;

/// Why a string is not the ARN it should be. The string is not repeated: it may come from a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// Not of the form of a role's ARN.
    #[error("not a role ARN of the form arn:aws:iam::123456789012:role/path/Name")]
    Role,
    /// Not of the form of a role's ARN, or of one that ends in `*`.
    #[error(
        "not a role ARN, nor one that ends in `*`, of the form arn:aws:iam::123456789012:role/Prefix*"
    )]
    RolePattern,
    /// A service-linked role: only its AWS service may assume it.
    #[error("a service-linked role (aws-service-role/) cannot be assumed")]
    ServiceLinked,
    /// Not of the form of an IAM caller's ARN.
    #[error(
        "not a caller's ARN of the form arn:aws:sts::123456789012:assumed-role/Name/session (or /*), or arn:aws:iam::123456789012:user/Name"
    )]
    Caller,
    /// Not of the form of a secret's ARN.
    #[error(
        "not a secret's ARN of the form arn:aws:secretsmanager:us-east-1:123456789012:secret:name-AbCdEf"
    )]
    Secret,
}

/// An IAM role: `arn:(aws|aws-cn|aws-us-gov):iam::<12 digits>:role/(path/)*name`, ASCII only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleArn {
    text: Arc<str>,
    /// Where the path and name begin, after `role/`.
    resource: usize,
}

impl RoleArn {
    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The 12 digits of the account.
    pub fn account(&self) -> &str {
        // The grammar fixes where the account stands: 12 digits, then ":role/".
        &self.text[self.resource - ":role/".len() - 12..self.resource - ":role/".len()]
    }

    /// The role's name, without its path.
    pub fn name(&self) -> &str {
        let resource = &self.text[self.resource..];
        resource.rsplit_once('/').map_or(resource, |(_, name)| name)
    }
}

/// Splits `arn:P:iam::A:role/REST` and gives where `REST` begins, if the part before it is well-formed.
fn role_prefix(text: &str) -> Option<usize> {
    let mut parts = text.splitn(6, ':');
    let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let well_formed = arn == "arn"
        && PARTITIONS.contains(&partition)
        && service == "iam"
        && region.is_empty()
        && is_account(account);
    let rest = resource.strip_prefix("role/")?;
    (well_formed && rest.len() <= MAX_RESOURCE).then_some(text.len() - rest.len())
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `[\w+=,.@-]`, ASCII.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

/// The parts of a path. IAM would allow all printable ASCII; a colon could hide a second ARN in what a front door
/// joined with a comma, and nobody needs the rest.
fn is_path(path: &str) -> bool {
    path.split('/')
        .all(|part| !part.is_empty() && part.bytes().all(is_name_byte))
}

impl FromStr for RoleArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let resource = role_prefix(text).ok_or(ArnError::Role)?;
        let (path, name) = match text[resource..].rsplit_once('/') {
            Some((path, name)) => (Some(path), name),
            None => (None, &text[resource..]),
        };
        let named = (1..=64).contains(&name.len()) && name.bytes().all(is_name_byte);
        if !named || !path.is_none_or(is_path) {
            return Err(ArnError::Role);
        }
        if text[resource..].starts_with("aws-service-role/") {
            return Err(ArnError::ServiceLinked);
        }
        Ok(Self {
            text: text.into(),
            resource,
        })
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for RoleArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for RoleArn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Which roles an operator allows: one role, or all whose ARN begins with an account and a prefix, written with a
/// trailing `*` that also matches further path parts, as IAM's own wildcards do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolePattern {
    /// Exactly this role.
    Exact(RoleArn),
    /// Every role whose ARN begins with this, which holds at least `arn:P:iam::A:role/`.
    Prefix(String),
}

impl RolePattern {
    /// Whether the operator meant `role` too.
    pub fn matches(&self, role: &RoleArn) -> bool {
        match self {
            Self::Exact(exact) => exact == role,
            Self::Prefix(prefix) => role.as_str().starts_with(prefix.as_str()),
        }
    }
}

impl FromStr for RolePattern {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let Some(prefix) = text.strip_suffix('*') else {
            return text.parse().map(Self::Exact).map_err(|error| match error {
                ArnError::Role => ArnError::RolePattern,
                other => other,
            });
        };
        let resource = role_prefix(prefix).ok_or(ArnError::RolePattern)?;
        let rest = &prefix[resource..];
        let (path, name) = rest
            .rsplit_once('/')
            .map_or((None, rest), |(path, name)| (Some(path), name));
        if !name.bytes().all(is_name_byte) || !path.is_none_or(is_path) {
            return Err(ArnError::RolePattern);
        }
        if rest.starts_with("aws-service-role/") {
            return Err(ArnError::ServiceLinked);
        }
        Ok(Self::Prefix(prefix.to_owned()))
    }
}

impl fmt::Display for RolePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(role) => role.fmt(formatter),
            Self::Prefix(prefix) => write!(formatter, "{prefix}*"),
        }
    }
}

impl Serialize for RolePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RolePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for RolePattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RolePattern".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A role's ARN, or the beginning of one followed by `*`.",
            "pattern": r"^arn:(aws|aws-cn|aws-us-gov):iam::\d{12}:role/[A-Za-z0-9_+=,.@/-]*\*?$"
        })
    }
}

/// A caller as AWS knows it: `arn:P:iam::A:user/NAME`, or `arn:P:sts::A:assumed-role/ROLE/SESSION`, whose session may be
/// `*`. Nothing else may be left open: a role's name that only begins alike is another role's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerPattern {
    /// The whole ARN, or all of it before the `*`.
    text: String,
    any_session: bool,
}

impl CallerPattern {
    /// Whether `arn` is one of the callers meant.
    pub fn matches(&self, arn: &str) -> bool {
        match arn.strip_prefix(self.text.as_str()) {
            // A session's name has no slash of its own.
            Some(session) if self.any_session => {
                !session.is_empty() && session.bytes().all(is_name_byte)
            }
            Some(rest) => rest.is_empty(),
            None => false,
        }
    }
}

impl FromStr for CallerPattern {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, "", account, resource] = parts[..] else {
            return Err(ArnError::Caller);
        };
        let named = |name: &str| !name.is_empty() && name.bytes().all(is_name_byte);
        let (formed, any_session) = match (service, resource.split_once('/')) {
            ("iam", Some(("user", path))) => (is_path(path), false),
            ("sts", Some(("assumed-role", rest))) => match rest.split_once('/') {
                Some((role, "*")) => (named(role), true),
                Some((role, session)) => (named(role) && named(session), false),
                None => (false, false),
            },
            _ => (false, false),
        };
        if !formed || !PARTITIONS.contains(&partition) || !is_account(account) {
            return Err(ArnError::Caller);
        }
        let text = if any_session {
            &text[..text.len() - 1]
        } else {
            text
        };
        Ok(Self {
            text: text.to_owned(),
            any_session,
        })
    }
}

impl fmt::Display for CallerPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}{}",
            self.text,
            if self.any_session { "*" } else { "" }
        )
    }
}

impl Serialize for CallerPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallerPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for CallerPattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CallerPattern".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "The ARN of an IAM user, or of an assumed role's session, whose name may be `*`.",
            "pattern": r"^arn:(aws|aws-cn|aws-us-gov):(iam::\d{12}:user/.+|sts::\d{12}:assumed-role/[^/]+/[^/]+)$"
        })
    }
}

/// A secret in Secrets Manager: `arn:P:secretsmanager:REGION:ACCOUNT:secret:NAME`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretArn(Arc<str>);

impl SecretArn {
    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region the secret lives in, which is where it is read.
    pub fn region(&self) -> &str {
        self.0.split(':').nth(3).unwrap_or_default()
    }
}

impl FromStr for SecretArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let parts: Vec<&str> = text.split(':').collect();
        let [arn, partition, service, region, account, kind, name] = parts[..] else {
            return Err(ArnError::Secret);
        };
        let region_formed = !region.is_empty()
            && region
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let named = (1..=520).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"/_+=.@-".contains(&byte));
        let well_formed = arn == "arn"
            && PARTITIONS.contains(&partition)
            && service == "secretsmanager"
            && region_formed
            && is_account(account)
            && kind == "secret"
            && named;
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(ArnError::Secret)
        }
    }
}

impl fmt::Debug for SecretArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_named_whole_but_for_their_session() {
        let pattern = |text: &str| text.parse::<CallerPattern>();
        let any = pattern("arn:aws:sts::111122223333:assumed-role/Front/*").unwrap();
        assert!(any.matches("arn:aws:sts::111122223333:assumed-role/Front/i-1"));
        for other in [
            "arn:aws:sts::111122223333:assumed-role/Front/",
            "arn:aws:sts::111122223333:assumed-role/Front/a/b",
            "arn:aws:sts::111122223333:assumed-role/Front2/i-1",
            "arn:aws:sts::999922223333:assumed-role/Front/i-1",
            "",
        ] {
            assert!(!any.matches(other), "{other}");
        }
        let one = pattern("arn:aws:iam::111122223333:user/team/alice").unwrap();
        assert!(one.matches("arn:aws:iam::111122223333:user/team/alice"));
        assert!(!one.matches("arn:aws:iam::111122223333:user/team/alice2"));
        for bad in [
            "arn:aws:sts::111122223333:assumed-role/Front*",
            "arn:aws:sts::111122223333:assumed-role/*/x",
            "arn:aws:sts::111122223333:assumed-role/Front/x*",
            "arn:aws:iam::111122223333:user/*",
            "arn:aws:iam::111122223333:role/Front",
            "arn:aws:iam::111122223333:root",
            "*",
        ] {
            assert_eq!(pattern(bad), Err(ArnError::Caller), "{bad}");
        }
    }

    #[test]
    fn role_arns_follow_the_grammar() {
        for good in [
            "arn:aws:iam::111122223333:role/Quilt",
            "arn:aws-cn:iam::111122223333:role/a/b/c/Name_+=,.@-",
            "arn:aws-us-gov:iam::000000000000:role/x",
            &format!("arn:aws:iam::111122223333:role/{}", "n".repeat(64)),
        ] {
            assert_eq!(
                good.parse::<RoleArn>()
                    .map(|arn| arn.to_string())
                    .as_deref(),
                Ok(good)
            );
        }
        for bad in [
            "",
            "Quilt",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:user/Quilt",
            "arn:aws:iam:us-east-1:111122223333:role/Quilt",
            "arn:aws:iam::11112222333:role/Quilt",
            "arn:aws:iam::1111222233334:role/Quilt",
            "arn:aws:iam::11112222333x:role/Quilt",
            "arn:aws:iam::١١١١٢٢٢٢٣٣٣٣:role/Quilt",
            "arn:aws-iso:iam::111122223333:role/Quilt",
            "arn:aws:sts::111122223333:role/Quilt",
            "arn:aws:iam::111122223333:role/Qu ilt",
            "arn:aws:iam::111122223333:role/Quilt\n",
            " arn:aws:iam::111122223333:role/Quilt",
            "arn:aws:iam::111122223333:role/Qui:lt",
            "arn:aws:iam::111122223333:role//Quilt",
            "arn:aws:iam::111122223333:role/a//Quilt",
            "arn:aws:iam::111122223333:role/a/",
            "arn:aws:iam::111122223333:role/Quilt*",
            "arn:aws:iam::111122223333:role/a*/Quilt",
            "arn:aws:iam::111122223333:role/Quílt",
            "arn:aws:iam::111122223333:role/a,arn:aws:iam::111122223333:role/b",
            &format!("arn:aws:iam::111122223333:role/{}", "n".repeat(65)),
            &format!("arn:aws:iam::111122223333:role/{}/n", "p".repeat(600)),
        ] {
            assert_eq!(bad.parse::<RoleArn>(), Err(ArnError::Role), "{bad}");
        }
        let linked =
            "arn:aws:iam::111122223333:role/aws-service-role/es.amazonaws.com/AWSServiceRoleForES";
        assert_eq!(linked.parse::<RoleArn>(), Err(ArnError::ServiceLinked));
    }

    #[test]
    fn a_role_arn_knows_its_parts() {
        let arn: RoleArn = "arn:aws:iam::111122223333:role/team/data/Reader"
            .parse()
            .unwrap();
        assert_eq!((arn.account(), arn.name()), ("111122223333", "Reader"));
    }

    #[test]
    fn patterns_match_one_role_or_a_prefix_within_one_account() {
        let role = |text: &str| text.parse::<RoleArn>().unwrap();
        let pattern = |text: &str| text.parse::<RolePattern>().unwrap();
        let exact = pattern("arn:aws:iam::111122223333:role/Quilt");
        assert!(exact.matches(&role("arn:aws:iam::111122223333:role/Quilt")));
        assert!(!exact.matches(&role("arn:aws:iam::111122223333:role/QuiltX")));
        assert!(!exact.matches(&role("arn:aws:iam::111122223333:role/quilt")));
        let prefix = pattern("arn:aws:iam::111122223333:role/team/Q*");
        assert!(prefix.matches(&role("arn:aws:iam::111122223333:role/team/Quilt")));
        assert!(!prefix.matches(&role("arn:aws:iam::111122223333:role/Quilt")));
        assert!(!prefix.matches(&role("arn:aws:iam::999922223333:role/team/Quilt")));
        assert!(!prefix.matches(&role("arn:aws-cn:iam::111122223333:role/team/Quilt")));
        for bad in [
            "*",
            "arn:aws:iam::*:role/x",
            "arn:aws:iam::11112222*",
            "arn:aws:iam::111122223333:*",
            "arn:aws:iam::111122223333:role/a*b",
            "arn:aws:iam::111122223333:role/a**",
            "arn:*:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:role/?*",
        ] {
            assert_eq!(
                bad.parse::<RolePattern>(),
                Err(ArnError::RolePattern),
                "{bad}"
            );
        }
        assert!(matches!(
            "arn:aws:iam::111122223333:role/aws-service-role/*".parse::<RolePattern>(),
            Err(ArnError::ServiceLinked)
        ));
        // A wide pattern still cannot reach a service-linked role: no `RoleArn` of one exists.
        assert!(
            pattern("arn:aws:iam::111122223333:role/*")
                .matches(&role("arn:aws:iam::111122223333:role/any"))
        );
    }

    #[test]
    fn secret_arns_follow_the_grammar() {
        let arn: SecretArn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:team/jwt-AbCdEf"
            .parse()
            .unwrap();
        assert_eq!(arn.region(), "eu-west-1");
        for bad in [
            "jwt",
            "arn:aws:secretsmanager::111122223333:secret:jwt",
            "arn:aws:secretsmanager:eu-west-1:111122223333:secret:",
            "arn:aws:secretsmanager:eu-west-1:111122223333:secret:jwt:key",
            "arn:aws:ssm:eu-west-1:111122223333:secret:jwt",
            "arn:aws:secretsmanager:eu west:111122223333:secret:jwt",
        ] {
            assert_eq!(bad.parse::<SecretArn>(), Err(ArnError::Secret), "{bad}");
        }
    }
}
