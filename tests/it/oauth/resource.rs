//! What clients read before and between their sign-ins: the metadata, the challenges, and what pages may read of them.

use serde_json::{Value, json};

use super::super::support::{
    FrontDoor, Function, Request, Setup, claims, limited,
    server::{Answer, Caller, Server, answer},
    world,
};

const MODERN: &str = "2026-07-28";
const PUBLIC: &str = "https://mcp.example.com";
const PAGE: &str = "https://app.example.com";
const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"bucket_list"}}"#;

/// A server whose calls need `mcp`, and whose tools of buckets need more.
fn demanding() -> Setup {
    Setup::new()
        .with("/server/publicUrl", PUBLIC)
        .with("/server/allowedOrigins", json!([PAGE]))
        .with("/auth/issuers/1", idp())
        .with("/auth/requiredScopes", json!(["mcp"]))
        .with(
            "/auth/toolScopes",
            json!({ "bucket_*": ["s3:read"], "bucket_objects_list": ["s3:objects", "s3:read"] }),
        )
}

/// An issuer that is an authorization server.
fn idp() -> Value {
    json!({ "issuer": "https://idp.example.com", "audience": "x", "jwks": "discover" })
}

/// Alice, whose token holds these scopes and nothing that AWS could be asked with.
fn alice(server: &Server, scope: &str) -> Caller {
    server.with_token(claims("alice").with("scope", scope).sign(&world().secret))
}

async fn call_modern(caller: &Caller, tool: &str) -> Answer {
    let body = json!({ "jsonrpc": "2.0", "id": "one", "method": "tools/call", "params": {
        "name": tool,
        "arguments": {},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
            "progressToken": 1,
        },
    } });
    let caller = caller
        .clone()
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", "tools/call")
        .header("mcp-name", tool);
    caller.post(body.to_string()).await
}

/// The tool was called: it found no role in the token, and said so.
#[track_caller]
fn assert_ran(answered: &Answer) {
    assert_eq!(answered.status, 200, "{}", answered.text);
    assert!(
        answered.tool_error().contains("no AWS role"),
        "{}",
        answered.text
    );
    assert_eq!(answered.header("www-authenticate"), None);
}

#[track_caller]
fn assert_lacks(answered: &Answer, scope: &str, id: &Value) {
    assert_eq!(answered.status, 403, "{}", answered.text);
    let challenge = format!(
        r#"Bearer error="insufficient_scope", resource_metadata="{PUBLIC}/.well-known/oauth-protected-resource/mcp", scope="{scope}""#
    );
    assert_eq!(answered.header("www-authenticate"), Some(&*challenge));
    assert_eq!(answered.header("content-type"), Some("application/json"));
    let body = answered.json();
    assert_eq!(body["id"], *id, "{body}");
    assert_scope_error(&body["error"], scope);
}

#[track_caller]
fn assert_scope_error(error: &Value, scope: &str) {
    assert_eq!(error["code"], -32000, "{error}");
    assert_eq!(
        error["data"],
        json!({ "error": "insufficient_scope", "scope": scope })
    );
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains(scope) && message.contains("Sign in again"),
        "{message}"
    );
}

#[test]
fn a_tool_may_need_scopes_of_its_own() {
    limited(async {
        let server = demanding().start();
        let poor = alice(&server, "mcp");
        let who = poor.call("whoami", json!({})).await;
        assert_eq!(who.content()["subject"], "alice");
        let listed = poor.rpc("tools/list", json!({})).await;
        let tools = listed.json()["result"]["tools"].clone();
        let names: Vec<_> = tools.as_array().unwrap().iter().collect();
        assert!(
            names.iter().any(|tool| tool["name"] == "bucket_list"),
            "what a client does not see, it cannot sign in for: {tools}"
        );
        for (tool, scope) in [
            ("bucket_list", "mcp s3:read"),
            ("bucket_objects_list", "mcp s3:read s3:objects"),
        ] {
            let arguments = json!({ "bucket": "b" });
            assert_lacks(&poor.call(tool, arguments).await, scope, &json!(1));
            assert_lacks(&call_modern(&poor, tool).await, scope, &json!("one"));
        }
        let partly = alice(&server, "mcp s3:objects s3:reading xs3:read S3:READ");
        let refused = partly.call("bucket_objects_list", json!({})).await;
        assert_lacks(&refused, "mcp s3:read s3:objects", &json!(1));
        let rich = alice(&server, "s3:read mcp");
        assert_ran(&rich.call("bucket_list", json!({})).await);
        assert_ran(&call_modern(&rich, "bucket_list").await);
        let none = alice(&server, "s3:read")
            .call("bucket_list", json!({}))
            .await;
        assert_eq!(none.status, 403);
        let challenge = none.header("www-authenticate").unwrap();
        assert!(challenge.ends_with(r#"scope="mcp""#), "{challenge}");
        let log = server.terminate();
        assert!(
            log.contains(r#""reason":"insufficient_scope""#),
            "the operator can tell: {log}"
        );
    });
}

#[test]
fn in_a_batch_only_the_call_without_its_scopes_fails() {
    limited(async {
        let server = demanding().start();
        let caller = alice(&server, "mcp").header("mcp-protocol-version", "2025-03-26");
        let call = |id: u32, tool: &str| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool } });
        let batch = json!([call(1, "whoami"), call(2, "bucket_list"), call(3, "whoami")]);
        let answered = caller.post(batch.to_string()).await;
        assert_eq!(
            (answered.status, answered.header("www-authenticate")),
            (200, None)
        );
        let answers = answered.json();
        let subject = |at: usize| &answers[at]["result"]["structuredContent"]["subject"];
        assert_eq!((subject(0), subject(2)), (&json!("alice"), &json!("alice")));
        assert_eq!(answers[1]["id"], 2);
        assert_scope_error(&answers[1]["error"], "mcp s3:read");
    });
}

