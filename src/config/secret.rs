//! A configured value that is secret: given outright (or by `{"$env":…}`), or by where to find it.
//!
//! Owns [`SecretSetting`], and [`ExternalIdSetting`], which is given alike and is no secret. In comes JSON; out goes a
//! value that neither prints nor serialises what it holds.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::arn::SecretArn;

/// A secret string, or a reference to one in Secrets Manager.
#[derive(Clone)]
pub enum SecretSetting {
    /// The value itself, from the document or from a variable that it names. For development and tests: in production it
    /// is a mistake (`Config::secrets`).
    Plain(SecretString),
    /// A secret in Secrets Manager, read on first use.
    Stored(StoredSecret),
}

/// An external id, or a reference to a secret that holds it. It may be anywhere, in production too: it tells one of a
/// service's customers from another, and the trust policies that name it show it.
/// Source: IAM user guide, "Access to AWS accounts owned by third parties".
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExternalIdSetting(pub SecretSetting);

/// `{"$secret": "<ARN>", "key": "…"}`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StoredSecret {
    /// Which secret.
    pub arn: SecretArn,
    /// Which member of it, where the secret is a JSON object; the whole secret otherwise.
    pub key: Option<String>,
}

/// What a [`StoredSecret`] holds now, and held before its last rotation.
#[derive(Clone, Debug)]
pub struct SecretVersions {
    /// The version labelled `AWSCURRENT`.
    pub current: SecretString,
    /// The version labelled `AWSPREVIOUS`, where there is one.
    pub previous: Option<SecretString>,
}

/// Why a [`StoredSecret`] could not be read. The texts name the secret, never what it holds.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not answer in time or was busy: the next call may succeed.
    #[error("{0}")]
    Unavailable(String),
    /// It answered, and the answer cannot be used: no permission, no such secret, no such key.
    #[error("{0}")]
    Unusable(String),
}

impl<'de> Deserialize<'de> for SecretSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str =
            r#"expected a string, {"$env":"NAME"} or {"$secret":"<ARN>","key":"…"}"#;
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(value) if value.is_empty() => {
                Err(D::Error::custom("must not be empty"))
            }
            serde_json::Value::String(value) => Ok(Self::Plain(value.into())),
            serde_json::Value::Object(mut object) => {
                let arn = object.remove("$secret");
                let key = object.remove("key");
                if !object.is_empty() {
                    return Err(D::Error::custom(EXPECTED));
                }
                let Some(serde_json::Value::String(arn)) = arn else {
                    return Err(D::Error::custom(EXPECTED));
                };
                let key = match key {
                    None => None,
                    Some(serde_json::Value::String(key)) => Some(key),
                    Some(_) => return Err(D::Error::custom("`key` must be a string")),
                };
                let arn = arn.parse().map_err(D::Error::custom)?;
                Ok(Self::Stored(StoredSecret { arn, key }))
            }
            _ => Err(D::Error::custom(EXPECTED)),
        }
    }
}

impl Serialize for SecretSetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(_) => serializer.serialize_str("***"),
            Self::Stored(stored) => {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("$secret", stored.arn.as_str())?;
                if let Some(key) = &stored.key {
                    map.serialize_entry("key", key)?;
                }
                map.end()
            }
        }
    }
}

impl fmt::Debug for SecretSetting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => formatter.write_str("Plain(***)"),
            Self::Stored(stored) => write!(formatter, "Stored({:?})", stored.arn),
        }
    }
}

impl JsonSchema for SecretSetting {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        stored_or_text(
            "A secret: a reference to Secrets Manager. On this machine, also the value or a variable that holds it; in production that is refused.",
        )
    }
}

impl JsonSchema for ExternalIdSetting {
    fn schema_name() -> Cow<'static, str> {
        "ExternalId".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        stored_or_text("An external id, or a reference to Secrets Manager. It is no secret.")
    }
}

fn stored_or_text(description: &str) -> Schema {
    json_schema!({
        "description": description,
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "$secret": { "type": "string", "pattern": "^arn:(aws|aws-cn|aws-us-gov):secretsmanager:", "description": "The ARN of a secret in Secrets Manager." },
                    "key": { "type": "string", "description": "Which member of it, where the secret is a JSON object." }
                },
                "required": ["$secret"],
                "additionalProperties": false
            },
            { "type": "string", "minLength": 1 }
        ]
    })
}
