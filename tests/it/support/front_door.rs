//! What stands before a Lambda function: turns a request into an event, and the function's answer back.
//!
//! Each front door writes its events in full, as AWS documents them, and reads an answer as strictly as it can be read.
//! Sources: API Gateway developer guide, "Lambda proxy integrations in API Gateway" (v1) and "Create AWS Lambda proxy
//! integrations for HTTP APIs" (v2); Lambda developer guide, "Invoking Lambda function URLs"; Elastic Load Balancing user
//! guide, "Use Lambda functions as targets of an Application Load Balancer". Streams: API Gateway developer guide, "Set up
//! a Lambda proxy integration with payload response streaming in API Gateway".

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::{Function, Invocation, Setup, server::Answer};

/// A request as its client sent it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Below the stage.
    pub path: String,
    pub stage: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    pub base64: bool,
}

impl Request {
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            stage: "$default".to_owned(),
            headers: Vec::new(),
            body: None,
            base64: false,
        }
        .header("Host", "mcp.example.com")
        .header("Accept", "application/json, text/event-stream")
        .header("User-Agent", "test/1.0")
        .header("X-Forwarded-For", "203.0.113.7")
        .header("X-Forwarded-Port", "443")
        .header("X-Forwarded-Proto", "https")
        .header(
            "X-Amzn-Trace-Id",
            "Root=1-5bdb40ca-556d8b0c50dc66f0511bf520",
        )
    }

    /// A body for `/mcp`.
    pub fn post(body: impl Into<String>) -> Self {
        let mut request = Self::get("/mcp").header("Content-Type", "application/json");
        request.method = "POST".to_owned();
        request.body = Some(body.into());
        request
    }

    /// A tool's call by a client of the handshake's era.
    pub fn legacy(tool: &str, arguments: &Value) -> Self {
        let call = json!({
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": { "name": tool, "arguments": arguments },
        });
        Self::post(call.to_string()).header("MCP-Protocol-Version", "2025-11-25")
    }

    /// A tool's call by a client of revision 2026-07-28.
    pub fn modern(tool: &str, arguments: &Value) -> Self {
        let call = json!({
            "jsonrpc": "2.0",
            "id": "one",
            "method": "tools/call",
            "params": {
                "name": tool,
                "arguments": arguments,
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            },
        });
        Self::post(call.to_string())
            .header("MCP-Protocol-Version", "2026-07-28")
            .header("Mcp-Method", "tools/call")
            .header("Mcp-Name", tool)
    }

    /// One more header, beside those of the same name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A header in the place of those of the same name.
    pub fn replace(mut self, name: &str, value: &str) -> Self {
        self.headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn stage(mut self, stage: &str) -> Self {
        stage.clone_into(&mut self.stage);
        self
    }

    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub fn base64(mut self) -> Self {
        self.base64 = true;
        self
    }

    /// The path as the client wrote it.
    fn full_path(&self) -> String {
        match self.stage.as_str() {
            "$default" => self.path.clone(),
            stage => format!("/{stage}{}", self.path),
        }
    }

    fn event_body(&self) -> Value {
        match &self.body {
            Some(body) if self.base64 => BASE64_STANDARD.encode(body).into(),
            Some(body) => body.as_str().into(),
            None => Value::Null,
        }
    }

    /// The headers as lists, with names as the front door writes them.
    fn lists(&self, name_of: fn(&str) -> String) -> Vec<(String, Vec<String>)> {
        let mut lists: Vec<(String, Vec<String>)> = Vec::new();
        for (name, value) in &self.headers {
            match lists
                .iter_mut()
                .find(|(listed, _)| listed.eq_ignore_ascii_case(name))
            {
                Some((_, values)) => values.push(value.clone()),
                None => lists.push((name_of(name), vec![value.clone()])),
            }
        }
        lists
    }
}

/// How a front door calls the function: `ROLECALL_INVOKE_MODE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Buffered,
    Streaming,
}

impl Mode {
    pub const BOTH: [Self; 2] = [Self::Buffered, Self::Streaming];

    /// The front doors that can call it so.
    pub fn doors(self) -> &'static [FrontDoor] {
        match self {
            Self::Buffered => &FrontDoor::ALL,
            Self::Streaming => &[FrontDoor::RestApi, FrontDoor::FunctionUrl],
        }
    }

    /// A function that answers so.
    pub async fn start(self, setup: Setup) -> Function {
        Function::start(self.set(setup)).await
    }

    /// The setup of such a function.
    pub fn set(self, mut setup: Setup) -> Setup {
        if self == Self::Streaming {
            let name = "ROLECALL_INVOKE_MODE".to_owned();
            setup.environment.push((name, "RESPONSE_STREAM".to_owned()));
        }
        setup
    }
}

