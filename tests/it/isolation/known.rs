//! Leaks that happened elsewhere, each named by its test.
//!
//! The gateways before this one leaked in eight ways. Those that need other MCP servers behind ours (one upstream
//! session slot for all; a pool of upstream sessions keyed without the user) are tested with the upstreams; what we have
//! that is like them is tested here: the cache of assumed roles, and what is kept for a session.
//! The server that this one rewrites had six holes of its own, of which the second half is made.

use std::{collections::BTreeMap, ffi::OsString};

use axum::{Router, http::StatusCode, response::Redirect, routing::get};
use rolecall::{
    app::{App, Authentication},
    config::{Config, Process, Reach},
    context::RuntimeContext,
    tools::{Tool, ToolError},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{
    Issuer, Setup, claims,
    fault::Faults,
    issuer::CLIENT,
    kept_alive::KeptAlive,
    limited,
    runtime_api::serve,
    server::{Answer, Caller, Server},
    token::{now, sign_parts},
    world,
};

const AUDIENCE: &str = "https://mcp.example.com/mcp";

async fn whoami(caller: &Caller) -> Value {
    caller.call("whoami", json!({})).await.content()
}

/// (role, source) of the caller's calls.
async fn current(caller: &Caller) -> (Value, Value) {
    let current = caller.call("get_current_quilt_role", json!({})).await;
    let current = current.content();
    (current["role"].clone(), current["source"].clone())
}

/// A token of a login that has a name.
fn login(subject: &str, session: &str, roles: &[String]) -> String {
    let token = claims(subject).roles(roles).with("sid", session);
    token.sign(&world().secret)
}

// Gateways: "any valid token used for any user".
#[test]
fn leak_any_valid_token_used_for_any_user() {
    limited(async {
        let server = Server::start();
        let mut bob = server.user("bob");
        for name in [
            "X-Quilt-User-Id",
            "X-User-Id",
            "X-User",
            "Mcp-Session-Id",
            "Remote-User",
            "X-Forwarded-User",
        ] {
            bob = bob.header(name, "alice");
        }
        let named = json!({ "user": "alice", "userId": "alice", "sub": "alice" });
        let params =
            json!({ "name": "auth_status", "arguments": {}, "user": "alice", "_meta": named });
        let content = bob.rpc("tools/call", params).await.content();
        assert_eq!(content["caller"]["subject"], "bob");
        assert_eq!(content["aws"]["account"], world().person("bob").account);
        // Her name as an argument is no argument.
        let answer = bob.call("whoami", named).await;
        assert!(!answer.text.contains("\"alice\""), "{}", answer.text);
    });
}

// Gateways: "a pool keyed without the user". Here it is the pool of assumed roles: two people of one role.
#[test]
fn leak_a_pool_keyed_without_the_user() {
    limited(async {
        let server = Server::start();
        let roles = &world().person("alice").roles;
        for name in ["carol", "dave", "carol", "dave"] {
            let token = claims(name).roles(roles).sign(&world().secret);
            let status = server
                .with_token(token)
                .call("auth_status", json!({}))
                .await;
            let aws = status.content()["aws"].clone();
            let own = format!("/mcp-{name}-");
            assert!(aws["arn"].as_str().unwrap().contains(&own), "{aws}");
        }
    });
}

// Gateways: "two sessions of one user sharing state".
#[test]
fn leak_two_sessions_of_one_user_sharing_state() {
    limited(async {
        let server = Server::start();
        let roles = &world().person("alice").roles;
        let one = server.with_token(login("alice", "one", roles));
        let two = server.with_token(login("alice", "two", roles));
        let choice = json!({ "role_arn": roles[1] });
        one.call("assume_quilt_user_role", choice).await.content();
        assert_eq!(current(&one).await, (json!(roles[1]), json!("session")));
        assert_eq!(current(&two).await, (json!(roles[0]), json!("token")));
        assert_eq!(whoami(&two).await["role"], json!(roles[0]));
    });
}

// Gateways: "a fast path that skipped the owner check". Ours remembers verified tokens.
#[test]
fn leak_a_fast_path_that_skipped_the_owner_check() {
    limited(async {
        let server = Server::start();
        let alice = server.user("alice");
        assert_eq!(whoami(&alice).await["subject"], "alice");
        // The token is remembered now. What its holder may do is asked at every call.
        let bobs = &world().person("bob").roles[0];
        let greedy = alice.clone().header("X-Quilt-User-Role", bobs);
        assert_eq!(greedy.call("whoami", json!({})).await.status, 403);
        // Another payload with a signature that is remembered, another signature of a payload that is.
        let good = alice.token.clone().unwrap();
        let parts: Vec<&str> = good.split('.').collect();
        let other = server.user("bob").token.unwrap();
        let others: Vec<&str> = other.split('.').collect();
        for forged in [
            [parts[0], others[1], parts[2]],
            [parts[0], parts[1], others[2]],
        ] {
            let forger = server.with_token(forged.join("."));
            assert_eq!(forger.call("whoami", json!({})).await.status, 401);
        }
        assert_eq!(whoami(&alice).await["subject"], "alice");
    });
}

// Gateways: "a session id that opened another caller's state".
#[test]
fn leak_a_session_id_that_opened_another_caller_s_state() {
    limited(async {
        let other_secret = "the secret of the second issuer, long enough";
        let server = Setup::new()
            .with(
                "/auth/issuers/1",
                json!({ "issuer": "second", "audience": "quilt-mcp-server", "hs256": other_secret }),
            )
            .start();
        let (alice, bob) = (world().person("alice"), world().person("bob"));
        let hers = server.with_token(login("alice", "the-id", &alice.roles));
        let choice = json!({ "role_arn": alice.roles[1] });
        hers.call("assume_quilt_user_role", choice).await.content();
        assert_eq!(current(&hers).await.1, "session");
        // Her session's id in the tokens of others, who may all have the role that she chose.
        let roles = [bob.roles[0].clone(), alice.roles[1].clone()];
        let his = server.with_token(login("bob", "the-id", &roles));
        assert_eq!(current(&his).await, (json!(bob.roles[0]), json!("token")));
        let namesake = claims("alice").roles(&roles).with("sid", "the-id");
        let namesake = server.with_token(namesake.with("iss", "second").sign(other_secret));
        assert_eq!(
            current(&namesake).await,
            (json!(bob.roles[0]), json!("token"))
        );
    });
}

// Gateways: "a token forwarded with a cross-host redirect".
#[test]
fn leak_a_token_forwarded_with_a_cross_host_redirect() {
    limited(async {
        // Both hosts are ones that may be reached, and the second one would take the token.
        let second = Issuer::start().await;
        let role = &world().person("alice").roles[0];
        second.give("alice-token", Some(world().role_credentials(role).await));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let first = format!("http://{}", listener.local_addr().unwrap());
        let elsewhere = format!("{}/api/auth/get_credentials", second.url);
        let redirect = get(move || async move { Redirect::temporary(&elsewhere) });
        serve(
            listener,
            Router::new().route("/api/auth/get_credentials", redirect),
        );
        let server = Setup::new()
            .with(
                "/auth/issuers",
                json!([
                    { "issuer": "first", "registry": first },
                    { "issuer": second.url, "audience": AUDIENCE, "jwks": "discover" },
                ]),
            )
            .start();
        let answer = server
            .with_token("alice-token")
            .call("whoami", json!({}))
            .await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert_eq!(second.presented(), [""; 0]);
    });
}

// Gateways: "a client choosing the upstream's address".
#[test]
fn leak_a_client_choosing_the_upstream_s_address() {
    limited(async {
        let mallory = Issuer::start().await;
        let server = Server::start();
        let keys = format!("{}/keys", mallory.url);
        let theirs = mallory.claims("alice", "quilt-mcp-server");
        let ours = claims("alice");
        let point_at = |token: &crate::support::token::Claims| {
            let token = token.clone().header("jku", keys.as_str());
            token.header("x5u", keys.as_str())
        };
        for token in [
            mallory.sign(&theirs),
            mallory.sign(&point_at(&theirs)),
            mallory.sign(&point_at(&ours)),
        ] {
            let caller = server
                .with_token(token)
                .header("X-Quilt-Registry", &mallory.url);
            assert_eq!(caller.call("whoami", json!({})).await.status, 401);
        }
        // A good token that names an address is good, and the address is nobody's.
        let good = point_at(&ours).sign(&world().secret);
        assert_eq!(whoami(&server.with_token(good)).await["subject"], "alice");
        for path in [
            "/keys",
            "/.well-known/openid-configuration",
            "/api/auth/get_credentials",
        ] {
            assert_eq!(mallory.count(path), 0, "{path}");
        }
    });
}

/// This process's environment: what `/proc/self/environ` shows is that of its start, whatever was set since.
fn environment() -> BTreeMap<OsString, OsString> {
    std::env::vars_os().collect()
}

// The original wrote the caller's identity into environment variables of its process.
#[test]
fn hole_identity_in_the_environment_of_the_process() {
    limited(async {
        let secret = "the secret of the one issuer of this test";
        let document = json!({
            "auth": { "issuers": [{ "issuer": "quilt-frontend", "audience": "quilt-mcp-server", "hs256": secret }] },
            "roles": { "allow": ["arn:aws:iam::111111111111:role/*"] },
        });
        let config = Config::parse(&document.to_string(), &|_| None).unwrap();
        let before = environment();
        let at_start = before.clone();
        let definition = json!({ "name": "environment", "inputSchema": { "type": "object" } });
        // A tool that has its caller's role, and sees whether the environment has it too.
        let tool = Tool::raw("environment", &definition, move |_, _| {
            let at_start = at_start.clone();
            async move {
                let role = RuntimeContext::current()?
                    .role()
                    .map(|role| role.arn().to_string());
                let content = json!({ "role": role, "unchanged": environment() == at_start });
                let result = json!({ "content": [], "structuredContent": content });
                serde_json::value::to_raw_value(&result)
                    .map_err(|error| ToolError::new(error.to_string()))
            }
        });
        let app = App::with_tools(
            &config,
            &Process::default(),
            Authentication::Required,
            vec![tool],
        )
        .unwrap();
        let (listening, address) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let listen = "127.0.0.1:0".parse().unwrap();
            let told = |address| listening.send(address).unwrap();
            let reach = Reach::of(listen);
            app.serve(listen, reach, told, std::future::pending()).await
        });
        let url = format!("http://{}/mcp", address.await.unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for name in ["alice", "bob"] {
            let role = format!("arn:aws:iam::111111111111:role/{name}");
            let roles = [
                "arn:aws:iam::111111111111:role/Own".to_owned(),
                role.clone(),
            ];
            let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "environment" } });
            let request = client
                .post(&url)
                .bearer_auth(claims(name).roles(&roles).sign(secret))
                .header("X-Quilt-User-Role", &role)
                .header("X-Quilt-User-Id", name);
            let answer: Value = request
                .json(&call)
                .send()
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            let due = json!({ "role": role, "unchanged": true });
            assert_eq!(answer["result"]["structuredContent"], due);
            assert_eq!(environment(), before);
        }
    });
}

