//! The kinds of issuer: published keys, a registry, introspection, a load balancer. Each judges its own tokens only.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::support::{
    FrontDoor, Function, Issuer, Request, Setup, Trouble, claims,
    fault::{Fault, Faults},
    issuer::CLIENT,
    limited,
    server::{Caller, Server},
    token::now,
    world,
};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const AUDIENCE: &str = "https://mcp.example.com/mcp";

/// A server that takes the tokens of one issuer.
fn setup(issuer: Value) -> Setup {
    Setup::new().with("/auth/issuers", json!([issuer]))
}

/// One that discovers the keys.
fn discovering(issuer: &Issuer) -> Setup {
    setup(json!({ "issuer": issuer.url, "audience": AUDIENCE, "jwks": "discover" }))
}

fn caller(server: &Server, issuer: &Issuer, subject: &str) -> Caller {
    let role = &world().person(subject).roles[0];
    let claims = issuer
        .claims(subject, AUDIENCE)
        .with("role_arn", role.as_str());
    server.with_token(issuer.sign(&claims))
}

async fn health(server: &Server) -> u16 {
    server
        .client
        .get(server.url("/healthz"))
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

#[test]
fn published_keys_are_discovered_on_the_first_token_and_kept() {
    limited(async {
        let issuer = Issuer::start().await;
        let server = discovering(&issuer).start();
        assert_eq!(server.anonymous().post(PING).await.status, 401);
        let no_issuer = server.with_token(
            claims("alice")
                .with("iss", "https://other.example")
                .sign(&world().secret),
        );
        assert_eq!(no_issuer.post(PING).await.status, 401);
        assert_eq!(issuer.count("/keys"), 0, "nobody needed them");
        let alice = caller(&server, &issuer, "alice");
        let who = alice.call("whoami", json!({})).await.content();
        assert_eq!(who["subject"], "alice");
        assert_eq!(who["issuer"], issuer.url.as_str());
        assert_eq!(who["environment"], "web-jwt");
        let status = alice.call("auth_status", json!({})).await.content();
        assert_eq!(status["aws"]["account"], world().person("alice").account);
        join_all((0..20).map(|_| alice.post(PING))).await;
        assert_eq!(issuer.count("/.well-known/openid-configuration"), 1);
        assert_eq!(issuer.count("/keys"), 1);
    });
}

#[test]
fn metadata_may_be_that_of_an_authorization_server() {
    limited(async {
        let issuer = Issuer::start().await;
        issuer.publish_metadata(Value::Null);
        let server = discovering(&issuer).start();
        assert_eq!(
            caller(&server, &issuer, "alice").post(PING).await.status,
            200
        );
        assert_eq!(issuer.count("/.well-known/oauth-authorization-server"), 1);
    });
}

#[test]
fn a_key_set_may_be_named_outright() {
    limited(async {
        let issuer = Issuer::start().await;
        let keys = format!("{}/keys", issuer.url);
        let server =
            setup(json!({ "issuer": issuer.url, "audience": AUDIENCE, "jwks": keys })).start();
        assert_eq!(
            caller(&server, &issuer, "alice").post(PING).await.status,
            200
        );
        assert_eq!(issuer.count("/.well-known/openid-configuration"), 0);
    });
}

#[test]
fn metadata_of_another_issuer_and_keys_elsewhere_are_not_used() {
    limited(async {
        let (issuer, other) = (Issuer::start().await, Issuer::start().await);
        let keys = |of: &Issuer| format!("{}/keys", of.url);
        for metadata in [
            json!({ "issuer": other.url, "jwks_uri": keys(&issuer) }),
            json!({ "issuer": format!("{}/", issuer.url), "jwks_uri": keys(&issuer) }),
            json!({ "jwks_uri": keys(&issuer) }),
            json!({ "issuer": issuer.url }),
            // Another port of this machine, the instance metadata, a file.
            json!({ "issuer": issuer.url, "jwks_uri": keys(&other) }),
            json!({ "issuer": issuer.url, "jwks_uri": "http://169.254.169.254/latest/meta-data" }),
            json!({ "issuer": issuer.url, "jwks_uri": "file:///etc/passwd" }),
            json!([issuer.url]),
        ] {
            issuer.publish_metadata(metadata.clone());
            let server = discovering(&issuer).start();
            let answer = caller(&server, &issuer, "alice").post(PING).await;
            assert_eq!(answer.status, 503, "{metadata}: {}", answer.text);
            assert_eq!(health(&server).await, 503);
            assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
        }
        assert_eq!(issuer.count("/keys") + other.count("/keys"), 0);
    });
}

#[test]
fn a_key_set_without_a_usable_key_is_no_key_set() {
    limited(async {
        let issuer = Issuer::start().await;
        for set in [
            json!({ "keys": [] }),
            json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256" }] }),
            json!([]),
        ] {
            issuer.publish_keys(set.clone());
            let server = discovering(&issuer).start();
            let answer = caller(&server, &issuer, "alice").post(PING).await;
            assert_eq!(answer.status, 503, "{set}: {}", answer.text);
        }
    });
}

#[test]
fn a_storm_of_unknown_keys_costs_one_fetch() {
    limited(async {
        let issuer = Issuer::start().await;
        let server = discovering(&issuer).start();
        let alice = caller(&server, &issuer, "alice");
        assert_eq!(alice.post(PING).await.status, 200);
        let storm = (0..200).map(|n| {
            let claims = issuer
                .claims("mallory", AUDIENCE)
                .header("kid", format!("made-up-{n}"));
            let mallory = server.with_token(issuer.sign(&claims));
            async move { mallory.post(PING).await.status }
        });
        assert!(
            join_all(storm)
                .await
                .into_iter()
                .all(|status| status == 401)
        );
        assert_eq!(alice.post(PING).await.status, 200);
        assert_eq!(
            issuer.count("/keys"),
            1,
            "the last fetch is younger than the cool-down"
        );
    });
}

#[test]
fn an_issuer_in_trouble_is_a_503_within_5_s_and_the_next_call_recovers() {
    limited(async {
        for trouble in [
            Trouble::Down,
            Trouble::Hang,
            Trouble::Html,
            Trouble::Huge,
            Trouble::Redirect,
        ] {
            let issuer = Issuer::start().await;
            let server = discovering(&issuer).start();
            issuer.trouble(Some(trouble));
            let began = Instant::now();
            let callers = (0..20).map(|_| caller(&server, &issuer, "alice"));
            for answer in
                join_all(callers.map(|caller| async move { caller.post(PING).await })).await
            {
                assert_eq!(answer.status, 503, "{trouble:?}: {}", answer.text);
                assert_eq!(answer.header("retry-after"), Some("2"));
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{trouble:?}: {:?}",
                began.elapsed()
            );
            assert_eq!(health(&server).await, 503);
            issuer.trouble(None);
            assert_eq!(
                caller(&server, &issuer, "alice").post(PING).await.status,
                200,
                "{trouble:?}"
            );
            assert_eq!(health(&server).await, 200);
        }
    });
}

#[test]
fn an_issuer_in_trouble_takes_nobody_else_s_service_away() {
    limited(async {
        let issuer = Issuer::start().await;
        let server = Setup::new()
            .with(
                "/auth/issuers/1",
                json!({ "issuer": issuer.url, "audience": AUDIENCE, "jwks": "discover" }),
            )
            .start();
        issuer.trouble(Some(Trouble::Down));
        // Anybody can write a token that names it.
        let mallory = server.with_token(issuer.sign(&issuer.claims("mallory", "nobody")));
        assert_eq!(mallory.post(PING).await.status, 503);
        assert_eq!(server.user("alice").post(PING).await.status, 200);
        assert_eq!(health(&server).await, 200);
    });
}

#[test]
fn issuers_do_not_judge_each_other_s_tokens() {
    limited(async {
        let (issuer, registry) = (Issuer::start().await, Issuer::start().await);
        let server = Setup::new()
            .with(
                "/auth/issuers/1",
                json!({ "issuer": issuer.url, "audience": AUDIENCE, "jwks": "discover" }),
            )
            .with(
                "/auth/issuers/2",
                json!({ "issuer": "registry", "registry": registry.url }),
            )
            .start();
        let status = async |token: String| server.with_token(token).post(PING).await.status;
        assert_eq!(status(claims("alice").sign(&world().secret)).await, 200);
        assert_eq!(
            status(issuer.sign(&issuer.claims("alice", AUDIENCE))).await,
            200
        );
        // One issuer's key under another's name, in every direction; one's audience in another's token.
        let secret = &world().secret;
        for bad in [
            issuer.claims("alice", AUDIENCE).sign(secret),
            issuer.sign(&claims("alice")),
            issuer.sign(&issuer.claims("alice", "quilt-mcp-server")),
            claims("alice").with("aud", AUDIENCE).sign(secret),
            claims("alice").with("iss", "nobody").sign(secret),
            issuer.sign(&issuer.claims("alice", AUDIENCE).with("iss", "nobody")),
            // Of a form that only an issuer could have made, and none did.
            "e30.e30.".to_owned(),
            "eyJ.e30.x".to_owned(),
            format!("eyJ.{}.x", "a".repeat(20)),
        ] {
            assert_eq!(status(bad.clone()).await, 401, "{bad}");
        }
        // None of them was the registry's to see: they name another issuer, or are broken.
        assert_eq!(registry.presented(), [""; 0]);
        let its_own = claims("alice").with("iss", "registry").sign(secret);
        assert_eq!(status(its_own.clone()).await, 401);
        assert_eq!(registry.presented(), [its_own]);
    });
}

#[test]
fn what_cannot_be_judged_now_is_not_called_invalid() {
    limited(async {
        let issuer = Issuer::start().await;
        let (ours, theirs) = (
            json!({ "issuer": "quilt-frontend", "audience": "quilt-mcp-server", "hs256": world().secret }),
            json!({ "issuer": issuer.url, "audience": AUDIENCE, "jwks": "discover" }),
        );
        let server = Setup::new()
            .with("/auth/issuers", json!([ours, theirs]))
            .start();
        let token = issuer.sign(&issuer.claims("carol", AUDIENCE));
        let alice = server.user("alice");
        let judge = async || {
            let arguments = json!({ "access_token": token });
            alice.call("validate_bearer_token", arguments).await
        };
        issuer.trouble(Some(Trouble::Down));
        let text = judge().await.tool_error();
        assert!(text.contains("cannot be judged now"), "{text}");
        // Those of the other issuer are served all the while.
        assert_eq!(alice.post(PING).await.status, 200);
        issuer.trouble(None);
        assert_eq!(judge().await.content()["valid"], true);
    });
}

/// A catalog's token: `id`, `uuid`, `exp`, and no issuer.
fn catalog_token(id: &str, end: u64) -> String {
    let mut claims = claims(id);
    claims.payload = json!({ "id": id, "uuid": "0b2f7a6e", "exp": end });
    claims.sign("a secret of the registry that nobody else knows")
}

#[test]
fn a_registry_judges_its_tokens_and_gives_the_credentials() {
    limited(async {
        let (registry, faults) = (Issuer::start().await, Faults::start().await);
        let server =
            setup(json!({ "issuer": "https://registry.example.com", "registry": registry.url }))
                .endpoint(&faults.endpoint())
                .start();
        let token = catalog_token("alice-id", now() + 3_600);
        let person = world().person("alice");
        registry.give(
            &token,
            Some(world().role_credentials(&person.roles[0]).await),
        );
        let alice = server.with_token(token.clone());
        let who = alice.call("whoami", json!({})).await.content();
        assert_eq!(who["subject"], "alice-id");
        assert_eq!(who["issuer"], "https://registry.example.com");
        assert_eq!(
            (&who["environment"], &who["scheme"]),
            (&json!("web-bearer"), &json!("bearer"))
        );
        let objects = alice
            .call("bucket_objects_list", json!({ "bucket": person.bucket }))
            .await
            .content();
        assert_eq!(objects["count"], 3);
        assert_eq!(
            faults.count("Action=AssumeRole"),
            0,
            "no role of ours is assumed"
        );
        assert_eq!(registry.count("/api/auth/get_credentials"), 1);
        // Another bucket is AWS's to deny; a role is nobody's to choose.
        let text = alice
            .call(
                "bucket_objects_list",
                json!({ "bucket": world().person("bob").bucket }),
            )
            .await
            .tool_error();
        assert!(text.contains("denied"), "{text}");
        let chosen = server
            .with_token(token.clone())
            .header("x-quilt-user-role", &person.roles[0]);
        assert_eq!(chosen.post(PING).await.status, 403);
        // An opaque token is as good, and has a name that says nothing of it.
        registry.give(
            "opaque",
            Some(world().role_credentials(&person.roles[0]).await),
        );
        let who = server
            .with_token("opaque")
            .call("whoami", json!({}))
            .await
            .content();
        assert!(
            who["subject"].as_str().unwrap().starts_with("token-"),
            "{who}"
        );
        let log = server.terminate();
        assert!(!log.contains(&token) && !log.contains("opaque"), "{log}");
    });
}

#[test]
fn what_a_registry_refuses_is_refused() {
    limited(async {
        let registry = Issuer::start().await;
        let server = setup(json!({ "issuer": "registry", "registry": registry.url })).start();
        let status = async |token: &str| server.with_token(token).post(PING).await.status;
        for _ in 0..5 {
            assert_eq!(status("unknown").await, 401);
        }
        assert_eq!(
            registry.count("/api/auth/get_credentials"),
            1,
            "a refusal is kept for a moment"
        );
        // What it cannot read is no token of its own, and no trouble.
        let long = "x".repeat(9_000);
        for _ in 0..2 {
            assert_eq!(status(&long).await, 401);
        }
        assert_eq!(registry.count("/api/auth/get_credentials"), 2);
        registry.give("no-role", None);
        assert_eq!(status("no-role").await, 403);
        // Ended by its own word: not worth a question.
        let ended = catalog_token("alice", now() - 1);
        registry.give(&ended, Some(json!({})));
        assert_eq!(status(&ended).await, 401);
        assert!(!registry.presented().contains(&ended));
        // Nor is one that says nonsense of itself.
        for nonsense in [
            json!({ "id": 7 }),
            json!({ "id": "" }),
            json!({ "id": "al\u{202e}ice" }),
            json!({ "id": "alice", "exp": -1 }),
            json!({ "id": "alice", "exp": 1e300 }),
            json!({ "id": "alice", "exp": "never" }),
        ] {
            let mut claims = claims("alice");
            claims.payload = nonsense.clone();
            let token = claims.sign("a secret of the registry that nobody else knows");
            registry.give(&token, Some(json!({})));
            assert_eq!(status(&token).await, 401, "{nonsense}");
            assert!(!registry.presented().contains(&token), "{nonsense}");
        }
        for (name, answer) in [
            ("empty", json!({})),
            ("list", json!([])),
            (
                "ended",
                json!({ "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c", "Expiration": "2020-01-01T00:00:00Z" }),
            ),
            (
                "undated",
                json!({ "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c", "Expiration": "soon" }),
            ),
            (
                "null",
                json!({ "AccessKeyId": "a", "SecretAccessKey": null, "SessionToken": "c", "Expiration": "2099-01-01T00:00:00Z" }),
            ),
        ] {
            registry.give(name, Some(answer));
            assert_eq!(status(name).await, 503, "{name}");
        }
        for trouble in [
            Trouble::Down,
            Trouble::Html,
            Trouble::Redirect,
            Trouble::Hang,
        ] {
            registry.trouble(Some(trouble));
            assert_eq!(
                status(&format!("token-for-{trouble:?}")).await,
                503,
                "{trouble:?}"
            );
        }
        registry.trouble(None);
        assert_eq!(status("token-for-Down").await, 401, "recovered");
    });
}

#[test]
fn credentials_of_a_registry_that_aws_no_longer_takes_are_asked_for_again() {
    limited(async {
        let (registry, faults) = (Issuer::start().await, Faults::start().await);
        let server = setup(json!({ "issuer": "registry", "registry": registry.url }))
            .endpoint(&faults.endpoint())
            .start();
        let person = world().person("alice");
        let first = world().role_credentials(&person.roles[0]).await;
        let key = first["AccessKeyId"].as_str().unwrap().to_owned();
        registry.give("alice-token", Some(first));
        let alice = server.with_token("alice-token");
        let list = async || {
            alice
                .call("bucket_objects_list", json!({ "bucket": person.bucket }))
                .await
        };
        assert_eq!(list().await.content()["count"], 3);
        faults.inject(key, Fault::expired_s3(), u32::MAX);
        registry.give(
            "alice-token",
            Some(world().role_credentials(&person.roles[0]).await),
        );
        assert!(list().await.tool_error().contains("expired"));
        assert_eq!(list().await.content()["count"], 3);
        assert_eq!(registry.count("/api/auth/get_credentials"), 2);
    });
}

fn introspecting(issuer: &Issuer) -> Value {
    let url = format!("{}/introspect", issuer.url);
    json!({ "issuer": issuer.url, "audience": AUDIENCE,
            "introspection": { "url": url, "clientId": CLIENT.0, "clientSecret": CLIENT.1 } })
}

#[test]
fn an_authorization_server_is_asked_about_opaque_tokens() {
    limited(async {
        let issuer = Issuer::start().await;
        let server = setup(introspecting(&issuer)).start();
        let role = &world().person("bob").roles[0];
        issuer.activate("bob-token", json!({ "active": true, "sub": "bob", "aud": [AUDIENCE], "role_arn": role, "exp": now() + 600 }));
        let bob = server.with_token("bob-token");
        let answers = join_all((0..20).map(|_| bob.call("whoami", json!({})))).await;
        for answer in answers {
            let who = answer.content();
            assert_eq!(
                (&who["subject"], &who["environment"]),
                (&json!("bob"), &json!("web-bearer"))
            );
        }
        assert_eq!(issuer.count("/introspect"), 1, "one question for all");
        let status = bob.call("auth_status", json!({})).await.content();
        assert_eq!(status["aws"]["account"], world().person("bob").account);
        // A signed token that names the issuer is its to judge, too: the signature is not ours to check.
        let signed = issuer.sign(&issuer.claims("carol", AUDIENCE));
        assert_eq!(server.with_token(&signed).post(PING).await.status, 401);
        issuer.activate(
            &signed,
            json!({ "active": true, "sub": "carol", "aud": AUDIENCE, "iss": issuer.url }),
        );
        let again = issuer.sign(&issuer.claims("carol", AUDIENCE));
        issuer.activate(
            &again,
            json!({ "active": true, "sub": "carol", "aud": AUDIENCE, "iss": issuer.url }),
        );
        assert_eq!(server.with_token(&again).post(PING).await.status, 200);
        let log = server.terminate();
        assert!(
            !log.contains("bob-token") && !log.contains(CLIENT.1),
            "{log}"
        );
    });
}

#[test]
fn what_an_authorization_server_does_not_say_is_not_assumed() {
    limited(async {
        let issuer = Issuer::start().await;
        let server = setup(introspecting(&issuer)).start();
        let good = json!({ "active": true, "sub": "bob", "aud": AUDIENCE });
        let with = |changes: Value| {
            let mut answer = good.clone();
            answer
                .as_object_mut()
                .unwrap()
                .extend(changes.as_object().unwrap().clone());
            answer
        };
        for (number, answer) in [
            with(json!({ "active": false })),
            with(json!({ "aud": "https://other.example/mcp" })),
            with(json!({ "aud": null })),
            with(json!({ "sub": null })),
            with(json!({ "sub": "" })),
            with(json!({ "iss": "https://other.example" })),
            with(json!({ "exp": now() - 60 })),
            with(json!({ "nbf": now() + 600 })),
            with(json!({ "role_arn": "no role" })),
        ]
        .into_iter()
        .enumerate()
        {
            let token = format!("bad-{number}");
            issuer.activate(&token, answer.clone());
            assert_eq!(
                server.with_token(&token).post(PING).await.status,
                401,
                "{answer}"
            );
        }
        for (number, answer) in [
            json!({}),
            json!({ "active": "true" }),
            json!({ "active": 1 }),
            json!([true]),
        ]
        .into_iter()
        .enumerate()
        {
            let token = format!("nonsense-{number}");
            issuer.activate(&token, answer.clone());
            assert_eq!(
                server.with_token(&token).post(PING).await.status,
                503,
                "{answer}"
            );
        }
        issuer.activate("good", good);
        assert_eq!(server.with_token("good").post(PING).await.status, 200);
        for trouble in [Trouble::Down, Trouble::Html, Trouble::Redirect] {
            issuer.trouble(Some(trouble));
            let token = format!("token-for-{trouble:?}");
            let answer = server.with_token(&token).post(PING).await;
            assert_eq!(answer.status, 503, "{trouble:?}");
        }
        issuer.trouble(None);
        let again = server.with_token("token-for-Down").post(PING).await;
        assert_eq!(again.status, 401, "recovered: it is not active");
        // Our own credentials there are wrong: no caller's fault.
        let mut wrong = introspecting(&issuer);
        wrong["introspection"]["clientSecret"] = json!("hunter2");
        let server = setup(wrong).start();
        assert_eq!(server.with_token("good").post(PING).await.status, 503);
        assert!(!server.terminate().contains("hunter2"));
    });
}

#[test]
fn what_an_issuer_cannot_take_is_a_refused_token_and_no_outage() {
    limited(async {
        let (issuer, faults) = Issuer::behind_faults().await;
        let registry = json!({ "issuer": issuer.url, "registry": issuer.url });
        for (judge, asked) in [
            (introspecting(&issuer), "POST /introspect"),
            (registry, "GET /api/auth/get_credentials"),
        ] {
            let setup = || setup(judge.clone()).with("/telemetry/metrics", "emf");
            let server = setup().start();
            for status in [400, 413, 414, 422, 431] {
                faults.inject(asked, Fault::Answer(status, "text/html", String::new()), 1);
                let token = format!("made-up-{status}");
                let refused = server.with_token(token).post(PING).await;
                assert_eq!(refused.status, 401, "{asked}: {status}");
            }
            let log = server.terminate();
            assert_eq!(log.matches(r#""AuthFailures":1.0"#).count(), 5, "{log}");
            assert!(!log.contains("AuthUnavailable"), "{log}");
        }
        // Of our own credentials there.
        let server = setup(introspecting(&issuer))
            .with("/telemetry/metrics", "emf")
            .start();
        let of_the_client = |error: &str| json!({ "error": error }).to_string();
        for (status, body) in [
            (401, String::new()),
            (403, String::new()),
            (400, of_the_client("invalid_client")),
            (400, of_the_client("unauthorized_client")),
        ] {
            let fault = Fault::Answer(status, "application/json", body.clone());
            faults.inject("POST /introspect", fault, 1);
            let answer = server.with_token("made-up").post(PING).await;
            assert_eq!(answer.status, 503, "{status} {body}");
        }
        let log = server.terminate();
        assert_eq!(log.matches(r#""AuthUnavailable":1.0"#).count(), 4, "{log}");
    });
}

#[test]
fn a_revoked_token_is_refused_when_the_answer_no_longer_serves() {
    limited(async {
        let issuer = Issuer::start().await;
        let mut asking = introspecting(&issuer);
        asking["introspection"]["cacheSeconds"] = json!(0);
        let server = setup(asking).start();
        issuer.activate(
            "bob-token",
            json!({ "active": true, "sub": "bob", "aud": AUDIENCE, "exp": now() + 600 }),
        );
        let bob = server.with_token("bob-token");
        assert_eq!(bob.post(PING).await.status, 200);
        issuer.revoke("bob-token");
        assert_eq!(bob.post(PING).await.status, 401);
    });
}

const SIGNER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/mcp/50dc6c495c0c9188";

fn balanced(issuer: &Issuer) -> Value {
    json!({ "issuer": issuer.url, "audience": "client-1", "alb": { "signer": SIGNER, "keys": format!("{}/alb", issuer.url) } })
}

fn user(issuer: &Issuer, header: Value, payload: Value) -> String {
    let mut whole = json!({ "signer": SIGNER, "client": "client-1", "exp": now() + 120 });
    whole
        .as_object_mut()
        .unwrap()
        .extend(header.as_object().unwrap().clone());
    let mut claims = json!({ "sub": "alice", "exp": now() + 120, "iss": issuer.url, "role_arn": world().person("alice").roles[0] });
    claims
        .as_object_mut()
        .unwrap()
        .extend(payload.as_object().unwrap().clone());
    issuer.sign_alb(&whole, &claims)
}

#[test]
fn a_load_balancer_says_who_its_user_is() {
    limited(async {
        let issuer = Issuer::start().await;
        let setup = || {
            setup(balanced(&issuer)).with(
                "/auth/issuers/1",
                json!({
            "issuer": "quilt-frontend", "audience": "quilt-mcp-server", "hs256": { "$secret": world().jwt_secret } }),
            )
        };
        let server = setup().start();
        let signed = user(&issuer, json!({}), json!({}));
        let alice = server.anonymous().header("x-amzn-oidc-data", &signed);
        assert_eq!(
            alice.call("whoami", json!({})).await.content()["subject"],
            "alice"
        );
        let status = alice.call("auth_status", json!({})).await.content();
        assert_eq!(status["aws"]["account"], world().person("alice").account);
        assert_eq!(issuer.count("/alb"), 1);
        // A bearer token comes first, good or bad.
        let bob = server.user("bob").header("x-amzn-oidc-data", &signed);
        assert_eq!(
            bob.call("whoami", json!({})).await.content()["subject"],
            "bob"
        );
        let bad = server.with_token("bad").header("x-amzn-oidc-data", &signed);
        assert_eq!(bad.post(PING).await.status, 401);
        // It is no bearer token, whoever sends it as one.
        assert_eq!(server.with_token(&signed).post(PING).await.status, 401);
        let twice = alice.clone().header("x-amzn-oidc-data", &signed);
        assert_eq!(twice.post(PING).await.status, 400);
        let function = Function::start(setup()).await;
        let request = Request::post(PING).header("x-amzn-oidc-data", &signed);
        for door in [FrontDoor::AlbSingle, FrontDoor::AlbMulti] {
            let answer = door.answer(&function.invoke(&door.event(&request)).await);
            assert_eq!(answer.status, 200);
        }
    });
}

#[test]
fn a_load_balancer_s_key_that_cannot_be_had_is_a_503() {
    limited(async {
        let issuer = Issuer::start().await;
        let server = setup(balanced(&issuer)).start();
        let signed = user(&issuer, json!({}), json!({}));
        let alice = server.anonymous().header("x-amzn-oidc-data", &signed);
        for trouble in [
            Trouble::Down,
            // 200, and no key.
            Trouble::Html,
            Trouble::Huge,
            Trouble::Redirect,
        ] {
            issuer.trouble(Some(trouble));
            assert_eq!(alice.post(PING).await.status, 503, "{trouble:?}");
        }
        issuer.trouble(None);
        assert_eq!(alice.post(PING).await.status, 200, "recovered");
    });
}

#[test]
fn a_load_balancer_s_word_is_checked() {
    limited(async {
        let (issuer, other) = (Issuer::start().await, Issuer::start().await);
        let server = setup(balanced(&issuer)).start();
        let status = async |signed: String| {
            server
                .anonymous()
                .header("x-amzn-oidc-data", &signed)
                .post(PING)
                .await
                .status
        };
        assert_eq!(status(user(&issuer, json!({}), json!({}))).await, 200);
        let good = user(&issuer, json!({}), json!({}));
        let (head, signature) = good.rsplit_once('.').unwrap();
        let someone_elses = SIGNER.replace("111122223333", "999922223333");
        for bad in [
            user(&issuer, json!({ "signer": someone_elses }), json!({})),
            user(&issuer, json!({ "signer": null }), json!({})),
            user(&issuer, json!({ "client": "client-2" }), json!({})),
            user(
                &issuer,
                json!({ "iss": "https://other.example" }),
                json!({}),
            ),
            user(&issuer, json!({ "exp": now() - 60 }), json!({})),
            user(&issuer, json!({ "exp": "soon" }), json!({})),
            user(&issuer, json!({}), json!({ "exp": now() - 60 })),
            user(
                &issuer,
                json!({}),
                json!({ "iss": "https://other.example" }),
            ),
            user(&issuer, json!({}), json!({ "sub": "" })),
            user(&issuer, json!({ "alg": "none" }), json!({})),
            user(&issuer, json!({ "alg": "HS256" }), json!({})),
            user(&issuer, json!({ "kid": "../../keys" }), json!({})),
            user(&issuer, json!({ "kid": "" }), json!({})),
            user(&issuer, json!({ "kid": "unknown" }), json!({})),
            user(
                &other,
                json!({ "iss": issuer.url }),
                json!({ "iss": issuer.url }),
            ),
            format!(
                "{head}.{}",
                signature.replace(|c: char| c.is_ascii_digit(), "A")
            ),
            "x".to_owned(),
        ] {
            assert_eq!(status(bad.clone()).await, 401, "{bad}");
        }
        let before = issuer.count("/alb");
        let storm = (0..100).map(|n| {
            status(user(
                &issuer,
                json!({ "kid": format!("made-up-{n}") }),
                json!({}),
            ))
        });
        assert!(
            join_all(storm)
                .await
                .into_iter()
                .all(|status| status == 401)
        );
        assert!(
            issuer.count("/alb") - before <= 20,
            "{}",
            issuer.count("/alb")
        );
    });
}