/// The five kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontDoor {
    RestApi,
    HttpApi,
    FunctionUrl,
    AlbSingle,
    AlbMulti,
}

impl FrontDoor {
    pub const ALL: [Self; 5] = [
        Self::RestApi,
        Self::HttpApi,
        Self::FunctionUrl,
        Self::AlbSingle,
        Self::AlbMulti,
    ];

    /// The event that this front door makes of a request.
    pub fn event(self, request: &Request) -> Value {
        match self {
            Self::RestApi => rest_api(request),
            Self::HttpApi => http_api(request),
            Self::FunctionUrl => function_url(request),
            Self::AlbSingle => alb(request, false),
            Self::AlbMulti => alb(request, true),
        }
    }

    /// Whether headers come and go as lists.
    pub fn has_lists(self) -> bool {
        matches!(self, Self::RestApi | Self::AlbMulti)
    }

    /// Whether a stage can stand in the path.
    pub fn has_stages(self) -> bool {
        matches!(self, Self::RestApi | Self::HttpApi)
    }

    /// The member of an event that holds the headers.
    pub fn headers(self) -> &'static str {
        if self.has_lists() {
            "multiValueHeaders"
        } else {
            "headers"
        }
    }

    /// The member of an event that holds the path.
    pub fn path(self) -> &'static str {
        match self {
            Self::HttpApi | Self::FunctionUrl => "/rawPath",
            _ => "/path",
        }
    }

    /// The member of an event that holds the method.
    pub fn method(self) -> &'static str {
        match self {
            Self::HttpApi | Self::FunctionUrl => "/requestContext/http/method",
            _ => "/httpMethod",
        }
    }

    /// What this front door calls `WWW-Authenticate` on its way to the client. Sources: API Gateway developer guide,
    /// "Important notes" (REST APIs); for Function URLs, what others found in live answers. Of HTTP APIs reports differ:
    /// here they are taken for the worse case, and the better one is a load balancer's.
    pub fn challenge(self) -> &'static str {
        match self {
            Self::AlbSingle | Self::AlbMulti => "www-authenticate",
            Self::RestApi | Self::HttpApi | Self::FunctionUrl => "x-amzn-remapped-www-authenticate",
        }
    }

    /// What the client gets of what a function answered. Fails on an answer that is not in this front door's form.
    #[track_caller]
    pub fn answer(self, invocation: &Invocation) -> Answer {
        let mut answer = match invocation {
            Invocation::Response(response) => self.whole(response),
            Invocation::Streamed { prelude, body } => self.streamed(prelude, body),
            other => panic!("{self:?}: {other:?}"),
        };
        let challenges = answer.headers.remove("www-authenticate");
        answer
            .headers
            .extend(challenges.map(|value| (HeaderName::from_static(self.challenge()), value)));
        answer
    }

    #[track_caller]
    fn streamed(self, prelude: &Value, body: &[u8]) -> Answer {
        assert!(
            Mode::Streaming.doors().contains(&self),
            "{self:?} shows a stream to its client as it is"
        );
        let mut members: Vec<_> = prelude.as_object().unwrap().keys().collect();
        members.sort();
        let ours = self.headers();
        assert_eq!(members, [ours, "statusCode"], "{self:?}: {prelude}");
        Answer {
            status: u16::try_from(prelude["statusCode"].as_u64().unwrap()).unwrap(),
            headers: self.read_headers(&prelude[ours]),
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    #[track_caller]
    fn whole(self, response: &Value) -> Answer {
        let members = response.as_object().unwrap();
        let (ours, others) = if self.has_lists() {
            ("multiValueHeaders", "headers")
        } else {
            ("headers", "multiValueHeaders")
        };
        assert!(!members.contains_key(others), "{self:?}: {response}");
        let status = u16::try_from(response["statusCode"].as_u64().unwrap()).unwrap();
        let is_alb = matches!(self, Self::AlbSingle | Self::AlbMulti);
        match &response["statusDescription"] {
            Value::String(description) if is_alb => {
                let code = description.split(' ').next().unwrap();
                assert_eq!(code, status.to_string(), "{description}");
                assert!(description.len() > 4, "{description}");
            }
            Value::Null if !is_alb => {}
            description => panic!("{self:?}: statusDescription is {description}"),
        }
        let headers = self.read_headers(&response[ours]);
        let body = response["body"].as_str().unwrap();
        let text = if response["isBase64Encoded"].as_bool().unwrap() {
            String::from_utf8(BASE64_STANDARD.decode(body).unwrap()).unwrap()
        } else {
            body.to_owned()
        };
        Answer {
            status,
            headers,
            text,
        }
    }

    #[track_caller]
    fn read_headers(self, all: &Value) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, values) in all.as_object().unwrap() {
            let values = match values {
                Value::Array(values) if self.has_lists() => values.clone(),
                Value::String(_) if !self.has_lists() => vec![values.clone()],
                other => panic!("{self:?}: the header {name} is {other}"),
            };
            for value in values {
                headers.append(
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
                );
            }
        }
        headers
    }
}