// The original kept the caller in a global singleton: one user's role reached another's request.
#[test]
fn hole_identity_in_a_global_singleton() {
    limited(async {
        let aws = KeptAlive::start().await;
        let server = Setup::new().endpoint(&aws.endpoint).start();
        let roles = &world().person("alice").roles;
        let secret = &world().secret;
        let carol = server.with_token(claims("carol").sign(secret));
        // The secret is read, and nothing else needs AWS but alice.
        assert_eq!(whoami(&carol).await["role"], Value::Null);
        let came = aws.requests();
        aws.hold();
        let alice = server.user("alice").header("X-Quilt-User-Role", &roles[1]);
        let held = alice.call("auth_status", json!({}));
        let amid = async {
            aws.until_more_than(came).await;
            let who = whoami(&carol).await;
            assert_eq!(
                (&who["subject"], &who["role"]),
                (&json!("carol"), &Value::Null)
            );
            let refused = carol.call("auth_status", json!({})).await.tool_error();
            assert!(refused.contains("carries no AWS role"), "{refused}");
            let own = whoami(&server.user("alice")).await;
            assert_eq!(own["role"], json!(roles[0]), "another request of her own");
            assert_eq!(
                server.anonymous().call("whoami", json!({})).await.status,
                401
            );
            aws.open();
        };
        let (answer, ()) = tokio::join!(held, amid);
        let content = answer.content();
        assert_eq!(content["caller"]["role"], json!(roles[1]));
        let name = roles[1].rsplit('/').next().unwrap();
        let arn = content["aws"]["arn"].as_str().unwrap();
        assert!(
            arn.contains(&format!(":assumed-role/{name}/mcp-alice-")),
            "{arn}"
        );
        assert_eq!(whoami(&carol).await["role"], Value::Null, "nor afterwards");
    });
}

