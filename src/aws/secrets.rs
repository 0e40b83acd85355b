//! Secrets Manager.
//!
//! Owns the reading of a stored secret, in its own region, with the process's credentials. In comes a reference; out go
//! its current and previous versions, or an error that names the secret and never what it holds. Caching is the rule of
//! whoever uses the secret.

use std::sync::Arc;

use aws_sdk_secretsmanager::{
    Client,
    config::Region,
    error::SdkError,
    operation::get_secret_value::{GetSecretValueError, GetSecretValueOutput},
};
use secrecy::SecretString;

use super::{AwsError, Sdk};
use crate::config::{SecretError, SecretVersions, StoredSecret};

/// Reads both versions of a secret.
pub async fn load_secret(
    sdk: Arc<Sdk>,
    stored: StoredSecret,
) -> Result<SecretVersions, SecretError> {
    let config = aws_sdk_secretsmanager::config::Builder::from(&*sdk.shared().await)
        .region(Region::new(stored.arn.region().to_owned()))
        .build();
    let client = Client::from_conf(config);
    let (current, previous) = tokio::join!(
        version(&client, &stored, "AWSCURRENT"),
        version(&client, &stored, "AWSPREVIOUS")
    );
    let current = current?.ok_or_else(|| {
        SecretError::Unusable(format!(
            "Secrets Manager has no current version of {:?}",
            stored.arn
        ))
    })?;
    // A previous version that cannot be read must not refuse the tokens of the current one.
    Ok(SecretVersions {
        current,
        previous: previous.unwrap_or_default(),
    })
}

async fn version(
    client: &Client,
    stored: &StoredSecret,
    stage: &str,
) -> Result<Option<SecretString>, SecretError> {
    let arn = &stored.arn;
    let asked = match ask(client, stored, stage).await {
        // Our own credentials had expired: the SDK looks for new ones.
        Err(AwsError::Expired) => ask(client, stored, stage).await,
        asked => asked,
    };
    let answer = match asked {
        Ok(Some(answer)) => answer,
        Ok(None) => return Ok(None),
        Err(AwsError::Busy | AwsError::Expired) => {
            let reason = format!("Secrets Manager did not give {arn:?}");
            return Err(SecretError::Unavailable(reason));
        }
        Err(kind) => {
            let kind = for_operator(kind);
            let reason = format!("Secrets Manager did not give {arn:?}: {kind}");
            return Err(SecretError::Unusable(reason));
        }
    };
    let text = match (answer.secret_string, answer.secret_binary) {
        (Some(text), _) => text,
        (None, Some(bytes)) => String::from_utf8(bytes.into_inner())
            .map_err(|_| SecretError::Unusable(format!("the secret {arn:?} is not text")))?,
        (None, None) => return Ok(None),
    };
    match &stored.key {
        None => Ok(Some(text.into())),
        Some(key) => {
            let object: serde_json::Value = serde_json::from_str(&text).map_err(|_| {
                SecretError::Unusable(format!(
                    "the secret {arn:?} is not the JSON object that `key` asks for"
                ))
            })?;
            match object.get(key).and_then(serde_json::Value::as_str) {
                Some(member) => Ok(Some(member.into())),
                None => Err(SecretError::Unusable(format!(
                    "the secret {arn:?} has no text under the key {key:?}"
                ))),
            }
        }
    }
}

/// Why a secret was refused, for whoever runs the server: it is they who read this, and not a caller.
fn for_operator(refusal: AwsError) -> String {
    match refusal {
        AwsError::Denied => "the server's role may not read it. Is it in `secret_arns` of the deployment, and its KMS key, \
             if it has its own, in `secret_kms_key_arns`?"
            .to_owned(),
        AwsError::Refused(code) if code == "ResourceNotFoundException" => {
            "there is no such secret. Is the ARN right?".to_owned()
        }
        other => other.to_string(),
    }
}

/// What Secrets Manager says of a stage; `None` where there is no such version.
async fn ask(
    client: &Client,
    stored: &StoredSecret,
    stage: &str,
) -> Result<Option<GetSecretValueOutput>, AwsError> {
    let request = client
        .get_secret_value()
        .secret_id(stored.arn.as_str())
        .version_stage(stage);
    match request.send().await {
        Ok(answer) => Ok(Some(answer)),
        Err(SdkError::ServiceError(error))
            if stage == "AWSPREVIOUS"
                && matches!(
                    error.err(),
                    GetSecretValueError::ResourceNotFoundException(_)
                ) =>
        {
            Ok(None)
        }
        Err(error) => Err(AwsError::of("secretsmanager", &error)),
    }
}
