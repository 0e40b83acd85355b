//! The configuration: one JSON document, in typed sections, checked as a whole before anything starts.
//!
//! Owns the shape of the document, its schema, and the only reads of the process environment. In come a file, or
//! `ROLECALL_CONFIG`; out goes a [`Config`], or every mistake in it ([`Mistakes`]). Nothing here is ever written back.
//!
//! Any string may be `{"$env":"NAME"}`, resolved here. A secret may be `{"$secret":"<ARN>","key":"…"}`, resolved on
//! first use by who needs it.

pub mod arn;
mod auth;
mod fetch_url;
mod judge;
mod process;
mod reach;
mod read;
mod roles;
mod secret;
mod sections;
mod types;

use std::path::Path;

pub use auth::{AuthSection, IssuerSection, MIN_HS256_BYTES};
pub use fetch_url::{FetchUrl, FetchUrlError};
pub use judge::{AlbSection, IntrospectionSection, Judge, JwksSetting};
pub use process::{InvokeMode, Lambda, Process};
pub use reach::Reach;
pub use read::{Mistake, Mistakes};
pub use roles::{
    EXTERNAL_ID_FORM, HeaderMode, IAM_ISSUER, IamCaller, IamFrontDoor, IamFrontDoorKind,
    IamSection, RolesSection, SessionPolicyMode, is_external_id,
};
pub use secret::{ExternalIdSetting, SecretError, SecretSetting, SecretVersions, StoredSecret};
pub use sections::{
    AwsSection, EgressSection, Level, LogFormat, MetricsMode, ParityMode, QuiltSection, RoleGrant,
    ServerSection, TelemetrySection,
};
pub use types::{Bounded, Host, Origin, PublicUrl, Scope};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The whole configuration of Rolecall.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[schemars(title = "Rolecall configuration")]
pub struct Config {
    /// Where this document's schema is, for editors. Not read.
    #[serde(rename = "$schema", skip_serializing)]
    pub schema: Option<String>,
    /// The HTTP server: its name to the world, its limits.
    pub server: ServerSection,
    /// Who may call: the issuers whose tokens are accepted.
    pub auth: AuthSection,
    /// Which IAM roles callers may act as.
    pub roles: RolesSection,
    /// How AWS is reached.
    pub aws: AwsSection,
    /// The Quilt catalog, and what its roles grant.
    pub quilt: QuiltSection,
    /// Logs and metrics.
    pub telemetry: TelemetrySection,
}

impl Config {
    /// Reads the file at `path`, else what `ROLECALL_CONFIG` names or holds, else an empty document: for a process that
    /// `reach` can reach. A mistake in the other variables of `process` is one here too.
    pub fn load(path: Option<&Path>, process: &Process, reach: Reach) -> Result<Self, Mistakes> {
        let read = document(path, process)
            .and_then(|text| Self::parse_for(reach, &text, &process::variable));
        let mut mistakes = process.mistakes.clone();
        match read {
            Ok(config) if mistakes.is_empty() => Ok(config),
            Ok(_) => Err(mistakes),
            Err(more) => {
                mistakes.append(more);
                Err(mistakes)
            }
        }
    }

    /// Reads a document for a process of this machine, looking variables up with `lookup`.
    pub fn parse(text: &str, lookup: read::Lookup<'_>) -> Result<Self, Mistakes> {
        Self::parse_for(Reach::ThisMachine, text, lookup)
    }

