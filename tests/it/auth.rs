//! What a caller sees: every refusal of a token or a role, through the real door.

use aws_sdk_secretsmanager::primitives::Blob;
use serde_json::{Value, json};

use super::support::{
    Setup, claims, limited,
    server::{Answer, Server},
    token::{now, sign_parts},
    world,
};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, challenge: Option<&str>) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.header("www-authenticate"), challenge);
    assert_eq!(answer.code(), -32000);
    assert!(answer.json().get("id").is_none());
}

#[test]
fn without_a_token_the_answer_is_a_challenge() {
    limited(async {
        let server = Server::start();
        let refused = server.anonymous().post(PING).await;
        assert_refused(&refused, 401, Some("Bearer"));
        // Nothing in the body or the query makes up for it.
        let query = server
            .client
            .post(server.url("/mcp?access_token=x"))
            .header("content-type", "application/json");
        assert_eq!(query.body(PING).send().await.unwrap().status(), 401);
        let basic = server
            .anonymous()
            .header("authorization", "Basic YWxpY2U6aHVudGVyMg==")
            .post(PING)
            .await;
        assert_refused(&basic, 401, Some("Bearer"));
        // Neither does another method.
        let get = server.client.get(server.url("/mcp")).send().await.unwrap();
        assert_eq!(get.status(), 401);
        // Nor the header of a role.
        let role = world().person("alice").roles[0].clone();
        let role_only = server
            .anonymous()
            .header("x-quilt-user-role", &role)
            .header("x-quilt-user-id", "alice");
        assert_refused(&role_only.post(PING).await, 401, Some("Bearer"));
    });
}