/// An object of the headers, one value each.
fn singles(
    lists: Vec<(String, Vec<String>)>,
    one_of: impl Fn(&[String]) -> String,
) -> Map<String, Value> {
    lists
        .into_iter()
        .map(|(name, values)| (name, one_of(&values).into()))
        .collect()
}

fn last(values: &[String]) -> String {
    values.last().unwrap().clone()
}

fn rest_api(request: &Request) -> Value {
    let lists = request.lists(str::to_owned);
    let stage = match request.stage.as_str() {
        "$default" => "prod",
        stage => stage,
    };
    json!({
        "resource": "/{proxy+}",
        // The stage is in the context's path only.
        "path": request.path,
        "httpMethod": request.method,
        "headers": singles(lists.clone(), last),
        "multiValueHeaders": lists.into_iter().map(|(name, values)| (name, values.into())).collect::<Map<String, Value>>(),
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": { "proxy": request.path.trim_start_matches('/') },
        "stageVariables": null,
        "requestContext": {
            "resourceId": "roq9wj",
            "resourcePath": "/{proxy+}",
            "httpMethod": request.method,
            "extendedRequestId": "JKJaXmPLvHcESHA=",
            "requestTime": "10/Mar/2026:05:16:23 +0000",
            "path": format!("/{stage}{}", request.path),
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": stage,
            "domainPrefix": "gy415nuibc",
            "requestTimeEpoch": 1_773_119_783_000_u64,
            "requestId": "deef4878-7910-11e6-8f14-25afc3e9ae33",
            "identity": {
                "cognitoIdentityPoolId": null,
                "accountId": null,
                "cognitoIdentityId": null,
                "caller": null,
                "sourceIp": "203.0.113.7",
                "principalOrgId": null,
                "accessKey": null,
                "cognitoAuthenticationType": null,
                "cognitoAuthenticationProvider": null,
                "userArn": null,
                "userAgent": "test/1.0",
                "user": null,
            },
            "domainName": "gy415nuibc.execute-api.us-east-1.amazonaws.com",
            "deploymentId": "37i1t7",
            "apiId": "gy415nuibc",
        },
        "body": request.event_body(),
        "isBase64Encoded": request.base64,
    })
}

fn http_api(request: &Request) -> Value {
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.full_path(),
        "rawQueryString": "",
        "headers": singles(request.lists(str::to_ascii_lowercase), |values| values.join(",")),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "r3pmxmplak",
            "domainName": "r3pmxmplak.execute-api.us-east-2.amazonaws.com",
            "domainPrefix": "r3pmxmplak",
            "http": {
                "method": request.method,
                "path": request.full_path(),
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "test/1.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": request.stage,
            "time": "10/Mar/2026:05:16:23 +0000",
            "timeEpoch": 1_773_119_783_000_u64,
        },
        "isBase64Encoded": request.base64,
    });
    // Without a body there is no such member.
    if request.body.is_some() {
        event["body"] = request.event_body();
    }
    event
}

fn function_url(request: &Request) -> Value {
    let mut event = http_api(&request.clone().stage("$default"));
    let context = &mut event["requestContext"];
    context["accountId"] = "anonymous".into();
    context["apiId"] = "abcdefghij".into();
    context["domainName"] = "abcdefghij.lambda-url.us-east-1.on.aws".into();
    context["domainPrefix"] = "abcdefghij".into();
    event["headers"]["x-amzn-tls-version"] = "TLSv1.3".into();
    event["headers"]["x-amzn-tls-cipher-suite"] = "TLS_AES_128_GCM_SHA256".into();
    event
}

fn alb(request: &Request, multi: bool) -> Value {
    let lists = request.lists(str::to_ascii_lowercase);
    let mut event = json!({
        "requestContext": { "elb": {
            "targetGroupArn": "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/lambda-279XGJDqGZ5rsrHC2Fjr/49e9d65c45c6791a",
        } },
        "httpMethod": request.method,
        "path": request.path,
        "body": request.body.as_ref().map_or("".into(), |_| request.event_body()),
        "isBase64Encoded": request.base64,
    });
    // A target group has one form or the other.
    if multi {
        event["multiValueQueryStringParameters"] = json!({});
        event["multiValueHeaders"] = lists
            .into_iter()
            .map(|(name, values)| (name, values.into()))
            .collect::<Map<String, Value>>()
            .into();
    } else {
        event["queryStringParameters"] = json!({});
        event["headers"] = singles(lists, last).into();
    }
    event
}