#[test]
fn where_there_is_no_token_no_scope_is_asked_for() {
    limited(async {
        let mut open = demanding();
        open.arguments.push("--no-auth".to_owned());
        let server = open.start();
        let answered = server.anonymous().call("bucket_list", json!({})).await;
        let text = answered.tool_error();
        assert!(text.contains("runs without authentication"), "{text}");
    });
    // On stdio the process's own credentials are used, by whoever started it.
    let mut setup = demanding().with("/auth/toolScopes/auth_status", json!(["s3:read"]));
    setup.arguments = vec!["stdio".to_owned()];
    let mut child = setup
        .command()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(
        &mut input,
        format!("{}\n", CALL.replace("bucket_list", "auth_status")).as_bytes(),
    )
    .unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        said["result"]["structuredContent"]["aws"]["account"].is_string(),
        "{said}"
    );
}

#[test]
fn scopes_for_no_tool_are_a_slip_that_is_found() {
    let setup = |name: &str| Setup::new().with("/auth/toolScopes", json!({ name: ["s3:read"] }));
    for name in ["bucket_lists", "Bucket_list", "bukcet_*"] {
        // Whatever starts a server builds the same; this one ends with its input, which is empty.
        for command in ["stdio", "check"] {
            let mut setup = setup(name);
            setup.arguments = vec![command.to_owned()];
            let output = setup.command().output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{command}: {text}");
            assert!(
                text.contains(&format!("auth.toolScopes.{name} names no tool")),
                "{text}"
            );
        }
    }
}

#[test]
fn the_metadata_names_all_scopes_and_the_true_authorization_servers() {
    limited(async {
        let publicly = |setup: Setup| setup.with("/server/publicUrl", PUBLIC);
        let document = async |server: &Server, path: &str| {
            let url = server.url(&format!("/.well-known/oauth-protected-resource{path}"));
            answer(server.client.get(url)).await
        };
        let demanding = demanding().start();
        for path in ["", "/mcp"] {
            let found = document(&demanding, path).await;
            assert_eq!(found.status, 200);
            assert_eq!(found.header("content-type"), Some("application/json"));
            assert_eq!(
                found.json(),
                json!({
                    "resource": "https://mcp.example.com/mcp",
                    "authorization_servers": ["https://idp.example.com"],
                    "scopes_supported": ["mcp", "s3:read", "s3:objects"],
                    "bearer_methods_supported": ["header"],
                    "resource_name": "Rolecall",
                })
            );
        }
        let secret = "x".repeat(32);
        let server = publicly(Setup::new())
            .with("/auth/issuers/1", idp())
            .with("/auth/issuers/2", json!({ "issuer": "http://127.0.0.1:9/realm", "audience": "x", "hs256": secret }))
            .with("/auth/issuers/3", json!({ "issuer": "http://idp.example.com", "audience": "x", "hs256": secret }))
            .with("/auth/issuers/4", json!({ "issuer": "https://idp.example.com/?tenant=1", "audience": "x", "hs256": secret }))
            .with("/auth/issuers/5", json!({ "issuer": "https://registry.example.com", "registry": "https://registry.example.com" }))
            .with("/auth/issuers/6", json!({ "issuer": "https://keys.example.com/", "jwks": "https://keys.example.com/jwks" }))
            .with("/auth/issuers/7", json!({ "issuer": "https://ask.example.com", "opaque": false, "introspection": {
                "url": "https://ask.example.com/introspect", "clientId": "rolecall", "clientSecret": secret } }))
            .with("/auth/issuers/8", json!({ "issuer": "https://alb.example.com", "audience": "x", "alb": {
                "signer": "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/name/id" } }))
            .start();
        let found = document(&server, "/mcp").await.json();
        assert_eq!(
            found["authorization_servers"],
            json!([
                "https://idp.example.com",
                "http://127.0.0.1:9/realm",
                "https://keys.example.com/",
                "https://ask.example.com"
            ])
        );
        assert_eq!(
            found.get("scopes_supported"),
            None,
            "none is better than an empty list"
        );
        // Nowhere to go, so nothing to read: no document, and no challenge that points to one.
        let nowhere = publicly(Setup::new()).start();
        assert_eq!(document(&nowhere, "/mcp").await.status, 404);
        let refused = nowhere.anonymous().post(CALL).await;
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    });
}

