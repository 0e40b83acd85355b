//! The npm client's own OAuth flow through front doors, some of which rename the challenge: what it finds without it.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{self, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    super::support::{FrontDoor, Function, Mode, Request, Setup, limited, runtime_api::serve},
    program::{Authorization, Program},
};

/// A front door that HTTP clients reach, with a function behind it.
struct Deployed {
    url: String,
    /// The paths that the front door itself answered, for none of them is the function's.
    astray: Arc<Mutex<Vec<String>>>,
}

/// What there is to deploy.
#[derive(Clone, Copy)]
struct Plan {
    door: FrontDoor,
    mode: Mode,
    /// The path of the public URL.
    base: &'static str,
    /// Whether the front door has that path alone, as an API with a stage has.
    is_stage: bool,
}

impl Plan {
    /// Deploys a function whose calls need a scope, and whose one tool needs another one beside.
    async fn deploy(self, authorization: &Authorization) -> Deployed {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{}", listener.local_addr().unwrap(), self.base);
        let section = authorization.section(&format!("{url}/mcp"));
        let setup = Setup::new()
            .with("/server/publicUrl", &*url)
            .with("/auth/issuers", json!([section]))
            .with("/auth/requiredScopes", json!(["mcp"]))
            .with("/auth/toolScopes", json!({ "auth_status": ["s3:read"] }));
        let function = Arc::new(self.mode.start(setup).await);
        let astray = Arc::new(Mutex::new(Vec::new()));
        let lost = Arc::clone(&astray);
        let pass_on = move |request: http::Request<Body>| {
            let (function, lost) = (Arc::clone(&function), Arc::clone(&lost));
            async move { self.pass_on(&function, &lost, request).await }
        };
        serve(listener, Router::new().fallback(pass_on));
        Deployed { url, astray }
    }

    async fn pass_on(
        self,
        function: &Function,
        astray: &Mutex<Vec<String>>,
        request: http::Request<Body>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let stage = self.base.trim_start_matches('/');
        let (stage, path) = match path.strip_prefix(self.base) {
            Some(below) if self.is_stage => (stage, below),
            _ if self.is_stage => {
                astray.lock().unwrap().push(path.to_owned());
                // What the host of a REST API says where no stage is named so.
                let mut response = Response::new(Body::from(r#"{"message":"Forbidden"}"#));
                *response.status_mut() = http::StatusCode::FORBIDDEN;
                return response;
            }
            _ => ("$default", path),
        };
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let headers = parts.headers.iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()));
        let event = self.door.event(&Request {
            method: parts.method.to_string(),
            path: path.to_owned(),
            stage: stage.to_owned(),
            headers: headers.collect(),
            body: (!body.is_empty()).then(|| String::from_utf8(body.into()).unwrap()),
            base64: false,
        });
        let answer = self.door.answer(&function.invoke(&event).await);
        let mut response = Response::new(Body::from(answer.text));
        *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap();
        *response.headers_mut() = answer.headers;
        response
    }
}

/// What the npm client sees that signs in as alice and calls tools, one of which needs a further scope.
async fn sign_in(url: &str, mode: &str) -> Value {
    let plan = json!({
        "mode": mode,
        "url": format!("{url}/mcp"),
        "login": "alice",
        "tools": ["whoami", "auth_status", "whoami"],
    });
    Program::start("oauth.mjs").ask(&plan).await
}

/// Fails unless alice signed in, and called every tool.
#[track_caller]
fn assert_called(said: &Value) {
    for step in [0, 2] {
        let who = &said["seen"]["steps"][step]["result"]["structuredContent"];
        assert_eq!(who["subject"], "alice", "{said}");
    }
    // This one was called: it says that no role is in the token.
    let text = &said["seen"]["steps"][1]["result"]["content"][0]["text"];
    assert!(text.as_str().unwrap().contains("no AWS role"), "{said}");
}