    /// Reads a document for a process that `reach` can reach.
    pub fn parse_for(reach: Reach, text: &str, lookup: read::Lookup<'_>) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let config: Option<Self> = read::read(text, lookup, &mut mistakes);
        if let Some(config) = &config {
            if reach == Reach::Others {
                config.check_secrets(&mut mistakes);
            }
            config.check(&mut mistakes);
        }
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(mistakes),
        }
    }

    /// What no single value shows.
    fn check(&self, mistakes: &mut Mistakes) {
        self.auth.check(&self.server, mistakes);
        self.roles.check(mistakes);
        for (index, issuer) in self.auth.issuers.iter().enumerate() {
            if issuer.issuer.starts_with(IAM_ISSUER) {
                mistakes.add(
                    format!("auth.issuers[{index}].issuer"),
                    "begins as callers do that sign their requests (roles.iam)",
                );
            }
        }
        self.quilt.check(mistakes);
    }

    /// Every secret that is configured, and its path. A test compares them with the schema: none can be forgotten.
    fn secrets(&self) -> impl Iterator<Item = (String, &SecretSetting)> {
        self.auth.secrets()
    }

    /// What would be a mistake in production, and is none on this machine.
    pub fn mistakes_in_production(&self) -> Mistakes {
        let mut mistakes = Mistakes::default();
        self.check_secrets(&mut mistakes);
        mistakes
    }

    /// In production, whoever reads the document, the environment or a deployment's state must find no secret there.
    fn check_secrets(&self, mistakes: &mut Mistakes) {
        for (path, secret) in self.secrets() {
            if matches!(secret, SecretSetting::Plain(_)) {
                mistakes.add(
                    path,
                    r#"in production a secret must be in Secrets Manager: {"$secret":"<ARN>"}"#,
                );
            }
        }
    }

    /// The same, for a process whose standard output is the protocol: no metrics.
    #[must_use]
    pub fn for_stdio(&self) -> Self {
        let mut config = self.clone();
        config.telemetry.metrics = MetricsMode::Off;
        config
    }

    /// The configuration in effect, defaults included, secrets as `***`.
    pub fn effective(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The JSON schema of the document (draft 2020-12), in which any string may also be `{"$env":"NAME"}`.
    pub fn json_schema() -> String {
        let mut schema = schemars::schema_for!(Config).to_value();
        allow_variables(&mut schema);
        let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// The text of the configuration.
fn document(path: Option<&Path>, process: &Process) -> Result<String, Mistakes> {
    match (path, process.config.as_deref().map(str::trim)) {
        (Some(path), _) => read_file(path, &path.display()),
        (None, Some(json)) if json.starts_with('{') => Ok(json.to_owned()),
        // What was meant as JSON, and is none, may hold a secret: it is not repeated.
        (None, Some(path)) => read_file(Path::new(path), &"the file that ROLECALL_CONFIG names"),
        (None, None) => Ok("{}".to_owned()),
    }
}

fn read_file(path: &Path, name: &dyn std::fmt::Display) -> Result<String, Mistakes> {
    std::fs::read_to_string(path)
        .map_err(|error| Mistakes::whole(format!("cannot read {name}: {}", error.kind())))
}

/// Says what holds of every member: a string may be a variable, and none may be null.
fn allow_variables(schema: &mut Value) {
    fn visit(schema: &mut Value) {
        match schema {
            Value::Object(object) => visit_object(object),
            Value::Array(items) => items.iter_mut().for_each(visit),
            _ => {}
        }
    }
    fn visit_object(object: &mut serde_json::Map<String, Value>) {
        object.values_mut().for_each(visit);
        if let Some(Value::Array(types)) = object.get("type")
            && let [only, Value::String(null)] = types.as_slice()
            && null == "null"
        {
            object.insert("type".to_owned(), only.clone());
        }
        if let Some(Value::Array(forms)) = object.get_mut("anyOf") {
            forms.retain(|form| form.get("type").is_none_or(|kind| kind != "null"));
        }
        let variable = json!({ "$ref": "#/$defs/Variable" });
        if let Some(Value::Array(mut words)) = object.remove("oneOf") {
            // A closed set of words.
            words.push(variable);
            object.insert("anyOf".to_owned(), words.into());
        } else if object.get("type").is_some_and(|kind| kind == "string")
            && !object.contains_key("const")
        {
            let mut text = std::mem::take(object);
            for kept in ["description", "default"] {
                object.extend(text.remove(kept).map(|value| (kept.to_owned(), value)));
            }
            object.insert("anyOf".to_owned(), json!([text, variable]));
        }
    }
    visit(schema);
    schema["$defs"]["Variable"] = json!({
        "description": "The value of an environment variable, read at start. Unset or empty is an error; AWS_* is refused.",
        "type": "object",
        "properties": { "$env": { "type": "string", "pattern": "^[A-Za-z0-9_]+$" } },
        "required": ["$env"],
        "additionalProperties": false
    });
}

#[cfg(test)]
mod tests;