/// Headers in which somebody before us, or the client, claims that the world knows us by another name.
const CLAIMS: [(&str, &str); 8] = [
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-proto", "gopher"),
    ("x-forwarded-prefix", "/evil.example"),
    ("forwarded", "host=evil.example;proto=gopher"),
    ("x-original-host", "evil.example"),
    ("x-original-url", "https://evil.example/mcp"),
    ("x-rewrite-url", "/evil.example"),
    ("x-host", "evil.example"),
];

#[track_caller]
fn assert_unmoved(answered: &Answer, what: &str) {
    let whole = format!("{:?} {}", answered.headers, answered.text);
    for word in ["evil.example", "gopher", "alt.example.com"] {
        assert!(!whole.contains(word), "{what}: {whole}");
    }
}

#[test]
fn urls_come_from_the_configuration_and_never_from_headers() {
    limited(async {
        let server = demanding()
            .with("/server/allowedHosts", json!(["alt.example.com"]))
            .start();
        for path in [
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
            "/mcp",
            "/healthz",
            "/nothing",
        ] {
            for (host, served) in [("alt.example.com", true), ("evil.example", false)] {
                let mut request = server.client.post(server.url(path)).body(CALL);
                if path != "/mcp" {
                    request = server.client.get(server.url(path));
                }
                request = request
                    .header("host", host)
                    .header("content-type", "application/json");
                for (name, value) in CLAIMS {
                    request = request.header(name, value);
                }
                let answered = answer(request).await;
                assert_unmoved(&answered, path);
                assert_eq!(
                    answered.status != 421,
                    served || path == "/healthz",
                    "{path} at {host}"
                );
                match (served, path) {
                    (true, "/mcp") => assert!(
                        answered
                            .header("www-authenticate")
                            .unwrap()
                            .contains(r#"resource_metadata="https://mcp.example.com/.well-known/"#)
                    ),
                    (true, path) if path.starts_with("/.well-known") => {
                        assert_eq!(answered.json()["resource"], "https://mcp.example.com/mcp");
                    }
                    _ => {}
                }
            }
        }
        // Behind Lambda, too, whatever the event says of names.
        let setup = demanding().with("/server/allowedHosts", json!(["alt.example.com"]));
        let function = Function::start(setup).await;
        for door in FrontDoor::ALL {
            let mut request = Request::get("/.well-known/oauth-protected-resource/mcp")
                .replace("Host", "alt.example.com");
            for (name, value) in CLAIMS {
                request = request.replace(name, value);
            }
            let answered = door.answer(&function.invoke(&door.event(&request)).await);
            assert_unmoved(&answered, "lambda");
            assert_eq!(answered.json()["resource"], "https://mcp.example.com/mcp");
        }
    });
}

#[test]
fn a_page_can_read_why_it_is_refused() {
    limited(async {
        let missing = "arn:aws:secretsmanager:us-east-1:123456789012:secret:nothing-AbCdEf";
        let dark = demanding()
            .with("/auth/issuers/0/hs256", json!({ "$secret": missing }))
            .start();
        let server = demanding().start();
        let poor = alice(&server, "mcp");
        let lost = alice(&dark, "mcp");
        for (caller, status, challenged) in [
            (server.anonymous(), 401, true),
            (server.with_token("x"), 401, true),
            (alice(&server, ""), 403, true),
            (poor.clone(), 403, true),
            (lost, 503, false),
        ] {
            let answered = caller.header("origin", PAGE).post(CALL).await;
            assert_eq!(answered.status, status, "{}", answered.text);
            assert_eq!(answered.header("access-control-allow-origin"), Some(PAGE));
            assert_eq!(answered.header("access-control-allow-credentials"), None);
            let exposed = answered.header("access-control-expose-headers").unwrap();
            for name in ["www-authenticate", "mcp-session-id", "mcp-protocol-version"] {
                assert!(exposed.contains(name), "{exposed}");
            }
            assert!(answered.header("vary").unwrap().contains("origin"));
            assert_eq!(answered.header("www-authenticate").is_some(), challenged);
        }
        // A page of another origin learns nothing, and no cache gives it another's answer.
        for path in [
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
        ] {
            let get = async |origin: &str| {
                answer(server.client.get(server.url(path)).header("origin", origin)).await
            };
            let (own, strange) = (get(PAGE).await, get("https://evil.example").await);
            assert_eq!((own.status, strange.status), (200, 403));
            assert_eq!(own.header("access-control-allow-origin"), Some(PAGE));
            assert_eq!(strange.header("access-control-allow-origin"), None);
            for answered in [own, strange] {
                assert!(answered.header("vary").unwrap().contains("origin"));
            }
        }
    });
}