async fn signs_in_without_a_challenge(door: FrontDoor, mode: Mode, base: &'static str) {
    let authorization = Authorization::start("ES256").await;
    let plan = Plan {
        door,
        mode,
        base,
        is_stage: false,
    };
    let deployed = plan.deploy(&authorization).await;
    let said = sign_in(&deployed.url, "auto").await;
    assert_called(&said);
    // It sees no challenge. The well-known path tells it whom to ask, and all scopes that there are: it asks for them at
    // once, so that no tool sends it back for more.
    let refused = &said["seen"]["refused"];
    assert_eq!(
        *refused,
        json!([{ "status": 401, "challenge": null }]),
        "{said}"
    );
    let [asked] = &said["seen"]["asked"].as_array().unwrap()[..] else {
        panic!("signed in more than once: {said}")
    };
    assert_eq!(asked["scope"], "mcp s3:read", "{said}");
    assert_eq!(asked["resource"], format!("{}/mcp", deployed.url));
}

#[test]
fn behind_a_rest_api_the_npm_client_signs_in_without_a_challenge() {
    limited(signs_in_without_a_challenge(
        FrontDoor::RestApi,
        Mode::Streaming,
        "",
    ));
}

#[test]
fn behind_a_function_url_the_npm_client_signs_in_without_a_challenge() {
    limited(signs_in_without_a_challenge(
        FrontDoor::FunctionUrl,
        Mode::Streaming,
        "",
    ));
}

#[test]
fn behind_an_http_api_the_npm_client_signs_in_without_a_challenge() {
    limited(signs_in_without_a_challenge(
        FrontDoor::HttpApi,
        Mode::Buffered,
        "",
    ));
}

#[test]
fn where_the_whole_host_is_passed_on_a_base_path_does_not_hide_the_metadata() {
    limited(signs_in_without_a_challenge(
        FrontDoor::HttpApi,
        Mode::Buffered,
        "/tools",
    ));
}

#[test]
fn behind_a_load_balancer_the_npm_client_is_challenged_for_each_scope() {
    limited(async {
        let authorization = Authorization::start("ES256").await;
        let plan = Plan {
            door: FrontDoor::AlbMulti,
            mode: Mode::Buffered,
            base: "",
            is_stage: false,
        };
        let deployed = plan.deploy(&authorization).await;
        let said = sign_in(&deployed.url, "auto").await;
        assert_called(&said);
        let asked = said["seen"]["asked"].as_array().unwrap().iter();
        let scopes: Vec<_> = asked.map(|asked| asked["scope"].clone()).collect();
        assert_eq!(scopes, ["mcp", "mcp s3:read"], "{said}");
    });
}

#[test]
fn behind_a_stage_of_a_rest_api_the_npm_client_finds_no_metadata() {
    limited(async {
        let authorization = Authorization::start("ES256").await;
        let plan = Plan {
            door: FrontDoor::RestApi,
            mode: Mode::Streaming,
            base: "/live",
            is_stage: true,
        };
        let deployed = plan.deploy(&authorization).await;
        let said = sign_in(&deployed.url, "legacy").await;
        assert!(said["refused"].is_object(), "{said}");
        let astray = deployed.astray.lock().unwrap().clone();
        assert_eq!(
            astray[..2],
            [
                "/.well-known/oauth-protected-resource/live/mcp",
                "/.well-known/oauth-protected-resource",
            ],
            "{astray:?}"
        );
        // Then it takes the host for an authorization server, which it is not.
        assert!(
            astray[2..].contains(&"/.well-known/oauth-authorization-server".to_owned()),
            "{astray:?}"
        );
        assert!(astray.contains(&"/register".to_owned()), "{astray:?}");
        // Who is told the document's address finds all there is to know, and so does one that looks below what it calls,
        // as the official Rust client does.
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for path in [
            "/.well-known/oauth-protected-resource/mcp",
            "/mcp/.well-known/oauth-protected-resource",
        ] {
            let document = client.get(format!("{}{path}", deployed.url)).send().await;
            let document: Value = document.unwrap().json().await.unwrap();
            assert_eq!(document["resource"], format!("{}/mcp", deployed.url));
            assert_eq!(
                document["authorization_servers"],
                json!([authorization.issuer])
            );
        }
    });
}