// The original trusted a role header from a caller without a token.
#[test]
fn hole_a_role_header_from_an_unauthenticated_caller() {
    limited(async {
        let faults = Faults::start().await;
        let role = &world().person("alice").roles[0];
        let with_role = |caller: Caller| {
            let caller = caller.header("X-Quilt-User-Role", role);
            caller.header("X-Quilt-User-Id", "alice")
        };
        let server = Setup::new().endpoint(&faults.endpoint()).start();
        let ended = claims("alice").roles(&world().person("alice").roles);
        let ended = ended.with("exp", now() - 100).sign(&world().secret);
        for caller in [
            server.anonymous(),
            server.with_token("bad"),
            server.with_token(ended),
        ] {
            for tool in ["whoami", "auth_status", "bucket_list"] {
                assert_eq!(
                    with_role(caller.clone()).call(tool, json!({})).await.status,
                    401
                );
            }
        }
        // Where no token is asked for, the header is nothing either.
        let open = Setup::no_auth().endpoint(&faults.endpoint()).start();
        let nobody = with_role(open.anonymous());
        let who = whoami(&nobody).await;
        assert_eq!(
            (&who["subject"], &who["role"]),
            (&Value::Null, &Value::Null)
        );
        for tool in ["auth_status", "bucket_list"] {
            let refused = nobody.call(tool, json!({})).await.tool_error();
            assert!(refused.contains("without authentication"), "{refused}");
        }
        assert_eq!(faults.count("Action=AssumeRole"), 0);
    });
}

