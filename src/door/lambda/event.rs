//! From an event to a request, or to the reason why not.
//!
//! Owns the shapes of the four kinds of event, as far as they say something to us. Every string in an event may come
//! from a caller, so each is parsed into the type it must be; there is no later conversion that could fail.
//! Source: API Gateway developer guide, "Lambda proxy integration payload format versions 1.0 and 2.0"; ELB user guide,
//! "Lambda functions as targets"; Lambda developer guide, "Function URL request payloads".

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header, uri::PathAndQuery},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;

use crate::{auth::SignedRequest, config::IamFrontDoorKind, json};

/// What stands between the caller and the function, which decides the form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrontDoor {
    /// API Gateway REST API: payload version 1.0. Also the form of answers to events of no known kind.
    RestApi,
    /// API Gateway HTTP API: payload version 2.0.
    HttpApi,
    /// API Gateway HTTP API that writes payload version 1.0, and names it, which a REST API does not.
    HttpApiV1,
    /// A Function URL: payload version 2.0.
    FunctionUrl,
    /// An ALB whose target group sends single values.
    AlbSingle,
    /// An ALB whose target group sends lists of values.
    AlbMulti,
}

/// An event as a request.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) front_door: FrontDoor,
    pub(super) request: Request<Body>,
}

/// An event that is no request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadEvent {
    /// As far as it could be told.
    pub(super) front_door: FrontDoor,
    /// For the log. Holds nothing of the event.
    pub(super) reason: &'static str,
}

/// The members that tell the kinds apart.
#[derive(Deserialize)]
struct Kind {
    version: Option<serde_json::Value>,
    #[serde(rename = "requestContext")]
    context: Option<KindContext>,
    #[serde(rename = "multiValueHeaders")]
    multi_value_headers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct KindContext {
    elb: Option<serde::de::IgnoredAny>,
    http: Option<serde::de::IgnoredAny>,
    #[serde(rename = "apiId")]
    api_id: Option<serde_json::Value>,
    #[serde(rename = "domainName")]
    domain_name: Option<serde_json::Value>,
}

impl KindContext {
    /// An HTTP API writes the same members; only a Function URL's domain is named like this.
    fn is_of_function_url(&self) -> bool {
        let text = |member: &Option<serde_json::Value>| Some(member.as_ref()?.as_str()?.to_owned());
        text(&self.domain_name)
            .zip(text(&self.api_id))
            .and_then(|(domain, api)| Some(domain.strip_prefix(&*api)?.to_owned()))
            .is_some_and(|rest| rest.starts_with(".lambda-url.") && rest.ends_with(".on.aws"))
    }
}

/// Payload version 2.0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct V2 {
    raw_path: String,
    raw_query_string: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    request_context: V2Context,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct V2Context {
    http: V2Http,
    stage: Option<String>,
    account_id: Option<String>,
    api_id: Option<String>,
    domain_name: Option<String>,
    authorizer: Option<Authorizer>,
}

/// Who a front door found the caller to be. Of its members, only what IAM authentication writes is read.
#[derive(Deserialize)]
struct Authorizer {
    iam: Option<Signer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signer {
    user_arn: Option<String>,
}

#[derive(Deserialize)]
struct V2Http {
    method: String,
}

/// Payload version 1.0, and what an ALB sends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct V1 {
    http_method: String,
    path: String,
    headers: Option<BTreeMap<String, String>>,
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
    request_context: V1Context,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct V1Context {
    stage: Option<String>,
    account_id: Option<String>,
    api_id: Option<String>,
    domain_name: Option<String>,
    identity: Option<Signer>,
}

/// Reads an event; `base_path` is taken off its path where it begins with it.
pub(super) fn parse(event: &str, base_path: &str) -> Result<Parsed, BadEvent> {
    let bad = |front_door, reason| BadEvent { front_door, reason };
    json::check(event.as_bytes()).map_err(|_| bad(FrontDoor::RestApi, "not strict JSON"))?;
    let kind: Kind = serde_json::from_str(event)
        .map_err(|_| bad(FrontDoor::RestApi, "not an event of a known kind"))?;
    let context = kind
        .context
        .ok_or(bad(FrontDoor::RestApi, "not an event of a known kind"))?;
    let is = |known: &str| {
        kind.version
            .as_ref()
            .is_some_and(|version| version == known)
    };
    let front_door = match (&context.elb, &context.http, kind.multi_value_headers) {
        (Some(_), _, Some(_)) => FrontDoor::AlbMulti,
        (Some(_), _, None) => FrontDoor::AlbSingle,
        (None, Some(_), _) if is("2.0") && context.is_of_function_url() => FrontDoor::FunctionUrl,
        (None, Some(_), _) if is("2.0") => FrontDoor::HttpApi,
        (None, None, _) if kind.version.is_none() => FrontDoor::RestApi,
        (None, None, _) if is("1.0") => FrontDoor::HttpApiV1,
        _ => return Err(bad(FrontDoor::RestApi, "not an event of a known kind")),
    };
    let request = match front_door {
        FrontDoor::HttpApi | FrontDoor::FunctionUrl => serde_json::from_str::<V2>(event)
            .map_err(|_| "a member has the wrong type")
            .and_then(|event| from_v2(event, front_door, base_path)),
        FrontDoor::RestApi | FrontDoor::HttpApiV1 | FrontDoor::AlbSingle | FrontDoor::AlbMulti => {
            serde_json::from_str::<V1>(event)
                .map_err(|_| "a member has the wrong type")
                .and_then(|event| from_v1(event, front_door, base_path))
        }
    };
    request
        .map(|request| Parsed {
            front_door,
            request,
        })
        .map_err(|reason| bad(front_door, reason))
}

fn from_v2(
    event: V2,
    front_door: FrontDoor,
    base_path: &str,
) -> Result<Request<Body>, &'static str> {
    let mut headers = HeaderMap::new();
    for (name, value) in event.headers {
        append(&mut headers, &name, &value)?;
    }
    let stage = event.request_context.stage.as_deref();
    let target = target(
        &event.raw_path,
        stage,
        base_path,
        event.raw_query_string.as_deref(),
    )?;
    let body = body(event.body, event.is_base64_encoded)?;
    let context = event.request_context;
    let mut request = request(&context.http.method, target, headers, body)?;
    let signer = context.authorizer.and_then(|authorizer| authorizer.iam);
    if let (true, Some(api_id), Some(domain_name), Some(account_id), Some(user_arn)) = (
        front_door == FrontDoor::FunctionUrl,
        context.api_id,
        context.domain_name,
        context.account_id,
        signer.and_then(|signer| signer.user_arn),
    ) {
        request.extensions_mut().insert(SignedRequest {
            kind: IamFrontDoorKind::FunctionUrl,
            account_id,
            api_id,
            domain_name,
            user_arn,
        });
    }
    Ok(request)
}

fn from_v1(
    event: V1,
    front_door: FrontDoor,
    base_path: &str,
) -> Result<Request<Body>, &'static str> {
    let mut headers = HeaderMap::new();
    // Where lists come, they hold all that came; the single values beside them are the last of each.
    match (event.multi_value_headers, event.headers) {
        (Some(lists), singles) => {
            for (name, values) in &lists {
                for value in values {
                    append(&mut headers, name, value)?;
                }
            }
            if singles.is_some_and(|singles| singles.keys().any(|name| !headers.contains_key(name)))
            {
                return Err("`headers` and `multiValueHeaders` disagree");
            }
        }
        (None, Some(singles)) => {
            for (name, value) in &singles {
                append(&mut headers, name, value)?;
            }
        }
        (None, None) => {}
    }
    let stage = event
        .request_context
        .stage
        .as_deref()
        .filter(|_| matches!(front_door, FrontDoor::RestApi | FrontDoor::HttpApiV1));
    let target = target(&event.path, stage, base_path, None)?;
    let body = body(event.body, event.is_base64_encoded.unwrap_or_default())?;
    let mut request = request(&event.http_method, target, headers, body)?;
    let context = event.request_context;
    if let (true, Some(api_id), Some(domain_name), Some(account_id), Some(user_arn)) = (
        front_door == FrontDoor::RestApi,
        context.api_id,
        context.domain_name,
        context.account_id,
        context.identity.and_then(|identity| identity.user_arn),
    ) {
        request.extensions_mut().insert(SignedRequest {
            kind: IamFrontDoorKind::RestApi,
            account_id,
            api_id,
            domain_name,
            user_arn,
        });
    }
    Ok(request)
}

