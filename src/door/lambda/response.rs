//! From a response to what a front door expects of a function: a whole answer, or what comes before a streamed one.

use std::collections::BTreeMap;

use axum::{
    body::{Body, Bytes},
    http::{Response, response::Parts},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http_body_util::BodyExt;
use serde::Serialize;

use super::event::FrontDoor;

/// What a front door learns of an answer beside its body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
}

impl Head {
    fn of(front_door: FrontDoor, parts: &Parts) -> Self {
        let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &parts.headers {
            // Our header values are ASCII.
            let value = value.to_str().unwrap_or_default().to_owned();
            lists
                .entry(name.as_str().to_owned())
                .or_default()
                .push(value);
        }
        let singles = || {
            lists
                .iter()
                .map(|(name, values)| (name.clone(), values.join(", ")))
                .collect()
        };
        let (headers, multi_value_headers) = match front_door {
            FrontDoor::HttpApi | FrontDoor::FunctionUrl | FrontDoor::AlbSingle => {
                (Some(singles()), None)
            }
            FrontDoor::RestApi | FrontDoor::HttpApiV1 | FrontDoor::AlbMulti => (None, Some(lists)),
        };
        Self {
            status_code: parts.status.as_u16(),
            headers,
            multi_value_headers,
        }
    }
}

/// The whole answer to an event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LambdaResponse {
    #[serde(flatten)]
    head: Head,
    /// ALBs only.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    body: String,
    is_base64_encoded: bool,
}

impl LambdaResponse {
    /// Writes `response` the way `front_door` reads it.
    pub(super) async fn write(front_door: FrontDoor, response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        // Our bodies are in memory: collecting one cannot fail.
        let bytes = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let (body, is_base64_encoded) = match String::from_utf8(bytes.into()) {
            Ok(text) => (text, false),
            Err(binary) => (BASE64_STANDARD.encode(binary.as_bytes()), true),
        };
        let is_alb = matches!(front_door, FrontDoor::AlbSingle | FrontDoor::AlbMulti);
        let reason = parts.status.canonical_reason().unwrap_or_default();
        Self {
            head: Head::of(front_door, &parts),
            status_description: is_alb.then(|| format!("{} {reason}", parts.status.as_u16())),
            body,
            is_base64_encoded,
        }
    }
}

/// What comes before the body of a streamed answer: its head as JSON, and eight zeros.
pub(super) fn prelude(front_door: FrontDoor, parts: &Parts) -> Result<Bytes, serde_json::Error> {
    let mut prelude = serde_json::to_vec(&Head::of(front_door, parts))?;
    prelude.extend_from_slice(&[0; 8]);
    Ok(prelude.into())
}