// The original accepted, on a second path that checked no signature, a token that had failed verification.
#[test]
fn hole_a_second_path_that_never_checked_the_signature() {
    limited(async {
        let (registry, asked) = (Issuer::start().await, Issuer::start().await);
        let introspection = json!({ "url": format!("{}/introspect", asked.url), "clientId": CLIENT.0, "clientSecret": CLIENT.1 });
        let server = Setup::new()
            .with("/auth/issuers/1", json!({ "issuer": "registry", "registry": registry.url }))
            .with(
                "/auth/issuers/2",
                json!({ "issuer": asked.url, "audience": AUDIENCE, "introspection": introspection, "opaque": false }),
            )
            .start();
        let alice = world().person("alice");
        let good = claims("alice").roles(&alice.roles);
        let payload = good.payload.to_string();
        let signed = good.sign(&world().secret);
        let (unsigned, _) = signed.rsplit_once('.').unwrap();
        let given = world().role_credentials(&alice.roles[0]).await;
        for token in [
            good.sign("another secret, as long as it must be"),
            sign_parts(r#"{"alg":"none","typ":"JWT"}"#, &payload, &world().secret),
            format!("{unsigned}."),
            format!("{unsigned}.AAAA"),
            good.with("exp", now() - 100).sign(&world().secret),
        ] {
            // Even if the other issuers would take it.
            registry.give(&token, Some(given.clone()));
            asked.activate(
                &token,
                json!({ "active": true, "sub": "alice", "aud": AUDIENCE }),
            );
            let answer: Answer = server.with_token(&token).call("whoami", json!({})).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}");
        }
        assert_eq!(registry.presented(), [""; 0]);
        assert_eq!(asked.count("/introspect"), 0);
        assert_eq!(whoami(&server.with_token(signed)).await["subject"], "alice");
    });
}

// The original kept the identity of a session by its `mcp-session-id`, and did not look at the header again.
#[test]
fn hole_a_session_cache_keyed_by_mcp_session_id() {
    limited(async {
        let server = Server::start();
        let id = "5f0c0b0e-alice";
        let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
        let alice = server.user("alice").header("Mcp-Session-Id", id);
        let begun = alice.rpc("initialize", hello).await;
        assert_eq!(begun.status, 200);
        assert_eq!(
            begun.header("mcp-session-id"),
            None,
            "there is no id to hold"
        );
        assert_eq!(whoami(&alice).await["subject"], "alice");
        let with_id = |caller: Caller| caller.header("Mcp-Session-Id", id);
        let ended = claims("alice")
            .with("exp", now() - 100)
            .sign(&world().secret);
        for caller in [
            server.anonymous(),
            server.with_token("bad"),
            server.with_token(ended),
        ] {
            assert_eq!(with_id(caller).call("whoami", json!({})).await.status, 401);
        }
        let bob = with_id(server.user("bob"));
        assert_eq!(whoami(&bob).await["subject"], "bob");
        let status = bob.call("auth_status", json!({})).await.content();
        assert_eq!(status["aws"]["account"], world().person("bob").account);
    });
}

// The original fell back to `s3:GetObject` when it could not read compressed claims.
#[test]
fn hole_malformed_compressed_claims_falling_back_to_a_permission() {
    limited(async {
        let faults = Faults::start().await;
        let server = Setup::new().endpoint(&faults.endpoint()).start();
        let alice = world().person("alice");
        for (permissions, buckets) in [
            (json!("g"), json!("*")),
            (json!(7), json!({ "_type": "compressed", "_data": "%" })),
            (
                json!({ "g": 1 }),
                json!({ "_type": "compressed", "_data": "eyJ4" }),
            ),
            (
                json!(null),
                json!({ "_type": "unknown", "_data": ["alice-genomics"] }),
            ),
        ] {
            let token = claims("alice")
                .roles(&alice.roles)
                .with("p", permissions.clone())
                .with("b", buckets.clone());
            let caller = server.with_token(token.sign(&world().secret));
            let granted = caller
                .call("get_user_permissions", json!({}))
                .await
                .content();
            assert_eq!(granted["narrowed"], true, "{granted}");
            assert_eq!(granted["buckets"], json!([]), "{buckets}");
            if !permissions.is_null() {
                assert_eq!(granted["permissions"], json!([]), "{permissions}");
            }
            let listing = json!({ "bucket": alice.bucket });
            caller
                .call("bucket_objects_list", listing)
                .await
                .tool_error();
        }
        assert_eq!(faults.count("list-type=2"), 0, "S3 was not asked");
    });
}