fn append(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), &'static str> {
    let name =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header's name is malformed")?;
    let value = HeaderValue::from_str(value).map_err(|_| "a header's value is malformed")?;
    // `append` panics when the map is full.
    match headers.try_append(name, value) {
        Ok(_) => Ok(()),
        Err(_) => Err("there are too many headers"),
    }
}

/// The path and query of a request: the stage's prefix and the base path taken off, nothing else of it read.
fn target(
    path: &str,
    stage: Option<&str>,
    base_path: &str,
    query: Option<&str>,
) -> Result<PathAndQuery, &'static str> {
    if !path.starts_with('/') {
        return Err("the path does not begin with a slash");
    }
    // A path that is nothing but the prefix is no prefix: a REST API takes its stage off by itself, and the stage may
    // have a route's name.
    let without = |path: &str, prefix: &str| -> Option<String> {
        let rest = path.strip_prefix(prefix)?;
        (!prefix.is_empty() && rest.len() > 1 && rest.starts_with('/')).then(|| rest.to_owned())
    };
    let stage = stage
        .filter(|stage| *stage != "$default")
        .map(|stage| format!("/{stage}"));
    let path = without(path, base_path)
        .or_else(|| stage.and_then(|stage| without(path, &stage)))
        .unwrap_or_else(|| path.to_owned());
    // A question mark or a hash in a path was encoded when it came.
    if path.contains(['?', '#']) {
        return Err("the path holds a query or a fragment");
    }
    let target = match query {
        Some(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path,
    };
    PathAndQuery::try_from(target).map_err(|_| "the path is malformed")
}

fn body(body: Option<String>, is_base64: bool) -> Result<Vec<u8>, &'static str> {
    match body {
        None => Ok(Vec::new()),
        Some(text) if is_base64 => BASE64_STANDARD
            .decode(text)
            .map_err(|_| "the body is not base64"),
        Some(text) => Ok(text.into_bytes()),
    }
}

fn request(
    method: &str,
    target: PathAndQuery,
    mut headers: HeaderMap,
    body: Vec<u8>,
) -> Result<Request<Body>, &'static str> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| "the method is malformed")?;
    // The event's body is the body: what the headers say of its framing was the front door's business.
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method;
    // Only a path: a request's host is in its header, and never part of where it is routed.
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    Ok(request)
}

#[cfg(test)]
mod tests;