#[test]
fn every_bad_token_gets_the_same_answer() {
    limited(async {
        let server = Server::start();
        let secret = &world().secret;
        let good = claims("alice").sign(secret);
        let (signed, _) = good.rsplit_once('.').unwrap();
        let bad = [
            claims("alice").sign("a secret that is not the issuer's, of any length"),
            claims("alice").with("exp", now() - 31).sign(secret),
            claims("alice").with("nbf", now() + 100).sign(secret),
            claims("alice").with("iss", "someone-else").sign(secret),
            claims("alice").with("aud", "someone-else").sign(secret),
            claims("alice").without("sub").sign(secret),
            claims("alice").header("alg", "none").sign(secret),
            claims("alice").header("crit", json!(["exp"])).sign(secret),
            sign_parts("{}", "{}", secret),
            format!("{signed}."),
            signed.to_owned(),
            "x".repeat(16_385),
            "not.a.token".to_owned(),
        ];
        let mut texts = std::collections::HashSet::new();
        for token in bad {
            let refused = server.with_token(token).post(PING).await;
            assert_refused(&refused, 401, Some(r#"Bearer error="invalid_token""#));
            texts.insert(refused.text);
        }
        assert_eq!(texts.len(), 1, "one text for all reasons: {texts:?}");
        // The reasons are for the operator.
        assert_eq!(server.with_token(good).post(PING).await.status, 200);
        let log = server.terminate();
        for reason in [
            "invalid_signature",
            "token_expired",
            "invalid_issuer",
            "invalid_audience",
            "invalid_claims",
        ] {
            assert!(log.contains(reason), "{reason} is not in the log");
        }
    });
}

#[test]
fn two_authorization_headers_are_a_bad_request() {
    limited(async {
        let server = Server::start();
        let token = claims("alice").sign(&world().secret);
        let two = server
            .with_token(&token)
            .header("authorization", &format!("Bearer {token}"))
            .post(PING)
            .await;
        assert_refused(&two, 400, None);
        let joined = server
            .anonymous()
            .header("authorization", &format!("Bearer {token}, Bearer {token}"));
        assert_refused(&joined.post(PING).await, 400, None);
    });
}

#[test]
fn the_role_header_selects_and_never_grants() {
    limited(async {
        let server = Server::start();
        let (alice, bob) = (world().person("alice"), world().person("bob"));
        let role_of = |answer: &Answer| answer.content()["role"].clone();
        let caller = server.user("alice");
        assert_eq!(
            role_of(&caller.call("whoami", json!({})).await),
            alice.roles[0].as_str()
        );
        let reader = caller.clone().header("x-quilt-user-role", &alice.roles[1]);
        assert_eq!(
            role_of(&reader.call("whoami", json!({})).await),
            alice.roles[1].as_str()
        );
        // What STS says: the role of this request, not of the one before.
        let proof = reader.call("auth_status", json!({})).await.content();
        assert!(
            proof["aws"]["arn"]
                .as_str()
                .unwrap()
                .contains("/QuiltAliceReader/"),
            "{proof}"
        );
        let proof = caller.call("auth_status", json!({})).await.content();
        assert!(
            proof["aws"]["arn"]
                .as_str()
                .unwrap()
                .contains("/QuiltAlice/"),
            "{proof}"
        );
        for (value, status) in [
            (bob.roles[0].as_str(), 403),
            ("arn:aws:iam::111111111111:role/Admin", 403),
            ("arn:aws:iam::999999999999:role/QuiltAlice", 403),
            ("QuiltAlice", 400),
            ("arn:aws:iam::111111111111:role/*", 400),
            ("", 400),
        ] {
            let refused = caller
                .clone()
                .header("x-quilt-user-role", value)
                .call("whoami", json!({}))
                .await;
            assert_refused(&refused, status, None);
            assert!(!refused.text.contains("exist"), "{}", refused.text);
        }
        let two = reader
            .header("x-quilt-user-role", &alice.roles[0])
            .call("whoami", json!({}))
            .await;
        assert_refused(&two, 400, None);
    });
}

#[test]
fn the_operator_decides_which_roles_may_be_assumed() {
    limited(async {
        let world = world();
        let (alice, bob) = (world.person("alice"), world.person("bob"));
        let server = Setup::new()
            .with("/roles/allow", json!([alice.roles[1]]))
            .start();
        assert_refused(
            &server.user("alice").call("whoami", json!({})).await,
            403,
            None,
        );
        assert_refused(
            &server.user("bob").call("whoami", json!({})).await,
            403,
            None,
        );
        let reader = server
            .user("alice")
            .header("x-quilt-user-role", &alice.roles[1]);
        assert_eq!(
            reader.call("whoami", json!({})).await.content()["role"],
            alice.roles[1].as_str()
        );
        let off = Setup::new().with("/roles/header", "off").start();
        let with_header = off.user("bob").header("x-quilt-user-role", &bob.roles[0]);
        assert_refused(&with_header.call("whoami", json!({})).await, 403, None);
        assert_eq!(off.user("bob").call("whoami", json!({})).await.status, 200);
    });
}

#[test]
fn a_token_without_a_role_reaches_no_aws() {
    limited(async {
        let server = Server::start();
        let caller = server.with_token(claims("carol").sign(&world().secret));
        assert_eq!(
            caller.call("whoami", json!({})).await.content()["role"],
            Value::Null
        );
        for tool in ["auth_status", "bucket_list"] {
            let text = caller.call(tool, json!({})).await.tool_error();
            assert!(text.contains("carries no AWS role"), "{text}");
        }
    });
}

#[test]
fn a_secret_can_be_a_member_and_can_rotate() {
    limited(async {
        let world = world();
        let old = "the old secret of an issuer that rotates it";
        let new = "the new secret of an issuer that rotates it";
        let arn = world
            .create_secret(
                "rotating/jwt",
                &json!({ "signing": old, "other": 1 }).to_string(),
            )
            .await;
        let secret = json!({ "$secret": arn, "key": "signing" });
        let server = Setup::new().with("/auth/issuers/0/hs256", secret).start();
        let with = |secret: &str| server.with_token(claims("alice").sign(secret));
        assert_eq!(with(old).post(PING).await.status, 200);
        let rotated = json!({ "signing": new }).to_string();
        world
            .secrets()
            .put_secret_value()
            .secret_id(&arn)
            .secret_string(rotated)
            .send()
            .await
            .unwrap();
        assert_eq!(
            with(old).post(PING).await.status,
            200,
            "the one that is cached"
        );
        let fresh = Setup::new()
            .with(
                "/auth/issuers/0/hs256",
                json!({ "$secret": arn, "key": "signing" }),
            )
            .start();
        let with = |secret: &str| fresh.with_token(claims("alice").sign(secret));
        assert_eq!(with(new).post(PING).await.status, 200, "AWSCURRENT");
        assert_eq!(with(old).post(PING).await.status, 200, "AWSPREVIOUS");
    });
}

#[test]
fn a_secret_that_is_no_text_or_has_no_value_is_a_503() {
    limited(async {
        let secrets = world().secrets();
        let binary = secrets
            .create_secret()
            .name("binary/jwt")
            .secret_binary(Blob::new(vec![0xff; 64]))
            .send();
        let empty = secrets.create_secret().name("empty/jwt").send();
        for (made, reason) in [
            (binary.await, "is not text"),
            (empty.await, "Secrets Manager did not give"),
        ] {
            let arn = made.unwrap().arn.unwrap();
            let server = Setup::new()
                .with("/auth/issuers/0/hs256", json!({ "$secret": arn }))
                .with("/telemetry/metrics", "emf")
                .start();
            assert_eq!(server.user("alice").post(PING).await.status, 503);
            let log = server.terminate();
            assert!(log.contains(reason), "{reason}: {log}");
            // An alarm's metric, and not the one for bad tokens.
            assert!(log.contains(r#""AuthUnavailable":1.0"#), "{log}");
            assert!(!log.contains("AuthFailures"), "{log}");
        }
    });
}

#[test]
fn a_secret_that_cannot_be_used_makes_the_server_unhealthy() {
    limited(async {
        let world = world();
        let short = world.create_secret("short/jwt", "short").await;
        let missing = "arn:aws:secretsmanager:us-east-1:123456789012:secret:missing-AbCdEf";
        let no_key = json!({ "$secret": world.jwt_secret, "key": "nothing" });
        for secret in [
            json!({ "$secret": short }),
            json!({ "$secret": missing }),
            no_key,
        ] {
            let server = Setup::new()
                .with("/auth/issuers/0/hs256", secret.clone())
                .start();
            let health = async || {
                server
                    .client
                    .get(server.url("/healthz"))
                    .send()
                    .await
                    .unwrap()
                    .status()
                    .as_u16()
            };
            assert_eq!(health().await, 200, "nothing was tried yet");
            let refused = server
                .with_token(claims("alice").sign("short"))
                .post(PING)
                .await;
            assert_refused(&refused, 503, None);
            assert!(refused.header("retry-after").is_some());
            assert_eq!(health().await, 503, "{secret}");
            let log = server.terminate();
            let told = log.contains("there is no such secret. Is the ARN right?");
            assert_eq!(told, secret["$secret"] == missing, "{log}");
        }
    });
}

#[test]
fn a_token_without_the_required_scopes_is_told_which() {
    limited(async {
        let server = Setup::new()
            .with("/auth/requiredScopes", json!(["mcp:call", "aws"]))
            .start();
        let with_scope = |scope: &str| {
            server.with_token(claims("alice").with("scope", scope).sign(&world().secret))
        };
        let challenge = |error: &str| format!(r#"Bearer {error}scope="mcp:call aws""#);
        let missing = server.anonymous().post(PING).await;
        assert_refused(&missing, 401, Some(&challenge("")));
        let bad = server.with_token("bad").post(PING).await;
        assert_refused(&bad, 401, Some(&challenge(r#"error="invalid_token", "#)));
        for scope in [
            "",
            "mcp:call",
            "aws mcp:call2",
            "MCP:CALL aws",
            "mcp:call,aws",
        ] {
            let refused = with_scope(scope).post(PING).await;
            assert_refused(
                &refused,
                403,
                Some(&challenge(r#"error="insufficient_scope", "#)),
            );
        }
        let none = server.user("alice").post(PING).await;
        assert_eq!(none.status, 403);
        assert_eq!(with_scope("x aws mcp:call").post(PING).await.status, 200);
        let wrong_type = claims("alice").with("scope", json!(["aws", "mcp:call"]));
        let refused = server
            .with_token(wrong_type.sign(&world().secret))
            .post(PING)
            .await;
        assert_eq!(refused.status, 401);
    });
}

#[test]
fn holding_a_session_id_is_no_authentication() {
    limited(async {
        let server = Server::start();
        let alice = server.user("alice");
        let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
        let opened = alice.post(initialize.to_string()).await;
        assert_eq!(opened.status, 200);
        // One that this server gave, if it gives any, and one that somebody made up.
        let given = opened.header("mcp-session-id").map(str::to_owned);
        for id in given.into_iter().chain(["alice".to_owned()]) {
            // Its holder calls with it, as another role of the token's and then as the token's own.
            let own = alice.clone().header("mcp-session-id", &id);
            let reader = &world().person("alice").roles[1];
            let as_reader = own.clone().header("x-quilt-user-role", reader);
            let who = as_reader.call("whoami", json!({})).await.content();
            assert_eq!(who["role"], reader.as_str());
            let who = own.call("whoami", json!({})).await.content();
            assert_eq!(who["role"], world().person("alice").roles[0].as_str());
            // The same id with nobody's token, a bad one, and another's.
            let nobody = server.anonymous().header("mcp-session-id", &id);
            assert_refused(&nobody.post(PING).await, 401, Some("Bearer"));
            let bad = server.with_token("bad").header("mcp-session-id", &id);
            assert_eq!(bad.post(PING).await.status, 401);
            let bob = server.user("bob").header("mcp-session-id", &id);
            let who = bob.call("whoami", json!({})).await.content();
            assert_eq!(who["subject"], "bob");
        }
    });
}
